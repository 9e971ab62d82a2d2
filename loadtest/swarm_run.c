#include "swarm_run.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_commands.h"
#include "swarm_control.h"
#include "swarm_cpu.h"
#include "swarm_device.h"
#include "swarm_enrol.h"
#include "swarm_scenario.h"
#include "swarm_server_key.h"
#include "swarm_steps.h"
#include "swarm_truth.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run {
    struct swarm_world world; /* must stay first: the world's callbacks find us by it */
    const struct swarm_options *options;
    struct swarm_models *models;   /* ours */
    struct swarm_device *devices;  /* ours */
    struct swarm_control *control; /* ours, NULL without --control */
    struct swarm_commands commands;
    struct swarm_scenario *scenario; /* ours, NULL without --scenario */
    struct swarm_steps steps;
    struct swarm_stats total; /* of the steps that are over */
    struct deadline end;
    FILE *ledger; /* ours, NULL without --ledger */
    size_t device_count;
    uint64_t start_ms;
    bool failed; /* the scenario */
};

static void *refuse(const char *why)
{
    (void)fprintf(stderr, "cyan-swarm: %s\n", why);
    return NULL;
}

static bool enrol(const struct swarm_options *o, const struct swarm_models *models,
                  char error[SWARM_ERROR_SIZE])
{
    struct swarm_enrol_target target = {.api = o->api, .token = o->token};
    char *token = NULL;
    bool ok;

    if (!o->api)
        return true;
    if (!target.token) {
        target.token = token = swarm_enrol_token(o->token_file, error);
        if (!token)
            return false;
    }
    ok = swarm_enrol_all(models, &target, error);
    free(token);
    return ok;
}

struct swarm_choice swarm_run_choice(const struct swarm_options *o)
{
    return (struct swarm_choice){.seed = o->seed,
                                 .platforms = o->platforms,
                                 .profile = o->profile,
                                 .count = (uint32_t)o->devices,
                                 .cid = !o->no_cid,
                                 .derive_keys = o->derive_keys};
}

struct swarm_models *swarm_run_models(const struct swarm_options *o, struct swarm_crypto *crypto)
{
    struct swarm_choice choice = swarm_run_choice(o);
    char error[SWARM_ERROR_SIZE] = "";
    struct swarm_models *models = swarm_models_open(crypto, o->state_dir, error);

    if (!models)
        return refuse(error);
    if ((!o->devices_file || swarm_models_choose_file(models, o->devices_file, &choice, error)) &&
        swarm_models_choose(models, &choice, error) && swarm_models_save(models, error) &&
        enrol(o, models, error))
        return models;
    swarm_models_free(models);
    return refuse(error);
}

/* --- what devices tell --- */

static void on_notice(struct swarm_world *w, const struct swarm_device *d, const char *event, json_t *fields)
{
    (void)w;
    if (!fields) /* a payload that is no UTF-8 */
        fields = json_object();
    json_object_set_new(fields, "event", json_string(event));
    json_object_set_new(fields, "device", json_string(d->model->id_text));
    swarm_control_print(fields);
}

static void on_acknowledged(struct swarm_world *w, const struct swarm_device *d, const char *name,
                            const char *data, uint16_t mid)
{
    struct run *r = (struct run *)w;
    json_t *line = json_pack("{s:s,s:s,s:s,s:i,s:I}", "device", d->model->id_text, "name", name, "data", data,
                             "mid", (int)mid, "acked_at_ms", (json_int_t)clock_wall_ms());

    if (json_dumpf(line, r->ledger, JSON_COMPACT) != 0 || fputc('\n', r->ledger) == EOF ||
        fflush(r->ledger) != 0) {
        (void)refuse("the ledger cannot be written");
        swarm_loop_end(&r->world.loop);
    }
    json_decref(line);
}

/* --- ending --- */

static void on_stop(void *owner)
{
    struct run *r = owner;

    swarm_loop_end(&r->world.loop);
}

static void on_end(struct deadline *deadline, uint64_t now_ms)
{
    struct run *r = (struct run *)(void *)((char *)deadline - offsetof(struct run, end));

    (void)now_ms;
    swarm_loop_end(&r->world.loop);
}

void swarm_run_truths(struct swarm_world *w, json_t *root)
{
    const struct swarm_truths *truths = &w->loop.env.replay.counts;

    json_object_set_new(root, "nonce_reuse", json_integer((json_int_t)truths->nonce_reuse));
    json_object_set_new(root, "replay_answered",
                        json_integer((json_int_t)(truths->answered + truths->unexplained)));
    json_object_set_new(root, "replays_sent", json_integer((json_int_t)truths->sent));
    json_object_set_new(root, "replays_challenged", json_integer((json_int_t)truths->challenged));
}

static json_t *report(struct run *r)
{
    const struct swarm_net_counts *net = swarm_net_count(r->world.loop.env.net);
    json_t *root, *handshakes = json_object();
    size_t online = 0;

    swarm_stats_add(&r->total, &r->world.stats);
    root = swarm_stats_json(&r->total);
    for (size_t i = 0; i < r->device_count; i++) {
        json_object_set_new(handshakes, r->devices[i].model->id_text,
                            json_integer((json_int_t)r->devices[i].handshakes));
        online += r->devices[i].state == SWARM_DEVICE_ONLINE;
    }
    json_object_set_new(root, "devices", json_integer((json_int_t)r->device_count));
    json_object_set_new(root, "online_at_end", json_integer((json_int_t)online));
    json_object_set_new(
        root, "bytes_per_device",
        json_integer((json_int_t)(swarm_resident_own_bytes() / (r->device_count + !r->device_count))));
    json_object_set_new(root, "seconds", json_real((double)(clock_ms() - r->start_ms) / 1000.0));
    json_object_set_new(root, "bad_records", json_integer((json_int_t)r->world.loop.env.bad_records));
    json_object_set_new(root, "replays", json_integer((json_int_t)r->world.loop.env.replays));
    swarm_run_truths(&r->world, root);
    json_object_set_new(root, "datagrams",
                        json_pack("{s:I,s:I,s:I,s:I,s:I}", "sent", (json_int_t)net->sent, "received",
                                  (json_int_t)net->received, "lost", (json_int_t)net->lost, "duplicated",
                                  (json_int_t)net->duplicated, "reordered", (json_int_t)net->reordered));
    json_object_set_new(root, "handshakes_by_device", handshakes);
    return root;
}

static bool write_report(struct run *r)
{
    json_t *root;
    bool ok;

    if (!r->options->report)
        return true;
    root = report(r);
    ok = json_dump_file(root, r->options->report, JSON_INDENT(1) | JSON_SORT_KEYS) == 0;
    json_decref(root);
    if (!ok)
        (void)refuse("the report cannot be written");
    return ok;
}

/* --- starting --- */

static bool open_files(struct run *r)
{
    const struct swarm_options *o = r->options;
    char error[SWARM_ERROR_SIZE] = "";

    for (size_t i = 0; i < r->device_count && !r->world.server; i++) {
        if (!swarm_device_is_deviceos(&r->devices[i]))
            continue;
        r->world.server = swarm_server_key_load(r->world.loop.env.crypto, o->server_key, error);
        if (!r->world.server)
            return refuse(error) != NULL;
    }
    if (o->truth && !(r->world.truth = swarm_truth_open(o->truth)))
        return refuse(strerror(errno)) != NULL;
    if (!o->ledger)
        return true;
    r->ledger = fopen(o->ledger, "ae");
    if (!r->ledger)
        return refuse(strerror(errno)) != NULL;
    r->world.acknowledged = on_acknowledged;
    return true;
}

static void fill_world(struct run *r)
{
    const struct swarm_options *o = r->options;
    struct swarm_world *w = &r->world;

    w->time_scale = o->time_scale;
    w->deaf_greeting = o->deaf_greeting;
    w->loop.env.replay.percent = o->replay;
    w->rebind_every_ms = (uint64_t)(o->rebind_every_s * 1000);
    w->resume_every_ms = (uint64_t)(o->resume_every_s * 1000);
    w->event_interval_ms = (uint64_t)o->event_interval_ms;
    w->keepalive_ms = (uint64_t)(o->keepalive_s * 1000);
    w->sleep_ms = (uint64_t)(o->sleep_s * 1000);
}

/* A device that was given its own keeps them. */
static void draw_defects(const struct swarm_options *o, struct swarm_model *m)
{
    struct swarm_defects drawn;

    if (!m->defects && swarm_defects_draw(&drawn, &o->defects, o->seed, m->id_text))
        *swarm_model_defects(m) = drawn;
}

static void make_devices(struct run *r)
{
    r->device_count = swarm_models_chosen(r->models);
    r->devices = mem_array(r->device_count, sizeof(*r->devices));
    for (struct swarm_model *m = swarm_models_first(r->models), *next; m; m = next) {
        next = swarm_models_next(m);
        if (!m->chosen)
            continue;
        draw_defects(r->options, m);
        swarm_device_init(&r->devices[r->commands.device_count++], &r->world, m);
    }
    r->commands.devices = r->devices;
    r->commands.loop = &r->world.loop;
}

/* --- a scenario in place of simply being there --- */

static const char *on_step(void *owner, const char *name, json_t *step)
{
    struct run *r = owner;

    return swarm_steps_start(&r->steps, name, step);
}

static void on_step_done(void *owner, json_t *line)
{
    struct run *r = owner;

    swarm_scenario_done(r->scenario, line);
}

static void on_scenario_ended(void *owner, bool ok)
{
    struct run *r = owner;

    r->failed = !ok;
    swarm_loop_end(&r->world.loop);
}

static const struct swarm_scenario_ops scenario_ops = {.start = on_step, .ended = on_scenario_ended};

static bool load_scenario(struct run *r)
{
    char error[SWARM_SCENARIO_ERROR_SIZE] = "";

    if (!r->options->scenario)
        return true;
    r->steps = (struct swarm_steps){.world = &r->world,
                                    .devices = r->devices,
                                    .device_count = r->device_count,
                                    .total = &r->total,
                                    .done = on_step_done,
                                    .owner = r};
    r->scenario = swarm_scenario_load(r->options->scenario, &r->world.loop, &scenario_ops, r, error);
    r->commands.scenario = r->scenario;
    return r->scenario || refuse(error);
}

static void tell_truth(struct run *r, void (*tell)(const struct swarm_device *d))
{
    for (size_t i = 0; i < r->device_count; i++)
        tell(&r->devices[i]);
}

static void run_devices(struct run *r)
{
    const struct swarm_options *o = r->options;

    tell_truth(r, swarm_truth_tell_modules);
    r->start_ms = clock_ms();
    if (r->scenario)
        swarm_scenario_start(r->scenario);
    for (size_t i = 0; !r->scenario && i < r->device_count; i++)
        swarm_device_start(&r->devices[i], (uint64_t)((double)i * 1000 / o->ramp_per_s));
    if (o->duration_s > 0)
        deadline_set(&r->world.loop.deadlines, &r->end, r->start_ms + (uint64_t)(o->duration_s * 1000),
                     on_end);
    if (o->control) {
        r->world.notice = on_notice;
        r->control = swarm_control_start(&r->world.loop.uv, &swarm_commands_ops, &r->commands);
    }
    swarm_loop_run(&r->world.loop);
    if (r->control)
        swarm_control_close(r->control);
    r->world.notice = NULL;
    tell_truth(r, swarm_truth_tell_end);
}

static uint64_t seed_number(const char *seed)
{
    uint8_t digest[SWARM_HASH_BYTES];
    uint64_t number;

    swarm_sha256(digest, seed, strlen(seed));
    memcpy(&number, digest, sizeof(number));
    return number;
}

int swarm_run(const struct swarm_options *o)
{
    struct run r = {.options = o};
    struct swarm_net_options net = {.faults = {.loss = o->loss,
                                               .dup = o->dup,
                                               .reorder = o->reorder,
                                               .delay_ms = (uint32_t)o->delay_ms,
                                               .seed = seed_number(o->seed)},
                                    .sources = (uint32_t)o->sources,
                                    .shared = (uint32_t)o->shared_sockets};
    char error[SWARM_ERROR_SIZE] = "";
    bool ok = false;

    if (!swarm_net_parse_server(&net.server, o->server)) {
        (void)refuse("--server must be HOST:PORT of a loopback address");
        return 2;
    }
    swarm_loop_init(&r.world.loop, &net, o->time_scale, on_stop, &r);
    fill_world(&r);
    r.models = swarm_run_models(o, r.world.loop.env.crypto);
    if (r.models) {
        make_devices(&r);
        ok = open_files(&r) && load_scenario(&r);
    }
    if (ok) {
        run_devices(&r);
        ok = write_report(&r) && !r.failed;
        if (!swarm_models_save(r.models, error)) {
            (void)refuse(error);
            ok = false;
        }
    }
    swarm_scenario_free(r.scenario);
    swarm_steps_deinit(&r.steps);
    for (size_t i = 0; i < r.device_count; i++)
        swarm_device_deinit(&r.devices[i]);
    if (r.ledger && fclose(r.ledger) != 0)
        ok = false;
    if (!swarm_truth_close(r.world.truth)) {
        (void)refuse("the truth cannot be written");
        ok = false;
    }
    swarm_verifier_free(r.world.server);
    swarm_loop_deinit(&r.world.loop);
    swarm_stats_deinit(&r.world.stats);
    swarm_stats_deinit(&r.total);
    free(r.devices);
    swarm_models_free(r.models);
    return ok ? 0 : 1;
}
