/* GET /v1/devices/:device/modules: what a device runs, and with ?history=1 what it ran before. */
#include "api/handlers.h"

#include <string.h>

#include "api/device_json.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "device/describe.h"

/* Words for the letters of describe (device-protocol 4.4.3). */
static const char *function_name(char letter)
{
    switch (letter) {
    case 'b':
        return "bootloader";
    case 's':
        return "system-part";
    case 'u':
        return "user-part";
    case 'm':
        return "monolithic";
    case 'c':
        return "ncp-firmware";
    case 'a':
        return "radio-stack";
    case 'r':
        return "resource";
    default:
        return "other";
    }
}

static const char *store_name(int store)
{
    switch (store) {
    case MODULE_STORE_MAIN:
        return "main";
    case MODULE_STORE_FACTORY:
        return "factory";
    case MODULE_STORE_BACKUP:
        return "backup";
    case MODULE_STORE_SCRATCHPAD:
        return "scratchpad";
    default:
        return "other";
    }
}

static json_t *head(char function, int index)
{
    char letter[2] = {function, '\0'};

    return json_pack("{sosssi}", "f", device_json_text(letter), "function", function_name(function), "index",
                     index);
}

static json_t *module(const struct fleet_module *m)
{
    json_t *object = head(m->function, m->index);
    json_t *dependencies = m->dependencies != NULL ? json_loads(m->dependencies, 0, NULL) : NULL;

    (void)json_object_set_new(object, "version", json_integer(m->version));
    (void)json_object_set_new(object, "store", json_string(store_name(m->store)));
    (void)json_object_set_new(object, "valid", json_boolean(m->valid));
    (void)json_object_set_new(object, "hash", device_json_text(m->hash));
    (void)json_object_set_new(object, "dependencies", dependencies != NULL ? dependencies : json_array());
    (void)json_object_set_new(object, "seen_at", device_json_time(m->seen_ms));
    return object;
}

/* -1: was, or is, not there. */
static json_t *version(int number)
{
    return number >= 0 ? json_integer(number) : json_null();
}

static json_t *change(const struct fleet_module_change *c)
{
    json_t *object = head(c->function, c->index);

    (void)json_object_set_new(object, "old_version", version(c->old_version));
    (void)json_object_set_new(object, "new_version", version(c->new_version));
    (void)json_object_set_new(object, "cause", device_json_text(c->cause));
    (void)json_object_set_new(object, "at", device_json_time(c->at_ms));
    return object;
}

static bool wants_history(const struct http_request *r)
{
    const char *text = http_request_query(r, "history");

    return text != NULL && (strcmp(text, "1") == 0 || strcmp(text, "true") == 0);
}

/* NOLINTNEXTLINE(readability-function-size): the signature is the fleet's */
static void on_modules(void *arg, enum fleet_err err, const struct device_id *id,
                       const struct fleet_module *modules, size_t module_count,
                       const struct fleet_module_change *history, size_t history_count)
{
    struct http_request *r = arg;
    char text[DEVICE_ID_TEXT_SIZE];
    json_t *list, *changes;

    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    device_id_format(text, id);
    list = json_array();
    for (size_t i = 0; i < module_count; i++)
        (void)json_array_append_new(list, module(&modules[i]));
    json_t *answer = json_pack("{ssso}", "id", text, "modules", list);
    if (wants_history(r)) {
        changes = json_array();
        for (size_t i = 0; i < history_count; i++)
            (void)json_array_append_new(changes, change(&history[i]));
        (void)json_object_set_new(answer, "history", changes);
    }
    respond_json(r, 200, answer);
}

void modules_read(struct http_request *r)
{
    fleet_get_modules(r->api->fleet, &r->actor, http_request_device(r), wants_history(r), on_modules, r);
}
