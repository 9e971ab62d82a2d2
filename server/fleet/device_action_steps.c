/* device_action_steps.c: doing what was ordered, one step after the other.
 *
 *   RESTING --LOOK_MS, or one was ordered--> LOOKING --there is one--> STEPPING --NEXT_MS--> LOOKING
 *                                                   \--there is none--> RESTING
 *
 * Each node looks; of two that take the same step Postgres lets one do it, and the other looks again later.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/device_action_inner.h"

#define LOOK_MS 2000
#define NEXT_MS 20 /* leaves room for what devices say */
#define STEP_DEVICES 500
#define TIMEOUT_MS 30000

static const struct pg_statement look = {
    .name = "device_action_look",
    .sql = "SELECT id, coalesce(product_id, 0), filter::text, action, place FROM device_action"
           " WHERE state = 'running' ORDER BY updated_at LIMIT 1",
    .params = 0,
};
static const struct pg_statement step = {
    .name = "device_action_step",
    .sql = "SELECT s.state, s.id FROM (SELECT array_agg(k.id ORDER BY k.id) AS ids FROM (SELECT d.id FROM "
           "device d WHERE" DEVICE_FILTER_SQL
           " AND d.id > $21::bytea ORDER BY d.id LIMIT $22::bigint) k) picked,"
           " LATERAL device_action_step($20::bigint, $21::bytea, picked.ids, $22::integer) s",
    .params = DEVICE_FILTER_PARAMS + 3,
    .replan = true,
};
static const struct pg_statement end = {
    .name = "device_action_fail",
    .sql = "SELECT device_action_end('server', -1, $1::bigint, 'failed', $2::text)",
    .params = 2,
};

struct device_actions {
    struct fleet *f; /* borrowed: owner of this */
    struct deadline next;
    bool busy, stopped, ends_sessions;
    int64_t id; /* of the one being done */
    struct metric *steps, *changed, *failed;
};

static void on_next(struct deadline *next, uint64_t now_ms);

static void plan(struct device_actions *a, uint64_t in_ms)
{
    a->busy = false;
    if (!a->stopped)
        deadline_set(a->f->deadlines, &a->next, clock_ms() + in_ms, on_next);
}

/* --- a step --- */

static void on_failed(void *arg, enum pg_err err, const struct pg_result *result)
{
    (void)fleet_err_of(err, result, "device_action_fail");
    plan(arg, LOOK_MS);
}

static void fail(struct device_actions *a, const char *why)
{
    struct fleet_number id;
    struct pg_param params[] = {fleet_int(&id, a->id), pg_text(why)};
    log_error("device_action.failed id=%lld why=\"%s\"", (long long)a->id, why);
    a->failed->value++;
    pg_exec(a->f->bulk, &end, params, TIMEOUT_MS, PG_RETRY, on_failed, a);
}

/* A device in or out of quarantine says Hello again, and is met as what it is now. */
static void take_changed(struct device_actions *a, const struct pg_result *result)
{
    struct device_id id;
    size_t id_len;
    for (int i = 0; i < pg_rows(result) && !pg_is_null(result, i, 1); i++) {
        must(pg_bytea(result, i, 1, &id, sizeof id, &id_len) && id_len == sizeof id);
        a->changed->value++;
        if (a->ends_sessions)
            fleet_end_sessions(a->f, &id);
    }
}

static void on_step(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct device_actions *a = arg;
    if (err == PG_REFUSED && !a->stopped) {
        fail(a, pg_sqlstate(result));
        return;
    }
    if (err != PG_OK) {
        plan(a, LOOK_MS);
        return;
    }
    if (!strcmp(pg_value(result, 0, 0), "other")) { /* another node is at it */
        plan(a, LOOK_MS);
        return;
    }
    a->steps->value++;
    take_changed(a, result);
    plan(a, NEXT_MS);
}

/* What was asked for is read again from what is kept: nothing but the row outlives a crash. */
static void take_step(struct device_actions *a, const struct pg_result *result)
{
    struct device_filter_params *filter = mem_alloc(sizeof *filter);
    struct fleet_number n[2];
    struct pg_param params[DEVICE_FILTER_PARAMS + 3];
    char why[DEVICE_FILTER_WHY_SIZE] = "its filter cannot be read";
    uint8_t place[DEVICE_ID_BYTES];
    size_t place_len = 0;
    json_t *kept = json_loads(pg_value(result, 0, 2), 0, NULL);
    a->id = pg_int(result, 0, 0);
    a->ends_sessions = strstr(pg_value(result, 0, 3), "quarantine") != NULL;
    bool good = kept && device_action_fill(filter, (int)pg_int(result, 0, 1), kept, why) &&
                pg_bytea(result, 0, 4, place, sizeof place, &place_len);
    if (!good) {
        fail(a, why);
    } else {
        memcpy(params, filter->params, sizeof filter->params);
        params[DEVICE_FILTER_PARAMS] = fleet_int(&n[0], a->id);
        params[DEVICE_FILTER_PARAMS + 1] = pg_bytes(place, place_len);
        params[DEVICE_FILTER_PARAMS + 2] = fleet_int(&n[1], STEP_DEVICES);
        /* done twice it finds that its place has moved */
        pg_exec(a->f->bulk, &step, params, TIMEOUT_MS, PG_RETRY, on_step, a);
    }
    json_decref(kept);
    free(filter);
}

static void on_look(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct device_actions *a = arg;
    if (fleet_err_of(err, result, "device_action_look") != FLEET_OK || pg_rows(result) == 0 || a->stopped)
        plan(a, LOOK_MS);
    else
        take_step(a, result);
}

static void on_next(struct deadline *next, uint64_t now_ms)
{
    struct device_actions *a =
        (struct device_actions *)((char *)next - offsetof(struct device_actions, next));
    (void)now_ms;
    a->busy = true;
    pg_exec(a->f->bulk, &look, NULL, TIMEOUT_MS, PG_RETRY, on_look, a);
}

/* --- life --- */

struct device_actions *device_actions_new(struct fleet *f, struct metrics *metrics)
{
    struct device_actions *a = mem_alloc(sizeof *a);
    a->f = f;
    a->steps = metrics_add(metrics, METRIC_COUNTER, "cyan_device_action_steps_total", NULL,
                           "steps of actions on many devices that this node did");
    a->changed = metrics_add(metrics, METRIC_COUNTER, "cyan_device_action_devices_total", NULL,
                             "devices that actions on many devices changed");
    a->failed = metrics_add(metrics, METRIC_COUNTER, "cyan_device_actions_failed_total", NULL,
                            "actions on many devices that Postgres refused to go on with");
    return a;
}

void device_actions_start(struct device_actions *a)
{
    plan(a, 0);
}

void device_actions_wake(struct device_actions *a)
{
    if (!a->busy && deadline_is_set(&a->next))
        plan(a, 0);
}

void device_actions_stop(struct device_actions *a)
{
    a->stopped = true;
    deadline_cancel(a->f->deadlines, &a->next);
}

void device_actions_free(struct device_actions *a)
{
    device_actions_stop(a);
    free(a);
}
