/* GET /v1/devices/:device/update_plan?release=: how this device would get to a release, step by step, and
 * why; or what keeps it from it. Nothing is changed. */
#include "api/handlers.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/planner.h"

static void on_plan(void *arg, enum fleet_err err, const struct planner_answer *answer, const char *why)
{
    struct http_request *r = arg;

    if (err == FLEET_OK)
        respond_json(r, 200, json_pack("{s:o}", "plan", planner_json(answer)));
    else if (err == FLEET_NOT_FOUND && why[0] != '\0')
        respond_error(r, 404, why);
    else
        respond_device_err(r, err, why);
}

void update_plan_read(struct http_request *r)
{
    const char *release = http_request_query(r, "release");

    if (release == NULL || release[0] == '\0') {
        respond_bad_field(r, "release", "must name a release, or be its id.");
        return;
    }
    planner_ask(r->api->fleet, &r->actor, http_request_device(r), release, on_plan, r);
}
