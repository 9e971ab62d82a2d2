/* PUT and DELETE /v1/products/:product/devices/:device: what a team changes of a device of its product. */
#include "fleet/product_device.h"

#include <string.h>

#include "api/device_fields.h"
#include "api/device_json.h"
#include "api/group_names.h"
#include "api/handlers.h"
#include "api/reached.h"
#include "api/respond.h"
#include "base/clock.h"
#include "fleet/device_change.h"

#define VERSION_MAX 65535

/* What a PUT asks for, in the request's scratch memory. */
struct change {
    bool has_signal, signal, has_changes;
    char id[DEVICE_ID_TEXT_SIZE];
    char which[HTTP_REQUEST_DEVICE_SIZE];
};

/* What was changed lies in the body under its own names, checked: it is also the answer. */
static void respond_changed(struct http_request *r)
{
    const struct change *change = r->scratch;
    json_t *answer = json_incref(r->body.fields);

    (void)json_object_set_new(answer, "id", json_string(change->id));
    if (change->has_signal) {
        (void)json_object_set_new(answer, "connected", json_true());
        (void)json_object_set_new(answer, "signaling", json_boolean(change->signal));
    }
    if (change->has_changes)
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

static void on_found(void *arg, enum fleet_err err, const struct fleet_device *device)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    struct change *change = r->scratch;
    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    device_id_format(change->id, &device->id);
    if (reached_may_ask(r, device))
        reached_ask(r, &device->id,
                    &(struct reach_question){
                        .kind = REACH_SIGNAL, .timeout_ms = REACHED_TIMEOUT_MS, .on = change->signal},
                    on_signaled);
}

/* All else has been changed: the device itself comes last. */
static void signal_device(struct http_request *r, const char *which)
{
    fleet_get_device(r->api->fleet, &r->actor, which, on_found, r);
}

static void on_changed(void *arg, enum fleet_err err, const struct device_id *id, bool pushed,
                       const char *why)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    struct change *change = r->scratch;
    if (err != FLEET_OK) { /* a name that is taken is a bad value, like any other bad name (rest-api 2) */
        respond_device_err(r, err == FLEET_CONFLICT ? FLEET_INVALID : err, why);
        return;
    }
    device_id_format(change->id, id);
    if (json_object_get(r->body.fields, "flash") != NULL)
        (void)json_object_set_new(r->body.fields, "flash", json_boolean(pushed));
    (void)snprintf(change->which, sizeof(change->which), "%d/%s", r->product_id, change->id);
    if (change->has_signal)
        signal_device(r, change->which);
    else
        respond_changed(r);
}

/* --- what a client says; each reader returns false when it has answered 400 --- */

static bool read_bool(struct http_request *r, const char *name, json_t *out)
{
    bool value;
    enum field kind = body_get_bool(&r->body, name, &value);

    if (kind == FIELD_OK)
        (void)json_object_set_new(out, name, json_boolean(value));
    if (kind == FIELD_OK || kind == FIELD_ABSENT)
        return true;
    respond_bad_field(r, name, "must be true or false.");
    return false;
}

static bool read_lock(struct http_request *r, json_t *out)
{
    static const char name[] = "desired_firmware_version";
    int64_t version;
    enum field kind = body_get_int(&r->body, name, &version);

    if (kind == FIELD_NULL)
        (void)json_object_set_new(out, name, json_null());
    if (kind == FIELD_ABSENT || kind == FIELD_NULL)
        return true;
    if (kind == FIELD_WRONG || version < 1 || version > VERSION_MAX) {
        respond_bad_field(r, name, "must be a version of this product's firmware, or null.");
        return false;
    }
    (void)json_object_set_new(out, name, json_integer(version));
    return true;
}

static bool read_texts(struct http_request *r, json_t *out)
{
    const char *name = NULL, *notes = NULL, *flaw;

    if (!device_fields_name(r, &name) || !device_fields_notes(r, &notes))
        return false;
    flaw = name != NULL ? fleet_device_name_flaw(name) : NULL;
    if (flaw != NULL) {
        respond_error(r, 400, flaw);
        return false;
    }
    if (name != NULL)
        (void)json_object_set_new(out, "name", json_string(name));
    if (notes != NULL)
        (void)json_object_set_new(out, "notes", json_string(notes));
    return true;
}

static bool read_groups(struct http_request *r, json_t *out)
{
    json_t *groups = group_names_read(r, json_object_get(r->body.fields, "groups"), "groups");

    if (groups == NULL)
        return false;
    if (json_object_get(r->body.fields, "groups") != NULL)
        (void)json_object_set_new(out, "groups", groups);
    else
        json_decref(groups);
    return true;
}

static bool read_change(struct http_request *r, struct change *change, json_t *out)
{
    return read_texts(r, out) && read_bool(r, "development", out) && read_bool(r, "quarantined", out) &&
           read_bool(r, "denied", out) && read_bool(r, "flash", out) &&
           read_bool(r, "firmware_updates_forced", out) && read_lock(r, out) && read_groups(r, out) &&
           device_fields_signal(r, &change->has_signal, &change->signal);
}

static void change_device(struct http_request *r)
{
    struct change *change = http_request_scratch(r, sizeof(*change));
    json_t *out = json_object();
    char *text;

    if (device_fields_names_application(r) || !read_change(r, change, out)) {
        json_decref(out);
        return;
    }
    change->has_changes = json_object_size(out) > 0;
    json_decref(r->body.fields);
    r->body.fields = out;
    if (change->has_changes) {
        text = json_dumps(out, JSON_COMPACT);
        fleet_change_product_device(r->api->fleet, &r->actor, r->product_id, http_request_param(r, "device"),
                                    text, on_changed, r);
        free(text);
    } else if (change->has_signal) {
        signal_device(r, http_request_device(r));
    } else {
        respond_error(r, 400, "Nothing to do?");
    }
}

void product_device_update(struct http_request *r)
{
    if (http_request_file(r) != NULL)
        device_flash(r);
    else
        change_device(r);
}

/* --- leaving --- */

static void on_removed(void *arg, enum fleet_err err, const struct device_id *id, bool pushed,
                       const char *why)
{
    struct http_request *r = arg;

    (void)id, (void)pushed;
    if (err != FLEET_OK)
        respond_device_err(r, err, why);
    else
        respond_no_content(r);
}

void product_device_remove(struct http_request *r)
{
    bool deny = false;
    enum field kind = body_get_bool(&r->body, "deny", &deny);

    if (kind == FIELD_WRONG)
        respond_bad_field(r, "deny", "must be true or false.");
    else
        fleet_remove_product_device(r->api->fleet, &r->actor, r->product_id, http_request_param(r, "device"),
                                    deny, on_removed, r);
}
