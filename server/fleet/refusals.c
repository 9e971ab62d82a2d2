#include "fleet/refusals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fleet/room.h"
#include "fleet/sql_array.h"
#include "fleet/utf8.h"

#define FLUSH_MS 2000
#define WRITE_TIMEOUT_MS 5000
#define WHY_SIZE 161
#define DEVICE_SIZE 131
#define KEY_SIZE 256
enum { ACTORS, ADDRESSES, ROUTES, STATUSES, WHYS, DEVICES, COUNTS, COLUMNS };

static const struct pg_statement store_refusals = {
    .name = "refusals_store",
    .sql = "SELECT refusals_store($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[],"
           " $7::bigint[])",
    .params = COLUMNS,
};

struct gathered {
    char key[KEY_SIZE];
    char actor[65], address[64], route[96];
    unsigned status;
    char why[WHY_SIZE], device[DEVICE_SIZE]; /* "" = none */
    uint64_t count;
    UT_hash_handle hh;
};

struct refusals {
    struct fleet *f;
    struct gathered *gathered; /* ours */
    bool in_flight;
    uint64_t in_flight_count;
    struct deadline flush;
    struct metric *refused, *dropped;
};

struct refusals *refusals_new(struct fleet *f, struct metrics *metrics)
{
    struct refusals *r = mem_alloc(sizeof *r);
    r->f = f;
    r->refused = metrics_add(metrics, METRIC_COUNTER, "cyan_refusals_total", NULL,
                             "Requests of people that were refused: not allowed, or too many.");
    r->dropped = metrics_add(metrics, METRIC_COUNTER, "cyan_refusals_dropped_total", NULL,
                             "Refusals that Postgres did not take for the audit trail.");
    return r;
}

static void drop_all(struct refusals *r)
{
    struct gathered *g, *next;
    HASH_ITER (hh, r->gathered, g, next) {
        HASH_DEL(r->gathered, g);
        free(g);
    }
}

void refusals_stop(struct refusals *r)
{
    deadline_cancel(r->f->deadlines, &r->flush);
}

void refusals_free(struct refusals *r)
{
    refusals_stop(r);
    drop_all(r);
    free(r);
}

static void on_written(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct refusals *r = arg;
    r->in_flight = false;
    if (fleet_err_of(err, result, "refusals") != FLEET_OK)
        r->dropped->value += r->in_flight_count;
}

static const char *text_or_null(const char *text)
{
    return *text ? text : NULL;
}

static void add_row(struct sql_array columns[COLUMNS], const struct gathered *g)
{
    sql_array_text(&columns[ACTORS], text_or_null(g->actor));
    sql_array_text(&columns[ADDRESSES], g->address);
    sql_array_text(&columns[ROUTES], g->route);
    sql_array_int(&columns[STATUSES], g->status);
    sql_array_text(&columns[WHYS], text_or_null(g->why));
    sql_array_text(&columns[DEVICES], text_or_null(g->device));
    sql_array_int(&columns[COUNTS], (int64_t)g->count);
}

void refusals_flush(struct refusals *r)
{
    struct sql_array columns[COLUMNS];
    struct pg_param params[COLUMNS];
    struct gathered *g, *next;
    if (!r->gathered || r->in_flight || r->f->stopped)
        return;
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_init(&columns[i]);
    r->in_flight_count = 0;
    HASH_ITER (hh, r->gathered, g, next) {
        add_row(columns, g);
        r->in_flight_count += g->count;
    }
    for (size_t i = 0; i < COLUMNS; i++)
        params[i] = pg_text(sql_array_end(&columns[i]));
    r->in_flight = true;
    pg_exec(r->f->pg, &store_refusals, params, WRITE_TIMEOUT_MS, PG_AGAIN, on_written, r);
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_deinit(&columns[i]);
    drop_all(r);
}

static void on_flush(struct deadline *flush, uint64_t now_ms)
{
    struct refusals *r = (struct refusals *)((char *)flush - offsetof(struct refusals, flush));
    if (r->in_flight || !pg_is_up(r->f->pg))
        deadline_set(r->f->deadlines, &r->flush, now_ms + FLUSH_MS, on_flush);
    else
        refusals_flush(r);
}

static void clean(char *out, size_t out_size, const char *text)
{
    utf8_clean(out, out_size, text ? text : "", text ? strlen(text) : 0);
}

void fleet_refused(struct fleet *f, const struct refusal *refusal)
{
    struct refusals *r = f->refusals;
    struct gathered *g, all = {.status = refusal->status, .address = "other addresses", .route = "*"},
                        one = all;
    r->refused->value++;
    if (f->stopped)
        return;
    clean(one.actor, sizeof one.actor, refusal->actor);
    clean(one.address, sizeof one.address, refusal->address);
    clean(one.route, sizeof one.route, refusal->route);
    snprintf(one.key, sizeof one.key, "%u %s\n%s\n%s", one.status, one.actor, one.address, one.route);
    HASH_FIND_STR(r->gathered, one.key, g);
    if (!g && HASH_COUNT(r->gathered) >= REFUSALS_MAX) {
        one = all;
        snprintf(one.key, sizeof one.key, "%u", one.status);
        HASH_FIND_STR(r->gathered, one.key, g);
    }
    if (!g) {
        g = mem_copy(&one, sizeof one);
        HASH_ADD_STR(r->gathered, key, g);
    }
    g->count++;
    clean(g->why, sizeof g->why, refusal->why);
    if (refusal->device)
        clean(g->device, sizeof g->device, refusal->device);
    if (!deadline_is_set(&r->flush))
        deadline_set(f->deadlines, &r->flush, clock_ms() + FLUSH_MS, on_flush);
}
