#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/request.h"
#include "device/subscription.h"

struct subscribe_wait {
    struct device_wait wait; /* first */
    struct device_subscription subscription;
};

static size_t find(const struct device *device, const struct device_subscription *subscription)
{
    size_t i = 0;

    while (i < device->subscription_count && !subscription_equal(&device->subscriptions[i], subscription))
        i++;
    return i;
}

/* False when the list is full. Devices repeat themselves and never take one back: it is a set
 * (device-protocol 4.8). */
static bool add(struct device *device, const struct device_subscription *subscription)
{
    if (find(device, subscription) < device->subscription_count)
        return true;
    if (device->subscription_count == DEVICE_SUBSCRIPTIONS_MAX)
        return false;
    device->subscriptions =
        mem_grow(device->subscriptions, device->subscription_count + 1u, sizeof(device->subscriptions[0]));
    device->subscriptions[device->subscription_count++] = *subscription;
    return true;
}

static void drop(struct device *device, const struct device_subscription *subscription)
{
    size_t i = find(device, subscription);

    if (i == device->subscription_count)
        return;
    device->subscription_count--;
    memmove(&device->subscriptions[i], &device->subscriptions[i + 1],
            (device->subscription_count - i) * sizeof(device->subscriptions[0]));
}

static void on_verdict(struct device *device, struct device_wait *wait, enum device_verdict verdict)
{
    const struct subscribe_wait *remembered = (const struct subscribe_wait *)wait;

    if (verdict == DEVICE_REJECTED)
        drop(device, &remembered->subscription);
    wait_answer(wait, verdict, REFUSED_SUBSCRIPTION_REJECTED);
}

void handle_subscribe(const struct device_request *r)
{
    struct device *device = r->device;
    struct device_subscription subscription;
    struct device_facts facts;

    if (device->quarantined) {
        request_refuse(r, REFUSED_QUARANTINED, "");
        return;
    }
    if (!subscription_parse(&subscription, r->m, r->path, r->body, r->body_len, device->system_version)) {
        request_refuse(r, REFUSED_SUBSCRIPTION_MALFORMED, "");
        return;
    }
    if (!add(device, &subscription)) {
        request_refuse(r, REFUSED_SUBSCRIPTIONS_TOO_MANY, "");
        return;
    }
    device->all->subscriptions->value++;
    struct subscribe_wait *remembered = request_wait(r, sizeof(*remembered), on_verdict);
    remembered->subscription = subscription;
    link_fill_facts(device, &facts);
    device->all->ops.subscriptions(device->all->ops.ctx, &facts, device->subscriptions,
                                   device->subscription_count, ++device->event_number, request_done,
                                   remembered);
}
