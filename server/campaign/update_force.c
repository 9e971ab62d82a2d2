/* update_force.c: devices that are to take updates whatever their applications want: each is told until it
 * has echoed it. What is wanted, and what was echoed, is in Postgres: migrations/0026 says whose turn it is.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "campaign/update_inner.h"

#define FORCE_MOST 100 /* in one tick */

static const struct pg_statement force = {
    .name = "update_force",
    .sql = "SELECT device_id, forced FROM update_force($1::integer, $2::integer)",
    .params = 2,
};

struct force_wait {
    struct update_engine *e;
    void (*done)(struct update_engine *e);
};

/* One that cannot be told now is told in a while, like one that does not answer. */
static void tell(struct update_engine *e, const struct pg_result *r, int row)
{
    struct device_id id;
    size_t id_len;
    must(pg_bytea(r, row, 0, &id, sizeof id, &id_len) && id_len == sizeof id);
    struct device *device = devices_find(e->devices, &id);
    if (device && device_force_updates(device, pg_bool(r, row, 1)))
        e->forced->value++;
}

static void on_due(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct force_wait wait = *(struct force_wait *)arg;
    free(arg);
    if (err == PG_REFUSED)
        log_error("update.force_refused sqlstate=%s", pg_sqlstate(result));
    for (int row = 0; err == PG_OK && !wait.e->stopped && row < pg_rows(result); row++)
        tell(wait.e, result, row);
    wait.done(wait.e);
}

void update_force(struct update_engine *e, void (*done)(struct update_engine *e))
{
    struct force_wait *wait = mem_alloc(sizeof *wait);
    struct update_number node, most;
    *wait = (struct force_wait){.e = e, .done = done};
    pg_exec(e->pg, &force, (struct pg_param[]){update_int(&node, e->node_id), update_int(&most, FORCE_MOST)},
            UPDATE_STATEMENT_MS, PG_AGAIN, on_due, wait);
}
