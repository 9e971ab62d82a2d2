#include "api/device_json.h"

#include <string.h>

#include "base/clock.h"

static void set(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value);
}

json_t *device_json_text(const char *text)
{
    json_t *value = text != NULL ? json_string(text) : NULL;

    return value != NULL ? value : json_null();
}

json_t *device_json_time(uint64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];

    if (wall_ms == 0)
        return json_null();
    clock_format(text, wall_ms);
    return json_string(text);
}

static json_t *number(int value)
{
    return value >= 0 ? json_integer(value) : json_null();
}

/* Left out when unknown. */
static void set_known_text(json_t *object, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        set(object, key, device_json_text(text));
}

static void set_known_bool(json_t *object, const char *key, int value)
{
    if (value >= 0)
        set(object, key, json_boolean(value));
}

/* Platforms with a modem; of others the SIM tells. */
static bool is_cellular(const struct fleet_device *device)
{
    static const int platforms[] = {10 /* Electron */,  13 /* Boron */,  15 /* E SoM X */,
                                    23 /* B4 SoM */,    25 /* B5 SoM */, 26 /* Tracker */,
                                    28 /* Tracker M */, 35 /* M SoM */,  37 /* Electron 2 */};

    for (size_t i = 0; i < sizeof(platforms) / sizeof(platforms[0]); i++) {
        if (device->platform_id == platforms[i])
            return true;
    }
    return device->iccid != NULL && device->iccid[0] != '\0';
}

static json_t *head(const struct fleet_device *device)
{
    char id[DEVICE_ID_TEXT_SIZE];
    json_t *object = json_object();

    device_id_format(id, &device->id);
    set(object, "id", json_string(id));
    set(object, "name", device_json_text(device->name));
    set(object, "last_app", device_json_text(device->last_app));
    set(object, "last_heard", device_json_time(device->last_heard_ms));
    set(object, "connected", json_boolean(device->connected));
    if (device->requires_deep_update)
        set(object, "requires_deep_update", json_true());
    return object;
}

#define UNDEFINED_VERSION                                                                                    \
    0xffff /* what firmware outside any product says in its Hello (device-protocol 1.1) */

int device_json_product(const struct fleet_device *device)
{
    if (device->in_product > 0)
        return device->in_product;
    return device->product_id >= 0 ? device->product_id : device->platform_id;
}

static json_t *groups(const char *names)
{
    json_t *list = json_array();

    for (size_t len; names != NULL && *names != '\0'; names += len + (names[len] == ',')) {
        len = strcspn(names, ",");
        (void)json_array_append_new(list, json_stringn(names, len));
    }
    return list;
}

static void add_product(json_t *object, const struct fleet_device *device)
{
    set(object, "groups", groups(device->groups));
    set(object, "development", json_boolean(device->development));
    set(object, "quarantined", json_boolean(device->quarantined));
    set(object, "denied", json_boolean(device->denied));
    set(object, "desired_firmware_version", number(device->desired_version));
    set(object, "targeted_firmware_release_version", number(device->targeted_version));
}

static void add_rest(json_t *object, const struct fleet_device *device)
{
    set(object, "online", json_boolean(device->connected));
    set(object, "platform_id", number(device->platform_id));
    set(object, "product_id", number(device_json_product(device)));
    set(object, "last_ip_address", device_json_text(device->last_ip));
    set(object, "last_handshake_at", device_json_time(device->last_handshake_ms));
    set(object, "status", json_string(device->status != NULL ? device->status : "normal"));
    set(object, "cellular", json_boolean(is_cellular(device)));
    set(object, "notes",
        device_json_text(device->notes != NULL && device->notes[0] != '\0' ? device->notes : NULL));
    set_known_text(object, "owner", device->owner);
    set_known_text(object, "system_firmware_version", device->system_release);
    set_known_text(object, "current_build_target", device->system_release);
    if (device->product_version >= 0 && device->product_version != UNDEFINED_VERSION)
        set(object, "firmware_version", json_integer(device->product_version));
    set_known_text(object, "serial_number", device->serial_number);
    set_known_text(object, "iccid", device->iccid);
    set_known_text(object, "imei", device->imei);
    set_known_bool(object, "firmware_updates_enabled", device->updates_enabled);
    set_known_bool(object, "firmware_updates_forced", device->updates_forced);
    if (device->product_id >= 0)
        set(object, "firmware_product_id", json_integer(device->product_id));
    if (device->in_product > 0)
        add_product(object, device);
    else if (device->quarantined || device->waits)
        set(object, "quarantined", json_true());
    if (device->in_product <= 0 && device->denied)
        set(object, "denied", json_true());
}

static json_t *variables(const struct fleet_device *device)
{
    json_t *object = json_object();

    for (size_t i = 0; i < device->variable_count; i++)
        set(object, device->variables[i].name, device_json_text(device->variables[i].type));
    return object;
}

static json_t *functions(const struct fleet_device *device)
{
    json_t *list = json_array();

    for (size_t i = 0; i < device->function_count; i++)
        (void)json_array_append_new(list, device_json_text(device->functions[i]));
    return list;
}

json_t *device_json_row(const struct fleet_device *device)
{
    json_t *object = head(device);

    add_rest(object, device);
    return object;
}

json_t *device_json_detail(const struct fleet_device *device)
{
    json_t *object = head(device);

    set_known_text(object, "cc3000_patch_version", device->cc3000_patch_version);
    set(object, "variables", variables(device));
    set(object, "functions", functions(device));
    add_rest(object, device);
    set_known_text(object, "last_reset", device->last_reset);
    if (device->requires_deep_update)
        set_known_text(object, "deep_update_reason", device->deep_update_reason);
    return object;
}
