/* device_modules.c: the modules of a device as last described, and how they came to be. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/room.h"

/* Modules first, then their history, newest first; one row with NULLs when there is nothing. */
static const struct pg_statement device_modules = {
    .name = "device_modules",
    .sql =
        "SELECT r.code, r.id, x.kind, x.func, x.idx, x.a, x.b, x.valid, x.hash, x.text, x.at"
        " FROM find_device($1::bigint, $2::boolean, $3::text) r LEFT JOIN LATERAL ("
        "(SELECT 'm' AS kind, func, idx, version AS a, store::integer AS b, valid, encode(hash, 'hex') AS "
        "hash,"
        " dependencies::text AS text, to_ms(seen_at) AS at, store * 100000 + func * 1000 + idx AS place"
        " FROM device_module m WHERE m.device_id = r.id)"
        " UNION ALL "
        "(SELECT 'n', func, idx, old_version, new_version, NULL, NULL, cause, to_ms(at), -id"
        " FROM device_module_history h WHERE $4::boolean AND h.device_id = r.id ORDER BY id DESC LIMIT 1000)"
        ") x ON true ORDER BY x.kind, x.place",
    .params = 4,
};

struct modules_wait {
    fleet_modules_fn *done;
    void *arg;
};

static int version_or_absent(const struct pg_result *r, int row, int column)
{
    return pg_is_null(r, row, column) ? -1 : (int)pg_int(r, row, column);
}

static void read_module(struct fleet_module *m, const struct pg_result *r, int row)
{
    *m = (struct fleet_module){
        .function = module_function_letter((uint8_t)pg_int(r, row, 3)),
        .index = (int)pg_int(r, row, 4),
        .version = (int)pg_int(r, row, 5),
        .store = (int)pg_int(r, row, 6),
        .valid = pg_bool(r, row, 7),
        .hash = pg_is_null(r, row, 8) ? NULL : pg_value(r, row, 8),
        .dependencies = pg_value(r, row, 9),
        .seen_ms = (uint64_t)pg_int(r, row, 10),
    };
}

static void read_change(struct fleet_module_change *c, const struct pg_result *r, int row)
{
    *c = (struct fleet_module_change){
        .function = module_function_letter((uint8_t)pg_int(r, row, 3)),
        .index = (int)pg_int(r, row, 4),
        .old_version = version_or_absent(r, row, 5),
        .new_version = version_or_absent(r, row, 6),
        .cause = pg_value(r, row, 9),
        .at_ms = (uint64_t)pg_int(r, row, 10),
    };
}

static void on_modules(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct modules_wait wait = *(struct modules_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "device_modules");
    free(arg);
    if (!ferr)
        ferr = device_get_code(pg_value(result, 0, 0));
    if (ferr) {
        wait.done(wait.arg, ferr, NULL, NULL, 0, NULL, 0);
        return;
    }
    struct device_id id;
    size_t id_len, module_count = 0, change_count = 0, rows = (size_t)pg_rows(result);
    struct fleet_module *modules = mem_array(rows, sizeof *modules);
    struct fleet_module_change *changes = mem_array(rows, sizeof *changes);
    must(pg_bytea(result, 0, 1, &id, sizeof id, &id_len) && id_len == sizeof id);
    for (int row = 0; row < (int)rows; row++) {
        char kind = pg_value(result, row, 2)[0];
        if (kind == 'm')
            read_module(&modules[module_count++], result, row);
        else if (kind == 'n')
            read_change(&changes[change_count++], result, row);
    }
    wait.done(wait.arg, FLEET_OK, &id, modules, module_count, changes, change_count);
    free(modules);
    free(changes);
}

static void answer_not_found(void *ctx)
{
    struct modules_wait wait = *(struct modules_wait *)ctx;
    free(ctx);
    wait.done(wait.arg, FLEET_NOT_FOUND, NULL, NULL, 0, NULL, 0);
}

void fleet_get_modules(struct fleet *f, const struct fleet_actor *actor, const char *which, bool with_history,
                       fleet_modules_fn *done, void *arg)
{
    struct modules_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number user;
    *wait = (struct modules_wait){.done = done, .arg = arg};
    if (!device_get_plausible(which)) {
        later_push(&f->later, answer_not_found, wait);
        return;
    }
    pg_exec(f->pg, &device_modules,
            (struct pg_param[]){fleet_int(&user, actor->user_id), fleet_bool(device_get_sees_all(actor)),
                                pg_text(which), fleet_bool(with_history)},
            fleet_patience_ms(f), PG_RETRY, on_modules, wait);
}
