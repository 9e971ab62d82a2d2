/* POST or PUT /v1/devices/:device/ping: is it there now? Asks the device itself. */
#include "api/handlers.h"

#include "api/http_request.h"
#include "api/respond.h"
#include "device/devices.h"
#include "fleet/device_query.h"

#define PING_TIMEOUT_MS 10000

static void respond_presence(struct http_request *r, bool online)
{
    respond_json(r, 200, json_pack("{sbsb}", "online", (int)online, "ok", 1));
}

static void on_pong(void *arg, enum device_ask ask, uint32_t rtt_ms)
{
    struct http_request *r = arg;

    if (ask != DEVICE_ANSWERED)
        respond_presence(r, false);
    else
        respond_json(r, 200, json_pack("{sbsbsI}", "online", 1, "ok", 1, "rtt_ms", (json_int_t)rtt_ms));
}

static void on_known(void *arg, enum fleet_err err, const struct fleet_device *found)
{
    struct http_request *r = arg;
    struct device *device;

    if (!http_request_continue(r))
        return;
    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    device = devices_find(r->api->devices, &found->id);
    if (device == NULL)
        respond_presence(r, false); /* not an error (rest-api 2) */
    else
        device_ping(device, PING_TIMEOUT_MS, on_pong, r);
}

void ping_device(struct http_request *r)
{
    fleet_get_device(r->api->fleet, &r->actor, http_request_device(r), on_known, r);
}
