/* GET .../events[/PREFIX]: what devices, people and the server publish, as it happens (rest-api 3). */
#include "api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "api/http_request.h"
#include "api/respond.h"
#include "api/streams.h"
#include "base/mem.h"

static enum stream_scope scope_of(const struct http_request *r, const struct stream_grant *grant)
{
    if (grant->has_product)
        return grant->has_device ? STREAM_PRODUCT_DEVICE : STREAM_PRODUCT;
    if (grant->has_device)
        return r->actor.role == FLEET_OWNER ? STREAM_DEVICE : STREAM_ANY_DEVICE;
    return strncmp(r->route->pattern, "/v1/events/", 11) == 0 ? STREAM_PUBLIC : STREAM_MINE;
}

/* False: the prefix is longer than any name. */
static bool read_prefix(const struct http_request *r, struct stream_key *key)
{
    char *prefix = http_request_rest(r);
    size_t len = prefix != NULL ? strlen(prefix) : 0;
    bool fits = len <= sizeof(key->prefix);

    if (fits && len > 0)
        memcpy(key->prefix, prefix, len);
    key->prefix_len = fits ? (uint8_t)len : 0;
    free(prefix);
    return fits;
}

static void on_granted(void *arg, enum fleet_err err, const struct stream_grant *grant)
{
    struct http_request *r = arg;
    struct stream_right right = {.token_id = r->actor.token_id};
    struct stream_key key;

    if (!http_request_continue(r))
        return;
    if (err == FLEET_NOT_FOUND && grant->lacks_product) {
        respond_error(r, 404, "Product not found");
        return;
    }
    if (err == FLEET_FORBIDDEN && grant->lacks_product) {
        respond_forbidden(r, NULL);
        return;
    }
    if (err != FLEET_OK) {
        respond_device_err(
            r, err, err == FLEET_CONFLICT ? "Several devices have that name: name it by its id." : NULL);
        return;
    }
    memset(&key, 0, sizeof(key));
    key.scope = scope_of(r, grant);
    if (grant->has_device)
        key.device = right.device = grant->device;
    if (grant->has_product)
        key.of = right.product_id = grant->product_id;
    else if (key.scope != STREAM_ANY_DEVICE)
        key.of = r->actor.user_id;
    right.has_device = grant->has_device;
    right.has_product = grant->has_product;
    if (!read_prefix(r, &key)) {
        respond_error(r, 400, "The prefix is longer than any event name: at most 64 bytes.");
        return;
    }
    streams_open(r->api->streams, r, &key, &right);
}

void events_stream(struct http_request *r)
{
    const char *product = http_request_param(r, "product"), *device = http_request_param(r, "device");

    streams_follow(r->api->streams);
    fleet_open_stream(r->api->fleet, &r->actor, product, device, on_granted, r);
}

void events_stream_without_prefix(struct http_request *r)
{
    respond_error(r, 400, "event prefix filter is required");
}
