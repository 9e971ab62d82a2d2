/* publish.c: events sent to a device (device-protocol 4.9). */
#include <string.h>

#include "base/clock.h"
#include "device/link.h"
#include "device/text.h"

#define PUBLISH_TIMEOUT_MS 120000 /* all retransmissions take 90 s at most (device-protocol 3.4) */

static void on_published(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                         const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    (void)arg; /* one that is lost counts as unreachable: the peer says so by itself */
    (void)outcome;
    (void)response;
    (void)body;
    (void)body_len;
    (void)rtt_ms;
}

bool device_publish(struct device *device, const char *name, const char *data)
{
    size_t name_len = strlen(name), data_len = strlen(data);
    struct coap_request request = {
        .method = COAP_POST,
        .path = {"E", name},
        .content_format = UINT16_MAX, /* before 6.2 it would cost the payload (device-protocol 4.9) */
        .max_age_s = UINT32_MAX,
        .payload = (const uint8_t *)data,
        .payload_len = data_len,
        .ack_is_enough = true,
        .timeout_ms = PUBLISH_TIMEOUT_MS,
    };

    if (!link_is_named(device) || device->quarantined)
        return false;
    if (name_len == 0 || name_len > DEVICE_EVENT_NAME_MAX || !text_is_clean(name, name_len))
        return false;
    if (data_len == 0 ||
        data_len > DEVICE_EVENT_DATA_MAX) /* empty, it crashes Device OS 6.2 (device-trace 5) */
        return false;
    return coap_request(&device->peer, &request, on_published, device, clock_ms());
}
