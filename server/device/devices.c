#include "device/devices.h"

#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "device/link.h"
#include "device/plain.h"
#include "device/presence.h"
#include "device/request.h"

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
    slab_init(&all->memory, sizeof(struct device));
    all->wheel = presence_wheel_new(all);
    coap_metrics_init(&all->coap, metrics);
    all->coap_room = (struct coap_room){&request_ops, deadlines, &all->coap};
    refusal_register(all->refused, metrics);
    update_pacer_init(&all->pacer, deadlines, metrics);
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
    all->settings.offline_after_ms = offline_after_ms;
    presence_watch_anew(all, clock_ms());
}

void devices_release(struct devices *all)
{
    slab_deinit(&all->memory);
    free(all);
}

void devices_free(struct devices *all)
{
    must(all->fresh == NULL && all->idle == NULL && all->by_id.count == 0);
    presence_wheel_free(all->wheel);
    update_pacer_deinit(&all->pacer);
    all->wheel = NULL;
    table_deinit(&all->by_id);
    table_deinit(&all->plain);
    all->closed = true;
    if (all->count == 0)
        devices_release(all); /* else the last callback that is awaited does it */
}

void devices_tell_online(struct devices *all)
{
    presence_tell_again(all);
}

size_t devices_online_count(const struct devices *all)
{
    return (size_t)all->online->value;
}

struct device *devices_find(struct devices *all, const struct device_id *id)
{
    return link_find(all, id);
}

static bool revoke_one(struct device *device, const struct device_id *id)
{
    if (!device->has_id || !device_id_equal(&device->id, id) || device->state == LINK_ENDING)
        return false;
    link_end(device, SESSION_END_REVOKED, true);
    return true;
}

bool devices_revoke(struct devices *all, const struct device_id *id)
{
    struct device *device, *next, *named = link_find(all, id);
    bool found = named != NULL && revoke_one(named, id);

    found = plain_revoke(all, id, revoke_one) || found;
    DL_FOREACH_SAFE (all->fresh, device, next) {
        found = revoke_one(device, id) || found;
    }
    return found;
}
