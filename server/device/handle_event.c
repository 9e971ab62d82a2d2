#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "device/event.h"
#include "device/request.h"

static void on_verdict(struct device *device, struct device_wait *wait, enum device_verdict verdict)
{
    (void)device;
    wait_answer(wait, verdict, REFUSED_EVENT_REJECTED);
}

#define KEY_BY_MID ((uint64_t)1 << 63)

/* The same event said again gets the same key, also when another node, or this one after a crash, hears it:
 * for that Device OS counts its messages. What another client says again while this process lives is no new
 * message (struct coap_peer remembers it). */
static void write_key(uint8_t key[16], const struct device_request *r)
{
    struct device *device = r->device;
    struct bytes_writer w;

    bytes_writer_init(&w, key, 16);
    bytes_put_be64(&w, device->session->id);
    if (device->peer.dialect == COAP_DEVICE_OS)
        bytes_put_be64(&w, KEY_BY_MID | request_number(device, r->m->mid));
    else
        bytes_put_be64(&w, ++device->event_number);
}

/* What a system that does not state it in its Hello says of updates (device-protocol 4.11). Checked: a
 * decimal number. */
static void note_limits(struct device *device, const struct device_event *event)
{
    char text[11];

    if (event->kind != DEVICE_EVENT_MAX_BINARY && event->kind != DEVICE_EVENT_CHUNK_BYTES)
        return;
    memcpy(text, event->data, event->data_len);
    text[event->data_len] = '\0';
    unsigned long value = strtoul(text, NULL, 10);
    if (event->kind == DEVICE_EVENT_MAX_BINARY)
        device->max_binary_bytes = (uint32_t)value;
    else if (value <= UINT16_MAX)
        device->chunk_bytes = (uint16_t)value;
    dtls_changed(device->session);
}

void handle_event(const struct device_request *r)
{
    struct device *device = r->device;
    struct device_event event;
    struct device_facts facts;

    if (device->quarantined) {
        request_refuse(r, REFUSED_QUARANTINED, "");
        return;
    }
    enum refusal refusal = event_parse(&event, r->m, r->path, r->body, r->body_len);
    if (refusal != REFUSED_NOT) {
        request_refuse(r, refusal, "");
        return;
    }
    event.received_wall_ms = clock_wall_ms();
    write_key(event.key, r);
    note_limits(device, &event);
    device->all->events->value++;
    struct device_wait *wait = request_wait(r, sizeof(*wait), on_verdict);
    link_fill_facts(device, &facts);
    device->all->ops.event(device->all->ops.ctx, &facts, &event, request_done, wait);
}
