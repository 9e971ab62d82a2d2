/* hooks.c: the object: claims what is due, tells what became of it, sweeps. */
#include "hook/hooks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "hook/hooks_inner.h"

#define TICK_MS 250
#define REST_TIMES 4 /* after a claim, so many times as long as it took: Postgres has other work too */
#define BEGIN_AGAIN_MS 1000
#define TELL_LINGER_MS 5 /* what ends within so long is told together */
#define TELL_AGAIN_MS 1000
#define TELL_MAX 500
#define SWEEP_MS 10000
#define SWEEP_TIMEOUT_MS 20000
#define SWEEP_BATCH 5000
#define SWEEP_AGAIN_MS 200
#define LEASE_MORE_S 60 /* a claim lasts so much longer than its request may */
#define ENDED_KEPT 1000 /* of each webhook, besides keep_s */
/* After so many failures in a row a webhook's target is tried with one request at a time, less and less
 * often. */
#define TRY_FAILURES 5
#define HOLD_S 5
#define HOLD_MAX_S 300

static const struct pg_statement begin = {
    .name = "webhook_begin",
    .sql = "SELECT webhook_begin($1::integer)",
    .params = 1,
};
static const struct pg_statement claim = {
    .name = "webhook_claim",
    .sql = "SELECT id, webhook_id, attempt, host, owner_id, event, spec, sealed, device_id, name, data, "
           "published_ms"
           " FROM webhook_claim($1::integer, $2::text[], $3::integer, $4::integer, $5::integer, $6::integer)",
    .params = 6,
};
static const struct pg_statement results = {
    .name = "webhook_results",
    .sql = "SELECT webhook_results($1::integer, $2::bigint[], $3::integer[], $4::text[], $5::integer[], "
           "$6::text[],"
           " $7::integer[], $8::integer[], $9::integer, $10::integer, $11::integer, $12::bigint)",
    .params = 12,
};
static const struct pg_statement sweep = {
    .name = "webhook_sweep",
    .sql = "SELECT webhook_sweep($1::integer, $2::integer, $3::bigint, $4::integer)",
    .params = 4,
};

struct pg_param hooks_int(struct hooks_number *n, int64_t value)
{
    (void)snprintf(n->text, sizeof n->text, "%" PRId64, value);
    return pg_text(n->text);
}

static struct metric *attempts(struct metrics *metrics, const char *label)
{
    return metrics_add(metrics, METRIC_COUNTER, "cyan_webhook_attempts_total", label,
                       "Attempts at deliveries of webhooks by what they came to");
}

/* NOLINTNEXTLINE(readability-function-size): everything it borrows, given once */
struct hooks *hooks_new(uv_loop_t *loop, const char *conninfo, struct pg *pg, struct fleet *fleet,
                        struct deadlines *deadlines, struct metrics *metrics,
                        const struct hook_settings *settings, const uint8_t key[SEAL_KEY_BYTES])
{
    struct hooks *h = mem_alloc(sizeof *h);
    const char *help = "Events that tell of what webhooks were answered";
    h->pg = pg;
    h->bulk_metrics = metrics_new();
    h->bulk = pg_new(loop, conninfo, 1, h->bulk_metrics);
    h->fleet = fleet;
    h->deadlines = deadlines;
    h->settings = *settings;
    h->node_id = fleet_node_id(fleet);
    h->web = web_new(loop, settings->allow_private);
    memcpy(h->key, key, sizeof h->key);
    h->under_way = metrics_add(metrics, METRIC_GAUGE, "cyan_webhook_requests_under_way", NULL,
                               "Requests of webhooks, from the claim until what became of them is written");
    h->delivered = attempts(metrics, "result=\"delivered\"");
    h->again = attempts(metrics, "result=\"again\"");
    h->dead = attempts(metrics, "result=\"dead\"");
    h->dropped = metrics_add(metrics, METRIC_COUNTER, "cyan_webhook_dropped_total", NULL,
                             "Deliveries dropped because too many of one webhook waited");
    h->disabled = metrics_add(metrics, METRIC_COUNTER, "cyan_webhook_disabled_total", NULL,
                              "Webhooks disabled because nothing was delivered for long");
    h->answers =
        metrics_add(metrics, METRIC_COUNTER, "cyan_webhook_events_total", "result=\"published\"", help);
    h->answers_lost =
        metrics_add(metrics, METRIC_COUNTER, "cyan_webhook_events_total", "result=\"bad_name\"", help);
    return h;
}

void hooks_reload(struct hooks *h, const struct hook_settings *settings)
{
    h->settings = *settings;
    web_allow_private(h->web, settings->allow_private);
}

/* --- claiming --- */

static void on_tick(struct deadline *tick, uint64_t now_ms);

static void tick_in(struct hooks *h, uint32_t in_ms)
{
    if (!h->stopped)
        deadline_set(h->deadlines, &h->tick, clock_ms() + in_ms, on_tick);
}

void hooks_wake(struct hooks *h)
{
    if (h->has_begun && !h->claiming)
        tick_in(h, 0);
}

/* An answer that was lost leaves rows that were given to nobody: their lease runs out. */
static void on_claimed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct hooks *h = arg;
    h->claiming = false;
    if (err == PG_REFUSED)
        log_error("webhook.claim_refused sqlstate=%s", pg_sqlstate(result));
    int rows = err == PG_OK && !h->stopped ? pg_rows(result) : 0;
    h->may_be_more = rows > 0;
    for (int row = 0; row < rows; row++)
        delivery_begin(h, result, row);
    uint64_t rest_ms = (clock_ms() - h->claimed_ms) * REST_TIMES;
    tick_in(h, rest_ms < TICK_MS              ? TICK_MS
               : rest_ms < HOOKS_STATEMENT_MS ? (uint32_t)rest_ms
                                              : HOOKS_STATEMENT_MS);
}

static void claim_due(struct hooks *h)
{
    struct hooks_number node, per_host, most, lease, failures;
    struct sql_array busy;
    const struct delivery *d;
    sql_array_init(&busy);
    DL_FOREACH (h->deliveries, d)
        if (d->state == DELIVERY_SENDING)
            sql_array_text(&busy, d->host);
    struct pg_param params[] = {hooks_int(&node, h->node_id),
                                pg_text(sql_array_end(&busy)),
                                hooks_int(&per_host, h->settings.per_host),
                                hooks_int(&most, (int64_t)(h->settings.in_flight - h->delivery_count)),
                                hooks_int(&lease, (int64_t)h->settings.timeout_s + LEASE_MORE_S),
                                hooks_int(&failures, TRY_FAILURES)};
    h->claiming = true;
    h->claimed_ms = clock_ms();
    pg_exec(h->bulk, &claim, params, HOOKS_STATEMENT_MS, PG_AGAIN, on_claimed, h);
    sql_array_deinit(&busy);
}

static void on_begun(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct hooks *h = arg;
    if (err == PG_REFUSED)
        log_error("webhook.begin_refused sqlstate=%s", pg_sqlstate(result));
    h->claiming = false;
    h->has_begun = err == PG_OK;
    tick_in(h, h->has_begun ? 0 : BEGIN_AGAIN_MS);
}

static void on_tick(struct deadline *tick, uint64_t now_ms)
{
    struct hooks *h = (struct hooks *)((char *)tick - offsetof(struct hooks, tick));
    struct hooks_number node;
    (void)now_ms;
    if (h->claiming)
        return;
    if (!h->has_begun) {
        h->claiming = true;
        pg_exec(h->bulk, &begin, (struct pg_param[]){hooks_int(&node, h->node_id)}, HOOKS_STATEMENT_MS,
                PG_RETRY, on_begun, h);
    } else if (h->delivery_count < h->settings.in_flight) {
        claim_due(h);
    } else {
        tick_in(h, TICK_MS);
    }
}

/* --- telling --- */

static void on_bulk_closed(void *arg)
{
    struct hooks *h = arg;
    h->bulk = NULL;
    h->on_closed(h->on_closed_arg);
}

/* From the loop: a connection is not closed in the callback of its statement. */
static void on_all_told(struct deadline *deadline, uint64_t now_ms)
{
    struct hooks *h = (struct hooks *)((char *)deadline - offsetof(struct hooks, tell));
    (void)now_ms;
    pg_close(h->bulk, on_bulk_closed, h);
}

static void tell(struct hooks *h);

static void on_tell(struct deadline *deadline, uint64_t now_ms)
{
    (void)now_ms;
    tell((struct hooks *)((char *)deadline - offsetof(struct hooks, tell)));
}

void hooks_ended(struct hooks *h)
{
    if (!h->telling && !h->closed && !deadline_is_set(&h->tell))
        deadline_set(h->deadlines, &h->tell, clock_ms() + TELL_LINGER_MS, on_tell);
}

/* What is told is over, or, while Postgres is away, told again. A refusal leaves it to the lease. */
static void finish_told(struct hooks *h, bool again)
{
    struct delivery *d, *next;
    DL_FOREACH_SAFE (h->deliveries, d, next) {
        if (d->state != DELIVERY_TELLING)
            continue;
        if (again)
            d->state = DELIVERY_ENDED;
        else
            delivery_free(d);
    }
}

static void log_disabled(struct hooks *h, const struct pg_result *result)
{
    for (int row = 0; row < pg_rows(result); row++) {
        h->disabled->value++;
        log_warn("webhook.disabled webhook=%" PRId64 " why=failing_for_long", pg_int(result, row, 0));
    }
}

static void on_told(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct hooks *h = arg;
    h->telling = false;
    if (err == PG_REFUSED)
        log_error("webhook.results_refused sqlstate=%s", pg_sqlstate(result));
    if (err == PG_OK)
        log_disabled(h, result);
    finish_told(h, err != PG_OK && err != PG_REFUSED);
    const struct delivery *d;
    DL_FOREACH (h->deliveries, d)
        if (d->state == DELIVERY_ENDED)
            break;
    if (h->closed) { /* what ended since is told, unless Postgres is away: then its lease runs out */
        if (d && err == PG_OK)
            tell(h);
        else
            deadline_set(h->deadlines, &h->tell, clock_ms(), on_all_told);
        return;
    }
    if (d)
        deadline_set(h->deadlines, &h->tell, clock_ms() + (err == PG_OK ? 0 : TELL_AGAIN_MS), on_tell);
    if (h->may_be_more)
        hooks_wake(h);
}

enum { IDS, TRIES, OUTCOMES, STATUSES, ERRORS, WAITS, HOLDS, COLUMNS };

static void add_row(struct sql_array *columns, const struct delivery *d)
{
    sql_array_int(&columns[IDS], d->id);
    sql_array_int(&columns[TRIES], d->attempt);
    sql_array_text(&columns[OUTCOMES], d->outcome);
    if (d->status)
        sql_array_int(&columns[STATUSES], d->status);
    else
        sql_array_null(&columns[STATUSES]);
    sql_array_text(&columns[ERRORS], d->error);
    sql_array_int(&columns[WAITS], d->wait_s);
    sql_array_int(&columns[HOLDS], d->hold_s);
}

static void tell(struct hooks *h)
{
    struct sql_array columns[COLUMNS];
    struct pg_param params[COLUMNS + 5];
    struct hooks_number node, failures, hold, hold_max, disable;
    struct delivery *d;
    size_t count = 0;
    if (h->telling)
        return;
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_init(&columns[i]);
    DL_FOREACH (h->deliveries, d) {
        if (d->state != DELIVERY_ENDED || count == TELL_MAX)
            continue;
        d->state = DELIVERY_TELLING;
        add_row(columns, d);
        count++;
    }
    params[0] = hooks_int(&node, h->node_id);
    for (size_t i = 0; i < COLUMNS; i++)
        params[1 + i] = pg_text(sql_array_end(&columns[i]));
    params[COLUMNS + 1] = hooks_int(&failures, TRY_FAILURES);
    params[COLUMNS + 2] = hooks_int(&hold, HOLD_S);
    params[COLUMNS + 3] = hooks_int(&hold_max, HOLD_MAX_S);
    params[COLUMNS + 4] = hooks_int(&disable, (int64_t)h->settings.disable_after_s);
    if (count > 0) {
        h->telling = true;
        pg_exec(h->bulk, &results, params, h->closed ? HOOKS_RELEASE_MS : HOOKS_STATEMENT_MS, PG_RETRY,
                on_told, h);
    }
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_deinit(&columns[i]);
}

/* --- sweeping --- */

static void on_sweep(struct deadline *deadline, uint64_t now_ms);

static void on_swept(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct hooks *h = arg;
    h->sweeping = false;
    if (err == PG_REFUSED)
        log_error("webhook.sweep_refused sqlstate=%s", pg_sqlstate(result));
    if (err == PG_OK && pg_int(result, 0, 0) > 0) {
        h->dropped->value += (uint64_t)pg_int(result, 0, 0);
        log_warn("webhook.dropped count=%" PRId64 " why=backlog", pg_int(result, 0, 0));
    }
    bool more = err == PG_OK && pg_int(result, 0, 0) == SWEEP_BATCH;
    if (!h->stopped)
        deadline_set(h->deadlines, &h->sweep, clock_ms() + (more ? SWEEP_AGAIN_MS : SWEEP_MS), on_sweep);
}

static void on_sweep(struct deadline *deadline, uint64_t now_ms)
{
    struct hooks *h = (struct hooks *)((char *)deadline - offsetof(struct hooks, sweep));
    struct hooks_number waiting, ended, keep, most;
    (void)now_ms;
    h->sweeping = true;
    pg_exec(h->bulk, &sweep,
            (struct pg_param[]){hooks_int(&waiting, h->settings.backlog_max), hooks_int(&ended, ENDED_KEPT),
                                hooks_int(&keep, (int64_t)h->settings.keep_s), hooks_int(&most, SWEEP_BATCH)},
            SWEEP_TIMEOUT_MS, PG_AGAIN, on_swept, h);
}

/* --- life --- */

void hooks_start(struct hooks *h)
{
    tick_in(h, 0);
    deadline_set(h->deadlines, &h->sweep, clock_ms() + SWEEP_MS, on_sweep);
}

void hooks_stop(struct hooks *h)
{
    h->stopped = true;
    deadline_cancel(h->deadlines, &h->tick);
    deadline_cancel(h->deadlines, &h->sweep);
}

bool hooks_is_idle(const struct hooks *h)
{
    return h->delivery_count == 0 && !h->claiming;
}

void hooks_close(struct hooks *h, void (*closed)(void *arg), void *arg)
{
    struct delivery *d, *next;
    hooks_stop(h);
    h->on_closed = closed;
    h->on_closed_arg = arg;
    DL_FOREACH_SAFE (h->deliveries, d, next)
        delivery_release(d);
    h->closed = true;
    deadline_cancel(h->deadlines, &h->tell);
    web_close(h->web);
    h->web = NULL;
    tell(h);
    if (!h->telling)
        deadline_set(h->deadlines, &h->tell, clock_ms(), on_all_told);
}

void hooks_free(struct hooks *h)
{
    struct delivery *d, *next;
    deadline_cancel(h->deadlines, &h->tick);
    deadline_cancel(h->deadlines, &h->sweep);
    deadline_cancel(h->deadlines, &h->tell);
    DL_FOREACH_SAFE (h->deliveries, d, next)
        delivery_free(d);
    metrics_free(h->bulk_metrics);
    bytes_wipe(h->key, sizeof h->key);
    free(h);
}
