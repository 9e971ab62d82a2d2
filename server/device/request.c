#include "device/request.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "device/presence.h"
#include "device/update_inner.h"

enum gate {
    GATE_OPEN,     /* to anyone who is admitted */
    GATE_PUBLISH,  /* to a device that said Hello, and to a plain client whose key says who it is */
    GATE_NAMED,    /* to a device that said Hello */
    GATE_RFC_ONLY, /* to RFC 7252 clients; Device OS knows nothing of it */
    GATE_NOT_FIRST /* to Device OS after its Hello, to others at any time */
};

/* A path that ends in '/' stands for itself without it and all below. */
static const struct route {
    const char *path;
    uint8_t method;
    enum gate gate;
    request_handler_fn *handle;
} routes[] = {
    {"h", COAP_POST, GATE_OPEN, handle_hello},
    {"t", COAP_GET, GATE_OPEN, handle_time},
    {".well-known/core", COAP_GET, GATE_RFC_ONLY, handle_well_known},
    {"E/", COAP_POST, GATE_PUBLISH, handle_event},
    {"e/", COAP_POST, GATE_PUBLISH, handle_event},
    {"e/", COAP_GET, GATE_NAMED, handle_subscribe},
    {"d", COAP_POST, GATE_NAMED, handle_describe},
    {"x", COAP_POST, GATE_NAMED, handle_goodbye},
    {"A", COAP_POST, GATE_NAMED, handle_update_ack},
    {"c", COAP_GET, GATE_NAMED, handle_update_missed},
    {"u", COAP_PUT, GATE_NAMED, handle_update_done},
    {"L", COAP_POST, GATE_NOT_FIRST, handle_not_implemented},
};

static struct device *device_of(struct coap_peer *peer)
{
    return (struct device *)((char *)peer - offsetof(struct device, peer));
}

static bool is_device_os(const struct device *device)
{
    return device->peer.dialect == COAP_DEVICE_OS;
}

static bool is_at(const struct route *route, const char *path)
{
    size_t len = strlen(route->path);

    if (route->path[len - 1] != '/')
        return strcmp(route->path, path) == 0;
    return strncmp(route->path, path, len - 1) == 0 && (path[len - 1] == '\0' || path[len - 1] == '/');
}

static bool is_hidden(const struct route *route, const struct device *device)
{
    return route->gate == GATE_RFC_ONLY && is_device_os(device);
}

static bool may_pass(const struct route *route, const struct device *device)
{
    if (device->state == LINK_NAMED)
        return true;
    switch (route->gate) {
    case GATE_OPEN:
    case GATE_RFC_ONLY:
        return true;
    case GATE_PUBLISH:
        return link_is_plain_client(device) && device->has_id;
    case GATE_NOT_FIRST:
        return !is_device_os(device);
    case GATE_NAMED:
        return false;
    }
    return false;
}

/* NULL with the reason when there is none or it is not for this device now. */
static const struct route *find_route(const struct device *device, uint8_t method, const char *path,
                                      enum refusal *refusal)
{
    bool is_path_known = false;

    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        const struct route *route = &routes[i];
        if (!is_at(route, path) || is_hidden(route, device))
            continue;
        is_path_known = true;
        if (route->method != method)
            continue;
        *refusal = REFUSED_BEFORE_HELLO;
        return may_pass(route, device) ? route : NULL;
    }
    if (is_device_os(device) && device->state != LINK_NAMED)
        *refusal = REFUSED_BEFORE_HELLO;
    else
        *refusal = is_path_known ? REFUSED_WRONG_METHOD : REFUSED_UNKNOWN_PATH;
    return NULL;
}

/* Device OS counts its messages on for as long as a session lasts (device-protocol 3.3): the number that ends
 * in this mid and is nearest to the newest. */
uint32_t request_number(const struct device *device, uint16_t mid)
{
    int32_t ahead = (int16_t)(mid - (uint16_t)device->mid_top);

    return device->mid_top + (uint32_t)ahead;
}

static void note_number(struct device *device, uint16_t mid)
{
    uint32_t number = request_number(device, mid);

    if ((int32_t)(number - device->mid_top) > 0)
        device->mid_top = number;
}

static void on_request(struct coap_peer *peer, struct coap_inbound *in, const struct coap_message *m,
                       const char *path, const uint8_t *body, size_t body_len)
{
    struct device_request r = {
        .device = device_of(peer),
        .in = in,
        .m = m,
        .path = path,
        .body = body,
        .body_len = body_len,
        .now_ms = clock_ms(),
    };

    enum refusal refusal;
    note_number(r.device, m->mid);
    const struct route *route = find_route(r.device, m->code, path, &refusal);
    if (route != NULL)
        route->handle(&r);
    else
        request_refuse(&r, refusal, "");
}

/* Whether a body may come in blocks. Before Hello only an event may: all else that is heard then fits into
 * one message. */
static uint8_t on_admits(struct coap_peer *peer, const struct coap_message *m, const char *path)
{
    struct device *device = device_of(peer);
    enum refusal refusal;
    const struct route *route = find_route(device, m->code, path, &refusal);

    if (route != NULL && route->gate == GATE_PUBLISH && device->quarantined)
        refusal = REFUSED_QUARANTINED;
    else if (route != NULL && (route->gate == GATE_PUBLISH || device->state == LINK_NAMED))
        return COAP_EMPTY;
    else if (route != NULL)
        refusal = REFUSED_BEFORE_HELLO;
    link_refused(device, refusal, "");
    return refusal_code(refusal);
}

static void on_send(struct coap_peer *peer, const uint8_t *data, size_t data_len)
{
    struct device *device = device_of(peer);

    if (device->session != NULL)
        dtls_send(device->session, data, data_len); /* false: as if lost */
}

static void on_inbound_dropped(struct coap_peer *peer, struct coap_inbound *in)
{
    struct device_wait *wait;

    DL_FOREACH (device_of(peer)->waits, wait) {
        if (wait->in == in)
            wait->in = NULL;
    }
}

static void on_unreachable(struct coap_peer *peer)
{
    presence_unreachable(device_of(peer), clock_ms());
}

static void on_stray(struct coap_peer *peer, const struct coap_message *m)
{
    update_stray(device_of(peer), m);
}

const struct coap_peer_ops request_ops = {
    .send = on_send,
    .request = on_request,
    .admits = on_admits,
    .inbound_dropped = on_inbound_dropped,
    .unreachable = on_unreachable,
    .stray = on_stray,
};

static void answer(struct device *device, struct coap_inbound *in, bool confirmable, uint8_t code)
{
    if (!confirmable && is_device_os(device))
        code = COAP_EMPTY;
    coap_answer(&device->peer, in, code, UINT16_MAX, NULL, 0, clock_ms());
}

void request_answer(const struct device_request *r, uint8_t code)
{
    answer(r->device, r->in, r->m->type == COAP_CON, code);
}

void request_refuse(const struct device_request *r, enum refusal refusal, const char *why)
{
    link_refused(r->device, refusal, why);
    request_answer(r, refusal_code(refusal));
}

bool request_accepts(const struct device_request *r, uint16_t content_format)
{
    struct coap_option option;
    uint32_t value;

    if (!coap_option_find(r->m, COAP_OPT_ACCEPT, &option))
        return true;
    if (coap_option_uint(&option, &value) && value == content_format)
        return true;
    request_refuse(r, REFUSED_NOT_ACCEPTABLE, "");
    return false;
}

void handle_not_implemented(const struct device_request *r)
{
    request_refuse(r, REFUSED_NOT_IMPLEMENTED, r->path);
}

void *request_wait(const struct device_request *r, size_t size, device_verdict_fn *on_verdict)
{
    struct device_wait *wait = mem_alloc(size);

    wait->device = r->device;
    wait->in = r->in;
    wait->on_verdict = on_verdict;
    wait->confirmable = r->m->type == COAP_CON;
    DL_APPEND(r->device->waits, wait);
    r->device->pending++;
    return wait;
}

void request_done(void *arg, enum device_verdict verdict)
{
    struct device_wait *wait = arg;
    struct device *device = wait->device;

    if (device->session != NULL) {
        DL_DELETE(device->waits, wait);
        if (device->state != LINK_ENDING)
            wait->on_verdict(device, wait, verdict);
    }
    free(wait);
    device->pending--;
    link_release(device);
}

void request_waits_end(struct device *device)
{
    struct device_wait *wait, *next;

    DL_FOREACH_SAFE (device->waits, wait, next) {
        DL_DELETE(device->waits, wait);
        wait->in = NULL;
    }
}

void wait_answer(struct device_wait *wait, enum device_verdict verdict, enum refusal rejected)
{
    switch (verdict) {
    case DEVICE_STORED:
        answer(wait->device, wait->in, wait->confirmable, COAP_EMPTY);
        return;
    case DEVICE_REJECTED:
    case DEVICE_FULL:
        wait_refuse(wait, rejected);
        return;
    case DEVICE_BUSY:
        wait_refuse(wait, REFUSED_STORE_BUSY);
        return;
    }
}

void wait_refuse(struct device_wait *wait, enum refusal refusal)
{
    link_refused(wait->device, refusal, "");
    answer(wait->device, wait->in, wait->confirmable, refusal_code(refusal));
}

void wait_forget(struct device_wait *wait)
{
    if (!is_device_os(wait->device)) { /* it may have been acknowledged already, and then is not sent again */
        wait_refuse(wait, REFUSED_STORE_BUSY);
        return;
    }
    link_refused(wait->device, REFUSED_STORE_BUSY, "");
    coap_forget(&wait->device->peer, wait->in);
}
