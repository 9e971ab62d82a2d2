#include "base/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "base/must.h"

#define FIRST_SLOTS 64

void table_deinit(struct table *t)
{
    free(t->entries);
    free(t->hashes);
    *t = (struct table){0};
}

void *table_find(const struct table *t, uint32_t hash, table_equal_fn *equal, const void *key)
{
    if (t->count == 0)
        return NULL;
    for (uint32_t mask = t->slots - 1, i = hash & mask; t->entries[i]; i = (i + 1) & mask)
        if (t->hashes[i] == hash && equal(t->entries[i], key))
            return t->entries[i];
    return NULL;
}

static void put(struct table *t, uint32_t hash, void *entry)
{
    uint32_t mask = t->slots - 1, i = hash & mask;
    while (t->entries[i])
        i = (i + 1) & mask;
    t->entries[i] = entry;
    t->hashes[i] = hash;
}

static void grow(struct table *t)
{
    struct table old = *t;
    t->slots = old.slots ? old.slots * 2 : FIRST_SLOTS;
    must(t->slots > old.slots);
    t->entries = mem_array(t->slots, sizeof *t->entries);
    t->hashes = mem_array(t->slots, sizeof *t->hashes);
    for (uint32_t i = 0; i < old.slots; i++)
        if (old.entries[i])
            put(t, old.hashes[i], old.entries[i]);
    free(old.entries);
    free(old.hashes);
}

void table_add(struct table *t, uint32_t hash, void *entry)
{
    if (t->count >= t->slots / 8 * 7)
        grow(t);
    put(t, hash, entry);
    t->count++;
}

void table_remove(struct table *t, uint32_t hash, const void *entry)
{
    must(t->slots > 0);
    uint32_t mask = t->slots - 1, hole = hash & mask;
    while (t->entries[hole] != entry) {
        must(t->entries[hole] != NULL);
        hole = (hole + 1) & mask;
    }
    for (uint32_t i = (hole + 1) & mask; t->entries[i]; i = (i + 1) & mask) {
        uint32_t home = t->hashes[i] & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* it would come to stand before its home */
        t->entries[hole] = t->entries[i];
        t->hashes[hole] = t->hashes[i];
        hole = i;
    }
    t->entries[hole] = NULL;
    t->count--;
}

static uint64_t mix(uint64_t x) /* splitmix64 */
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint32_t table_hash(const void *data, size_t data_len)
{
    static uint64_t seed; /* drawn once; loop thread only */
    const uint8_t *at = data;
    while (seed == 0)
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
            seed = 0;
    uint64_t h = seed;
    for (; data_len >= 8; at += 8, data_len -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        h = mix(h ^ word) + seed;
    }
    uint64_t last = data_len;
    for (size_t i = 0; i < data_len; i++)
        last = last << 8 | at[i];
    return (uint32_t)(mix(h ^ last) >> 16);
}
