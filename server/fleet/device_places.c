#include "fleet/device_places.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "base/must.h"

struct walk {  /* in the table in the order of their use */
    char *key; /* ours */
    struct step {
        uint32_t page; /* 0: none */
        uint64_t at_ms;
        struct place place;
    } steps[PLACES_WALK_PAGES];
    UT_hash_handle hh;
};
struct list { /* alike */
    char *key;
    uint64_t total, at_ms, at_wall_ms, fresh_ms;
    struct place *places; /* ours */
    size_t place_count;
    uint32_t stride;
    UT_hash_handle hh;
};
struct device_places {
    struct walk *walks;
    struct list *lists;
};

struct device_places *device_places_new(void)
{
    return mem_alloc(sizeof(struct device_places));
}

static void walk_free(struct device_places *p, struct walk *w)
{
    HASH_DEL(p->walks, w);
    free(w->key);
    free(w);
}

static void list_free(struct device_places *p, struct list *l)
{
    HASH_DEL(p->lists, l);
    free(l->key);
    free(l->places);
    free(l);
}

void device_places_free(struct device_places *p)
{
    while (p->walks)
        walk_free(p, p->walks);
    while (p->lists)
        list_free(p, p->lists);
    free(p);
}

/* --- walks --- */

static struct walk *walk_used(struct device_places *p, const char *key)
{
    struct walk *w;
    HASH_FIND_STR(p->walks, key, w);
    if (w) { /* behind all others */
        HASH_DEL(p->walks, w);
        HASH_ADD_KEYPTR(hh, p->walks, w->key, strlen(w->key), w);
    }
    return w;
}

static struct walk *walk_new(struct device_places *p, const char *key)
{
    if (HASH_COUNT(p->walks) >= PLACES_WALKS_MAX)
        walk_free(p, p->walks);
    struct walk *w = mem_alloc(sizeof *w);
    w->key = mem_string(key);
    HASH_ADD_KEYPTR(hh, p->walks, w->key, strlen(w->key), w);
    return w;
}

void device_places_note(struct device_places *p, const char *walk, uint32_t page, const struct place *place,
                        uint64_t now_ms)
{
    struct walk *w = walk_used(p, walk);
    if (!w)
        w = walk_new(p, walk);
    w->steps[page % PLACES_WALK_PAGES] = (struct step){.page = page, .at_ms = now_ms, .place = *place};
}

const struct place *device_places_walked(struct device_places *p, const char *walk, uint32_t page,
                                         uint64_t max_age_ms, uint64_t now_ms)
{
    struct walk *w = walk_used(p, walk);
    if (!w)
        return NULL;
    const struct step *step = &w->steps[page % PLACES_WALK_PAGES];
    return step->page == page && now_ms - step->at_ms <= max_age_ms ? &step->place : NULL;
}

/* --- measured lists --- */

static struct list *list_used(struct device_places *p, const char *key)
{
    struct list *l;
    HASH_FIND_STR(p->lists, key, l);
    if (l) {
        HASH_DEL(p->lists, l);
        HASH_ADD_KEYPTR(hh, p->lists, l->key, strlen(l->key), l);
    }
    return l;
}

static uint64_t fresh_for_ms(uint64_t took_ms)
{
    uint64_t fresh_ms = took_ms * PLACES_FRESH_TIMES;
    if (fresh_ms < PLACES_FRESH_MIN_MS)
        return PLACES_FRESH_MIN_MS;
    return fresh_ms < PLACES_FRESH_MAX_MS ? fresh_ms : PLACES_FRESH_MAX_MS;
}

void device_places_measured(struct device_places *p, const char *list, uint64_t total,
                            const struct place *places, size_t place_count, uint32_t stride, uint64_t took_ms,
                            uint64_t now_ms, uint64_t now_wall_ms)
{
    struct list *l = list_used(p, list);
    size_t each = (place_count + PLACES_PER_LIST - 1) / PLACES_PER_LIST;
    if (l)
        list_free(p, l);
    if (HASH_COUNT(p->lists) >= PLACES_LISTS_MAX)
        list_free(p, p->lists);
    l = mem_alloc(sizeof *l);
    l->key = mem_string(list);
    l->total = total;
    l->at_ms = now_ms;
    l->at_wall_ms = now_wall_ms;
    l->fresh_ms = fresh_for_ms(took_ms);
    l->stride = stride * (uint32_t)(each ? each : 1);
    l->place_count = each ? place_count / each : 0;
    l->places = mem_array(l->place_count + 1, sizeof *l->places);
    for (size_t i = 0; i < l->place_count; i++)
        l->places[i] = places[(i + 1) * each - 1];
    HASH_ADD_KEYPTR(hh, p->lists, l->key, strlen(l->key), l);
}

bool device_places_look(struct device_places *p, const char *list, struct measured *measured, uint64_t now_ms)
{
    const struct list *l = list_used(p, list);
    if (!l)
        return false;
    *measured = (struct measured){.total = l->total,
                                  .at_wall_ms = l->at_wall_ms,
                                  .is_fresh = now_ms - l->at_ms <= l->fresh_ms,
                                  .is_too_old = now_ms - l->at_ms > PLACES_OLD_MS};
    return true;
}

const struct place *device_places_jump(struct device_places *p, const char *list, uint64_t first,
                                       uint64_t *left)
{
    const struct list *l = list_used(p, list);
    must(l);
    uint64_t n = first / l->stride;
    if (n > l->place_count)
        n = l->place_count;
    *left = first - n * l->stride;
    return n ? &l->places[n - 1] : NULL;
}
