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
    .sql = "SELECT store_presence($1::integer, $2::bytea[], $3::boolean[], $4::bigint[], $5::text[], "
           "$6::bigint[],"
           " $7::bytea[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::boolean[], $13::text[])",
    .params = 13,
};
enum {
    IDS,
    ONLINES,
    HEARDS,
    IPS,
    SESSIONS,
    T_IDS,
    T_SESSIONS,
    T_ATS,
    T_REASONS,
    T_IPS,
    T_RESUMED,
    T_GOODBYES,
    COLUMNS
};

struct entry { /* the newest of one device */
    struct device_id id;
    int online;     /* -1 as before, 0, 1 */
    bool in_flight; /* among the sending, else among the dirty */
    uint64_t heard_wall_ms, session_id;
    char ip[NET_ADDRESS_TEXT_SIZE];
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
    char ip[NET_ADDRESS_TEXT_SIZE];
};

struct attendance {
    struct fleet *f;
    struct entry *entries; /* ours, hash by id */
    struct entry *dirty;   /* those to be written, oldest first */
    struct entry *sending; /* those in flight and not changed since */
    struct turn *turns;    /* ours; the first sent_turns are in flight */
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

static void plan_flush(struct attendance *p, uint32_t in_ms)
{
    if (!p->in_flight && !p->f->stopped && !deadline_is_set(&p->flush))
        deadline_set(p->f->deadlines, &p->flush, clock_ms() + in_ms, on_flush);
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
    plan_flush(p, 0);
}

/* --- what happens --- */

static struct entry *touch(struct attendance *p, const struct device_facts *facts, uint64_t wall_ms)
{
    struct entry *e;
    HASH_FIND(hh, p->entries, &facts->id, sizeof facts->id, e);
    if (!e) {
        e = mem_alloc(sizeof *e);
        e->id = facts->id;
        e->online = -1;
        HASH_ADD(hh, p->entries, id, sizeof e->id, e);
        DL_APPEND(p->dirty, e);
    } else if (e->in_flight) {
        DL_DELETE(p->sending, e);
        DL_APPEND(p->dirty, e);
    }
    e->in_flight = false;
    if (wall_ms > e->heard_wall_ms)
        e->heard_wall_ms = wall_ms;
    plan_flush(p, ATTENDANCE_FLUSH_MS);
    return e;
}

static struct turn *add_turn(struct attendance *p, const struct device_facts *facts)
{
    if (p->turn_count >= ATTENDANCE_TURNS_MAX) {
        struct turn *oldest = p->turns;
        for (size_t i = 0; i < p->sent_turns; i++) /* at most one batch */
            oldest = oldest->next;
        DL_DELETE(p->turns, oldest);
        free(oldest);
        p->turn_count--;
        p->dropped->value++;
    }
    struct turn *t = mem_alloc(sizeof *t);
    t->id = facts->id;
    t->session_id = facts->session_id;
    t->at_wall_ms = clock_wall_ms();
    snprintf(t->ip, sizeof t->ip, "%s", facts->ip);
    DL_APPEND(p->turns, t);
    p->turn_count++;
    return t;
}

void attendance_online(void *ctx, const struct device_facts *facts, bool resumed)
{
    struct attendance *p = ((struct fleet *)ctx)->attendance;
    struct entry *e = touch(p, facts, clock_wall_ms());
    e->online = 1;
    e->session_id = facts->session_id;
    snprintf(e->ip, sizeof e->ip, "%s", facts->ip);
    add_turn(p, facts)->resumed = resumed;
}

void attendance_heard(void *ctx, const struct device_facts *facts, uint64_t wall_ms)
{
    struct attendance *p = ((struct fleet *)ctx)->attendance;
    struct entry *e = touch(p, facts, wall_ms);
    snprintf(e->ip, sizeof e->ip, "%s", facts->ip);
}

void attendance_offline(void *ctx, const struct device_facts *facts, enum device_offline_reason reason,
                        const struct device_goodbye *goodbye)
{
    struct attendance *p = ((struct fleet *)ctx)->attendance;
    struct entry *e = touch(p, facts, 0);
    if (e->online != 1 ||
        e->session_id == facts->session_id) { /* else it is back with a newer session already */
        e->online = 0;
        e->session_id = facts->session_id;
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
    while (p->sending) {
        struct entry *e = p->sending;
        DL_DELETE(p->sending, e);
        e->in_flight = false;
        if (written) {
            HASH_DEL(p->entries, e);
            free(e);
        } else {
            DL_APPEND(p->dirty, e);
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
}

static void finish_drain(void *ctx)
{
    struct attendance *p = ctx;
    void (*done)(void *arg) = p->drained;
    p->drained = NULL;
    if (done)
        done(p->drained_arg);
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
    if (p->dirty || p->turns)
        plan_flush(p, over && p->drained ? 0 : ATTENDANCE_FLUSH_MS);
    else
        finish_drain(p);
}

static void add_entry(struct sql_array *columns, const struct entry *e)
{
    sql_array_bytes(&columns[IDS], e->id.bytes, sizeof e->id.bytes);
    if (e->online < 0)
        sql_array_null(&columns[ONLINES]);
    else
        sql_array_bool(&columns[ONLINES], e->online == 1);
    if (e->heard_wall_ms)
        sql_array_int(&columns[HEARDS], (int64_t)e->heard_wall_ms);
    else
        sql_array_null(&columns[HEARDS]);
    sql_array_text(&columns[IPS], *e->ip ? e->ip : NULL);
    sql_array_int(&columns[SESSIONS], (int64_t)e->session_id);
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
    sql_array_bytes(&columns[T_IDS], t->id.bytes, sizeof t->id.bytes);
    sql_array_int(&columns[T_SESSIONS], (int64_t)t->session_id);
    sql_array_int(&columns[T_ATS], (int64_t)t->at_wall_ms);
    sql_array_text(&columns[T_REASONS], t->reason);
    sql_array_text(&columns[T_IPS], t->ip);
    sql_array_bool(&columns[T_RESUMED], t->resumed);
    add_goodbye(&columns[T_GOODBYES], t);
}

static void write_batch(struct attendance *p)
{
    struct sql_array columns[COLUMNS];
    struct pg_param params[1 + COLUMNS];
    struct fleet_number node;
    deadline_cancel(p->f->deadlines, &p->flush);
    if (p->in_flight || !p->f->started || (!p->dirty && !p->turns))
        return;
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_init(&columns[i]);
    for (size_t n = 0; p->dirty && n < ATTENDANCE_BATCH_MAX; n++) {
        struct entry *e = p->dirty;
        DL_DELETE(p->dirty, e);
        DL_APPEND(p->sending, e);
        e->in_flight = true;
        add_entry(columns, e);
    }
    for (const struct turn *t = p->turns; t && p->sent_turns < ATTENDANCE_BATCH_MAX; t = t->next) {
        add_turn_row(columns, t);
        p->sent_turns++;
    }
    params[0] = fleet_int(&node, FLEET_NODE);
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
    if (p->dirty || p->turns) {
        deadline_cancel(p->f->deadlines, &p->flush);
        plan_flush(p, 0);
        return;
    }
    later_push(&p->f->later, finish_drain, p);
}
