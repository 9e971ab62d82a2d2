#include "base/slab.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#define ALIGN 16

struct slab_item { /* while it is free */
    struct slab_item *next;
};

struct slab_block {
    struct slab_block *prev, *next; /* among the partial ones */
    struct slab_item *free;         /* given back */
    uint32_t used, fresh;           /* items in use; items from here on were never given out */
};
#define HEAD_BYTES ((sizeof(struct slab_block) + ALIGN - 1) / ALIGN * ALIGN)

void slab_init(struct slab *s, size_t item_bytes)
{
    must(item_bytes >= sizeof(struct slab_item) && item_bytes < SLAB_BLOCK_BYTES / 16);
    *s = (struct slab){.item_bytes = (item_bytes + 7) / 8 * 8};
}

#ifndef __has_feature /* clang's way to ask */
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)

static void *take(struct slab *s)
{
    return mem_alloc(s->item_bytes);
}

static void give_back(struct slab *s, void *item)
{
    (void)s;
    free(item);
}

static void unmap_last(struct slab *s)
{
    (void)s;
}

#else

static uint32_t items_in(const struct slab *s)
{
    return (uint32_t)((SLAB_BLOCK_BYTES - HEAD_BYTES) / s->item_bytes);
}

/* Aligned to its size, so that an item tells its block. */
static struct slab_block *map_block(void)
{
    uint8_t *at =
        mmap(NULL, (size_t)2 * SLAB_BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        log_error("out of memory");
        abort();
    }
    size_t before = (SLAB_BLOCK_BYTES - (uintptr_t)at % SLAB_BLOCK_BYTES) % SLAB_BLOCK_BYTES;
    if (before > 0)
        (void)munmap(at, before);
    (void)munmap(at + before + SLAB_BLOCK_BYTES, SLAB_BLOCK_BYTES - before);
    return (struct slab_block *)(void *)(at + before);
}

static void *take(struct slab *s)
{
    struct slab_block *b = s->partial;
    struct slab_item *item;
    if (!b) {
        b = map_block();
        DL_APPEND(s->partial, b);
    }
    if (b->free) {
        item = b->free;
        b->free = item->next;
        memset(item, 0, s->item_bytes);
    } else {
        item = (struct slab_item *)(void *)((uint8_t *)b + HEAD_BYTES + b->fresh++ * s->item_bytes);
    }
    if (++b->used == items_in(s))
        DL_DELETE(s->partial, b);
    return item;
}

static void give_back(struct slab *s, void *freed)
{
    struct slab_block *b = (struct slab_block *)((uintptr_t)freed & ~(uintptr_t)(SLAB_BLOCK_BYTES - 1));
    struct slab_item *item = freed;
    item->next = b->free;
    b->free = item;
    if (b->used-- == items_in(s))
        DL_APPEND(s->partial, b);
    bool is_only_one = s->partial == b && !b->next;
    if (b->used > 0 || is_only_one) /* one that is empty stays: who comes and goes alone maps no memory */
        return;
    DL_DELETE(s->partial, b);
    (void)munmap(b, SLAB_BLOCK_BYTES);
}

static void unmap_last(struct slab *s)
{
    if (s->partial)
        (void)munmap(s->partial, SLAB_BLOCK_BYTES);
    s->partial = NULL;
}

#endif

void *slab_new(struct slab *s)
{
    s->count++;
    return take(s);
}

void slab_free(struct slab *s, void *item)
{
    if (!item)
        return;
    must(s->count > 0);
    s->count--;
    give_back(s, item);
}

void slab_deinit(struct slab *s)
{
    must(s->count == 0);
    unmap_last(s);
}
