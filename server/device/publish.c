/* publish.c: events sent to a device (device-protocol 4.9). */
#include <string.h>

#include "base/clock.h"
#include "device/event.h"
#include "device/link.h"
#include "device/text.h"
#include "device/update.h"

#define PUBLISH_TIMEOUT_MS 120000 /* all retransmissions take 90 s at most (device-protocol 3.4) */
#define CONTENT_FORMAT_SINCE 6200 /* before, it would cost the payload (device-protocol 4.9) */
#define TEXT_FORMAT 0

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

static bool send_event(struct device *device, const struct device_event *event)
{
    size_t name_len = strlen(event->name);
    bool has_format = event->content_format != TEXT_FORMAT && device->system_version >= CONTENT_FORMAT_SINCE;
    struct coap_request request = {
        .method = COAP_POST,
        .path = {event->is_public ? "e" : "E", event->name},
        .content_format = has_format ? event->content_format : UINT16_MAX,
        .max_age_s = UINT32_MAX, /* no handler of a device can look at it */
        .payload = event->data,
        .payload_len = event->data_len,
        .ack_is_enough = true,
        .timeout_ms = PUBLISH_TIMEOUT_MS,
    };

    if (!link_is_named(device) || device->quarantined || device->update != NULL)
        return false;
    if (name_len == 0 || name_len > DEVICE_EVENT_NAME_MAX || !text_is_clean(event->name, name_len))
        return false;
    if (event->data_len > DEVICE_EVENT_DATA_MAX)
        return false;
    return coap_request(&device->peer, &request, on_published, device, clock_ms());
}

bool device_publish(struct device *device, const char *name, const char *data)
{
    struct device_event event = {.name = name, .data = (const uint8_t *)data, .data_len = strlen(data)};

    if (event.data_len == 0) /* it crashes Device OS 6.2 (device-trace 5) */
        return false;
    return send_event(device, &event);
}

bool device_deliver(struct device *device, const struct device_event *event)
{
    struct device_event sent = *event;

    if (!device->online || event_kind(event->name, event->data, event->data_len) != DEVICE_EVENT_USER)
        return false;
    if (event->data_len == 0 && event->content_format == TEXT_FORMAT) {
        /* An empty text that is there: without payload, handlers are given NULL for the text they expect. */
        sent.data = (const uint8_t *)"";
        sent.data_len = 1;
    }
    return send_event(device, &sent);
}

/* Device OS before 1.2 does not know these events (device-protocol 5.6). */
static bool tell_of_updates(struct device *device, const char *name, const char *data)
{
    return device->online && (device->hello_flags & HELLO_IMMEDIATE_UPDATES) &&
           device_publish(device, name, data);
}

bool device_tell_update_pending(struct device *device)
{
    return tell_of_updates(device, "particle/device/updates/pending", "true");
}

bool device_force_updates(struct device *device, bool forced)
{
    return tell_of_updates(device, "particle/device/updates/forced", forced ? "true" : "false");
}
