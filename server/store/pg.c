/* pg.c: the pool: the queue of statements, their deadlines, and which link sends what. */
#include "store/pg_inner.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* --- one timer for every deadline of the pool --- */

#define DEADLINES_A_TURN 256 /* a full queue may be overdue as a whole */

static void on_timer(uv_timer_t *timer)
{
    struct pg *pg = timer->data;
    deadlines_run_some(&pg->deadlines, clock_ms(), DEADLINES_A_TURN);
    pg_arm(pg);
}

void pg_arm(struct pg *pg)
{
    if (pg->closing)
        return;
    uint64_t in_ms = deadlines_next(&pg->deadlines, clock_ms());
    if (in_ms == UINT64_MAX)
        uv_timer_stop(&pg->timer);
    else
        uv_timer_start(&pg->timer, on_timer, in_ms, 0);
}

/* --- a query's life --- */

static struct pg_query *query_of(struct deadline *expiry)
{
    return (struct pg_query *)((char *)expiry - offsetof(struct pg_query, expiry));
}

static void unlist(struct pg_query *q)
{
    struct pg *pg = q->pg;
    deadline_cancel(&pg->deadlines, &q->expiry);
    deadline_cancel(&pg->deadlines, &q->pause);
    if (q->state == PG_QUERY_QUEUED) {
        DL_DELETE(pg->queue, q);
        pg->waiting--;
    } else if (q->state == PG_QUERY_PAUSED) {
        DL_DELETE(pg->paused, q);
        pg->waiting--;
    }
    pg->waiting_gauge->value = pg->waiting;
}

void pg_query_finish(struct pg_query *q, enum pg_err err, const struct pg_result *result)
{
    struct pg *pg = q->pg;
    pg_done_fn *done = q->done;
    void *arg = q->arg;
    struct pg_result borrowed = {.rows = q->answer};
    q->answer = NULL;
    if (done) {
        pg->results[err]->value++;
        if (err == PG_REFUSED)
            log_debug("postgres.refused statement=%s sqlstate=%s", q->statement->name, pg_sqlstate(result));
    }
    free(q);
    if (done)
        done(arg, err, result ? &borrowed : NULL);
    PQclear(borrowed.rows);
}

static void on_expiry(struct deadline *expiry, uint64_t now_ms)
{
    struct pg_query *q = query_of(expiry);
    (void)now_ms;
    unlist(q);
    pg_query_finish(q, q->was_sent ? PG_UNKNOWN : PG_AWAY, NULL);
}

static void on_pause_over(struct deadline *pause, uint64_t now_ms)
{
    struct pg_query *q = (struct pg_query *)((char *)pause - offsetof(struct pg_query, pause));
    (void)now_ms;
    unlist(q);
    pg_queue_again(q, false);
}

void pg_queue_again(struct pg_query *q, bool paused)
{
    struct pg *pg = q->pg;
    q->state = paused ? PG_QUERY_PAUSED : PG_QUERY_QUEUED;
    if (paused) {
        DL_APPEND(pg->paused, q);
        deadline_set(&pg->deadlines, &q->pause, clock_ms() + PG_PAUSE_MS, on_pause_over);
    } else {
        DL_PREPEND(pg->queue, q);
        pg_wake(pg);
    }
    deadline_set(&pg->deadlines, &q->expiry, q->expires_ms, on_expiry);
    pg->waiting_gauge->value = ++pg->waiting;
    pg_arm(pg);
}

/* --- sending what is queued, once a turn of the loop --- */

static struct pg_link *freest_link(const struct pg *pg)
{
    struct pg_link *best = NULL;
    for (int i = 0; i < pg->link_count; i++) {
        struct pg_link *link = &pg->links[i];
        if (link->state != PG_LINK_READY || link->in_flight_count >= PG_IN_FLIGHT_MAX)
            continue;
        if (!best || link->in_flight_count < best->in_flight_count)
            best = link;
    }
    return best;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct pg *pg = prepare->data;
    struct pg_link *link;
    uv_prepare_stop(prepare); /* whoever frees a slot or queues more starts it again */
    while (pg->queue && (link = freest_link(pg)) != NULL) {
        struct pg_query *q = pg->queue;
        unlist(q);
        pg_link_send(link, q); /* a link lost meanwhile has dealt with q */
    }
}

void pg_wake(struct pg *pg)
{
    if (!pg->closing)
        uv_prepare_start(&pg->prepare, on_prepare);
}

/* Parameters are copied behind the query, each value with a NUL after it. */
static struct pg_query *query_new(const struct pg_statement *statement, const struct pg_param *params)
{
    size_t lengths[PG_PARAMS_MAX], text_len = 0;
    must(statement->params <= PG_PARAMS_MAX);
    for (int i = 0; i < statement->params; i++) {
        lengths[i] = !params[i].value   ? 0
                     : params[i].binary ? (size_t)params[i].value_len
                                        : strlen(params[i].value);
        text_len += lengths[i] + 1;
    }
    struct pg_query *q = mem_alloc(sizeof *q + text_len);
    char *at = q->text;
    q->statement = statement;
    for (int i = 0; i < statement->params; i++) {
        if (!params[i].value)
            continue;
        memcpy(at, params[i].value, lengths[i]);
        at[lengths[i]] = 0;
        q->values[i] = at;
        q->lengths[i] = (int)lengths[i];
        q->formats[i] = params[i].binary;
        at += lengths[i] + 1;
    }
    return q;
}

struct pg_query *pg_exec(struct pg *pg, const struct pg_statement *statement, const struct pg_param *params,
                         uint32_t timeout_ms, unsigned flags, pg_done_fn *done, void *arg)
{
    struct pg_query *q = query_new(statement, params);
    q->pg = pg;
    q->done = done;
    q->arg = arg;
    q->flags = flags;
    bool refused = pg->waiting >= PG_QUEUE_MAX || pg->closing;
    q->expires_ms = refused ? 0 : clock_ms() + timeout_ms;
    q->state = refused ? PG_QUERY_PAUSED : PG_QUERY_QUEUED; /* a refused one only waits for its callback */
    if (refused)
        DL_APPEND(pg->paused, q);
    else
        DL_APPEND(pg->queue, q);
    pg->waiting_gauge->value = ++pg->waiting;
    deadline_set(&pg->deadlines, &q->expiry, q->expires_ms, on_expiry);
    pg_arm(pg);
    pg_wake(pg);
    return q;
}

void pg_cancel(struct pg_query **query)
{
    struct pg_query *q = *query;
    *query = NULL;
    if (!q)
        return;
    q->done = NULL;
    if (q->state == PG_QUERY_SENT)
        return; /* its answer is awaited and dropped */
    unlist(q);
    free(q);
}

bool pg_is_up(const struct pg *pg)
{
    return pg->ready_count > 0;
}

size_t pg_waiting(const struct pg *pg)
{
    return pg->waiting;
}

size_t pg_unanswered(const struct pg *pg)
{
    size_t count = pg->waiting;
    for (int i = 0; i < pg->link_count; i++)
        count += pg->links[i].in_flight_count;
    return count;
}

/* --- the pool's life --- */

struct pg *pg_new(uv_loop_t *loop, const char *conninfo, int pool_size, struct metrics *metrics)
{
    must(pool_size > 0);
    struct pg *pg = mem_alloc(sizeof *pg);
    pg->loop = loop;
    pg->conninfo = mem_string(conninfo);
    pg->watchdog_ms = PG_WATCHDOG_MS;
    pg->statement_limit_ms = PG_STATEMENT_LIMIT_MS;
    deadlines_init(&pg->deadlines);
    uv_timer_init(loop, &pg->timer);
    uv_prepare_init(loop, &pg->prepare);
    uv_unref((uv_handle_t *)&pg->prepare);
    pg->timer.data = pg->prepare.data = pg;
    pg->open_handles = 2;
    pg->up = metrics_add(metrics, METRIC_GAUGE, "cyan_postgres_up", NULL,
                         "1 when at least one connection is ready");
    pg->waiting_gauge = metrics_add(metrics, METRIC_GAUGE, "cyan_postgres_waiting", NULL,
                                    "statements waiting for a connection");
    pg->reconnects = metrics_add(metrics, METRIC_COUNTER, "cyan_postgres_connects_total", NULL,
                                 "connections established, the first ones included");
    static const char *const labels[] = {"result=\"ok\"", "result=\"refused\"", "result=\"away\"",
                                         "result=\"unknown\""};
    for (int i = 0; i < 4; i++)
        pg->results[i] = metrics_add(metrics, METRIC_COUNTER, "cyan_postgres_queries_total", labels[i],
                                     "statements by how they ended");
    pg->links = mem_array((size_t)pool_size, sizeof *pg->links);
    pg->link_count = pool_size;
    for (int i = 0; i < pool_size; i++)
        pg_link_init(&pg->links[i], pg);
    return pg;
}

/* A callback may ask again: that query is refused into the paused list, which ends here too. */
static void end_all(struct pg *pg)
{
    while (pg->queue || pg->paused) {
        struct pg_query *q = pg->queue ? pg->queue : pg->paused;
        bool was_sent = q->was_sent;
        unlist(q);
        pg_query_finish(q, was_sent ? PG_UNKNOWN : PG_AWAY, NULL);
    }
}

void pg_handle_closed(struct pg *pg)
{
    if (--pg->open_handles > 0 || !pg->closing)
        return;
    end_all(pg); /* what was asked since pg_close */
    void (*closed)(void *arg) = pg->closed;
    void *arg = pg->closed_arg;
    deadlines_deinit(&pg->deadlines);
    free(pg->links);
    free(pg->conninfo);
    free(pg);
    if (closed)
        closed(arg);
}

static void on_closed(uv_handle_t *handle)
{
    pg_handle_closed(handle->data);
}

void pg_close(struct pg *pg, void (*closed)(void *arg), void *arg)
{
    must(!pg->closing);
    pg->closing = true;
    pg->closed = closed;
    pg->closed_arg = arg;
    for (int i = 0; i < pg->link_count; i++)
        pg_link_close(&pg->links[i]);
    end_all(pg);
    uv_timer_stop(&pg->timer);
    uv_prepare_stop(&pg->prepare);
    uv_close((uv_handle_t *)&pg->timer, on_closed);
    uv_close((uv_handle_t *)&pg->prepare, on_closed);
}
