/* POST and PUT /v1/products/:product/devices: devices imported into a product, and sorted into its groups. */
#include <stdlib.h>
#include <string.h>

#include "api/group_names.h"
#include "api/handlers.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "base/mem.h"
#include "fleet/product_device.h"
#include "fleet/product_import.h"

/* --- import --- */

static void on_imported(void *arg, enum fleet_err err, const struct product_imported *imported)
{
    struct http_request *r = arg;
    char *text;

    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    text = mem_printf("{\"updated\":%zu,\"updatedDeviceIds\":%s,\"nonmemberDeviceIds\":%s,"
                      "\"invalidDeviceIds\":%s,\"protectedDeviceIds\":[]}",
                      imported->updated, imported->updated_ids, imported->nonmembers, imported->strangers);
    respond_json_text(r, 200, text);
    free(text);
}

/* A file, whatever its name; else `id`, or what a form without a file name calls `file`. */
void product_devices_import(struct http_request *r)
{
    const struct form_file *file = http_request_file(r);
    const char *said = NULL;
    size_t said_len;

    if (file == NULL && body_get_string(&r->body, "id", &said) != FIELD_OK &&
        body_get_string(&r->body, "file", &said) != FIELD_OK) {
        respond_bad_field(r, "id",
                          "must be a device id, serial number, IMEI or ICCID; or send a file of them.");
        return;
    }
    said_len = file != NULL ? file->data_len : strlen(said);
    fleet_import_devices(r->api->fleet, &r->actor, r->product_id,
                         file != NULL ? file->data : (const void *)said, said_len, on_imported, r);
}

/* --- groups --- */

static void on_grouped(void *arg, enum fleet_err err, const char *why)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_device_err(r, err, why);
    else
        respond_ok(r);
}

/* In lower case, as a new array; NULL: answered 400. */
static json_t *read_devices(struct http_request *r)
{
    const json_t *said = json_object_get(r->body.fields, "devices"), *value;
    bool fine = json_array_size(said) > 0;
    json_t *list = json_array();
    size_t i;

    json_array_foreach ((json_t *)said, i, value) {
        const char *text = json_string_value(value);
        struct device_id id;
        char id_text[DEVICE_ID_TEXT_SIZE];
        fine = fine && text != NULL && device_id_parse(&id, text, strlen(text));
        if (!fine)
            break;
        device_id_format(id_text, &id);
        (void)json_array_append_new(list, json_string(id_text));
    }
    if (fine)
        return list;
    json_decref(list);
    respond_bad_field(r, "devices", "must be a list of device ids: 24 hex digits each.");
    return NULL;
}

/* NULL: answered 400. */
static json_t *read_change(struct http_request *r)
{
    const json_t *metadata = json_object_get(r->body.fields, "metadata");
    json_t *devices = read_devices(r), *add, *remove;

    add = devices != NULL ? group_names_read(r, json_object_get(metadata, "add"), "add") : NULL;
    remove = add != NULL ? group_names_read(r, json_object_get(metadata, "remove"), "remove") : NULL;
    if (remove != NULL)
        return json_pack("{sososo}", "devices", devices, "add", add, "remove", remove);
    json_decref(devices);
    json_decref(add);
    return NULL;
}

void product_devices_change(struct http_request *r)
{
    const char *action = NULL;
    json_t *change;
    char *text;

    if (body_get_string(&r->body, "action", &action) != FIELD_OK || strcmp(action, "groups") != 0) {
        respond_bad_field(r, "action", "must be groups.");
        return;
    }
    change = read_change(r);
    if (change == NULL)
        return;
    text = json_dumps(change, JSON_COMPACT);
    fleet_change_device_groups(r->api->fleet, &r->actor, r->product_id, text, on_grouped, r);
    free(text);
    json_decref(change);
}
