/* slab.h: memory for what there are very many of, all of one size, kept apart from everything else: what is
 * allocated and freed around them leaves no holes between them, and there is no overhead to each.
 *
 * Blocks of SLAB_BLOCK_BYTES come from the system and go back to it when the last item in them is freed, but
 * for one. Under the address sanitizer each item is an allocation of its own, so that misuse is seen. Loop
 * thread only. */
#ifndef CYAN_BASE_SLAB_H
#define CYAN_BASE_SLAB_H

#include <stddef.h>

#define SLAB_BLOCK_BYTES 262144

struct slab_block;
struct slab {
    size_t item_bytes;          /* private, as all: rounded up to what any type needs */
    struct slab_block *partial; /* blocks with a free item */
    size_t count;               /* items in use */
};
void slab_init(struct slab *s, size_t item_bytes);
/* Zeroed; never NULL. */
void *slab_new(struct slab *s) __attribute__((returns_nonnull));
void slab_free(struct slab *s, void *item); /* NULL is fine */
void slab_deinit(struct slab *s);           /* every item has been freed */

#endif
