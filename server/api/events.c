/* POST /v1/devices/events: a person publishes an event, to the devices that subscribed to it. */
#include "api/handlers.h"

#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/person_event.h"

static void on_published(void *arg, enum fleet_err err, const char *why)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_device_err(r, err, why);
    else
        respond_ok(r);
}

void events_publish(struct http_request *r)
{
    const char *name = NULL, *data = "";
    bool is_private = true;

    if (body_get_string(&r->body, "name", &name) != FIELD_OK) {
        respond_bad_field(r, "name", "must be 1 to 64 bytes of text.");
        return;
    }
    if (body_get_string(&r->body, "data", &data) == FIELD_WRONG) {
        respond_bad_field(r, "data", "must be text of at most 1024 bytes.");
        return;
    }
    if (body_get_bool(&r->body, "private", &is_private) == FIELD_WRONG) {
        respond_bad_field(r, "private", "must be true or false.");
        return;
    }
    fleet_publish(r->api->fleet, &r->actor, name, data, !is_private, on_published, r);
}
