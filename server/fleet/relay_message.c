#include "fleet/relay_message.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

#define VERSION 1

static json_t *hex_json(const uint8_t *data, size_t data_len)
{
    char *hex = mem_alloc(2 * data_len + 1);
    hex_encode(hex, data, data_len);
    json_t *text = json_string(hex);
    free(hex);
    return text;
}

char *relay_message(const struct device_event *event, const struct device_id *ids, size_t count)
{
    char id[DEVICE_ID_TEXT_SIZE];
    json_t *to = json_array();
    must(count <= RELAY_MESSAGE_IDS_MAX);
    for (size_t i = 0; i < count; i++) {
        device_id_format(id, &ids[i]);
        json_array_append_new(to, json_string(id));
    }
    json_t *message = json_pack("{sisssosisbso}", "v", VERSION, "name", event->name, "data",
                                hex_json(event->data, event->data_len), "format", (int)event->content_format,
                                "public", (int)event->is_public, "to", to);
    must(message); /* names are UTF-8: they were stored */
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    return text;
}

static bool read_name(const json_t *root, struct relay_heard *heard)
{
    const json_t *name = json_object_get(root, "name");
    size_t name_len = json_string_length(name);
    if (!json_is_string(name) || name_len == 0 || name_len > DEVICE_EVENT_NAME_MAX)
        return false;
    memcpy(heard->name, json_string_value(name), name_len + 1);
    heard->event.name = heard->name;
    return true;
}

static bool read_data(const json_t *root, struct relay_heard *heard)
{
    const json_t *hex = json_object_get(root, "data");
    size_t hex_len = json_string_length(hex);
    if (!json_is_string(hex) || hex_len > 2 * sizeof heard->data)
        return false;
    heard->event.data = heard->data;
    heard->event.data_len = hex_len / 2;
    return hex_decode(heard->data, hex_len / 2, json_string_value(hex), hex_len);
}

static bool read_rest(const json_t *root, struct relay_heard *heard)
{
    const json_t *format = json_object_get(root, "format"), *is_public = json_object_get(root, "public");
    if (!json_is_integer(format) || !json_is_boolean(is_public) || json_integer_value(format) < 0 ||
        json_integer_value(format) > UINT16_MAX)
        return false;
    heard->event.content_format = (uint16_t)json_integer_value(format);
    heard->event.is_public = json_is_true(is_public);
    return true;
}

static bool read_ids(const json_t *root, struct relay_heard *heard)
{
    const json_t *to = json_object_get(root, "to"), *id;
    size_t i;
    if (!json_is_array(to) || json_array_size(to) > RELAY_MESSAGE_IDS_MAX)
        return false;
    json_array_foreach (to, i, id)
        if (!json_is_string(id) ||
            !device_id_parse(&heard->ids[i], json_string_value(id), json_string_length(id)))
            return false;
    heard->count = json_array_size(to);
    return true;
}

bool relay_message_read(struct relay_heard *heard, const uint8_t *data, size_t data_len)
{
    json_t *root = json_loadb((const char *)data, data_len, JSON_REJECT_DUPLICATES, NULL);
    heard->event = (struct device_event){.kind = DEVICE_EVENT_USER};
    heard->count = 0;
    bool read = json_is_object(root) && json_integer_value(json_object_get(root, "v")) == VERSION &&
                read_name(root, heard) && read_data(root, heard) && read_rest(root, heard) &&
                read_ids(root, heard);
    json_decref(root);
    return read;
}
