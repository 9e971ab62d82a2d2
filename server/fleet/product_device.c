#include "fleet/product_device.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/room.h"

static const struct pg_statement change_product_device = {
    .name = "change_product_device",
    .sql = "SELECT code, id, detail, pushed FROM change_product_device($1::text, $2::integer, $3::text,"
           " $4::jsonb)",
    .params = 4,
};
static const struct pg_statement remove_product_device = {
    .name = "remove_product_device",
    .sql = "SELECT code, id, detail, NULL FROM remove_product_device($1::text, $2::integer, $3::text,"
           " $4::boolean)",
    .params = 4,
};
static const struct pg_statement change_device_groups = {
    .name = "change_device_groups",
    .sql = "SELECT code, why FROM change_device_groups($1::text, $2::integer, $3::jsonb)",
    .params = 3,
};

struct change_wait {
    struct fleet *f;
    product_device_fn *done;
    void *arg;
};

static struct change_wait *wait_new(struct fleet *f, product_device_fn *done, void *arg)
{
    struct change_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct change_wait){.f = f, .done = done, .arg = arg};
    return wait;
}

static void answer_not_found(void *ctx)
{
    struct change_wait wait = *(struct change_wait *)ctx;
    free(ctx);
    wait.done(wait.arg, FLEET_NOT_FOUND, NULL, false, "");
}

static const char *why_of(const char *code, const struct pg_result *result)
{
    if (!strcmp(code, "ambiguous"))
        return "several devices of this product have this name: use its id";
    return pg_value(result, 0, 2);
}

static void on_changed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct change_wait wait = *(struct change_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "product_device");
    struct device_id id;
    size_t id_len;
    free(arg);
    if (!ferr)
        ferr = device_get_code(pg_value(result, 0, 0));
    if (ferr) {
        wait.done(wait.arg, ferr, NULL, false, err == PG_OK ? why_of(pg_value(result, 0, 0), result) : "");
        return;
    }
    must(pg_bytea(result, 0, 1, &id, sizeof id, &id_len) && id_len == sizeof id);
    if (!strcmp(pg_value(result, 0, 2), "end session"))
        fleet_end_sessions(wait.f, &id);
    wait.done(wait.arg, FLEET_OK, &id, !strcmp(pg_value(result, 0, 3), "ok"), "");
}

void fleet_change_product_device(struct fleet *f, const struct fleet_actor *actor, int product_id,
                                 const char *which, const char *change, product_device_fn *done, void *arg)
{
    struct change_wait *wait = wait_new(f, done, arg);
    struct fleet_number product;
    if (!device_get_is_name(which)) {
        later_push(&f->later, answer_not_found, wait);
        return;
    }
    struct pg_param params[] = {pg_text(actor->user_name), fleet_int(&product, product_id), pg_text(which),
                                pg_text(change)};
    pg_exec(f->pg, &change_product_device, params, fleet_patience_ms(f), PG_AGAIN, on_changed, wait);
}

void fleet_remove_product_device(struct fleet *f, const struct fleet_actor *actor, int product_id,
                                 const char *which, bool deny, product_device_fn *done, void *arg)
{
    struct change_wait *wait = wait_new(f, done, arg);
    struct fleet_number product;
    if (!device_get_is_name(which)) {
        later_push(&f->later, answer_not_found, wait);
        return;
    }
    struct pg_param params[] = {pg_text(actor->user_name), fleet_int(&product, product_id), pg_text(which),
                                fleet_bool(deny)};
    pg_exec(f->pg, &remove_product_device, params, fleet_patience_ms(f), PG_AGAIN, on_changed, wait);
}

/* --- groups of many --- */

struct groups_wait {
    product_groups_fn *done;
    void *arg;
};

static void on_grouped(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct groups_wait wait = *(struct groups_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "change_device_groups");
    free(arg);
    if (!ferr)
        ferr = device_get_code(pg_value(result, 0, 0));
    wait.done(wait.arg, ferr, err == PG_OK ? pg_value(result, 0, 1) : "");
}

void fleet_change_device_groups(struct fleet *f, const struct fleet_actor *actor, int product_id,
                                const char *change, product_groups_fn *done, void *arg)
{
    struct groups_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number product;
    *wait = (struct groups_wait){.done = done, .arg = arg};
    struct pg_param params[] = {pg_text(actor->user_name), fleet_int(&product, product_id), pg_text(change)};
    pg_exec(f->pg, &change_device_groups, params, fleet_patience_ms(f), PG_AGAIN, on_grouped, wait);
}
