#include "base/bytes.h"
#include "base/clock.h"
#include "device/request.h"

#define FORMAT_OCTET_STREAM 42

/* Seconds since 1970, 4 bytes, big-endian. Device OS reads bytes 6 to 9 of the message and nothing else: one
 * byte of token, no options (device-protocol 4.12). */
void handle_time(const struct device_request *r)
{
    bool device_os = r->device->peer.dialect == COAP_DEVICE_OS;
    uint8_t seconds[4];

    if (device_os && r->m->token_len != 1) {
        request_refuse(r, REFUSED_TIME_TOKEN, "");
        return;
    }
    if (!device_os && !request_accepts(r, FORMAT_OCTET_STREAM))
        return;
    r->device->all->times->value++;
    be32_store(seconds, (uint32_t)(clock_wall_ms() / 1000));
    coap_answer(&r->device->peer, r->in, COAP_205_CONTENT, device_os ? UINT16_MAX : FORMAT_OCTET_STREAM,
                seconds, sizeof(seconds), r->now_ms);
}
