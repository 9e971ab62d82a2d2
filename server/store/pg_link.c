/* pg_link.c: one connection to Postgres in pipeline mode.
 *
 * Each query is its own pipeline segment, [Parse] Bind Execute Sync: its own transaction, whose error leaves
 * its neighbours alone (PostgreSQL documentation, libpq pipeline mode). Answers come in sending order. */
#include "store/pg_inner.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

static void lose(struct pg_link *link, const char *message);

static struct pg_link *link_of(struct deadline *timer)
{
    return (struct pg_link *)((char *)timer - offsetof(struct pg_link, timer));
}

static void set_timer(struct pg_link *link, uint64_t in_ms, deadline_fn *fn)
{
    deadline_set(&link->pg->deadlines, &link->timer, clock_ms() + in_ms, fn);
    pg_arm(link->pg);
}

/* --- the socket --- */

static void on_watch_closed(uv_handle_t *handle)
{
    struct pg_watch *w = handle->data;
    struct pg *pg = w->pg;
    free(w);
    pg_handle_closed(pg);
}

static void abandon_watch(struct pg_link *link)
{
    struct pg_watch *w = link->watch;
    if (!w)
        return;
    link->watch = NULL;
    w->link = NULL;
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static void receive(struct pg_link *link);
static void connect_step(struct pg_link *link);

static void flush(struct pg_link *link);

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct pg_watch *w = poll->data;
    struct pg_link *link = w->link;
    if (!link)
        return;
    if (link->state == PG_LINK_CONNECTING) {
        connect_step(link);
        return;
    }
    uint64_t generation = link->generation;
    if (status < 0) /* libuv has stopped it */
        w->events = 0;
    if (status < 0 || events & UV_READABLE)
        receive(link);
    if (link->generation == generation && events & UV_WRITABLE)
        flush(link);
}

static void watch(struct pg_link *link, int events)
{
    int fd = PQsocket(link->conn);
    if (link->watch && link->watch->fd != fd)
        abandon_watch(link);
    if (!link->watch) {
        struct pg_watch *w = mem_alloc(sizeof *w);
        w->pg = link->pg;
        w->fd = fd;
        w->poll.data = w;
        if (uv_poll_init(link->pg->loop, &w->poll, fd) != 0) {
            free(w);
            lose(link, "its socket cannot be watched");
            return;
        }
        w->link = link;
        link->pg->open_handles++;
        link->watch = w;
    }
    if (link->watch->events == events) /* starting it again would cost two system calls */
        return;
    link->watch->events = events;
    uv_poll_start(&link->watch->poll, events, on_poll);
}

static void flush(struct pg_link *link)
{
    int left = PQflush(link->conn);
    if (left < 0)
        lose(link, PQerrorMessage(link->conn));
    else
        watch(link, left ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

/* --- connecting --- */

static void on_connect_limit(struct deadline *timer, uint64_t now_ms)
{
    (void)now_ms;
    lose(link_of(timer), "no answer while connecting");
}

static void enter_ready(struct pg_link *link)
{
    if (PQsetnonblocking(link->conn, 1) != 0 || PQenterPipelineMode(link->conn) != 1) {
        lose(link, "it has no pipeline mode");
        return;
    }
    struct pg *pg = link->pg;
    link->state = PG_LINK_READY;
    link->backoff_ms = 0;
    deadline_cancel(&pg->deadlines, &link->timer);
    pg->reconnects->value++;
    pg->up->value = 1;
    if (pg->ready_count++ == 0)
        log_info("postgres.up version=%d", PQserverVersion(link->conn));
    pg->said_down = false;
    watch(link, UV_READABLE);
    pg_wake(pg);
}

/* libpq may close its socket and open another, even under the same number: the old one is never watched
 * meanwhile. */
static void connect_step(struct pg_link *link)
{
    if (link->watch) {
        uv_poll_stop(&link->watch->poll);
        link->watch->events = 0;
    }
    switch (PQconnectPoll(link->conn)) {
    case PGRES_POLLING_OK:
        enter_ready(link);
        return;
    case PGRES_POLLING_READING:
        watch(link, UV_READABLE);
        return;
    case PGRES_POLLING_WRITING:
        watch(link, UV_WRITABLE);
        return;
    default:
        lose(link, PQerrorMessage(link->conn));
    }
}

static void on_retry(struct deadline *timer, uint64_t now_ms)
{
    struct pg_link *link = link_of(timer);
    (void)now_ms;
    must(link->state == PG_LINK_DOWN);
    link->state = PG_LINK_CONNECTING;
    link->conn = pg_conninfo_start(link->pg->conninfo, link->pg->statement_limit_ms);
    if (!link->conn || PQstatus(link->conn) == CONNECTION_BAD) {
        lose(link, link->conn ? PQerrorMessage(link->conn) : PG_CONNINFO_MALFORMED);
        return;
    }
    set_timer(link, PG_CONNECT_LIMIT_MS, on_connect_limit);
    watch(link, UV_WRITABLE); /* PQconnectPoll: first wait as if it had said WRITING */
}

void pg_link_init(struct pg_link *link, struct pg *pg)
{
    link->pg = pg;
    link->state = PG_LINK_DOWN;
    set_timer(link, 0, on_retry);
}

/* --- losing --- */

static void forget_prepared(struct pg_link *link)
{
    struct pg_prepared *p, *next;
    HASH_ITER (hh, link->prepared, p, next) {
        HASH_DEL(link->prepared, p);
        free(p);
    }
}

static void say_down(struct pg *pg, const char *message)
{
    if (pg->ready_count || pg->said_down || pg->closing)
        return;
    char why[256];
    pg_first_line(why, sizeof why, message);
    log_warn("postgres.down why=\"%s\"", why);
    pg->said_down = true;
}

/* What was in flight goes back to the head of the queue, in order, or ends. Calls out last. */
static void release_in_flight(struct pg_link *link)
{
    struct pg_query *lost = link->in_flight, *ended = NULL;
    link->in_flight = NULL;
    link->in_flight_count = 0;
    while (lost) {
        struct pg_query *q = lost->prev; /* the last one: utlist's head->prev is the tail */
        DL_DELETE(lost, q);
        PQclear(q->answer);
        q->answer = NULL;
        if (q->done && q->flags & PG_RETRY && !link->pg->closing && clock_ms() < q->expires_ms)
            pg_queue_again(q, false);
        else
            DL_PREPEND(ended, q);
    }
    while (ended) {
        struct pg_query *q = ended;
        DL_DELETE(ended, q);
        pg_query_finish(q, PG_UNKNOWN, NULL);
    }
}

static void lose(struct pg_link *link, const char *message)
{
    struct pg *pg = link->pg;
    bool was_ready = link->state == PG_LINK_READY;
    link->generation++;
    link->state = PG_LINK_DOWN;
    if (was_ready)
        pg->ready_count--;
    pg->up->value = pg->ready_count > 0;
    say_down(pg, message);
    abandon_watch(link);
    PQfinish(link->conn); /* message may point into it */
    link->conn = NULL;
    forget_prepared(link);
    if (pg->closing) {
        deadline_cancel(&pg->deadlines, &link->timer);
    } else {
        link->backoff_ms = link->backoff_ms ? link->backoff_ms * 2 : PG_BACKOFF_FIRST_MS;
        if (link->backoff_ms > PG_BACKOFF_LAST_MS)
            link->backoff_ms = PG_BACKOFF_LAST_MS;
        set_timer(link, link->backoff_ms, on_retry);
    }
    release_in_flight(link);
}

void pg_link_close(struct pg_link *link)
{
    lose(link, "closing");
}

/* --- answers --- */

static void on_watchdog(struct deadline *timer, uint64_t now_ms)
{
    (void)now_ms;
    lose(link_of(timer), "no answer to a statement");
}

static void feed_watchdog(struct pg_link *link)
{
    if (link->in_flight)
        set_timer(link, link->pg->watchdog_ms, on_watchdog);
    else
        deadline_cancel(&link->pg->deadlines, &link->timer);
}

static bool is_error(const PGresult *rows)
{
    ExecStatusType status = PQresultStatus(rows);
    return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY;
}

/* Keeps the first error of a segment, else its last rows. */
static void absorb(struct pg_query *q, PGresult *rows)
{
    if (PQresultStatus(rows) == PGRES_PIPELINE_ABORTED || (q->answer && is_error(q->answer))) {
        PQclear(rows);
        return;
    }
    if (q->parses && !is_error(rows)) { /* the answer to Parse */
        q->parses = false;
        PQclear(rows);
        return;
    }
    PQclear(q->answer);
    q->answer = rows;
}

enum ending { END_ANSWER, END_LINK_LOST, END_AGAIN };

/* PostgreSQL documentation, appendix A: error codes. */
static enum ending ending_of(const struct pg_query *q)
{
    if (!q->answer || !is_error(q->answer))
        return END_ANSWER;
    const char *state = PQresultErrorField(q->answer, PG_DIAG_SQLSTATE);
    if (!state)
        return END_LINK_LOST; /* said by libpq, not by the server */
    if (!strcmp(state, "26000") && q->was_unprepared)
        return END_LINK_LOST; /* twice: something else deallocates what was prepared */
    static const char *const lost[] = {"57P01", "57P02", "57P03", "57P05", "25006", "25P03", "08"};
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++)
        if (!strncmp(state, lost[i], strlen(lost[i])))
            return END_LINK_LOST;
    /* serialization, deadlock, lock timeout, statement timeout, no resources, statement not prepared here */
    static const char *const again[] = {"40001", "40P01", "55P03", "57014", "53", "26000"};
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        if (!strncmp(state, again[i], strlen(again[i])))
            return END_AGAIN;
    return END_ANSWER;
}

static void forget_statement(struct pg_link *link, const struct pg_statement *statement)
{
    struct pg_prepared *p;
    HASH_FIND_PTR(link->prepared, &statement, p);
    if (!p)
        return;
    HASH_DEL(link->prepared, p);
    free(p);
}

/* Rolled back by what passes by itself: known not to have been executed. Calls out last. */
static void try_again(struct pg_query *q)
{
    const char *state = PQresultErrorField(q->answer, PG_DIAG_SQLSTATE);
    bool unprepared = !strcmp(state, "26000");
    log_debug("postgres.again statement=%s sqlstate=%s", q->statement->name, state);
    if (!(q->flags & (PG_RETRY | PG_AGAIN) || unprepared) || clock_ms() >= q->expires_ms) {
        pg_query_finish(q, PG_AWAY, NULL);
        return;
    }
    PQclear(q->answer);
    q->answer = NULL;
    q->was_unprepared = unprepared;
    q->was_sent = false;
    pg_queue_again(q, true);
}

/* The Sync of the oldest segment has come: its query is over. Calls out last. */
static void end_segment(struct pg_link *link)
{
    struct pg_query *q = link->in_flight;
    enum ending ending = ending_of(q);
    if (ending == END_LINK_LOST) {
        lose(link, PQresultErrorMessage(q->answer));
        return;
    }
    DL_DELETE(link->in_flight, q);
    link->in_flight_count--;
    feed_watchdog(link);
    pg_wake(link->pg);
    bool failed = q->answer && is_error(q->answer);
    if (q->parses) /* and failed: what was sent behind it is told 26000 */
        forget_statement(link, q->statement);
    if (ending == END_AGAIN && q->done && !link->pg->closing) {
        try_again(q);
        return;
    }
    struct pg_result result = {.rows = q->answer};
    pg_query_finish(q, failed ? PG_REFUSED : PG_OK, &result);
}

static void receive(struct pg_link *link)
{
    uint64_t generation = link->generation;
    bool alive = PQconsumeInput(link->conn) == 1;
    int nothing = 0;
    while (link->in_flight && nothing < 2 && !PQisBusy(link->conn)) {
        PGresult *rows = PQgetResult(link->conn);
        if (!rows) { /* between two commands of a segment */
            nothing++;
            continue;
        }
        nothing = 0;
        if (PQresultStatus(rows) == PGRES_PIPELINE_SYNC) {
            PQclear(rows);
            end_segment(link);
            if (link->generation != generation)
                return;
        } else {
            absorb(link->in_flight, rows);
        }
    }
    if (!alive || PQstatus(link->conn) == CONNECTION_BAD)
        lose(link, PQerrorMessage(link->conn));
    else
        flush(link);
}

/* --- sending --- */

static bool put_on_wire(struct pg_link *link, struct pg_query *q)
{
    const struct pg_statement *s = q->statement;
    struct pg_prepared *p;
    if (s->replan)
        return PQsendQueryParams(link->conn, s->sql, s->params, NULL, q->values, q->lengths, q->formats, 0) ==
                   1 &&
               PQpipelineSync(link->conn) == 1;
    HASH_FIND_PTR(link->prepared, &s, p);
    if (!p) {
        if (PQsendPrepare(link->conn, s->name, s->sql, s->params, NULL) != 1)
            return false;
        q->parses = true;
        p = mem_alloc(sizeof *p);
        p->statement = s;
        HASH_ADD_PTR(link->prepared, statement, p);
    }
    return PQsendQueryPrepared(link->conn, s->name, s->params, q->values, q->lengths, q->formats, 0) == 1 &&
           PQpipelineSync(link->conn) == 1;
}

bool pg_link_send(struct pg_link *link, struct pg_query *q)
{
    must(link->state == PG_LINK_READY);
    q->state = PG_QUERY_SENT;
    q->was_sent = true;
    q->parses = false;
    DL_APPEND(link->in_flight, q);
    if (link->in_flight_count++ == 0)
        feed_watchdog(link);
    if (!put_on_wire(link, q)) {
        lose(link, PQerrorMessage(link->conn));
        return false;
    }
    uint64_t generation = link->generation;
    flush(link);
    return link->generation == generation;
}
