#include "swarm_schedule.h"
#include "base/clock.h"
#include "swarm_talk.h"
#include "swarm_update.h"

#define DEVICE_OF(deadline, member)                                                                          \
    ((struct swarm_device *)(void *)((char *)(deadline)-offsetof(struct swarm_device, member)))

static void on_publish(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_device *d = DEVICE_OF(deadline, publish);

    deadline_set(&d->world->loop.deadlines, &d->publish, now_ms + d->world->event_interval_ms, on_publish);
    if (d->state == SWARM_DEVICE_ONLINE && !swarm_update_is_busy(d))
        swarm_talk_tick(d);
}

static void on_rebind(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_device *d = DEVICE_OF(deadline, rebind);

    deadline_set(&d->world->loop.deadlines, &d->rebind, now_ms + d->world->rebind_every_ms, on_rebind);
    (void)!swarm_device_rebind(d);
}

static void on_resume(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_device *d = DEVICE_OF(deadline, resume);

    deadline_set(&d->world->loop.deadlines, &d->resume, now_ms + d->world->resume_every_ms, on_resume);
    (void)!swarm_device_resume(d);
}

static void on_cycle(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_device *d = DEVICE_OF(deadline, cycle);

    if (!swarm_device_goodbye(d, d->world->sleep_ms)) /* not online: try again soon */
        deadline_set(&d->world->loop.deadlines, &d->cycle, now_ms + d->world->sleep_ms / 4 + 1, on_cycle);
}

static uint64_t first_time(uint64_t from_ms, uint64_t every_ms)
{
    uint32_t random;

    swarm_random(&random, sizeof(random));
    return from_ms + 1 + random % every_ms;
}

void swarm_schedule_start(struct swarm_device *d, uint64_t from_ms)
{
    struct swarm_world *w = d->world;
    struct deadlines *all = &w->loop.deadlines;

    if (w->event_interval_ms)
        deadline_set(all, &d->publish, first_time(from_ms, w->event_interval_ms), on_publish);
    if (w->rebind_every_ms)
        deadline_set(all, &d->rebind, first_time(from_ms, w->rebind_every_ms), on_rebind);
    if (w->resume_every_ms)
        deadline_set(all, &d->resume, first_time(from_ms, w->resume_every_ms), on_resume);
    if (w->sleep_ms)
        deadline_set(all, &d->cycle, from_ms + w->sleep_ms, on_cycle);
}

void swarm_schedule_awake(struct swarm_device *d)
{
    if (d->world->sleep_ms)
        deadline_set(&d->world->loop.deadlines, &d->cycle, clock_ms() + d->world->sleep_ms, on_cycle);
}

void swarm_schedule_stop(struct swarm_device *d)
{
    struct deadlines *all = &d->world->loop.deadlines;

    deadline_cancel(all, &d->publish);
    deadline_cancel(all, &d->rebind);
    deadline_cancel(all, &d->resume);
    deadline_cancel(all, &d->cycle);
}
