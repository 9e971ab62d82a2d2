/* product_find.c: whether an actor may ask about a product; before every request under one. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/product.h"
#include "fleet/room.h"

static const struct pg_statement find_product = {
    .name = "find_product",
    .sql = "SELECT code, id FROM find_product($1::bigint, $2::boolean, $3::text, $4::text)",
    .params = 4,
};

struct find_wait {
    product_found_fn *done;
    void *arg;
};

static void on_found(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct find_wait wait = *(struct find_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "find_product");
    free(arg);
    if (!ferr)
        ferr = device_get_code(pg_value(result, 0, 0));
    wait.done(wait.arg, ferr, ferr ? 0 : (int)pg_int(result, 0, 1));
}

static void answer_not_found(void *ctx)
{
    struct find_wait wait = *(struct find_wait *)ctx;
    free(ctx);
    wait.done(wait.arg, FLEET_NOT_FOUND, 0);
}

void fleet_find_product(struct fleet *f, const struct fleet_actor *actor, const char *which,
                        enum product_need need, product_found_fn *done, void *arg)
{
    struct find_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number user;
    *wait = (struct find_wait){.done = done, .arg = arg};
    if (!device_get_is_name(which)) { /* slugs have the letters of names */
        later_push(&f->later, answer_not_found, wait);
        return;
    }
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        fleet_bool(device_get_sees_all(actor)),
        pg_text(which),
        pg_text(need == PRODUCT_VIEW ? "view" : "manage"),
    };
    pg_exec(f->pg, &find_product, params, fleet_patience_ms(f), PG_RETRY, on_found, wait);
}
