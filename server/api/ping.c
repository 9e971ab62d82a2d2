/* POST or PUT /v1/devices/:device/ping: is it there now? Asks the device itself. */
#include "api/handlers.h"

#include "api/reached.h"
#include "api/respond.h"

#define PING_TIMEOUT_MS 10000

static void on_pong(void *arg, const struct device_answer *answer)
{
    struct http_request *r = arg;

    if (answer->ask != DEVICE_ANSWERED) /* not an error (rest-api 2) */
        respond_json(r, 200, json_pack("{sbsb}", "online", 0, "ok", 1));
    else
        respond_json(r, 200,
                     json_pack("{sbsbsI}", "online", 1, "ok", 1, "rtt_ms", (json_int_t)answer->rtt_ms));
}

static void on_known(void *arg, enum fleet_err err, const struct fleet_device *device)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    if (err != FLEET_OK)
        respond_device_err(r, err, NULL);
    else
        reached_ask(r, &device->id,
                    &(struct reach_question){.kind = REACH_PING, .timeout_ms = PING_TIMEOUT_MS}, on_pong);
}

void ping_device(struct http_request *r)
{
    fleet_get_device(r->api->fleet, &r->actor, http_request_device(r), on_known, r);
}
