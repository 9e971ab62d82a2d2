#include "api/device_csv.h"

#include "api/csv.h"
#include "api/device_json.h"

#define UNDEFINED_VERSION 0xffff /* as in device_json.c */

/* The names are those of the JSON. */
void device_csv_head(FILE *out)
{
    (void)fputs("id,name,connected,last_heard,last_handshake_at,last_ip_address,platform_id,product_id,"
                "firmware_version,system_firmware_version,status,requires_deep_update,quarantined,owner,"
                "serial_number,iccid,imei,last_app,notes,groups,development,denied,desired_firmware_version,"
                "targeted_firmware_release_version\r\n",
                out);
}

static void what_it_is(struct csv *c, const struct fleet_device *device)
{
    csv_number(c, device->platform_id);
    csv_number(c, device_json_product(device));
    csv_number(c, device->product_version == UNDEFINED_VERSION ? -1 : device->product_version);
    csv_text(c, device->system_release);
    csv_text(c, device->status);
    csv_bool(c, device->requires_deep_update);
    csv_bool(c, device->quarantined || device->waits);
    csv_text(c, device->owner);
    csv_text(c, device->serial_number);
    csv_text(c, device->iccid);
    csv_text(c, device->imei);
    csv_text(c, device->last_app);
    csv_text(c, device->notes);
}

void device_csv_row(FILE *out, const struct fleet_device *device)
{
    struct csv c = {.out = out};
    char id[DEVICE_ID_TEXT_SIZE];

    device_id_format(id, &device->id);
    csv_text(&c, id);
    csv_text(&c, device->name);
    csv_bool(&c, device->connected);
    csv_time(&c, device->last_heard_ms);
    csv_time(&c, device->last_handshake_ms);
    csv_text(&c, device->last_ip);
    what_it_is(&c, device);
    csv_text(&c, device->groups);
    csv_bool(&c, device->development);
    csv_bool(&c, device->denied);
    csv_number(&c, device->desired_version);
    csv_number(&c, device->targeted_version);
    csv_end_line(&c);
}
