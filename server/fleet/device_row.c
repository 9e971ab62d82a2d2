#include "fleet/device_row.h"

static const char *text_or_null(const struct pg_result *r, int row, int column)
{
    return pg_is_null(r, row, column) ? NULL : pg_value(r, row, column);
}

static int int_or_unknown(const struct pg_result *r, int row, int column)
{
    return pg_is_null(r, row, column) ? -1 : (int)pg_int(r, row, column);
}

static int bool_or_unknown(const struct pg_result *r, int row, int column)
{
    return pg_is_null(r, row, column) ? -1 : pg_bool(r, row, column);
}

void device_row_read(struct fleet_device *device, const struct pg_result *result, int row, int first,
                     char release[16])
{
    int c = first;
    size_t id_len;
    *device = (struct fleet_device){.functions = NULL};
    must(pg_bytea(result, row, c, &device->id, sizeof device->id, &id_len) && id_len == sizeof device->id);
    c++;
    device->name = text_or_null(result, row, c++);
    device->last_app = text_or_null(result, row, c++);
    device->notes = text_or_null(result, row, c++);
    device->last_heard_ms = (uint64_t)pg_int(result, row, c++);
    device->last_handshake_ms = (uint64_t)pg_int(result, row, c++);
    device->last_ip = text_or_null(result, row, c++);
    device->connected = pg_bool(result, row, c++);
    device->platform_id = int_or_unknown(result, row, c++);
    device->product_id = int_or_unknown(result, row, c++);
    device->product_version = int_or_unknown(result, row, c++);
    device->status = pg_value(result, row, c++);
    device->requires_deep_update = pg_bool(result, row, c++);
    device->quarantined = pg_bool(result, row, c++);
    device->cc3000_patch_version = text_or_null(result, row, c++);
    hello_system_release((uint16_t)pg_int(result, row, c++), release);
    device->system_release = *release ? release : NULL;
    device->serial_number = text_or_null(result, row, c++);
    device->iccid = text_or_null(result, row, c++);
    device->imei = text_or_null(result, row, c++);
    device->owner = text_or_null(result, row, c++);
    device->updates_enabled = bool_or_unknown(result, row, c++);
    device->updates_forced = bool_or_unknown(result, row, c++);
    device->last_reset = text_or_null(result, row, c++);
    device->in_product = (int)pg_int(result, row, c++);
    device->development = pg_bool(result, row, c++);
    device->denied = pg_bool(result, row, c++);
    device->desired_version = int_or_unknown(result, row, c++);
    device->waits = pg_bool(result, row, c++);
    device->targeted_version = -1;
    must(c == first + DEVICE_COLUMN_COUNT);
}

void device_row_read_product(struct fleet_device *device, const struct pg_result *result, int row, int first)
{
    device->groups = text_or_null(result, row, first);
    device->targeted_version = int_or_unknown(result, row, first + 1);
}
