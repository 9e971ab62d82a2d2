#include "base/deadline.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"

#define FIRST_SIZE 64

void deadlines_init(struct deadlines *all)
{
    memset(all, 0, sizeof(*all));
}

void deadlines_deinit(struct deadlines *all)
{
    for (uint32_t i = 0; i < all->count; i++)
        all->heap[i]->slot = 0;
    free(all->heap);
    memset(all, 0, sizeof(*all));
}

static void place(struct deadlines *all, uint32_t index, struct deadline *d)
{
    all->heap[index] = d;
    d->slot = index + 1;
}

/* Moves d, whose place is free at index, up while its parent is later. */
static uint32_t sift_up(struct deadlines *all, uint32_t index, struct deadline *d)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / 2;
        if (all->heap[parent]->at_ms <= d->at_ms)
            break;
        place(all, index, all->heap[parent]);
        index = parent;
    }
    place(all, index, d);
    return index;
}

static void sift_down(struct deadlines *all, uint32_t index, struct deadline *d)
{
    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= all->count)
            break;
        if (child + 1 < all->count && all->heap[child + 1]->at_ms < all->heap[child]->at_ms)
            child++;
        if (d->at_ms <= all->heap[child]->at_ms)
            break;
        place(all, index, all->heap[child]);
        index = child;
    }
    place(all, index, d);
}

static void settle(struct deadlines *all, uint32_t index, struct deadline *d)
{
    if (sift_up(all, index, d) == index)
        sift_down(all, index, d);
}

static uint32_t index_of(const struct deadlines *all, const struct deadline *d)
{
    uint32_t index = d->slot - 1;
    must(index < all->count && all->heap[index] == d);
    return index;
}

void deadline_set(struct deadlines *all, struct deadline *d, uint64_t at_ms, deadline_fn *fn)
{
    d->at_ms = at_ms;
    d->fn = fn;
    if (d->slot != 0) {
        settle(all, index_of(all, d), d);
        return;
    }
    if (all->count == all->size) {
        must(all->size <= UINT32_MAX / 4);
        all->size = all->size > 0 ? all->size * 2 : FIRST_SIZE;
        all->heap = mem_grow(all->heap, all->size, sizeof(struct deadline *));
    }
    all->count++;
    sift_up(all, all->count - 1, d);
}

void deadline_cancel(struct deadlines *all, struct deadline *d)
{
    if (d->slot == 0)
        return;
    uint32_t index = index_of(all, d);
    struct deadline *last = all->heap[all->count - 1];
    all->count--;
    d->slot = 0;
    if (last != d)
        settle(all, index, last);
}

bool deadline_is_set(const struct deadline *d)
{
    return d->slot != 0;
}

size_t deadlines_run_some(struct deadlines *all, uint64_t now_ms, size_t most)
{
    size_t called = 0;

    for (; called < most; called++) {
        if (all->count == 0 || all->heap[0]->at_ms > now_ms)
            break;
        struct deadline *d = all->heap[0];
        deadline_cancel(all, d);
        d->fn(d, now_ms); /* may free d */
    }
    return called;
}

size_t deadlines_run(struct deadlines *all, uint64_t now_ms)
{
    /* The bound keeps callbacks that set themselves again for now from holding the loop for ever. */
    return deadlines_run_some(all, now_ms, all->count);
}

uint64_t deadlines_next(const struct deadlines *all, uint64_t now_ms)
{
    if (all->count == 0)
        return UINT64_MAX;
    uint64_t at_ms = all->heap[0]->at_ms;
    return at_ms > now_ms ? at_ms - now_ms : 0;
}
