/* The same done to all devices that fit a filter: POST /v1/devices/actions by operators, and
 * POST /v1/products/:product/devices/actions by a team; how far one is, and its end. */
#include "api/handlers.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/device_action.h"

#define DEVICES_MAX 100000000

/* --- ordering --- */

static void answer_dry(struct http_request *r, const struct device_action_answer *answer)
{
    json_t *sample = json_array();
    char id[DEVICE_ID_TEXT_SIZE];

    for (size_t i = 0; i < answer->sample_count; i++) {
        device_id_format(id, &answer->sample[i]);
        (void)json_array_append_new(sample, json_string(id));
    }
    respond_json(
        r, 200,
        json_pack("{s:b,s:I,s:o}", "dry_run", 1, "devices", (json_int_t)answer->devices, "sample", sample));
}

static void on_text(void *arg, enum fleet_err err, const char *text)
{
    struct http_request *r = arg;

    if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, "There is no such action.");
    else if (err == FLEET_CONFLICT)
        respond_error(r, 409, "This action is over already.");
    else if (err != FLEET_OK)
        respond_device_err(r, err, NULL);
    else
        respond_json_text(r, r->scratch != NULL ? 202 : 200, text);
}

static void answer_ordered(struct http_request *r, const struct device_action_answer *answer)
{
    char text[160];

    switch (answer->code) {
    case DEVICE_ACTION_KEY:
        respond_error(r, 422, "This Idempotency-Key was used with another body.");
        return;
    case DEVICE_ACTION_NO_QUARANTINE:
        respond_error(r, 400, "This product keeps no devices in quarantine: its settings say so.");
        return;
    case DEVICE_ACTION_MANY:
        http_request_add_header(r, "Retry-After", "10");
        respond_error(r, 429, "Too many actions are running already.");
        return;
    case DEVICE_ACTION_GROUPS:
        respond_error(r, 400, "A product has at most 1000 groups.");
        return;
    case DEVICE_ACTION_EXPECTS:
        (void)snprintf(text, sizeof(text), "%lld devices fit the filter now, which is not what was expected.",
                       (long long)answer->devices);
        respond_json(
            r, 409,
            json_pack("{s:b,s:s,s:I}", "ok", 0, "error", text, "devices", (json_int_t)answer->devices));
        return;
    case DEVICE_ACTION_OK:
    case DEVICE_ACTION_AGAIN:
        break;
    }
    fleet_read_action(r->api->fleet, -1, answer->id, on_text, r);
}

/* In the scratch memory of a request that orders. */
struct order {
    bool dry_run;
};

static void on_order(void *arg, enum fleet_err err, const struct device_action_answer *answer,
                     const char *why)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    const struct order *order = r->scratch;
    if (err != FLEET_OK)
        respond_device_err(r, err, why);
    else if (order->dry_run)
        answer_dry(r, answer);
    else
        answer_ordered(r, answer);
}

/* Each reader returns false when it has answered 400. */
static bool read_flag(struct http_request *r, const char *name, bool *flag)
{
    switch (body_get_bool(&r->body, name, flag)) {
    case FIELD_ABSENT:
    case FIELD_OK:
        return true;
    case FIELD_NULL:
    case FIELD_WRONG:
        break;
    }
    respond_bad_field(r, name, "must be true or false.");
    return false;
}

static bool read_count(struct http_request *r, const char *name, bool needed, int64_t *count)
{
    enum field field = body_get_int(&r->body, name, count);

    if ((field == FIELD_OK && *count >= 0 && *count <= DEVICES_MAX) || (field == FIELD_ABSENT && !needed))
        return true;
    respond_bad_field(r, name,
                      field == FIELD_ABSENT ? "must say how many devices are meant; a dry_run counts them."
                                            : "must be a number of devices.");
    return false;
}

static bool read_key(struct http_request *r, const char **key)
{
    *key = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Idempotency-Key");
    size_t len = *key != NULL ? strlen(*key) : 1;

    for (size_t i = 0; *key != NULL && i < len; i++)
        if ((*key)[i] < ' ' || (*key)[i] > '~')
            len = 0;
    if (len >= 1 && len <= DEVICE_ACTION_KEY_MAX)
        return true;
    respond_error(r, 400, "The Idempotency-Key must be 1 to 255 printable ASCII characters.");
    return false;
}

void device_actions_order(struct http_request *r)
{
    struct device_action_wish wish = {.product_id = r->product_id,
                                      .filter = json_object_get(r->body.fields, "filter"),
                                      .action = json_string_value(json_object_get(r->body.fields, "action")),
                                      .metadata = json_object_get(r->body.fields, "metadata")};
    struct order *order = http_request_scratch(r, sizeof(*order));

    if (!read_flag(r, "dry_run", &wish.dry_run) || !read_count(r, "expect", !wish.dry_run, &wish.expect) ||
        !read_count(r, "tolerance", false, &wish.tolerance) || !read_key(r, &wish.key))
        return;
    order->dry_run = wish.dry_run;
    char *request = json_dumps(r->body.fields, JSON_COMPACT | JSON_SORT_KEYS);
    wish.request = request;
    fleet_order_action(r->api->fleet, &r->actor, &wish, on_order, r);
    free(request);
}

/* --- one of them --- */

/* False when it has answered 404. */
static bool read_id(struct http_request *r, int64_t *id)
{
    const char *text = http_request_param(r, "action");

    if (*text != '\0' && strlen(text) <= 18 && strspn(text, "0123456789") == strlen(text)) {
        *id = strtoll(text, NULL, 10);
        return true;
    }
    respond_error(r, 404, "There is no such action.");
    return false;
}

void device_actions_read(struct http_request *r)
{
    int64_t id;

    if (read_id(r, &id))
        fleet_read_action(r->api->fleet, r->product_id, id, on_text, r);
}

void device_actions_end(struct http_request *r)
{
    int64_t id;

    if (read_id(r, &id))
        fleet_stop_action(r->api->fleet, &r->actor, r->product_id, id, on_text, r);
}
