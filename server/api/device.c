/* /v1/devices/:device and the claim of one: read, rename, note, claim, unclaim. */
#include "api/handlers.h"

#include <stdio.h>
#include <string.h>

#include "api/device_json.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "base/clock.h"
#include "fleet/device_change.h"

#define NAME_MAX_BYTES 64
#define NOTES_MAX_BYTES 8192

static void on_read(void *arg, enum fleet_err err, const struct fleet_device *device)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_device_err(r, err, NULL);
    else
        respond_json(r, 200, device_json_detail(device));
}

void device_read(struct http_request *r)
{
    fleet_get_device(r->api->fleet, &r->actor, http_request_device(r), on_read, r);
}

static void on_claimed(void *arg, enum fleet_err err, const struct fleet_device *device, const char *why)
{
    struct http_request *r = arg;
    char id[DEVICE_ID_TEXT_SIZE], user[24];

    switch (err) {
    case FLEET_OK:
        device_id_format(id, &device->id);
        (void)snprintf(user, sizeof(user), "%lld", (long long)r->actor.user_id);
        respond_json(
            r, 200,
            json_pack("{sbsssssb}", "ok", 1, "id", id, "user_id", user, "connected", (int)device->connected));
        return;
    case FLEET_FORBIDDEN: /* clients look for "belongs to someone else" (rest-api 2) */
        respond_error(
            r, 403, "That device belongs to someone else. To request a transfer add ?request_transfer=true");
        return;
    case FLEET_NOT_FOUND:
        respond_json(r, 404,
                     json_pack("{sbs[s]ss}", "ok", 0, "errors", "device does not exist", "error",
                               "device does not exist"));
        return;
    default:
        respond_device_err(r, err, why);
    }
}

void device_claim(struct http_request *r)
{
    const char *text = NULL;
    struct device_id *id = http_request_scratch(r, sizeof(*id));
    bool transfer = false;

    if (body_get_string(&r->body, "id", &text) != FIELD_OK || !device_id_parse(id, text, strlen(text))) {
        respond_bad_field(r, "id", "must be a device id: 24 hex digits.");
        return;
    }
    if (body_get_bool(&r->body, "request_transfer", &transfer) == FIELD_OK && transfer) {
        respond_error(r, 501, "Transfers of devices are not supported by this server.");
        return;
    }
    fleet_claim_device(r->api->fleet, &r->actor, id, on_claimed, r);
}

static void on_unclaimed(void *arg, enum fleet_err err, const struct fleet_device *device, const char *why)
{
    struct http_request *r = arg;

    (void)device;
    if (err != FLEET_OK)
        respond_device_err(r, err, why);
    else
        respond_ok(r);
}

void device_unclaim(struct http_request *r)
{
    fleet_unclaim_device(r->api->fleet, &r->actor, http_request_device(r), on_unclaimed, r);
}

/* What a PUT asks for; texts are the body's. */
struct change {
    const char *name, *notes; /* NULL: leave it */
};

static void on_updated(void *arg, enum fleet_err err, const struct fleet_device *device, const char *why)
{
    struct http_request *r = arg;
    const struct change *change = r->scratch;
    char id[DEVICE_ID_TEXT_SIZE];
    json_t *answer;

    if (err != FLEET_OK) {
        /* a name that is taken is a bad value, like any other bad name (rest-api 2) */
        respond_device_err(r, err == FLEET_CONFLICT ? FLEET_INVALID : err, why);
        return;
    }
    device_id_format(id, &device->id);
    answer = json_pack("{ss}", "id", id);
    if (change->name != NULL)
        (void)json_object_set_new(answer, "name", json_string(change->name));
    if (change->notes != NULL)
        (void)json_object_set_new(answer, "notes", json_string(change->notes));
    (void)json_object_set_new(answer, "updated_at", device_json_time(clock_wall_ms()));
    respond_json(r, 200, answer);
}

/* The rest of the rule about names is the fleet's. */
static bool read_name(struct http_request *r, struct change *change)
{
    enum field kind = body_get_string(&r->body, "name", &change->name);

    if (kind == FIELD_ABSENT ||
        (kind == FIELD_OK && change->name[0] != '\0' && strlen(change->name) <= NAME_MAX_BYTES))
        return true;
    respond_bad_field(r, "name", "must be 1 to 64 letters, digits, `_` or `-`.");
    return false;
}

static bool read_notes(struct http_request *r, struct change *change)
{
    enum field kind = body_get_string(&r->body, "notes", &change->notes);

    if (kind == FIELD_NULL)
        change->notes = "";
    if (kind == FIELD_WRONG || (change->notes != NULL && strlen(change->notes) > NOTES_MAX_BYTES)) {
        respond_bad_field(r, "notes", "must be text of at most 8192 bytes, or null.");
        return false;
    }
    return true;
}

void device_update(struct http_request *r)
{
    struct change *change = http_request_scratch(r, sizeof(*change));

    if (!read_name(r, change) || !read_notes(r, change))
        return;
    if (change->name == NULL && change->notes == NULL) {
        respond_error(r, 400, "Nothing to do?");
        return;
    }
    fleet_update_device(r->api->fleet, &r->actor, http_request_device(r), change->name, change->notes,
                        on_updated, r);
}
