#include "swarm_fleet.h"
#include "base/clock.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

struct swarm_awake {
    struct swarm_device device; /* must stay first: on_settled finds us by it */
    struct swarm_model model;
    struct swarm_fleet *fleet;
    struct swarm_awake *next; /* among the settled */
    uint32_t number;
    bool is_settled;
};

bool swarm_fleet_is_awake(const struct swarm_fleet *f, uint32_t i)
{
    return f->awake[i] != NULL;
}

static void put_to_rest(struct swarm_awake *a)
{
    struct swarm_fleet *f = a->fleet;

    swarm_device_rest(&a->device, &f->rests[a->number]);
    f->awake[a->number] = NULL;
    f->awake_count--;
    free(a);
}

static void on_sweep(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_fleet *f =
        (struct swarm_fleet *)(void *)((char *)deadline - offsetof(struct swarm_fleet, sweep));
    struct swarm_awake *a = f->settled, *next;

    (void)now_ms;
    f->settled = NULL;
    for (; a; a = next) {
        uint32_t number = a->number;

        next = a->next;
        put_to_rest(a);
        f->rested(f->owner, number);
    }
}

/* Its session is still at work on the record that brought the news: not now. */
static void on_settled(struct swarm_world *w, struct swarm_device *d)
{
    struct swarm_awake *a = (struct swarm_awake *)(void *)d;
    struct swarm_fleet *f = a->fleet;

    if (a->is_settled)
        return;
    a->is_settled = true;
    a->next = f->settled;
    f->settled = a;
    deadline_set(&w->loop.deadlines, &f->sweep, clock_ms(), on_sweep);
}

void swarm_fleet_wake(struct swarm_fleet *f, uint32_t i)
{
    struct swarm_awake *a = mem_alloc(sizeof(*a));

    must(!f->awake[i]);
    a->fleet = f;
    a->number = i;
    swarm_derive_model(&f->derive, i, &a->model);
    swarm_derive_keys(&f->derive, f->world->loop.env.crypto, i, &a->model);
    swarm_device_init(&a->device, f->world, &a->model);
    swarm_device_restore(&a->device, &f->rests[i]);
    f->awake[i] = a;
    f->awake_count++;
    swarm_device_wake(&a->device);
}

void swarm_fleet_rest(struct swarm_fleet *f, uint32_t i)
{
    struct swarm_awake *a = f->awake[i], **at = &f->settled;

    if (!a)
        return;
    while (a->is_settled && *at && *at != a)
        at = &(*at)->next;
    if (*at == a)
        *at = a->next;
    put_to_rest(a);
}

void swarm_fleet_replay(struct swarm_fleet *f, uint32_t i)
{
    swarm_past_replay_all(f->rests[i].past, &f->rests[i].record, &f->rests[i].audit);
}

bool swarm_fleet_init(struct swarm_fleet *f, struct swarm_world *world, const struct swarm_choice *choice,
                      char error[SWARM_ERROR_SIZE])
{
    memset(f, 0, sizeof(*f));
    if (!swarm_derive_init(&f->derive, choice, error))
        return false;
    f->world = world;
    f->count = choice->count;
    f->rests = mem_array(f->count, sizeof(*f->rests));
    f->awake = mem_array(f->count, sizeof(struct swarm_awake *));
    world->settled = on_settled;
    return true;
}

void swarm_fleet_deinit(struct swarm_fleet *f)
{
    for (uint32_t i = 0; f->awake && i < f->count; i++)
        swarm_fleet_rest(f, i);
    for (uint32_t i = 0; f->rests && i < f->count; i++)
        swarm_rest_clear(&f->rests[i]);
    if (f->world)
        deadline_cancel(&f->world->loop.deadlines, &f->sweep);
    free(f->rests);
    free(f->awake);
    f->rests = NULL;
    f->awake = NULL;
}
