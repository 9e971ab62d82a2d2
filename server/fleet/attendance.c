#include "fleet/attendance.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/room.h"
#include "fleet/sql_array.h"

#define WRITE_TIMEOUT_MS 10000

static const struct pg_statement store_presence = {
    .name = "store_presence",
    .sql =
        "SELECT store_presence($1::integer, $2::bytea[], $3::boolean[], $4::bigint[], $5::text[], "
        "$6::bigint[],"
        " $7::bigint[], $8::bytea[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::boolean[], "
        "$14::text[])",
    .params = 14,
};
enum {
    IDS,
    ONLINES,
    HEARDS,
    IPS,
    SESSIONS,
    EPOCHS,
    T_IDS,
    T_SESSIONS,
    T_ATS,
    T_REASONS,
    T_IPS,
    T_RESUMED,
    T_GOODBYES,
    COLUMNS
};

enum list {
    LIST_TURNED, /* came online or went offline: to be written at once */
    LIST_HEARD,  /* only heard: can wait for more */
    LIST_SENT,   /* in flight and not changed since */
    LIST_COUNT
};

struct entry { /* the newest of one device */
    struct device_id id;
    enum list list;
    int online;       /* -1 as before, 0, 1 */
    bool ends_newest; /* went offline after the newest beginning there was, which may not be written yet */
    bool has_path;
    struct net_path path; /* when has_path */
    uint64_t heard_wall_ms, session_id, session_epoch;
    UT_hash_handle hh;
    struct entry *prev, *next;
};

struct turn { /* one beginning or end of a connection */
    struct turn *prev, *next;
    struct device_id id;
    uint64_t session_id, at_wall_ms;
    const char *reason; /* static text; NULL: a beginning */
    bool resumed, has_goodbye;
    struct device_goodbye goodbye;
    struct net_path path;
};

struct attendance {
    struct fleet *f;
    struct entry *entries;           /* ours, hash by id */
    struct entry *lists[LIST_COUNT]; /* each entry is in one, oldest first */
    uint64_t heard_due_ms;           /* when those of LIST_HEARD are to be written, while there are any */
    struct turn *turns;              /* ours; the first sent_turns are in flight */
    struct turn *unsent;             /* the first that is not, NULL when all are */
    size_t turn_count, sent_turns;
    bool in_flight;
    struct deadline flush;
    void (*drained)(void *arg);
    void *drained_arg;
    struct metric *dropped, *writes;
};

static void write_batch(struct attendance *p);

static void on_flush(struct deadline *flush, uint64_t now_ms)
{
    (void)now_ms;
    write_batch((struct attendance *)((char *)flush - offsetof(struct attendance, flush)));
}

static void plan_flush(struct attendance *p, uint64_t at_ms)
{
    if (p->in_flight || p->f->stopped || (deadline_is_set(&p->flush) && p->flush.at_ms <= at_ms))
        return; /* what is due sooner stays */
    deadline_set(p->f->deadlines, &p->flush, at_ms, on_flush);
}

struct attendance *attendance_new(struct fleet *f, struct metrics *metrics)
{
    struct attendance *p = mem_alloc(sizeof *p);
    p->f = f;
    p->dropped = metrics_add(metrics, METRIC_COUNTER, "cyan_connection_records_dropped_total", NULL,
                             "beginnings and ends of connections lost because Postgres was away too long");
    p->writes =
        metrics_add(metrics, METRIC_COUNTER, "cyan_presence_writes_total", NULL, "statements of presence");
    return p;
}

void attendance_free(struct attendance *p)
{
    struct entry *e, *next_entry;
    struct turn *t, *next_turn;
    deadline_cancel(p->f->deadlines, &p->flush);
    HASH_ITER (hh, p->entries, e, next_entry) {
        HASH_DEL(p->entries, e);
        free(e);
    }
    DL_FOREACH_SAFE (p->turns, t, next_turn)
        free(t);
    free(p);
}

void attendance_stop(struct attendance *p)
{
    deadline_cancel(p->f->deadlines, &p->flush);
}

void attendance_wake(struct attendance *p)
{
    plan_flush(p, clock_ms());
}

/* --- what happens --- */

static void put(struct attendance *p, struct entry *e, enum list list)
{
    if (list == LIST_HEARD && !p->lists[LIST_HEARD])
        p->heard_due_ms = clock_ms() + ATTENDANCE_FLUSH_MS;
    e->list = list;
    DL_APPEND(p->lists[list], e);
}

static void move(struct attendance *p, struct entry *e, enum list list)
{
    DL_DELETE(p->lists[e->list], e);
    put(p, e, list);
}

static struct entry *touch(struct attendance *p, const struct device_facts *facts, uint64_t wall_ms,
                           enum list list)
{
    struct entry *e;
    HASH_FIND(hh, p->entries, &facts->id, sizeof facts->id, e);
    if (!e) {
        e = mem_alloc(sizeof *e);
        e->id = facts->id;
        e->online = -1;
        HASH_ADD(hh, p->entries, id, sizeof e->id, e);
        put(p, e, list);
    } else if (e->list == LIST_SENT || (e->list == LIST_HEARD && list == LIST_TURNED)) {
        move(p, e, list);
    }
    if (wall_ms > e->heard_wall_ms)
        e->heard_wall_ms = wall_ms;
    plan_flush(p, e->list == LIST_TURNED ? clock_ms() + ATTENDANCE_TURN_FLUSH_MS : p->heard_due_ms);
    return e;
}

_Static_assert(ATTENDANCE_TURNS_MAX > ATTENDANCE_BATCH_MAX, "add_turn: one that is not in flight");

static struct turn *add_turn(struct attendance *p, const struct device_facts *facts)
{
    if (p->turn_count >= ATTENDANCE_TURNS_MAX) {
        struct turn *oldest = p->unsent;
        p->unsent = oldest->next;
        DL_DELETE(p->turns, oldest);
        free(oldest);
        p->turn_count--;
        p->dropped->value++;
    }
    struct turn *t = mem_alloc(sizeof *t);
    t->id = facts->id;
    t->session_id = facts->session_id;
    t->at_wall_ms = clock_wall_ms();
    t->path = facts->path;
    DL_APPEND(p->turns, t);
    if (!p->unsent)
        p->unsent = t;
    p->turn_count++;
    return t;
}

static void set_path(struct entry *e, const struct device_facts *facts)
{
    e->path = facts->path;
    e->has_path = true;
}

void attendance_online(void *ctx, const struct device_facts *facts, bool resumed)
{
    struct attendance *p = ((struct fleet *)ctx)->attendance;
    struct entry *e = touch(p, facts, clock_wall_ms(), LIST_TURNED);
    e->online = 1;
    e->ends_newest = false;
    e->session_id = facts->session_id;
    e->session_epoch = facts->session_epoch;
    set_path(e, facts);
    add_turn(p, facts)->resumed = resumed;
}

void attendance_heard(void *ctx, const struct device_facts *facts, uint64_t wall_ms)
{
    struct attendance *p = ((struct fleet *)ctx)->attendance;
    struct entry *e = touch(p, facts, wall_ms, LIST_HEARD);
    set_path(e, facts);
}

void attendance_offline(void *ctx, const struct device_facts *facts, enum device_offline_reason reason,
                        const struct device_goodbye *goodbye)
{
    struct attendance *p = ((struct fleet *)ctx)->attendance;
    struct entry *e = touch(p, facts, 0, LIST_TURNED);
    if (e->online == 1 && e->session_id == facts->session_id) {
        e->online = 0;
        e->ends_newest = true;
        e->session_epoch = facts->session_epoch;
    } else if (e->online != 1 && !e->ends_newest) { /* online: it is back with a newer session already */
        e->online = 0;
        e->session_id = facts->session_id;
        e->session_epoch = facts->session_epoch;
    }
    struct turn *t = add_turn(p, facts);
    t->reason = device_offline_reason_name(reason);
    t->has_goodbye = goodbye != NULL;
    if (goodbye)
        t->goodbye = *goodbye;
}

/* --- writing --- */

static void settle_entries(struct attendance *p, bool written)
{
    while (p->lists[LIST_SENT]) {
        struct entry *e = p->lists[LIST_SENT];
        if (written) {
            DL_DELETE(p->lists[LIST_SENT], e);
            HASH_DEL(p->entries, e);
            free(e);
        } else {
            move(p, e, e->online < 0 ? LIST_HEARD : LIST_TURNED);
        }
    }
}

static void settle_turns(struct attendance *p, bool written)
{
    while (written && p->sent_turns) {
        struct turn *t = p->turns;
        DL_DELETE(p->turns, t);
        free(t);
        p->turn_count--;
        p->sent_turns--;
    }
    p->sent_turns = 0;
    p->unsent = p->turns;
}

static void finish_drain(void *ctx)
{
    struct attendance *p = ctx;
    void (*done)(void *arg) = p->drained;
    p->drained = NULL;
    if (done)
        done(p->drained_arg);
}

static bool is_empty(const struct attendance *p)
{
    return !p->lists[LIST_TURNED] && !p->lists[LIST_HEARD] && !p->turns;
}

static bool has_turned(const struct attendance *p)
{
    return p->lists[LIST_TURNED] || p->turns;
}

static void plan_next(struct attendance *p)
{
    if (p->drained)
        plan_flush(p, clock_ms());
    else if (has_turned(p))
        plan_flush(p, clock_ms() + ATTENDANCE_TURN_FLUSH_MS);
    else if (p->lists[LIST_HEARD])
        plan_flush(p, p->heard_due_ms);
}

static void on_written(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct attendance *p = arg;
    p->in_flight = false;
    if (err == PG_REFUSED) /* trying the same again would be refused for ever */
        log_error("fleet.presence_refused sqlstate=%s", pg_sqlstate(result));
    bool over = err == PG_OK || err == PG_REFUSED;
    settle_entries(p, over);
    settle_turns(p, over);
    if (is_empty(p))
        finish_drain(p);
    else if (!over)
        plan_flush(p, clock_ms() + ATTENDANCE_FLUSH_MS);
    else
        plan_next(p);
}

static void add_entry(struct sql_array *columns, const struct entry *e)
{
    char ip[NET_ADDRESS_TEXT_SIZE];
    sql_array_bytes(&columns[IDS], e->id.bytes, sizeof e->id.bytes);
    if (e->online < 0)
        sql_array_null(&columns[ONLINES]);
    else
        sql_array_bool(&columns[ONLINES], e->online == 1);
    if (e->heard_wall_ms)
        sql_array_int(&columns[HEARDS], (int64_t)e->heard_wall_ms);
    else
        sql_array_null(&columns[HEARDS]);
    sql_array_text(&columns[IPS], e->has_path ? net_path_format_ip(ip, &e->path) : NULL);
    if (e->ends_newest)
        sql_array_null(&columns[SESSIONS]);
    else
        sql_array_int(&columns[SESSIONS], (int64_t)e->session_id);
    sql_array_int(&columns[EPOCHS], (int64_t)e->session_epoch);
}

static void add_goodbye(struct sql_array *column, const struct turn *t)
{
    char text[160];
    if (!t->has_goodbye) {
        sql_array_null(column);
        return;
    }
    const struct device_goodbye *g = &t->goodbye;
    snprintf(text, sizeof text,
             "{\"cloud_reason\":%" PRId64 ",\"reset_reason\":%" PRId64 ",\"sleep_s\":%" PRId64
             ",\"network_reason\":%" PRId64 "}",
             g->cloud_reason, g->reset_reason, g->sleep_s, g->network_reason);
    sql_array_text(column, text);
}

static void add_turn_row(struct sql_array *columns, const struct turn *t)
{
    char ip[NET_ADDRESS_TEXT_SIZE];
    sql_array_bytes(&columns[T_IDS], t->id.bytes, sizeof t->id.bytes);
    sql_array_int(&columns[T_SESSIONS], (int64_t)t->session_id);
    sql_array_int(&columns[T_ATS], (int64_t)t->at_wall_ms);
    sql_array_text(&columns[T_REASONS], t->reason);
    sql_array_text(&columns[T_IPS], net_path_format_ip(ip, &t->path));
    sql_array_bool(&columns[T_RESUMED], t->resumed);
    add_goodbye(&columns[T_GOODBYES], t);
}

/* Moves entries of a list into the batch, at most up to ATTENDANCE_BATCH_MAX in all. */
static size_t take(struct attendance *p, enum list list, size_t taken, struct sql_array *columns)
{
    for (; p->lists[list] && taken < ATTENDANCE_BATCH_MAX; taken++) {
        add_entry(columns, p->lists[list]);
        move(p, p->lists[list], LIST_SENT);
    }
    return taken;
}

static void write_batch(struct attendance *p)
{
    struct sql_array columns[COLUMNS];
    struct pg_param params[1 + COLUMNS];
    struct fleet_number node;
    deadline_cancel(p->f->deadlines, &p->flush);
    if (p->in_flight || !p->f->started)
        return;
    bool heard_is_due = p->lists[LIST_HEARD] && (p->drained || p->heard_due_ms <= clock_ms());
    if (!heard_is_due && !has_turned(p)) {
        plan_next(p);
        return;
    }
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_init(&columns[i]);
    size_t taken = take(p, LIST_TURNED, 0, columns);
    if (heard_is_due)
        take(p, LIST_HEARD, taken, columns);
    for (; p->unsent && p->sent_turns < ATTENDANCE_BATCH_MAX; p->unsent = p->unsent->next) {
        add_turn_row(columns, p->unsent);
        p->sent_turns++;
    }
    params[0] = fleet_int(&node, p->f->settings.node_id);
    for (size_t i = 0; i < COLUMNS; i++)
        params[1 + i] = pg_text(sql_array_end(&columns[i]));
    p->in_flight = true;
    p->writes->value++;
    pg_exec(p->f->pg, &store_presence, params, WRITE_TIMEOUT_MS, PG_RETRY, on_written, p);
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_deinit(&columns[i]);
}

void attendance_drain(struct attendance *p, void (*done)(void *arg), void *arg)
{
    p->drained = done;
    p->drained_arg = arg;
    if (p->in_flight)
        return;
    if (!is_empty(p)) {
        plan_next(p);
        return;
    }
    later_push(&p->f->later, finish_drain, p);
}
