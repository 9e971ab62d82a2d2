#include "fleet/system_event.h"

#include "fleet/room.h"

#define STORE_TIMEOUT_MS 5000 /* later nobody needs it any more */

static const struct pg_statement publish_system_event = {
    .name = "publish_system_event",
    .sql = "SELECT publish_system_event($1::bytea, $2::integer, $3::text, $4::text)",
    .params = 4,
};

static void on_stored(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct fleet *f = arg;
    if (fleet_err_of(err, result, "publish_system_event") != FLEET_OK)
        f->system_events_lost->value++;
}

void fleet_publish_system(struct fleet *f, const struct device_id *id, const char *name, const char *data)
{
    struct pg_param params[] = {fleet_id(id), pg_text(NULL), pg_text(name), pg_text(data)};
    if (!f->stopped)
        pg_exec(f->pg, &publish_system_event, params, STORE_TIMEOUT_MS, 0, on_stored, f);
}

void fleet_publish_to_product(struct fleet *f, int32_t product_id, const char *name, const char *data)
{
    struct fleet_number product;
    struct pg_param params[] = {pg_text(NULL), fleet_int(&product, product_id), pg_text(name), pg_text(data)};
    if (!f->stopped)
        pg_exec(f->pg, &publish_system_event, params, STORE_TIMEOUT_MS, 0, on_stored, f);
}
