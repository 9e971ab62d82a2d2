#include "fleet/retention.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fleet/room.h"

#define ROUND_MS 30000
#define NEXT_BATCH_MS 200 /* leaves room for what devices say */
#define TIMEOUT_MS 10000

/* $1: older than so many seconds; $2: at most so many rows. A waiting deletion never waits for another. */
static const struct pg_statement delete_events = {
    .name = "delete_events",
    .sql = "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE received_at < now() - $1::bigint * "
           "interval '1 s'"
           " ORDER BY received_at LIMIT $2::bigint)",
    .params = 2,
};
static const struct pg_statement delete_attempts = {
    .name = "delete_attempts",
    .sql = "DELETE FROM handshake_attempt WHERE id IN (SELECT id FROM handshake_attempt"
           " WHERE at < now() - interval '7 days' ORDER BY at LIMIT $1::bigint)",
    .params = 1,
};
/* In the order of their ids, which is that of their times but for moments. */
static const struct pg_statement delete_update_events = {
    .name = "delete_update_events",
    .sql =
        "DELETE FROM update_event WHERE id IN (SELECT o.id FROM (SELECT id, at FROM update_event ORDER BY id"
        " LIMIT $2::bigint) o WHERE o.at < now() - $1::bigint * interval '1 s')",
    .params = 2,
};
static const struct pg_statement count_devices = {
    .name = "count_devices",
    .sql = "SELECT count(*), count(*) FILTER (WHERE online), count(*) FILTER (WHERE requires_deep_update) "
           "FROM device",
    .params = 0,
};

struct retention {
    struct fleet *f;
    struct deadline next;
    struct metric *devices, *connected, *deep_updates, *deleted, *update_events_deleted;
};

static void on_round(struct deadline *next, uint64_t now_ms);

static void plan(struct retention *r, uint32_t in_ms)
{
    uint64_t at_ms = clock_ms() + in_ms;
    if (r->f->stopped || (deadline_is_set(&r->next) && r->next.at_ms <= at_ms))
        return; /* what is due sooner stays */
    deadline_set(r->f->deadlines, &r->next, at_ms, on_round);
}

static void on_update_events_deleted(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct retention *r = arg;
    if (fleet_err_of(err, result, "delete_update_events") != FLEET_OK) {
        plan(r, ROUND_MS);
        return;
    }
    r->update_events_deleted->value += (uint64_t)pg_affected(result);
    plan(r, pg_affected(result) == RETENTION_BATCH ? NEXT_BATCH_MS : ROUND_MS);
}

static void on_attempts_deleted(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct retention *r = arg;
    struct fleet_number age, limit;
    if (fleet_err_of(err, result, "delete_attempts") != FLEET_OK) {
        plan(r, ROUND_MS);
        return;
    }
    if (pg_affected(result) == RETENTION_BATCH) {
        plan(r, NEXT_BATCH_MS);
        return;
    }
    struct pg_param params[] = {fleet_int(&age, (int64_t)r->f->settings.update_events_keep_s),
                                fleet_int(&limit, RETENTION_BATCH)};
    pg_exec(r->f->pg, &delete_update_events, params, TIMEOUT_MS, PG_RETRY, on_update_events_deleted, r);
}

static void on_events_deleted(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct retention *r = arg;
    struct fleet_number limit;
    if (fleet_err_of(err, result, "delete_events") != FLEET_OK) {
        plan(r, ROUND_MS);
        return;
    }
    r->deleted->value += (uint64_t)pg_affected(result);
    if (pg_affected(result) == RETENTION_BATCH)
        plan(r, NEXT_BATCH_MS);
    else
        pg_exec(r->f->pg, &delete_attempts, (struct pg_param[]){fleet_int(&limit, RETENTION_BATCH)},
                TIMEOUT_MS, PG_RETRY, on_attempts_deleted, r);
}

static void on_counted(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct retention *r = arg;
    struct fleet_number age, limit;
    if (fleet_err_of(err, result, "count_devices") != FLEET_OK) {
        plan(r, ROUND_MS);
        return;
    }
    r->devices->value = (uint64_t)pg_int(result, 0, 0);
    r->connected->value = (uint64_t)pg_int(result, 0, 1);
    r->deep_updates->value = (uint64_t)pg_int(result, 0, 2);
    struct pg_param params[] = {fleet_int(&age, (int64_t)r->f->settings.events_keep_s),
                                fleet_int(&limit, RETENTION_BATCH)};
    pg_exec(r->f->pg, &delete_events, params, TIMEOUT_MS, PG_RETRY, on_events_deleted, r);
}

static void on_round(struct deadline *next, uint64_t now_ms)
{
    struct retention *r = (struct retention *)((char *)next - offsetof(struct retention, next));
    (void)now_ms;
    pg_exec(r->f->bulk, &count_devices, NULL, TIMEOUT_MS, PG_RETRY, on_counted, r);
}

struct retention *retention_new(struct fleet *f, struct metrics *metrics)
{
    struct retention *r = mem_alloc(sizeof *r);
    const char *help = "devices in the registry, as last counted";
    r->f = f;
    r->devices = metrics_add(metrics, METRIC_GAUGE, "cyan_devices", "state=\"all\"", help);
    r->connected = metrics_add(metrics, METRIC_GAUGE, "cyan_devices", "state=\"connected\"", help);
    r->deep_updates =
        metrics_add(metrics, METRIC_GAUGE, "cyan_devices", "state=\"requires_deep_update\"", help);
    r->deleted = metrics_add(metrics, METRIC_COUNTER, "cyan_events_expired_total", NULL,
                             "events deleted because they were kept long enough");
    r->update_events_deleted = metrics_add(metrics, METRIC_COUNTER, "cyan_update_events_expired_total", NULL,
                                           "moves of updates deleted because they were kept long enough");
    return r;
}

void retention_stop(struct retention *r)
{
    deadline_cancel(r->f->deadlines, &r->next);
}

void retention_free(struct retention *r)
{
    retention_stop(r);
    free(r);
}

void retention_start(struct retention *r)
{
    plan(r, 0);
}

/* --- the same count for who asks --- */

struct count_wait {
    fleet_counts_fn *done;
    void *arg;
};

static void on_count_asked(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct count_wait wait = *(struct count_wait *)arg;
    struct fleet_counts counts = {.devices = 0};
    free(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "count_devices");
    if (ferr == FLEET_OK) {
        counts.devices = (uint64_t)pg_int(result, 0, 0);
        counts.connected = (uint64_t)pg_int(result, 0, 1);
        counts.deep_updates = (uint64_t)pg_int(result, 0, 2);
    }
    wait.done(wait.arg, ferr, &counts);
}

void fleet_count_devices(struct fleet *f, fleet_counts_fn *done, void *arg)
{
    struct count_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct count_wait){.done = done, .arg = arg};
    pg_exec(f->pg, &count_devices, NULL, fleet_patience_ms(f), PG_RETRY, on_count_asked, wait);
}
