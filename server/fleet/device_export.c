/* device_export.c: all devices that fit a filter, slice by slice.
 *
 *   BEGUN --the ids of the first ones--> SNAPSHOT (no more than FLEET_SNAPSHOT_MAX fit: their ids are kept)
 *                                    \-> BY_ID (each slice begins behind the last id)
 *
 * Between two slices nothing is held in Postgres: whoever reads slowly costs his ids, and no more. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/device_list.h"
#include "fleet/device_row.h"
#include "fleet/sql_array.h"

static const struct pg_statement slice_of_ids = {
    .name = "device_export_ids",
    .sql = "SELECT " DEVICE_COLUMNS ", " DEVICE_PRODUCT_COLUMNS(
        "d.in_product") " FROM unnest($1::bytea[]) WITH ORDINALITY i (id, n) JOIN device d ON d.id = i.id"
                        " LEFT JOIN users u ON u.id = d.owner_id ORDER BY i.n",
    .params = 1,
};
static const struct pg_statement slice_behind = {
    .name = "device_export_behind",
    .sql =
        "SELECT " DEVICE_COLUMNS
        ", " DEVICE_PRODUCT_COLUMNS("d.in_product") " FROM (SELECT d.id FROM device d WHERE" DEVICE_FILTER_SQL
                                                    " AND d.id > $20::bytea ORDER BY d.id LIMIT $21::bigint) "
                                                    "k JOIN device d ON d.id = k.id"
                                                    " LEFT JOIN users u ON u.id = d.owner_id ORDER BY d.id",
    .params = DEVICE_FILTER_PARAMS + 2,
    .replan = true,
};

enum state { BEGUN, SNAPSHOT, BY_ID, OVER };

struct device_export {
    struct fleet *f; /* borrowed */
    enum state state;
    bool is_nothing; /* no device can fit */
    struct device_filter_params filter;
    enum fleet_order order;
    bool ascending;
    struct device_id *ids; /* ours, of SNAPSHOT */
    size_t id_count, id_at, asked;
    struct device_id last; /* of BY_ID */
    bool has_last;
    struct pg_query *query; /* NULL when none is under way */
    bool answers_later;     /* on_nothing is under way: freed there */
    fleet_slice_fn *done;
    void *arg;
};

struct device_export *fleet_export_devices(struct fleet *f, const struct fleet_actor *actor,
                                           const struct fleet_filter *filter)
{
    struct device_export *e = mem_alloc(sizeof *e);
    e->f = f;
    e->order = filter->order;
    e->ascending = filter->ascending;
    e->is_nothing = !device_filter_fill(&e->filter, actor, filter);
    return e;
}

static void fail(struct device_export *e, enum fleet_err err)
{
    e->state = OVER;
    e->done(e->arg, err, NULL, 0, true);
}

static void on_slice(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct device_export *e = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "device_export");
    e->query = NULL;
    if (ferr) {
        fail(e, ferr);
        return;
    }
    size_t count = (size_t)pg_rows(result);
    struct fleet_device *rows = mem_array(count + 1, sizeof *rows);
    char(*releases)[16] = mem_array(count + 1, sizeof *releases);
    for (size_t i = 0; i < count; i++) {
        device_row_read(&rows[i], result, (int)i, 0, releases[i]);
        device_row_read_product(&rows[i], result, (int)i, DEVICE_COLUMN_COUNT);
    }
    bool last = e->state == SNAPSHOT ? e->id_at == e->id_count : count < e->asked;
    if (count > 0)
        e->last = rows[count - 1].id;
    if (last)
        e->state = OVER;
    e->done(e->arg, FLEET_OK, rows, count, last); /* it may free e */
    free(rows);
    free(releases);
}

static void ask_snapshot(struct device_export *e)
{
    struct sql_array ids;
    size_t end = e->id_at + FLEET_SLICE_MAX < e->id_count ? e->id_at + FLEET_SLICE_MAX : e->id_count;
    sql_array_init(&ids);
    for (; e->id_at < end; e->id_at++)
        sql_array_bytes(&ids, e->ids[e->id_at].bytes, DEVICE_ID_BYTES);
    struct pg_param params[] = {pg_text(sql_array_end(&ids))};
    e->query = pg_exec(e->f->pg, &slice_of_ids, params, fleet_patience_ms(e->f), PG_RETRY, on_slice, e);
    sql_array_deinit(&ids);
}

static void ask_behind(struct device_export *e)
{
    struct fleet_number limit;
    struct pg_param params[DEVICE_FILTER_PARAMS + 2];
    memcpy(params, e->filter.params, sizeof e->filter.params);
    e->asked = FLEET_SLICE_MAX;
    params[DEVICE_FILTER_PARAMS] = pg_bytes(e->last.bytes, e->has_last ? DEVICE_ID_BYTES : 0);
    params[DEVICE_FILTER_PARAMS + 1] = fleet_int(&limit, (int64_t)e->asked);
    e->has_last = true;
    e->query = pg_exec(e->f->pg, &slice_behind, params, fleet_patience_ms(e->f), PG_RETRY, on_slice, e);
}

static void ask(struct device_export *e)
{
    if (e->state == SNAPSHOT)
        ask_snapshot(e);
    else
        ask_behind(e);
}

static void on_ids(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct device_export *e = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "device_export");
    e->query = NULL;
    if (ferr) {
        fail(e, ferr);
        return;
    }
    size_t count = (size_t)pg_rows(result), id_len;
    e->state = count > FLEET_SNAPSHOT_MAX ? BY_ID : SNAPSHOT;
    if (e->state == SNAPSHOT) {
        e->ids = mem_array(count + 1, sizeof *e->ids);
        for (e->id_count = 0; e->id_count < count; e->id_count++)
            must(pg_bytea(result, (int)e->id_count, 2, &e->ids[e->id_count], sizeof *e->ids, &id_len));
    }
    ask(e);
}

static void ask_ids(struct device_export *e)
{
    struct fleet_number n[2];
    struct pg_param params[DEVICE_LIST_MEASURE_PARAMS];
    memcpy(params, e->filter.params, sizeof e->filter.params);
    params[DEVICE_FILTER_PARAMS] = fleet_int(&n[0], 1); /* every one */
    params[DEVICE_FILTER_PARAMS + 1] = fleet_int(&n[1], FLEET_SNAPSHOT_MAX + 1);
    e->query = pg_exec(e->f->bulk, device_list_measure(e->order, e->ascending), params,
                       fleet_bulk_patience_ms(e->f), PG_RETRY, on_ids, e);
}

static void on_nothing(void *ctx)
{
    struct device_export *e = ctx;
    e->answers_later = false;
    if (!e->done) { /* freed meanwhile */
        free(e);
        return;
    }
    e->state = OVER;
    e->done(e->arg, FLEET_OK, NULL, 0, true);
}

void fleet_export_next(struct device_export *e, fleet_slice_fn *done, void *arg)
{
    must(e->state != OVER && !e->query);
    e->done = done;
    e->arg = arg;
    if (e->is_nothing) {
        e->answers_later = true;
        later_push(&e->f->later, on_nothing, e);
    } else if (e->state == BEGUN) {
        ask_ids(e);
    } else {
        ask(e);
    }
}

int64_t fleet_export_total(const struct device_export *e)
{
    return e->ids || e->is_nothing ? (int64_t)e->id_count : -1;
}

void fleet_export_free(struct device_export *e)
{
    pg_cancel(&e->query);
    free(e->ids);
    e->ids = NULL;
    e->done = NULL;
    if (!e->answers_later)
        free(e);
}
