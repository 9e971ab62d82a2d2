/* update_legacy.c: versions 1 and 2 of the protocol, of systems before 3.0 (device-protocol 5.2). */
#include "device/request.h"
#include "device/update_inner.h"

static bool start(struct device_update *update, uint64_t now_ms)
{
    (void)update;
    (void)now_ms;
    return false;
}

const struct update_protocol update_legacy = {.version = 2, .start = start};

void handle_update_missed(const struct device_request *r)
{
    request_answer(r, COAP_EMPTY);
}

void handle_update_done(const struct device_request *r)
{
    request_answer(r, COAP_EMPTY);
}
