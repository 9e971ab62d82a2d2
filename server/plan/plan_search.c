/* plan_search.c: uniform-cost search: vectors in the order of what it costs to get to them, each looked at
 * once, until one is what the release wants. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/plan_inner.h"

#define FIRST_NODES ((size_t)64)

struct node {
    struct plan_vector vector;
    uint64_t cost;
    uint32_t parent;
    uint8_t binary, steps;
    bool is_done; /* nothing cheaper can come */
};
struct entry { /* of the heap; a node that became cheaper is in it twice */
    uint64_t cost;
    uint32_t number, node;
    uint8_t steps;
};
struct search {
    struct node *nodes; /* ours, as heap and slots */
    size_t node_count, node_room;
    struct entry *heap;
    size_t heap_count, heap_room;
    uint32_t *slots; /* hash table of nodes: index + 1, 0 = free; at most half of it taken */
    size_t slot_count;
    uint32_t number;
    bool met_limit;
};

static uint32_t hash(const struct plan_vector *v)
{
    uint32_t h = 2166136261u; /* FNV-1a: nobody outside chooses versions to make them collide */
    const uint8_t *at = (const uint8_t *)v->modules;
    for (size_t i = 0; i < v->count * sizeof v->modules[0]; i++)
        h = (h ^ at[i]) * 16777619u;
    return h ^ h >> 15;
}

static bool is_same(const struct plan_vector *a, const struct plan_vector *b)
{
    return a->count == b->count && memcmp(a->modules, b->modules, a->count * sizeof a->modules[0]) == 0;
}

static size_t slot_of(const struct search *s, const struct plan_vector *v)
{
    size_t at = hash(v) & (s->slot_count - 1);
    while (s->slots[at] != 0 && !is_same(&s->nodes[s->slots[at] - 1].vector, v))
        at = (at + 1) & (s->slot_count - 1);
    return at;
}

static void grow(struct search *s)
{
    s->node_room *= 2;
    s->nodes = mem_grow(s->nodes, s->node_room, sizeof *s->nodes);
    free(s->slots);
    s->slot_count = 2 * s->node_room;
    s->slots = mem_array(s->slot_count, sizeof *s->slots);
    for (size_t i = 0; i < s->node_count; i++)
        s->slots[slot_of(s, &s->nodes[i].vector)] = (uint32_t)i + 1;
}

static bool is_before(const struct entry *a, const struct entry *b)
{
    if (a->cost != b->cost)
        return a->cost < b->cost;
    return a->steps != b->steps ? a->steps < b->steps : a->number < b->number;
}

static void heap_push(struct search *s, uint32_t node)
{
    struct entry entry = {
        .cost = s->nodes[node].cost, .steps = s->nodes[node].steps, .number = s->number++, .node = node};
    if (s->heap_count == s->heap_room) {
        s->heap_room *= 2;
        s->heap = mem_grow(s->heap, s->heap_room, sizeof *s->heap);
    }
    size_t at = s->heap_count++;
    for (; at > 0 && is_before(&entry, &s->heap[(at - 1) / 2]); at = (at - 1) / 2)
        s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = entry;
}

static uint32_t heap_pop(struct search *s)
{
    uint32_t first = s->heap[0].node;
    struct entry last = s->heap[--s->heap_count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < s->heap_count) {
        if (child + 1 < s->heap_count && is_before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!is_before(&s->heap[child], &last))
            break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return first;
}

/* candidate: a vector that can be had, for what, and from where. */
static void offer(struct search *s, const struct plan_ask *ask, const struct node *candidate)
{
    size_t slot = slot_of(s, &candidate->vector);
    if (s->slots[slot] == 0) {
        if (s->node_count == PLAN_STATES_MAX || *ask->states_left == 0) {
            s->met_limit = true;
            return;
        }
        --*ask->states_left;
        if (s->node_count == s->node_room) {
            grow(s);
            slot = slot_of(s, &candidate->vector);
        }
        s->nodes[s->node_count] = (struct node){.vector = candidate->vector, .cost = UINT64_MAX};
        s->slots[slot] = (uint32_t)++s->node_count;
    }
    struct node *node = &s->nodes[s->slots[slot] - 1];
    if (node->is_done || node->cost < candidate->cost ||
        (node->cost == candidate->cost && node->steps <= candidate->steps))
        return;
    *node = *candidate;
    heap_push(s, s->slots[slot] - 1);
}

static void expand(struct search *s, const struct plan_ask *ask, uint32_t at)
{
    struct node next = {.parent = at};
    uint64_t cost;
    if (s->nodes[at].steps == PLAN_STEPS_MAX) {
        s->met_limit = true;
        return;
    }
    for (size_t b = 0; b < ask->problem->binary_count; b++)
        if (plan_try(ask, &s->nodes[at].vector, (uint8_t)b, &next.vector, &cost)) {
            next.cost = s->nodes[at].cost + cost;
            next.binary = (uint8_t)b;
            next.steps = (uint8_t)(s->nodes[at].steps + 1);
            offer(s, ask, &next);
        }
}

static void trace(const struct search *s, uint32_t at, struct plan_path *path)
{
    path->cost = s->nodes[at].cost;
    path->count = s->nodes[at].steps;
    for (size_t i = path->count; i > 0; i--) {
        path->binaries[i - 1] = s->nodes[at].binary;
        at = s->nodes[at].parent;
    }
}

static enum plan_found run(struct search *s, const struct plan_ask *ask, struct plan_path *path)
{
    offer(s, ask, &(struct node){.vector = ask->start});
    while (s->heap_count > 0) {
        uint32_t at = heap_pop(s);
        if (s->nodes[at].is_done)
            continue;
        s->nodes[at].is_done = true;
        if (plan_is_done(ask, &s->nodes[at].vector)) {
            /* With vectors left out there may be a cheaper way: a plan that may not be the best is none. */
            if (s->met_limit)
                return PLAN_FOUND_LIMIT;
            trace(s, at, path);
            return PLAN_FOUND;
        }
        expand(s, ask, at);
    }
    return s->met_limit ? PLAN_FOUND_LIMIT : PLAN_FOUND_NONE;
}

enum plan_found plan_search(const struct plan_ask *ask, struct plan_path *path)
{
    struct search s = {.node_room = FIRST_NODES, .heap_room = FIRST_NODES, .slot_count = 2 * FIRST_NODES};
    s.nodes = mem_array(s.node_room, sizeof *s.nodes);
    s.heap = mem_array(s.heap_room, sizeof *s.heap);
    s.slots = mem_array(s.slot_count, sizeof *s.slots);
    enum plan_found found = run(&s, ask, path);
    free(s.nodes);
    free(s.heap);
    free(s.slots);
    return found;
}
