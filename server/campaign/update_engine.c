/* update_engine.c: the object: made, ticking, stopped, freed. */
#include "campaign/update_engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "campaign/update_inner.h"

#define TICK_MS 1000
#define HEAL_TICKS 10 /* devices in safe mode are looked for so often */
#define HEALS_MAX 10  /* at the same time, of this node */
#define SWEEP_MS 20000

static const struct pg_statement update_begin = {
    .name = "update_begin",
    .sql = "SELECT update_begin($1::integer, $2::jsonb)",
    .params = 2,
};
static const struct pg_statement update_sweep = {
    .name = "update_sweep",
    .sql = "SELECT step_id FROM update_sweep($1::integer, $2::jsonb)",
    .params = 2,
};
static const struct pg_statement create_heals = {
    .name = "create_heals",
    .sql = "SELECT create_heals($1::integer, $2::integer)",
    .params = 2,
};

struct pg_param update_int(struct update_number *n, int64_t value)
{
    (void)snprintf(n->text, sizeof n->text, "%" PRId64, value);
    return pg_text(n->text);
}

static void take_settings(struct update_engine *e, const struct update_settings *s)
{
    e->settings = *s;
    (void)snprintf(e->settings_json, sizeof e->settings_json,
                   "{\"again_s\":%" PRIu32 ",\"describe_s\":%" PRIu32 ",\"reboot_s\":%" PRIu32
                   ",\"ncp_reboot_s\":%" PRIu32 ",\"backoff_s\":%" PRIu32 ",\"offline_s\":%" PRIu32 "}",
                   s->describe_again_s, s->describe_s, s->reboot_s, s->ncp_reboot_s, s->backoff_s,
                   s->offline_s);
}

static struct metric *add_steps(struct metrics *metrics, const char *label)
{
    return metrics_add(metrics, METRIC_COUNTER, "cyan_update_steps_total", label,
                       "Steps of updates by what became of them on this node");
}

struct update_engine *update_engine_new(struct pg *pg, struct fleet *fleet, struct devices *devices,
                                        struct deadlines *deadlines, struct metrics *metrics,
                                        const struct update_settings *settings, uint32_t node_id)
{
    struct update_engine *e = mem_alloc(sizeof *e);
    e->pg = pg;
    e->fleet = fleet;
    e->devices = devices;
    e->deadlines = deadlines;
    e->metrics = metrics;
    e->node_id = node_id;
    (void)snprintf(e->who, sizeof e->who, "node/%" PRIu32, node_id);
    take_settings(e, settings);
    e->under_way = metrics_add(metrics, METRIC_GAUGE, "cyan_update_steps_under_way", NULL,
                               "Steps of updates this node is at, from the claim to the device's answer");
    e->looking = metrics_add(metrics, METRIC_GAUGE, "cyan_update_describes_under_way", NULL,
                             "Describes asked for, and plans made, for updates");
    e->begun = add_steps(metrics, "event=\"claimed\"");
    e->rebooting = add_steps(metrics, "event=\"rebooting\"");
    e->verified = add_steps(metrics, "event=\"verified\"");
    e->failed = add_steps(metrics, "event=\"failed\"");
    e->broken = add_steps(metrics, "event=\"backoff\"");
    e->fenced = add_steps(metrics, "event=\"fenced\"");
    e->healed = metrics_add(metrics, METRIC_COUNTER, "cyan_update_heals_total", NULL,
                            "Updates begun for devices in safe mode");
    e->forced = metrics_add(metrics, METRIC_COUNTER, "cyan_update_forces_total", NULL,
                            "Devices told to take updates whatever their application wants, or no more");
    return e;
}

void update_engine_reload(struct update_engine *e, const struct update_settings *settings)
{
    take_settings(e, settings);
}

/* --- the tick --- */

static void on_tick(struct deadline *tick, uint64_t now_ms);

static void tick_again(struct update_engine *e)
{
    if (!e->closed)
        deadline_set(e->deadlines, &e->tick, clock_ms() + TICK_MS, on_tick);
}

static void on_healed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct update_engine *e = arg;
    if (err == PG_OK && pg_int(result, 0, 0) > 0) {
        e->healed->value += (uint64_t)pg_int(result, 0, 0);
        log_info("update.healing devices=%" PRId64, pg_int(result, 0, 0));
    } else if (err == PG_REFUSED)
        log_error("update.heal_refused sqlstate=%s", pg_sqlstate(result));
    tick_again(e);
}

static void on_forced(struct update_engine *e)
{
    struct update_number node, most;
    if (e->stopped || e->closed || clock_ms() < e->opens_ms || ++e->ticks % HEAL_TICKS != 0) {
        tick_again(e);
        return;
    }
    pg_exec(e->pg, &create_heals,
            (struct pg_param[]){update_int(&node, e->node_id), update_int(&most, HEALS_MAX)},
            UPDATE_STATEMENT_MS, PG_AGAIN, on_healed, e);
}

static void on_claimed(struct update_engine *e)
{
    if (e->stopped || e->closed)
        tick_again(e);
    else
        update_force(e, on_forced);
}

static void on_swept(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct update_engine *e = arg;
    if (err == PG_REFUSED)
        log_error("update.sweep_refused sqlstate=%s", pg_sqlstate(result));
    for (int row = 0; err == PG_OK && row < pg_rows(result); row++) {
        struct update_run *run = run_find(e, pg_int(result, row, 0));
        if (run) /* its row has moved already */
            run_leave(run);
    }
    if (err != PG_OK || e->stopped || e->closed)
        tick_again(e);
    else
        update_claim(e, on_claimed);
}

static void on_begun(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct update_engine *e = arg;
    if (err == PG_REFUSED)
        log_error("update.begin_refused sqlstate=%s", pg_sqlstate(result));
    e->has_begun = err == PG_OK;
    tick_again(e);
}

static void on_tick(struct deadline *tick, uint64_t now_ms)
{
    struct update_engine *e = (struct update_engine *)((char *)tick - offsetof(struct update_engine, tick));
    struct update_number node;
    if (!e->has_begun) {
        pg_exec(e->pg, &update_begin,
                (struct pg_param[]){update_int(&node, e->node_id), pg_text(e->settings_json)},
                UPDATE_STATEMENT_MS, PG_RETRY, on_begun, e);
        return;
    }
    update_checkpoint(e, now_ms);
    pg_exec(e->pg, &update_sweep,
            (struct pg_param[]){update_int(&node, e->node_id), pg_text(e->settings_json)}, SWEEP_MS, PG_RETRY,
            on_swept, e);
}

void update_engine_start(struct update_engine *e)
{
    uint32_t jitter;
    random_bytes(&jitter, sizeof jitter);
    uint64_t delay_ms = (uint64_t)e->settings.start_delay_s * 1000, now_ms = clock_ms();
    e->opens_ms = now_ms + delay_ms + (delay_ms ? jitter % (delay_ms / 2 + 1) : 0);
    deadline_set(e->deadlines, &e->tick, now_ms + TICK_MS, on_tick);
}

/* --- the end --- */

void update_engine_stop(struct update_engine *e)
{
    struct update_run *run, *next;
    e->stopped = true;
    DL_FOREACH_SAFE (e->runs, run, next)
        run_stop(run);
}

bool update_engine_is_idle(const struct update_engine *e)
{
    const struct update_run *run;
    DL_FOREACH (e->runs, run)
        if (run->state !=
            RUN_FINISHING) /* its answer is not heard any more: its row says all there is to say */
            return false;
    return e->pending_count == 0;
}

void update_engine_close(struct update_engine *e)
{
    struct update_run *run, *next;
    e->stopped = e->closed = true;
    deadline_cancel(e->deadlines, &e->tick);
    DL_FOREACH_SAFE (e->runs, run, next)
        run_leave(run);
}

void update_engine_free(struct update_engine *e)
{
    struct update_run *run, *next_run;
    struct update_look *look, *next_look;
    deadline_cancel(e->deadlines, &e->tick);
    DL_FOREACH_SAFE (e->runs, run, next_run) {
        deadline_cancel(e->deadlines, &run->again);
        run_forget_blob(run);
        free(run);
    }
    DL_FOREACH_SAFE (e->looks, look, next_look)
        free(look);
    free(e);
}
