#include "api/module_json.h"

#include <stdio.h>
#include <string.h>

#include "api/device_json.h"
#include "api/respond.h"
#include "module/module_names.h"

static json_t *letter(uint8_t function)
{
    char text[2] = {module_function_letter(function), '\0'};

    return json_string(text);
}

void module_json_head(json_t *object, uint16_t platform_id, uint8_t function, uint8_t index)
{
    (void)json_object_set_new(object, "platform_id", json_integer(platform_id));
    (void)json_object_set_new(object, "platform", device_json_text(module_platform_name(platform_id)));
    (void)json_object_set_new(object, "function", letter(function));
    (void)json_object_set_new(object, "index", json_integer(index));
}

json_t *module_json_array(const char *text)
{
    json_t *list = json_loads(text, 0, NULL);

    if (json_is_array(list))
        return list;
    json_decref(list);
    return json_array();
}

json_t *module_json_list(const char *text)
{
    json_t *rows = module_json_array(text), *list = json_array();
    const json_t *row;
    size_t i;

    json_array_foreach (rows, i, row) {
        uint8_t function = (uint8_t)json_integer_value(json_object_get(row, "func"));
        json_t *one = json_pack("{so}", "f", letter(function));
        (void)json_object_set(one, "n", json_object_get(row, "index"));
        (void)json_object_set(one, "v", json_object_get(row, "version"));
        (void)json_array_append_new(list, one);
    }
    json_decref(rows);
    return list;
}

bool module_json_reason(struct http_request *r, const char **reason)
{
    char what[64];

    if (body_get_string(&r->body, "reason", reason) == FIELD_OK && (*reason)[0] != '\0' &&
        strlen(*reason) <= MODULE_JSON_REASON_MAX)
        return true;
    (void)snprintf(what, sizeof(what), "must say why, in at most %d bytes.", MODULE_JSON_REASON_MAX);
    respond_bad_field(r, "reason", what);
    return false;
}
