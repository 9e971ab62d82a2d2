/* POST .../events: a person publishes an event, to those who read it and to the devices that subscribed to
 * it. */
#include "api/handlers.h"

#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/person_event.h"

#define TTL_DEFAULT_S 60
#define TTL_MAX_S 16777215 /* as of devices: 24 bits (device-protocol 4.7) */

static void on_published(void *arg, enum fleet_err err, const char *why)
{
    struct http_request *r = arg;

    if (err == FLEET_OK)
        respond_ok(r);
    else if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, "Product not found");
    else if (err == FLEET_FORBIDDEN)
        respond_forbidden(r, NULL);
    else
        respond_device_err(r, err, why);
}

void events_publish(struct http_request *r)
{
    struct person_event event = {.data = "", .product = http_request_param(r, "product")};
    int64_t ttl_s = TTL_DEFAULT_S;
    bool is_private = true;

    if (body_get_string(&r->body, "name", &event.name) != FIELD_OK) {
        respond_bad_field(r, "name", "must be text that is not empty.");
        return;
    }
    if (body_get_string(&r->body, "data", &event.data) == FIELD_WRONG) {
        respond_bad_field(r, "data", "must be text.");
        return;
    }
    if (body_get_bool(&r->body, "private", &is_private) == FIELD_WRONG) {
        respond_bad_field(r, "private", "must be true or false.");
        return;
    }
    if (body_get_int(&r->body, "ttl", &ttl_s) == FIELD_WRONG || ttl_s < 0 || ttl_s > TTL_MAX_S) {
        respond_bad_field(r, "ttl", "must be a number of seconds from 0 to 16777215.");
        return;
    }
    event.ttl_s = (uint32_t)ttl_s;
    event.is_public = !is_private;
    fleet_publish(r->api->fleet, &r->actor, &event, on_published, r);
}
