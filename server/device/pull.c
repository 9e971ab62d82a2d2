#include "device/pull.h"

#include "base/clock.h"

#define PULL_TRIES_MAX 6
#define PULL_AGAIN_MS 10000 /* doubling: 10 s to 160 s */
#define PULL_TIMEOUT_MS 60000

static void ask_next(struct device *device);

static void on_again(struct deadline *d, uint64_t now_ms)
{
    struct device *device = (struct device *)((char *)d - offsetof(struct device, due));

    (void)now_ms;
    ask_next(device);
}

static void on_pulled(void *arg, enum device_ask ask)
{
    struct device *device = arg;

    device->is_pulling = false;
    if (device->state != LINK_NAMED || ask == DEVICE_NOT_CONNECTED)
        return;
    if (ask == DEVICE_ANSWERED) {
        device->pull_left &= (uint8_t)~device->pull_part;
        device->pull_tries = 0;
        ask_next(device);
    } else if (++device->pull_tries < PULL_TRIES_MAX)
        deadline_set(device->all->deadlines, &device->due,
                     clock_ms() + ((uint64_t)PULL_AGAIN_MS << (device->pull_tries - 1)), on_again);
}

static void ask_next(struct device *device)
{
    if (device->pull_left == 0 || device->is_pulling)
        return;
    if (device->update != NULL) { /* not disturbed by this */
        deadline_set(device->all->deadlines, &device->due, clock_ms() + PULL_AGAIN_MS, on_again);
        return;
    }
    device->pull_part = device->pull_left & DESCRIBE_SYSTEM ? DESCRIBE_SYSTEM : DESCRIBE_APPLICATION;
    device->is_pulling = true;
    device_pull_describe(device, (enum describe_part)device->pull_part, PULL_TIMEOUT_MS, on_pulled, device);
}

void pull_begin(struct device *device, uint64_t now_ms)
{
    device->pull_left = DESCRIBE_SYSTEM | DESCRIBE_APPLICATION;
    device->pull_tries = 0;
    /* From the deadline, not from here: the answer to the Hello goes out first. */
    deadline_set(device->all->deadlines, &device->due, now_ms, on_again);
}
