#include "fleet/token_cache.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"

struct cached {
    uint8_t sha256[32];
    uint64_t until_ms;
    struct fleet_actor actor;
    UT_hash_handle hh;
};

struct token_cache {
    struct cached *entries; /* ours, in the order they were put */
    uint64_t generation;
};

struct token_cache *token_cache_new(void)
{
    return mem_alloc(sizeof(struct token_cache));
}

static void drop(struct token_cache *c, struct cached *entry)
{
    HASH_DEL(c->entries, entry);
    free(entry);
}

void token_cache_free(struct token_cache *c)
{
    token_cache_clear(c);
    free(c);
}

static struct cached *find(struct token_cache *c, const uint8_t sha256[32])
{
    struct cached *entry;
    HASH_FIND(hh, c->entries, sha256, 32, entry);
    return entry;
}

bool token_cache_get(struct token_cache *c, const uint8_t sha256[32], uint64_t now_ms,
                     struct fleet_actor *actor)
{
    struct cached *entry = find(c, sha256);
    if (entry && entry->until_ms <= now_ms) {
        drop(c, entry);
        entry = NULL;
    }
    if (entry)
        *actor = entry->actor;
    return entry != NULL;
}

void token_cache_put(struct token_cache *c, const uint8_t sha256[32], uint64_t now_ms, uint64_t for_ms,
                     const struct fleet_actor *actor)
{
    struct cached *entry = find(c, sha256);
    if (entry)
        drop(c, entry);
    if (HASH_COUNT(c->entries) >= TOKEN_CACHE_MAX)
        drop(c, c->entries); /* the oldest */
    entry = mem_alloc(sizeof *entry);
    memcpy(entry->sha256, sha256, sizeof entry->sha256);
    entry->until_ms = now_ms + (for_ms < TOKEN_CACHE_MS ? for_ms : TOKEN_CACHE_MS);
    entry->actor = *actor;
    HASH_ADD(hh, c->entries, sha256, sizeof entry->sha256, entry);
}

void token_cache_drop(struct token_cache *c, const uint8_t sha256[32])
{
    struct cached *entry = find(c, sha256);
    c->generation++;
    if (entry)
        drop(c, entry);
}

void token_cache_clear(struct token_cache *c)
{
    struct cached *entry, *next;
    c->generation++;
    HASH_ITER (hh, c->entries, entry, next)
        drop(c, entry);
}

uint64_t token_cache_generation(const struct token_cache *c)
{
    return c->generation;
}
