#include "fleet/device_updates.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/room.h"

static const struct pg_statement create_flash = {
    .name = "create_flash",
    .sql = "SELECT code, id, detail FROM create_flash($1::bigint, $2::text, $3::boolean, $4::text, "
           "$5::bigint)",
    .params = 5,
};
static const struct pg_statement device_updates = {
    .name = "device_updates",
    .sql = "SELECT code, updates, total FROM device_updates($1::bigint, $2::boolean, $3::text, $4::integer, "
           "$5::integer)",
    .params = 5,
};
static const struct pg_statement cancel_update = {
    .name = "cancel_update",
    .sql = "SELECT code FROM cancel_update($1::bigint, $2::text, $3::boolean, $4::text, $5::bigint)",
    .params = 5,
};

struct updates_wait {
    union {
        fleet_flash_fn *flash;
        fleet_updates_fn *updates;
        fleet_cancel_fn *cancel;
    } done;
    void *arg;
};

static struct updates_wait *wait_new(void *arg)
{
    struct updates_wait *wait = mem_alloc(sizeof *wait);
    wait->arg = arg;
    return wait;
}

static struct updates_wait wait_take(void *arg)
{
    struct updates_wait wait = *(struct updates_wait *)arg;
    free(arg);
    return wait;
}

/* --- flash --- */

static void on_flash(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct updates_wait wait = wait_take(arg);
    struct fleet_flash flash = {.why = ""};
    size_t id_len;
    enum fleet_err ferr = fleet_err_of(err, result, "flash");
    if (ferr == FLEET_OK) {
        const char *code = pg_value(result, 0, 0);
        if (!pg_is_null(result, 0, 1))
            must(pg_bytea(result, 0, 1, &flash.id, sizeof flash.id, &id_len) && id_len == sizeof flash.id);
        if (!strcmp(code, "held") || !strcmp(code, "offline")) {
            ferr = FLEET_CONFLICT;
            flash.is_offline = !strcmp(code, "offline");
            flash.held_by = pg_is_null(result, 0, 2) ? NULL : pg_value(result, 0, 2);
        } else if (!strcmp(code, "invalid")) {
            ferr = FLEET_INVALID;
            flash.why = pg_value(result, 0, 2);
        } else
            ferr = device_get_code(code);
    }
    wait.done.flash(wait.arg, ferr, &flash);
}

void fleet_flash_device(struct fleet *f, const struct fleet_actor *actor, const char *which,
                        int64_t module_id, fleet_flash_fn *done, void *arg)
{
    struct updates_wait *wait = wait_new(arg);
    struct fleet_number user, module;
    wait->done.flash = done;
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),       pg_text(actor->user_name),
        fleet_bool(device_get_sees_all(actor)), pg_text(which),
        fleet_int(&module, module_id),
    };
    pg_exec(f->pg, &create_flash, params, fleet_patience_ms(f), PG_AGAIN, on_flash, wait);
}

/* --- list --- */

static void on_updates(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct updates_wait wait = wait_take(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "device_updates");
    if (ferr == FLEET_OK)
        ferr = device_get_code(pg_value(result, 0, 0));
    wait.done.updates(wait.arg, ferr, ferr == FLEET_OK ? pg_value(result, 0, 1) : NULL,
                      ferr == FLEET_OK ? (uint64_t)pg_int(result, 0, 2) : 0);
}

static void not_found(void *ctx)
{
    struct updates_wait wait = wait_take(ctx);
    wait.done.updates(wait.arg, FLEET_NOT_FOUND, NULL, 0);
}

void fleet_list_updates(struct fleet *f, const struct fleet_actor *actor, const char *which, uint32_t page,
                        uint32_t per_page, fleet_updates_fn *done, void *arg)
{
    struct updates_wait *wait = wait_new(arg);
    struct fleet_number user, skip, most;
    wait->done.updates = done;
    if (!device_get_plausible(which)) {
        later_push(&f->later, not_found, wait);
        return;
    }
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        fleet_bool(device_get_sees_all(actor)),
        pg_text(which),
        fleet_int(&skip, (int64_t)(page - 1) * per_page),
        fleet_int(&most, per_page),
    };
    pg_exec(f->pg, &device_updates, params, fleet_patience_ms(f), PG_RETRY, on_updates, wait);
}

/* --- cancel --- */

static void on_cancelled(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct updates_wait wait = wait_take(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "cancel_update");
    if (ferr == FLEET_OK)
        ferr = !strcmp(pg_value(result, 0, 0), "held") ? FLEET_CONFLICT
                                                       : device_get_code(pg_value(result, 0, 0));
    wait.done.cancel(wait.arg, ferr);
}

static void nothing_to_cancel(void *ctx)
{
    struct updates_wait wait = wait_take(ctx);
    wait.done.cancel(wait.arg, FLEET_NOT_FOUND);
}

void fleet_cancel_update(struct fleet *f, const struct fleet_actor *actor, const char *which,
                         int64_t update_id, fleet_cancel_fn *done, void *arg)
{
    struct updates_wait *wait = wait_new(arg);
    struct fleet_number user, update;
    wait->done.cancel = done;
    if (!device_get_plausible(which)) {
        later_push(&f->later, nothing_to_cancel, wait);
        return;
    }
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),       pg_text(actor->user_name),
        fleet_bool(device_get_sees_all(actor)), pg_text(which),
        fleet_int(&update, update_id),
    };
    pg_exec(f->pg, &cancel_update, params, fleet_patience_ms(f), PG_AGAIN, on_cancelled, wait);
}
