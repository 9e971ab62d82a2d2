#include "fleet/device_serial.h"

#include <stdlib.h>

#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/room.h"

static const struct pg_statement find_serial = {
    .name = "find_serial",
    .sql = "SELECT d.id, d.iccid FROM device d WHERE d.serial_number = $3::text AND ($2::boolean OR "
           "(d.owner_id IS NULL AND d.in_product IS NULL) OR d.owner_id = $1::bigint"
           " OR product_access($1::bigint, $2::boolean, d.in_product) IS NOT NULL)"
           " ORDER BY d.last_heard DESC NULLS LAST, d.id LIMIT 1",
    .params = 3,
};

struct serial_wait {
    device_serial_fn *done;
    void *arg;
};

static void on_found(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct serial_wait wait = *(struct serial_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "find_serial");
    struct device_id id;
    size_t id_len;
    free(arg);
    if (ferr == FLEET_OK && pg_rows(result) == 0)
        ferr = FLEET_NOT_FOUND;
    if (ferr != FLEET_OK) {
        wait.done(wait.arg, ferr, NULL, NULL);
        return;
    }
    must(pg_bytea(result, 0, 0, &id, sizeof id, &id_len) && id_len == sizeof id);
    wait.done(wait.arg, FLEET_OK, &id, pg_is_null(result, 0, 1) ? NULL : pg_value(result, 0, 1));
}

void fleet_find_serial(struct fleet *f, const struct fleet_actor *actor, const char *serial,
                       device_serial_fn *done, void *arg)
{
    struct serial_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number user;
    *wait = (struct serial_wait){.done = done, .arg = arg};
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        fleet_bool(device_get_sees_all(actor)),
        pg_text(serial),
    };
    pg_exec(f->pg, &find_serial, params, fleet_patience_ms(f), PG_RETRY, on_found, wait);
}
