/* POST /v1/diagnostics/:device/update: asks the device for its vitals, which are stored when they come. */
#include "api/handlers.h"

#include "api/reached.h"
#include "api/respond.h"

static void on_described(void *arg, const struct device_answer *answer)
{
    (void)arg; /* whoever asked has been answered long since */
    (void)answer;
}

static void on_known(void *arg, enum fleet_err err, const struct fleet_device *device)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    if (!device->connected) {
        respond_error(r, 408, "Timed out.");
        return;
    }
    reach_ask(fleet_reach(r->api->fleet), &device->id,
              &(struct reach_question){
                  .kind = REACH_DESCRIBE, .timeout_ms = REACHED_TIMEOUT_MS, .part = DESCRIBE_METRICS},
              on_described, NULL);
    respond_json(r, 202, json_pack("{sb}", "ok", 1));
}

void vitals_update(struct http_request *r)
{
    fleet_get_device(r->api->fleet, &r->actor, http_request_device(r), on_known, r);
}
