#include "api/reached.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/device_json.h"
#include "api/respond.h"
#include "base/mem.h"

void reached_fill(struct reached *reached, const struct fleet_device *device)
{
    reached->id = device->id;
    device_id_format(reached->id_text, &device->id);
    (void)snprintf(reached->name, sizeof(reached->name), "%s", device->name != NULL ? device->name : "");
    (void)snprintf(reached->last_app, sizeof(reached->last_app), "%s",
                   device->last_app != NULL ? device->last_app : "");
    reached->last_heard_ms = device->last_heard_ms;
    reached->last_handshake_ms = device->last_handshake_ms;
    reached->product_id = device_json_product(device);
}

json_t *reached_text(const char *text)
{
    json_t *value = text[0] != '\0' ? json_string(text) : NULL;

    return value != NULL ? value : json_null();
}

bool reached_is_reserved(const char *name)
{
    static const char *const reserved[] = {"events", "ping", "owner", "unprotect", "docs"};

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (strcmp(name, reserved[i]) == 0)
            return true;
    }
    return false;
}

bool reached_wants_raw(struct http_request *r)
{
    const char *format = http_request_query(r, "format");

    if (format == NULL && body_get_string(&r->body, "format", &format) != FIELD_OK)
        return false;
    return strcmp(format, "raw") == 0;
}

void reached_ask(struct http_request *r, const struct device_id *id, const struct reach_question *question,
                 reach_done_fn *done)
{
    reach_ask(fleet_reach(r->api->fleet), id, question, done, r);
}

static void respond_code(struct http_request *r, uint8_t code)
{
    char *text = mem_printf("The device answered with the error %d.%02d.", code >> 5, code & 31);

    respond_error(r, 409, text);
    free(text);
}

void reached_respond_failure(struct http_request *r, const struct device_answer *answer)
{
    switch (answer->ask) {
    case DEVICE_NO_ANSWER:
    case DEVICE_NOT_CONNECTED:
    case DEVICE_MOVED:
        respond_error(r, 408, "Timed out.");
        return;
    case DEVICE_SAID_ERROR:
        respond_code(r, answer->code);
        return;
    case DEVICE_ASK_BUSY:
        http_request_add_header(r, "Retry-After", "1");
        respond_error(r, 429, "Too many requests wait for this device already.");
        return;
    case DEVICE_ASK_TOO_LONG:
        respond_error(r, 400, "That is longer than what this device takes.");
        return;
    case DEVICE_ANSWERED:
        break;
    }
    must(false);
}

bool reached_may_ask(struct http_request *r, const struct fleet_device *device)
{
    if (!device->quarantined)
        return true;
    respond_error(r, 409, "This device is in quarantine.");
    return false;
}
