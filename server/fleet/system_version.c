#include "fleet/system_version.h"

#include <stdlib.h>

#include "base/mem.h"
#include "device/hello.h"
#include "fleet/room.h"
#include "module/module_names.h"

/* $2: system part, $3: monolithic. */
static const struct pg_statement list_system_versions = {
    .name = "list_system_versions",
    .sql = "SELECT m.version, json_agg(DISTINCT m.platform_id)::text FROM release r"
           " JOIN release_module rm ON rm.release_id = r.id JOIN module_binary m ON m.id = rm.module_id"
           " WHERE r.state = 'published' AND m.status = 'active' AND m.func IN ($2::smallint, $3::smallint)"
           " AND m.version > 0 AND ($1::integer < 0 OR m.platform_id = $1::integer)"
           " GROUP BY m.version ORDER BY m.version DESC LIMIT $4::bigint",
    .params = 4,
};

struct versions_wait {
    system_versions_fn *done;
    void *arg;
};

static void on_listed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct versions_wait wait = *(struct versions_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "list_system_versions");
    free(arg);
    if (ferr != FLEET_OK) {
        wait.done(wait.arg, ferr, NULL, 0);
        return;
    }
    size_t count = (size_t)pg_rows(result);
    struct system_version *rows = mem_array(count + 1, sizeof *rows);
    for (int i = 0; i < (int)count; i++) {
        rows[i].version = (int)pg_int(result, i, 0);
        rows[i].platforms = pg_value(result, i, 1);
        hello_system_release((uint16_t)rows[i].version, rows[i].release);
    }
    wait.done(wait.arg, FLEET_OK, rows, count);
    free(rows);
}

void fleet_list_system_versions(struct fleet *f, int platform_id, system_versions_fn *done, void *arg)
{
    struct versions_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number platform, system, monolithic, most;
    *wait = (struct versions_wait){.done = done, .arg = arg};
    struct pg_param params[] = {
        fleet_int(&platform, platform_id),
        fleet_int(&system, MODULE_SYSTEM),
        fleet_int(&monolithic, MODULE_MONOLITHIC),
        fleet_int(&most, SYSTEM_VERSIONS_MAX),
    };
    pg_exec(f->pg, &list_system_versions, params, fleet_patience_ms(f), PG_RETRY, on_listed, wait);
}
