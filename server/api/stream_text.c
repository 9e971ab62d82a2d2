#include "api/stream_text.h"

#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "fleet/utf8.h"

#define FORMAT_CBOR 60

/* RFC 7252 12.3: text, link format, XML, JSON. */
static bool is_text(uint16_t content_format)
{
    return content_format == 0 || content_format == 40 || content_format == 41 || content_format == 50;
}

static json_t *data_uri(const struct told_event *event)
{
    const char *type = event->content_format == FORMAT_CBOR ? "cbor" : "octet-stream";
    char *base64 = mem_alloc(4 * (event->data_len / 3 + 1) + 1);
    char *uri;
    json_t *value;

    (void)EVP_EncodeBlock((unsigned char *)base64, event->data, (int)event->data_len);
    uri = mem_printf("data:application/%s;base64,%s", type, base64);
    value = json_string(uri);
    free(uri);
    free(base64);
    return value;
}

static json_t *data_json(const struct told_event *event)
{
    char *text;
    json_t *value;

    if (event->data_len == 0)
        return json_null();
    if (!is_text(event->content_format))
        return data_uri(event);
    text = mem_alloc(event->data_len + 1);
    (void)utf8_clean(text, event->data_len + 1, event->data, event->data_len);
    value = json_string(text);
    free(text);
    return value;
}

static const char *core_id(char text[DEVICE_ID_TEXT_SIZE], const struct told_event *event)
{
    if (!event->has_device)
        return event->person_id != 0 ? "api" : "particle-internal";
    device_id_format(text, &event->device);
    return text;
}

static void add_product_fields(json_t *body, const struct told_event *event)
{
    char person[24];

    if (event->owner_id != 0) {
        (void)snprintf(person, sizeof(person), "%" PRId64, event->owner_id);
        (void)json_object_set_new(body, "userid", json_string(person));
    }
    if (event->version != 0)
        (void)json_object_set_new(body, "version", json_integer(event->version));
    (void)json_object_set_new(body, "public", json_boolean(event->is_public));
    (void)json_object_set_new(body, "productID", json_integer(event->product_id));
}

/* A name that was stored has no line end; whatever becomes of that, none gets into a stream. */
static void put_name(char *out, const char *name)
{
    for (; *name != '\0'; name++)
        *out++ = (unsigned char)*name < 0x20 ? '?' : *name;
    *out = '\0';
}

char *stream_text(const struct told_event *event, bool for_product, size_t *len)
{
    char at[CLOCK_TEXT_SIZE], id[DEVICE_ID_TEXT_SIZE], *json, *text,
        *name = mem_alloc(strlen(event->name) + 1);
    json_t *body;

    clock_format(at, event->at_wall_ms);
    body = json_pack("{sosIssss}", "data", data_json(event), "ttl", (json_int_t)event->ttl_s, "published_at",
                     at, "coreid", core_id(id, event));
    must(body != NULL);
    if (for_product)
        add_product_fields(body, event);
    json = json_dumps(body, JSON_COMPACT);
    must(json != NULL);
    put_name(name, event->name);
    text = mem_printf("event: %s\ndata: %s\n\n", name, json);
    *len = strlen(text);
    json_decref(body);
    free(json);
    free(name);
    return text;
}
