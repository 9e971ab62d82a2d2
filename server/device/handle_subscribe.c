#include "device/request.h"
#include "device/subscription.h"

static void on_verdict(struct device *device, struct device_wait *wait, enum device_verdict verdict)
{
    (void)device;
    if (verdict == DEVICE_FULL)
        wait_refuse(wait, REFUSED_SUBSCRIPTIONS_TOO_MANY);
    else
        wait_answer(wait, verdict, REFUSED_SUBSCRIPTION_REJECTED);
}

/* The list is kept where it is stored: a device states it once in a session that may lie dormant for weeks.
 */
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
    device->all->subscriptions->value++;
    struct device_wait *wait = request_wait(r, sizeof(*wait), on_verdict);
    link_fill_facts(device, &facts);
    device->all->ops.subscription(device->all->ops.ctx, &facts, &subscription, device->hellos, request_done,
                                  wait);
}
