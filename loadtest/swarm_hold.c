#include "swarm_hold.h"
#include "swarm_control.h"
#include "swarm_phase.h"
#include "swarm_rests.h"
#include "swarm_run.h"
#include "swarm_scenario.h"
#include "swarm_server_key.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_WITHIN_MS 3600000
#define WAKE_WITHIN_MS 100000 /* a device gives up after 60 to 90 s: device-protocol 3.4 */

struct hold {
    struct swarm_world world;
    const struct swarm_options *options;
    struct swarm_choice choice;
    struct swarm_fleet fleet;
    struct swarm_phase phase;
    struct swarm_control *control;   /* ours, NULL without --control */
    struct swarm_scenario *scenario; /* ours, NULL without --scenario */
    bool failed;                     /* the scenario */
    char error[SWARM_ERROR_SIZE];
};

/* NULL = done, else why not. */
typedef const char *command_fn(struct hold *h, json_t *command);

static int refuse(const char *why)
{
    (void)fprintf(stderr, "cyan-swarm: %s\n", why);
    return 1;
}

static bool is_new(const struct swarm_fleet *f, uint32_t i)
{
    return !f->rests[i].has_session && !f->awake[i];
}

static bool is_dormant(const struct swarm_fleet *f, uint32_t i)
{
    return f->rests[i].has_session && !f->awake[i];
}

static bool is_resting(const struct swarm_fleet *f, uint32_t i)
{
    return !f->awake[i];
}

/* count, over_s, within_s and in_flight of a command, for devices of which may() is true. */
static void start(struct hold *h, struct swarm_phase_plan plan, json_t *command,
                  bool (*may)(const struct swarm_fleet *f, uint32_t i))
{
    double count = swarm_scenario_number(command, "count", h->fleet.count);

    plan.count = count < h->fleet.count ? (uint32_t)count : h->fleet.count;
    plan.numbers = swarm_phase_pick(&h->fleet, &plan.count, may);
    plan.over_ms = (uint64_t)(swarm_scenario_number(command, "over_s", (double)plan.over_ms / 1000) * 1000);
    plan.within_ms =
        plan.over_ms +
        (uint64_t)(swarm_scenario_number(command, "within_s", (double)plan.within_ms / 1000) * 1000);
    plan.in_flight = (uint32_t)swarm_scenario_number(command, "in_flight", plan.in_flight);
    swarm_phase_start(&h->phase, &plan);
}

static const char *do_ramp(struct hold *h, json_t *command)
{
    struct swarm_phase_plan plan = {
        .name = "ramp", .within_ms = CONNECT_WITHIN_MS, .in_flight = (uint32_t)h->options->in_flight};

    start(h, plan, command, is_new);
    return NULL;
}

static const char *do_wake(struct hold *h, json_t *command)
{
    struct swarm_phase_plan plan = {.name = "wake", .within_ms = WAKE_WITHIN_MS, .in_flight = h->fleet.count};

    start(h, plan, command, is_dormant);
    return NULL;
}

/* Everybody forgets its session: as after a power cut that emptied retained memory. */
static const char *do_storm(struct hold *h, json_t *command)
{
    struct swarm_phase_plan plan = {
        .name = "storm", .within_ms = WAKE_WITHIN_MS, .in_flight = h->fleet.count};

    start(h, plan, command, is_resting);
    for (uint32_t i = 0; i < h->phase.plan.count; i++) {
        swarm_rest_clear(&h->fleet.rests[h->phase.plan.numbers[i]]);
        h->fleet.rests[h->phase.plan.numbers[i]].told_reset = false;
    }
    return NULL;
}

/* At once, and no phase: what comes of it is in the counts of the next line. */
static const char *do_replay(struct hold *h, json_t *command)
{
    double wanted = swarm_scenario_number(command, "count", h->fleet.count);
    uint32_t count = wanted < h->fleet.count ? (uint32_t)wanted : h->fleet.count;
    uint32_t *numbers = swarm_phase_pick(&h->fleet, &count, is_dormant);

    for (uint32_t i = 0; i < count; i++)
        swarm_fleet_replay(&h->fleet, numbers[i]);
    free(numbers);
    return NULL;
}

static const char *do_status(struct hold *h, json_t *command)
{
    const struct swarm_net_counts *net = swarm_net_count(h->world.loop.env.net);
    uint32_t sessions = 0;
    json_t *line;

    (void)command;
    for (uint32_t i = 0; i < h->fleet.count; i++)
        sessions += h->fleet.rests[i].has_session;
    line = json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "event", "status", "devices",
                     (json_int_t)h->fleet.count, "sessions", (json_int_t)sessions, "awake",
                     (json_int_t)h->fleet.awake_count, "sent", (json_int_t)net->sent, "received",
                     (json_int_t)net->received, "unclaimed", (json_int_t)net->unclaimed);
    swarm_run_truths(&h->world, line);
    swarm_control_print(line);
    return NULL;
}

static const char *do_save(struct hold *h, json_t *command)
{
    const char *path = json_string_value(json_object_get(command, "file"));

    if (!path)
        return "file is needed";
    return swarm_rests_save(&h->fleet, path, h->error) ? NULL : h->error;
}

static const char *do_quit(struct hold *h, json_t *command)
{
    (void)command;
    swarm_loop_end(&h->world.loop);
    return NULL;
}

static const char *do_go(struct hold *h, json_t *command)
{
    (void)command;
    return h->scenario && swarm_scenario_go(h->scenario) ? NULL : "no step awaits it";
}

static const struct {
    const char *name;
    command_fn *run;
    bool is_phase; /* one at a time */
} table[] = {{"go", do_go, false},         {"quit", do_quit, false}, {"ramp", do_ramp, true},
             {"replay", do_replay, false}, {"save", do_save, true},  {"status", do_status, false},
             {"storm", do_storm, true},    {"wake", do_wake, true}};

static const char *dispatch(struct hold *h, const char *name, json_t *command)
{
    for (size_t i = 0; name && i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(table[i].name, name) != 0)
            continue;
        if (table[i].is_phase && h->phase.running)
            return "the phase before is not over";
        return table[i].run(h, command);
    }
    return "unknown command";
}

static void on_command(void *owner, json_t *command)
{
    const char *name = json_string_value(json_object_get(command, "cmd"));
    const char *why = dispatch(owner, name, command);

    if (why)
        swarm_control_print(
            json_pack("{s:s,s:s,s:s}", "event", "error", "cmd", name ? name : "", "reason", why));
    else
        swarm_control_print(json_pack("{s:s,s:s}", "event", "ok", "cmd", name));
}

static void on_stop(void *owner)
{
    struct hold *h = owner;

    swarm_loop_end(&h->world.loop);
}

static const struct swarm_control_ops control_ops = {.command = on_command, .ended = on_stop};

static void on_rested(void *owner, uint32_t i)
{
    struct hold *h = owner;

    swarm_phase_rested(&h->phase, i);
}

/* Without --control the first phase is all there is. */
static void on_done(void *owner, json_t *line)
{
    struct hold *h = owner;

    if (h->scenario) {
        swarm_scenario_done(h->scenario, line);
        return;
    }
    swarm_control_print(line);
    if (!h->control)
        swarm_loop_end(&h->world.loop);
}

/* Steps are commands; those that are no phases are over at once. */
static const char *on_step(void *owner, const char *name, json_t *step)
{
    struct hold *h = owner;
    const char *why = dispatch(h, name, step);

    if (!why && !h->phase.running)
        swarm_scenario_done(h->scenario, json_pack("{s:s}", "event", name));
    return why;
}

static void on_scenario_ended(void *owner, bool ok)
{
    struct hold *h = owner;

    h->failed = !ok;
    swarm_loop_end(&h->world.loop);
}

static const struct swarm_scenario_ops scenario_ops = {.start = on_step, .ended = on_scenario_ended};

static bool prepare(struct hold *h, char error[SWARM_ERROR_SIZE])
{
    const struct swarm_options *o = h->options;

    swarm_phase_init(&h->phase, &h->fleet);
    h->phase.done = on_done;
    h->phase.owner = h;
    if (!swarm_fleet_init(&h->fleet, &h->world, &h->choice, error))
        return false;
    h->fleet.rested = on_rested;
    h->fleet.owner = h;
    if (o->load && !swarm_rests_load(&h->fleet, o->load, error))
        return false;
    if (o->scenario)
        h->scenario = swarm_scenario_load(o->scenario, &h->world.loop, &scenario_ops, h, error);
    if (o->scenario && !h->scenario)
        return false;
    if (strcmp(o->profile, "psk") == 0)
        return true;
    h->world.server = swarm_server_key_load(h->world.loop.env.crypto, o->server_key, error);
    return h->world.server != NULL;
}

static void run(struct hold *h)
{
    if (h->options->control)
        h->control = swarm_control_start(&h->world.loop.uv, &control_ops, h);
    if (h->scenario)
        swarm_scenario_start(h->scenario);
    else if (!h->options->idle)
        (void)do_ramp(h, NULL);
    swarm_loop_run(&h->world.loop);
    if (h->control)
        swarm_control_close(h->control);
}

int swarm_hold(const struct swarm_options *o)
{
    struct hold h = {.options = o, .choice = swarm_run_choice(o)};
    struct swarm_net_options net = {.faults = {o->loss, o->dup, o->reorder, (uint32_t)o->delay_ms, 1},
                                    .sources = (uint32_t)o->sources,
                                    .shared = (uint32_t)o->shared_sockets};
    bool ok;

    if (!swarm_net_parse_server(&net.server, o->server))
        return refuse("--server must be HOST:PORT of a loopback address");
    swarm_loop_init(&h.world.loop, &net, o->time_scale, on_stop, &h);
    h.world.time_scale = o->time_scale;
    h.world.deaf_greeting = o->deaf_greeting;
    h.world.loop.env.replay.percent = o->replay;
    h.world.light = !o->full;
    ok = prepare(&h, h.error);
    if (ok)
        run(&h);
    swarm_scenario_free(h.scenario);
    swarm_phase_deinit(&h.phase);
    ok = ok && (!o->save || swarm_rests_save(&h.fleet, o->save, h.error));
    if (!ok)
        (void)refuse(h.error);
    ok = ok && !h.failed;
    swarm_fleet_deinit(&h.fleet);
    swarm_verifier_free(h.world.server);
    swarm_loop_deinit(&h.world.loop);
    swarm_stats_deinit(&h.world.stats);
    return ok ? 0 : 1;
}
