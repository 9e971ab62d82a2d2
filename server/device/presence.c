#include "device/presence.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"

#define HEARD_EVERY_MS 1000
/* A message of ours is given up after 60 s and more (device-protocol 3.6). Whoever was heard this recently is
 * there. */
#define THERE_MS 30000

static void on_silence(struct deadline *d, uint64_t now_ms)
{
    struct device *device = (struct device *)((char *)d - offsetof(struct device, watch));

    if (device->session->heard_ms + device->all->settings.offline_after_ms > now_ms)
        presence_watch(device, now_ms);
    else
        presence_end(device, DEVICE_OFFLINE_SILENT, NULL);
}

void presence_watch(struct device *device, uint64_t now_ms)
{
    uint64_t heard_ms = device->session->heard_ms < now_ms ? device->session->heard_ms : now_ms;

    if (device->online)
        deadline_set(device->all->deadlines, &device->watch,
                     heard_ms + device->all->settings.offline_after_ms, on_silence);
}

void presence_begin(struct device *device, bool resumed, uint64_t now_ms)
{
    struct device_facts facts;
    char name[DEVICE_ID_TEXT_SIZE], release[16];

    if (device->online)
        return;
    device->online = true;
    device->said_goodbye = false;
    device->heard_told_ms = now_ms;
    device->all->online->value++;
    presence_watch(device, now_ms);
    link_fill_facts(device, &facts);
    log_info("device.online session=%016" PRIx64 " device=%s address=%s system=%s resumed=%d quarantined=%d",
             facts.session_id, link_name(device, name), facts.address,
             hello_system_release(device->system_version, release), resumed, facts.quarantined);
    device->all->ops.online(device->all->ops.ctx, &facts, resumed);
}

void presence_end(struct device *device, enum device_offline_reason reason,
                  const struct device_goodbye *goodbye)
{
    struct device_facts facts;
    char name[DEVICE_ID_TEXT_SIZE];

    if (!device->online)
        return;
    device->online = false;
    device->all->online->value--;
    deadline_cancel(device->all->deadlines, &device->watch);
    link_fill_facts(device, &facts);
    log_info("device.offline session=%016" PRIx64 " device=%s reason=%s", facts.session_id,
             link_name(device, name), device_offline_reason_name(reason));
    device->all->ops.offline(device->all->ops.ctx, &facts, reason, goodbye);
}

/* The goodbye sent again, because our acknowledgement was lost, or an acknowledgement on the way out: no new
 * word. */
static bool is_afterword(const struct device *device, const uint8_t *data, size_t data_len)
{
    if (!device->said_goodbye || data_len < 4)
        return false;
    unsigned type = data[0] >> 4 & 3;
    if (type == COAP_ACK || type == COAP_RST)
        return true;
    return data[1] == COAP_POST && be16_load(data + 2) == device->goodbye_mid;
}

void presence_heard(struct device *device, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    struct device_facts facts;

    if (device->state == LINK_NAMED && !device->online && !is_afterword(device, data, data_len)) {
        presence_begin(device, true, now_ms);
        return;
    }
    if (!device->online && !link_is_plain_client(device))
        return;
    if (!device->has_id || now_ms < device->heard_told_ms + HEARD_EVERY_MS)
        return;
    device->heard_told_ms = now_ms;
    link_fill_facts(device, &facts);
    device->all->ops.heard(device->all->ops.ctx, &facts, clock_wall_ms());
}

void presence_unreachable(struct device *device, uint64_t now_ms)
{
    if (device->session->heard_ms + THERE_MS <= now_ms)
        presence_end(device, DEVICE_OFFLINE_UNREACHABLE, NULL);
}
