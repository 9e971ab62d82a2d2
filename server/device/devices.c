#include "device/devices.h"

#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "device/link.h"
#include "device/presence.h"

const char *device_offline_reason_name(enum device_offline_reason reason)
{
    static const char *const names[] = {
        [DEVICE_OFFLINE_GOODBYE] = "goodbye",         [DEVICE_OFFLINE_SILENT] = "silent",
        [DEVICE_OFFLINE_CLOSED] = "closed",           [DEVICE_OFFLINE_REPLACED] = "replaced",
        [DEVICE_OFFLINE_UNREACHABLE] = "unreachable", [DEVICE_OFFLINE_REVOKED] = "revoked",
        [DEVICE_OFFLINE_EXPIRED] = "expired",         [DEVICE_OFFLINE_SHUTDOWN] = "shutdown",
    };

    must((size_t)reason < sizeof(names) / sizeof(names[0]));
    return names[reason];
}

static struct metric *add_message(struct metrics *metrics, const char *label)
{
    return metrics_add(metrics, METRIC_COUNTER, "cyan_device_messages_total", label,
                       "Messages accepted from devices");
}

struct devices *devices_new(struct deadlines *deadlines, const struct device_ops *ops,
                            struct metrics *metrics, const struct devices_settings *settings)
{
    struct devices *all = mem_alloc(sizeof(*all));

    all->deadlines = deadlines;
    all->ops = *ops;
    all->settings = *settings;
    coap_metrics_init(&all->coap, metrics);
    refusal_register(all->refused, metrics);
    all->online =
        metrics_add(metrics, METRIC_GAUGE, "cyan_devices_online", NULL, "Devices online on this node");
    all->hellos = add_message(metrics, "message=\"hello\"");
    all->goodbyes = add_message(metrics, "message=\"goodbye\"");
    all->describes = add_message(metrics, "message=\"describe\"");
    all->events = add_message(metrics, "message=\"event\"");
    all->subscriptions = add_message(metrics, "message=\"subscribe\"");
    all->times = add_message(metrics, "message=\"time\"");
    return all;
}

void devices_set_offline_after(struct devices *all, uint64_t offline_after_ms)
{
    struct device *device;

    all->settings.offline_after_ms = offline_after_ms;
    DL_FOREACH (all->list, device) {
        presence_watch(device, clock_ms());
    }
}

void devices_free(struct devices *all)
{
    must(all->list == NULL);
    all->closed = true;
    if (all->count == 0)
        free(all); /* else the last callback that is awaited does it */
}

size_t devices_online_count(const struct devices *all)
{
    return (size_t)all->online->value;
}

struct device *devices_find(struct devices *all, const struct device_id *id)
{
    struct device *device;

    HASH_FIND(by_id, all->by_id, id->bytes, DEVICE_ID_BYTES, device);
    return device;
}

/* Looks at every session: plain clients, and devices before their Hello, are not found by ID. Keys are
 * revoked by people. */
bool devices_revoke(struct devices *all, const struct device_id *id)
{
    struct device *device, *next;
    bool found = false;

    DL_FOREACH_SAFE (all->list, device, next) {
        if (!device->has_id || !device_id_equal(&device->id, id) || device->state == LINK_ENDING)
            continue;
        link_end(device, SESSION_END_REVOKED, true);
        found = true;
    }
    return found;
}
