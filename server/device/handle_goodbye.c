#include "device/goodbye.h"
#include "device/presence.h"
#include "device/request.h"

void handle_goodbye(const struct device_request *r)
{
    struct device *device = r->device;
    struct device_goodbye goodbye;

    if (!goodbye_parse(&goodbye, r->body, r->body_len)) {
        request_refuse(r, REFUSED_GOODBYE_MALFORMED, "");
        return;
    }
    device->all->goodbyes->value++;
    request_answer(r, COAP_EMPTY); /* before the rest: the device waits no longer than this takes */
    device->said_goodbye = true;
    device->goodbye_mid = r->m->mid;
    presence_end(device, DEVICE_OFFLINE_GOODBYE, &goodbye);
}
