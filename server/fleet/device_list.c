/* device_list.c: the list of devices: filters, pages, one statement.
 *
 * The statement is planned for the filters at hand: those not given fold away, and a page is read from an
 * index that is in list order already, whatever the size of the fleet. */
#include "fleet/device_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/device_row.h"

#define FILTERS                                                                                              \
    " WHERE ($1::bigint IS NULL OR d.owner_id = $1::bigint)"                                                 \
    " AND ($2::boolean IS NULL OR d.requires_deep_update = $2::boolean)"                                     \
    " AND ($3::boolean IS NULL OR d.online = $3::boolean)"                                                   \
    " AND ($4::boolean IS NULL OR d.quarantined = $4::boolean)"                                              \
    " AND ($5::integer IS NULL OR d.platform_id = $5::integer)"                                              \
    " AND ($6::integer IS NULL OR d.product_id = $6::integer)"                                               \
    " AND ($7::text IS NULL OR d.name = $7::text)"                                                           \
    " AND ($8::text IS NULL OR d.name LIKE $8::text)"                                                        \
    " AND ($9::bigint IS NULL OR d.last_heard < from_ms($9::bigint))"                                        \
    " AND ($10::bigint IS NULL OR d.last_heard > from_ms($10::bigint))"

/* One row at least, whose device is NULL when the page is empty, so that the count always arrives. */
const struct pg_statement device_list_statement = {
    .name = "device_list",
    .sql = "SELECT c.n, p.* FROM (SELECT count(*) AS n FROM (SELECT FROM device d" FILTERS
           " LIMIT $13::bigint) counted WHERE $14::boolean) c LEFT JOIN LATERAL (SELECT " DEVICE_COLUMNS
           " FROM device d LEFT JOIN users u ON u.id = d.owner_id" FILTERS
           " ORDER BY d.last_handshake DESC NULLS LAST, d.id LIMIT $11::bigint OFFSET $12::bigint) p ON true",
    .params = DEVICE_LIST_PARAMS,
    .replan = true,
};

void fleet_filter_init(struct fleet_filter *filter)
{
    *filter = (struct fleet_filter){
        .requires_deep_update = FLEET_ANY,
        .connected = FLEET_ANY,
        .quarantined = FLEET_ANY,
        .platform_id = -1,
        .product_id = -1,
        .page = 1,
    };
}

static struct pg_param tri(enum fleet_tri value)
{
    return value == FLEET_ANY ? pg_text(NULL) : fleet_bool(value == FLEET_YES);
}

static bool is_prefix(const char *name)
{
    size_t name_len = name ? strlen(name) : 0;
    return name_len && name[name_len - 1] == '*';
}

/* `ab_*` becomes the LIKE pattern `ab\_%`. Names have at most 64 bytes: what is cut matches nothing either
 * way. */
static const char *like_pattern(char *out, size_t out_size, const char *name)
{
    size_t at = 0;
    for (const char *c = name; c[1] && at + 4 < out_size; c++) {
        if (*c == '%' || *c == '_' || *c == '\\')
            out[at++] = '\\';
        out[at++] = *c;
    }
    out[at++] = '%';
    out[at] = 0;
    return out;
}

static uint64_t first_of_page(const struct fleet_filter *filter)
{
    return filter->page > 1 ? (uint64_t)(filter->page - 1) * filter->per_page : 0;
}

void device_list_fill(struct device_list_params *p, const struct fleet_actor *actor,
                      const struct fleet_filter *filter)
{
    struct pg_param none = pg_text(NULL), *params = p->params;
    struct fleet_number *n = p->numbers;
    bool prefix = is_prefix(filter->name);
    uint64_t first = first_of_page(filter);
    params[0] = actor->role == FLEET_OWNER ? fleet_int(&n[0], actor->user_id) : none;
    params[1] = tri(filter->requires_deep_update);
    params[2] = tri(filter->connected);
    params[3] = tri(filter->quarantined);
    params[4] = filter->platform_id < 0 ? none : fleet_int(&n[1], filter->platform_id);
    params[5] = filter->product_id < 0 ? none : fleet_int(&n[2], filter->product_id);
    params[6] = prefix ? none : pg_text(filter->name);
    params[7] = prefix ? pg_text(like_pattern(p->pattern, sizeof p->pattern, filter->name)) : none;
    params[8] = filter->heard_before_ms ? fleet_int(&n[3], (int64_t)filter->heard_before_ms) : none;
    params[9] = filter->heard_after_ms ? fleet_int(&n[4], (int64_t)filter->heard_after_ms) : none;
    params[10] = filter->per_page ? fleet_int(&n[5], filter->per_page) : none;
    params[11] = fleet_int(&n[6], (int64_t)first);
    params[12] = fleet_int(&n[7], (int64_t)(first + filter->per_page + FLEET_COUNT_MAX));
    params[13] = fleet_bool(filter->per_page > 0); /* a whole list counts itself */
}

struct list_wait {
    struct fleet *f;
    fleet_devices_fn *done;
    void *arg;
    bool whole;
};

static void on_list(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct list_wait wait = *(struct list_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "device_list");
    free(arg);
    if (ferr) {
        wait.done(wait.arg, ferr, NULL, 0, 0);
        return;
    }
    size_t count = pg_is_null(result, 0, 1) ? 0 : (size_t)pg_rows(result);
    struct fleet_device *rows = mem_array(count + 1, sizeof *rows);
    char(*releases)[16] = mem_array(count + 1, sizeof *releases);
    for (size_t i = 0; i < count; i++)
        device_row_read(&rows[i], result, (int)i, 1, releases[i]);
    uint64_t total = wait.whole ? count : (uint64_t)pg_int(result, 0, 0);
    wait.done(wait.arg, FLEET_OK, rows, count, total);
    free(rows);
    free(releases);
}

static void answer_nothing(void *ctx)
{
    struct list_wait wait = *(struct list_wait *)ctx;
    free(ctx);
    wait.done(wait.arg, FLEET_OK, NULL, 0, 0);
}

static bool could_be_name(const char *name)
{
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c >= 0x80 || (unsigned char)*c < ' ')
            return false;
    return true;
}

void fleet_list_devices(struct fleet *f, const struct fleet_actor *actor, const struct fleet_filter *filter,
                        fleet_devices_fn *done, void *arg)
{
    struct list_wait *wait = mem_alloc(sizeof *wait);
    struct device_list_params p;
    *wait = (struct list_wait){.f = f, .done = done, .arg = arg, .whole = filter->per_page == 0};
    if (filter->name &&
        !could_be_name(filter->name)) { /* no device has such a name; it may not even be UTF-8 */
        later_push(&f->later, answer_nothing, wait);
        return;
    }
    device_list_fill(&p, actor, filter);
    pg_exec(f->pg, &device_list_statement, p.params, fleet_patience_ms(f), PG_RETRY, on_list, wait);
}
