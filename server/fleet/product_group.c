#include "fleet/product_group.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/room.h"

#define SELECT                                                                                               \
    "SELECT g.name, g.description, g.color, r.version, coalesce(c.n, 0) FROM product_group g"                \
    " LEFT JOIN product_release r ON r.product_id = g.product_id AND r.name = g.name"

static const struct pg_statement get_group = {
    .name = "get_group",
    .sql =
        SELECT " CROSS JOIN LATERAL (SELECT count(*) AS n FROM device_group d WHERE d.product_id = "
               "g.product_id AND d.name = g.name) c WHERE g.product_id = $1::integer AND g.name = $2::text",
    .params = 2,
};
/* Counted in one pass, whatever the number of groups. */
static const struct pg_statement list_groups = {
    .name = "list_groups",
    .sql = SELECT " LEFT JOIN (SELECT d.name, count(*) AS n FROM device_group d WHERE d.product_id = "
                  "$1::integer GROUP BY d.name) c ON c.name = g.name WHERE g.product_id = $1::integer"
                  " AND ($2::text IS NULL OR strpos(g.name, lower($2::text)) > 0) ORDER BY g.name",
    .params = 2,
};
static const struct pg_statement create_group = {
    .name = "create_group",
    .sql = "SELECT code, name, why FROM create_group($1::text, $2::integer, $3::text, $4::text, $5::text)",
    .params = 5,
};
static const struct pg_statement change_group = {
    .name = "change_group",
    .sql = "SELECT code, name, why FROM change_group($1::text, $2::integer, $3::text, $4::text, $5::text,"
           " $6::text)",
    .params = 6,
};
static const struct pg_statement delete_group = {
    .name = "delete_group",
    .sql = "SELECT code, name, why FROM delete_group($1::text, $2::integer, $3::text)",
    .params = 3,
};

bool product_group_is_name(const char *name)
{
    size_t name_len = strlen(name);
    return name_len >= 1 && name_len <= GROUP_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == name_len;
}

static void read_row(struct product_group *group, const struct pg_result *r, int row)
{
    *group = (struct product_group){
        .name = pg_value(r, row, 0),
        .description = pg_value(r, row, 1),
        .color = pg_value(r, row, 2),
        .firmware_version = pg_is_null(r, row, 3) ? -1 : (int)pg_int(r, row, 3),
        .device_count = (uint64_t)pg_int(r, row, 4),
    };
}

struct group_wait {
    struct fleet *f;
    product_group_fn *done;
    void *arg;
    int product_id;
};

static struct group_wait *wait_new(struct fleet *f, int product_id, product_group_fn *done, void *arg)
{
    struct group_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct group_wait){.f = f, .done = done, .arg = arg, .product_id = product_id};
    return wait;
}

static struct group_wait wait_take(void *arg)
{
    struct group_wait wait = *(struct group_wait *)arg;
    free(arg);
    return wait;
}

static void answer_not_found(void *ctx)
{
    struct group_wait wait = wait_take(ctx);
    wait.done(wait.arg, FLEET_NOT_FOUND, NULL, "");
}

static void on_got(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct group_wait wait = wait_take(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "get_group");
    struct product_group group;
    if (!ferr && pg_rows(result) == 0)
        ferr = FLEET_NOT_FOUND;
    if (!ferr)
        read_row(&group, result, 0);
    wait.done(wait.arg, ferr, ferr ? NULL : &group, "");
}

void fleet_get_group(struct fleet *f, int product_id, const char *which, product_group_fn *done, void *arg)
{
    struct group_wait *wait = wait_new(f, product_id, done, arg);
    struct fleet_number id;
    if (product_group_is_name(which))
        pg_exec(f->pg, &get_group, (struct pg_param[]){fleet_int(&id, product_id), pg_text(which)},
                fleet_patience_ms(f), PG_RETRY, on_got, wait);
    else
        later_push(&f->later, answer_not_found, wait);
}

/* --- changes --- */

static void on_changed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct group_wait wait = wait_take(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "change_group");
    if (!ferr)
        ferr = device_get_code(pg_value(result, 0, 0));
    if (ferr)
        wait.done(wait.arg, ferr, NULL, err == PG_OK ? pg_value(result, 0, 2) : "");
    else
        fleet_get_group(wait.f, wait.product_id, pg_value(result, 0, 1), wait.done, wait.arg);
}

void fleet_create_group(struct fleet *f, const struct fleet_actor *actor, int product_id,
                        const struct product_group_change *change, product_group_fn *done, void *arg)
{
    struct fleet_number id;
    struct pg_param params[] = {pg_text(actor->user_name), fleet_int(&id, product_id), pg_text(change->name),
                                pg_text(change->description ? change->description : ""),
                                pg_text(change->color ? change->color : "")};
    pg_exec(f->pg, &create_group, params, fleet_patience_ms(f), PG_AGAIN, on_changed,
            wait_new(f, product_id, done, arg));
}

void fleet_change_group(struct fleet *f, const struct fleet_actor *actor, int product_id, const char *which,
                        const struct product_group_change *change, product_group_fn *done, void *arg)
{
    struct group_wait *wait = wait_new(f, product_id, done, arg);
    struct fleet_number id;
    if (!product_group_is_name(which)) {
        later_push(&f->later, answer_not_found, wait);
        return;
    }
    struct pg_param params[] = {
        pg_text(actor->user_name), fleet_int(&id, product_id),   pg_text(which),
        pg_text(change->name),     pg_text(change->description), pg_text(change->color)};
    pg_exec(f->pg, &change_group, params, fleet_patience_ms(f), PG_AGAIN, on_changed, wait);
}

static void on_deleted(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct group_wait wait = wait_take(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "delete_group");
    if (!ferr)
        ferr = device_get_code(pg_value(result, 0, 0));
    wait.done(wait.arg, ferr, NULL, "");
}

void fleet_delete_group(struct fleet *f, const struct fleet_actor *actor, int product_id, const char *which,
                        product_group_fn *done, void *arg)
{
    struct group_wait *wait = wait_new(f, product_id, done, arg);
    struct fleet_number id;
    if (product_group_is_name(which))
        pg_exec(f->pg, &delete_group,
                (struct pg_param[]){pg_text(actor->user_name), fleet_int(&id, product_id), pg_text(which)},
                fleet_patience_ms(f), PG_AGAIN, on_deleted, wait);
    else
        later_push(&f->later, answer_not_found, wait);
}

/* --- many --- */

struct list_wait {
    product_group_list_fn *done;
    void *arg;
};

static void on_listed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct list_wait wait = *(struct list_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "list_groups");
    free(arg);
    if (ferr) {
        wait.done(wait.arg, ferr, NULL, 0);
        return;
    }
    size_t count = (size_t)pg_rows(result);
    struct product_group *rows = mem_array(count + 1, sizeof *rows);
    for (size_t i = 0; i < count; i++)
        read_row(&rows[i], result, (int)i);
    wait.done(wait.arg, FLEET_OK, rows, count);
    free(rows);
}

static void answer_nothing(void *ctx)
{
    struct list_wait wait = *(struct list_wait *)ctx;
    free(ctx);
    wait.done(wait.arg, FLEET_OK, NULL, 0);
}

/* It may be no text that Postgres takes: no group has such a name. */
static bool could_be_part(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(text);
}

void fleet_list_groups(struct fleet *f, int product_id, const char *name_part, product_group_list_fn *done,
                       void *arg)
{
    struct list_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number id;
    *wait = (struct list_wait){.done = done, .arg = arg};
    if (name_part && !could_be_part(name_part))
        later_push(&f->later, answer_nothing, wait);
    else
        pg_exec(f->pg, &list_groups, (struct pg_param[]){fleet_int(&id, product_id), pg_text(name_part)},
                fleet_patience_ms(f), PG_RETRY, on_listed, wait);
}
