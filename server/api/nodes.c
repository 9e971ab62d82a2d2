/* GET /v1/nodes: the processes that serve this fleet, for who operates it. */
#include "api/handlers.h"

#include <unistd.h>

#include "api/http_request.h"
#include "api/respond.h"
#include "device/devices.h"
#include "store/nodes.h"

#define HOST_SIZE 256

static void respond_list(struct http_request *r, json_t *list)
{
    respond_json(r, 200, json_pack("{so}", "nodes", list));
}

/* What it says of itself first, so that it cannot say what others know better. */
static json_t *node(const struct node_seen *seen, bool alive)
{
    json_t *object = json_loads(seen->text, 0, NULL);

    if (!json_is_object(object)) {
        json_decref(object);
        object = json_object();
    }
    (void)json_object_set_new(object, "id", json_integer(seen->id));
    (void)json_object_set_new(object, "incarnation", json_integer((json_int_t)seen->incarnation));
    (void)json_object_set_new(object, "alive", json_boolean(alive));
    (void)json_object_set_new(object, "lease_left_ms", json_integer((json_int_t)seen->lease_left_ms));
    return object;
}

static void on_listed(void *arg, bool ok, const struct node_seen *seen, size_t count)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    if (!ok) {
        http_request_add_header(r, "Retry-After", "1");
        respond_error(r, 503, "Redis cannot be reached at the moment. Please try again.");
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        bool alive = seen[i].lease_left_ms > 0 && nodes_is_alive(fleet_nodes(r->api->fleet), seen[i].id);
        (void)json_array_append_new(list, node(&seen[i], alive));
    }
    respond_list(r, list);
}

/* Without Redis there is this one, which needs no lease. */
static void respond_alone(struct http_request *r)
{
    struct api *api = r->api;
    char host[HOST_SIZE] = "";
    uint64_t sessions = 0, handshakes = 0, uptime_ms = 0;

    (void)gethostname(host, sizeof(host) - 1);
    api->view.fill(api->view.ctx, &sessions, &handshakes, &uptime_ms);
    json_t *alone =
        json_pack("{sisnsbsnsisIsIsI}", "id", (int)fleet_node_id(api->fleet), "incarnation", "alive", 1,
                  "lease_left_ms", "pid", (int)getpid(), "uptime_s", (json_int_t)(uptime_ms / 1000),
                  "sessions", (json_int_t)sessions, "online", (json_int_t)devices_online_count(api->devices));
    json_t *name = json_string(host);
    (void)json_object_set_new(alone, "host", name != NULL ? name : json_null());
    respond_list(r, json_pack("[o]", alone));
}

void nodes_read(struct http_request *r)
{
    struct nodes *nodes = fleet_nodes(r->api->fleet);

    if (nodes != NULL)
        nodes_list(nodes, on_listed, r);
    else
        respond_alone(r);
}
