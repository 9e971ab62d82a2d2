/* GET /health: whether this node can do its work now. No token. */
#include "api/handlers.h"

#include "api/http_request.h"
#include "api/respond.h"
#include "device/devices.h"

void health_read(struct http_request *r)
{
    struct api *api = r->api;
    uint64_t sessions = 0, handshakes = 0, uptime_ms = 0;
    bool up = fleet_is_up(api->fleet);
    json_t *answer;

    api->view.fill(api->view.ctx, &sessions, &handshakes, &uptime_ms);
    answer =
        json_pack("{sbsbsIsIsIsI}", "ok", (int)up, "postgres", (int)up, "devices_online",
                  (json_int_t)devices_online_count(api->devices), "sessions", (json_int_t)sessions,
                  "handshakes_in_flight", (json_int_t)handshakes, "uptime_s", (json_int_t)(uptime_ms / 1000));
    if (!up) {
        (void)json_object_set_new(answer, "error",
                                  json_string("The database cannot be reached at the moment."));
        http_request_add_header(r, "Retry-After", "1");
    }
    respond_json(r, up ? 200 : 503, answer);
}
