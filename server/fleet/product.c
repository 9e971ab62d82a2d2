/* product.c: products in the registry: each change one function of migrations/0024, then read again for the
 * answer. */
#include "fleet/product.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/room.h"

#define COLUMNS                                                                                              \
    "p.id, p.platform_id, p.slug, p.name, p.description, u.name, p.settings::text,"                          \
    " (SELECT coalesce(jsonb_agg(g.name ORDER BY g.name), '[]')::text FROM product_group g WHERE "           \
    "g.product_id = p.id)"
#define VISIBLE                                                                                              \
    " WHERE $2::boolean OR q.owner_id = $1::bigint OR q.id IN (SELECT m.product_id FROM product_member m"    \
    " WHERE m.user_id = $1::bigint)"

static const struct pg_statement get_product = {
    .name = "get_product",
    .sql =
        "SELECT " COLUMNS " FROM product p LEFT JOIN users u ON u.id = p.owner_id WHERE p.id = $1::integer",
    .params = 1,
};
/* One row with the count alone when the page is empty. */
static const struct pg_statement list_products = {
    .name = "list_products",
    .sql = "SELECT " COLUMNS ", t.n FROM (SELECT count(*) AS n FROM product q" VISIBLE
           ") t LEFT JOIN product p ON p.id IN (SELECT q.id FROM product q" VISIBLE
           " ORDER BY q.id LIMIT $3::bigint OFFSET $4::bigint) LEFT JOIN users u ON u.id = p.owner_id"
           " ORDER BY p.id",
    .params = 4,
};
static const struct pg_statement create_product = {
    .name = "create_product",
    .sql = "SELECT code, id, why FROM create_product($1::bigint, $2::text, $3::text, $4::integer, $5::text,"
           " $6::jsonb)",
    .params = 6,
};
static const struct pg_statement change_product = {
    .name = "change_product",
    .sql = "SELECT code, id, why FROM change_product($1::text, $2::integer, $3::text, $4::text, $5::jsonb)",
    .params = 5,
};
static const struct pg_statement delete_product = {
    .name = "delete_product",
    .sql = "SELECT code, id, why FROM delete_product($1::bigint, $2::text, $3::boolean, $4::integer)",
    .params = 4,
};

static void read_row(struct product *product, const struct pg_result *r, int row)
{
    *product = (struct product){
        .id = (int)pg_int(r, row, 0),
        .platform_id = (int)pg_int(r, row, 1),
        .slug = pg_value(r, row, 2),
        .name = pg_value(r, row, 3),
        .description = pg_value(r, row, 4),
        .owner = pg_is_null(r, row, 5) ? NULL : pg_value(r, row, 5),
        .settings = pg_value(r, row, 6),
        .groups = pg_value(r, row, 7),
    };
}

struct product_wait {
    struct fleet *f;
    product_fn *done;
    void *arg;
};

static struct product_wait *wait_new(struct fleet *f, product_fn *done, void *arg)
{
    struct product_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct product_wait){.f = f, .done = done, .arg = arg};
    return wait;
}

static struct product_wait wait_take(void *arg)
{
    struct product_wait wait = *(struct product_wait *)arg;
    free(arg);
    return wait;
}

static void on_got(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct product_wait wait = wait_take(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "get_product");
    struct product product;
    if (!ferr && pg_rows(result) == 0)
        ferr = FLEET_NOT_FOUND;
    if (!ferr)
        read_row(&product, result, 0);
    wait.done(wait.arg, ferr, ferr ? NULL : &product, "");
}

void fleet_get_product(struct fleet *f, int product_id, product_fn *done, void *arg)
{
    struct fleet_number id;
    pg_exec(f->pg, &get_product, (struct pg_param[]){fleet_int(&id, product_id)}, fleet_patience_ms(f),
            PG_RETRY, on_got, wait_new(f, done, arg));
}

/* --- changes --- */

static void on_changed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct product_wait wait = wait_take(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "change_product");
    if (!ferr)
        ferr = device_get_code(pg_value(result, 0, 0));
    if (ferr)
        wait.done(wait.arg, ferr, NULL, err == PG_OK ? pg_value(result, 0, 2) : "");
    else
        fleet_get_product(wait.f, (int)pg_int(result, 0, 1), wait.done, wait.arg);
}

void fleet_create_product(struct fleet *f, const struct fleet_actor *actor,
                          const struct product_change *change, product_fn *done, void *arg)
{
    struct fleet_number user, platform;
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        pg_text(actor->user_name),
        pg_text(change->name),
        fleet_int(&platform, change->platform_id),
        pg_text(change->description ? change->description : ""),
        pg_text(change->settings ? change->settings : "{}"),
    };
    pg_exec(f->pg, &create_product, params, fleet_patience_ms(f), PG_AGAIN, on_changed,
            wait_new(f, done, arg));
}

void fleet_change_product(struct fleet *f, const struct fleet_actor *actor, int product_id,
                          const struct product_change *change, product_fn *done, void *arg)
{
    struct fleet_number id;
    struct pg_param params[] = {pg_text(actor->user_name), fleet_int(&id, product_id), pg_text(change->name),
                                pg_text(change->description), pg_text(change->settings)};
    pg_exec(f->pg, &change_product, params, fleet_patience_ms(f), PG_AGAIN, on_changed,
            wait_new(f, done, arg));
}

static void on_deleted(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct product_wait wait = wait_take(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "delete_product");
    if (!ferr)
        ferr = device_get_code(pg_value(result, 0, 0));
    wait.done(wait.arg, ferr, NULL, err == PG_OK ? pg_value(result, 0, 2) : "");
}

void fleet_delete_product(struct fleet *f, const struct fleet_actor *actor, int product_id, product_fn *done,
                          void *arg)
{
    struct fleet_number user, id;
    struct pg_param params[] = {fleet_int(&user, actor->user_id), pg_text(actor->user_name),
                                fleet_bool(device_get_sees_all(actor)), fleet_int(&id, product_id)};
    pg_exec(f->pg, &delete_product, params, fleet_patience_ms(f), PG_AGAIN, on_deleted,
            wait_new(f, done, arg));
}

/* --- many --- */

struct list_wait {
    product_list_fn *done;
    void *arg;
};

static void on_listed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct list_wait wait = *(struct list_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "list_products");
    free(arg);
    if (ferr) {
        wait.done(wait.arg, ferr, NULL, 0, 0);
        return;
    }
    size_t count = pg_is_null(result, 0, 0) ? 0 : (size_t)pg_rows(result);
    struct product *rows = mem_array(count + 1, sizeof *rows);
    for (size_t i = 0; i < count; i++)
        read_row(&rows[i], result, (int)i);
    wait.done(wait.arg, FLEET_OK, rows, count, (uint64_t)pg_int(result, 0, 8));
    free(rows);
}

void fleet_list_products(struct fleet *f, const struct fleet_actor *actor, uint32_t page, uint32_t per_page,
                         product_list_fn *done, void *arg)
{
    struct list_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number user, limit, first;
    *wait = (struct list_wait){.done = done, .arg = arg};
    struct pg_param params[] = {fleet_int(&user, actor->user_id), fleet_bool(device_get_sees_all(actor)),
                                fleet_int(&limit, per_page),
                                fleet_int(&first, (int64_t)(page - 1) * per_page)};
    pg_exec(f->pg, &list_products, params, fleet_patience_ms(f), PG_RETRY, on_listed, wait);
}
