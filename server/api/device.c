/* /v1/devices/:device and the claim of one: read, rename, note, force updates, signal, claim, unclaim. */
#include "api/handlers.h"

#include <stdio.h>
#include <string.h>

#include "api/device_fields.h"
#include "api/device_json.h"
#include "api/reached.h"
#include "api/respond.h"
#include "base/clock.h"
#include "fleet/device_change.h"

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
    bool has_forced, forced, forced_is_kept;
    bool has_signal, signal;
    char id[DEVICE_ID_TEXT_SIZE];
};

static void respond_changed(struct http_request *r)
{
    const struct change *change = r->scratch;
    json_t *answer = json_pack("{ss}", "id", change->id);

    if (change->name != NULL)
        (void)json_object_set_new(answer, "name", json_string(change->name));
    if (change->notes != NULL)
        (void)json_object_set_new(answer, "notes", json_string(change->notes));
    if (change->has_forced)
        (void)json_object_set_new(answer, "firmware_updates_forced", json_boolean(change->forced));
    if (change->has_signal) {
        (void)json_object_set_new(answer, "connected", json_true());
        (void)json_object_set_new(answer, "signaling", json_boolean(change->signal));
    }
    if (change->name != NULL || change->notes != NULL || change->has_forced)
        (void)json_object_set_new(answer, "updated_at", device_json_time(clock_wall_ms()));
    respond_json(r, 200, answer);
}

static void on_signaled(void *arg, const struct device_answer *answer)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    if (answer->ask != DEVICE_ANSWERED)
        reached_respond_failure(r, answer);
    else
        respond_changed(r);
}

/* All else has been changed: the device itself comes last. */
static void finish_update(struct http_request *r, const struct fleet_device *device)
{
    struct change *change = r->scratch;

    device_id_format(change->id, &device->id);
    if (!change->has_signal)
        respond_changed(r);
    else if (reached_may_ask(r, device))
        reached_ask(r, &device->id,
                    &(struct reach_question){
                        .kind = REACH_SIGNAL, .timeout_ms = REACHED_TIMEOUT_MS, .on = change->signal},
                    on_signaled);
}

static void on_updated(void *arg, enum fleet_err err, const struct fleet_device *device, const char *why);

static void keep_forced(struct http_request *r)
{
    struct change *change = r->scratch;

    change->forced_is_kept = true;
    fleet_force_updates(r->api->fleet, &r->actor, http_request_device(r), change->forced, on_updated, r);
}

static void on_updated(void *arg, enum fleet_err err, const struct fleet_device *device, const char *why)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    const struct change *change = r->scratch;
    if (err != FLEET_OK) /* a name that is taken is a bad value, like any other bad name (rest-api 2) */
        respond_device_err(r, err == FLEET_CONFLICT ? FLEET_INVALID : err, why);
    else if (change->has_forced && !change->forced_is_kept)
        keep_forced(r);
    else
        finish_update(r, device);
}

static void on_found(void *arg, enum fleet_err err, const struct fleet_device *device)
{
    on_updated(arg, err, device, NULL);
}

void device_update(struct http_request *r)
{
    if (http_request_file(r) != NULL) {
        device_flash(r);
        return;
    }
    struct change *change = http_request_scratch(r, sizeof(*change));

    if (device_fields_names_application(r) || !device_fields_name(r, &change->name) ||
        !device_fields_notes(r, &change->notes) ||
        !device_fields_forced(r, &change->has_forced, &change->forced) ||
        !device_fields_signal(r, &change->has_signal, &change->signal))
        return;
    if (change->name == NULL && change->notes == NULL) {
        if (change->has_forced)
            keep_forced(r);
        else if (change->has_signal)
            fleet_get_device(r->api->fleet, &r->actor, http_request_device(r), on_found, r);
        else
            respond_error(r, 400, "Nothing to do?");
        return;
    }
    fleet_update_device(r->api->fleet, &r->actor, http_request_device(r), change->name, change->notes,
                        on_updated, r);
}
