/* table.h: a hash table of pointers for what there are very many of: 12 bytes a slot, at most three quarters
 * of them taken, nothing inside the entries themselves (uthash takes 56 bytes of each, and a walk along a
 * chain of them per look-up).
 *
 * Linear probing; a removal moves later entries back, so there are no tombstones. The caller computes the
 * hash, which must be well mixed, and compares keys. Entries are borrowed. Loop thread only. */
#ifndef CYAN_BASE_TABLE_H
#define CYAN_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
    void **entries;        /* private: NULL = free */
    uint32_t *hashes;      /* private */
    uint32_t count, slots; /* slots: 0 or a power of two */
};
void table_deinit(struct table *t); /* a zeroed struct table is a valid empty one */
typedef bool table_equal_fn(const void *entry, const void *key);
/* NULL when there is none. */
void *table_find(const struct table *t, uint32_t hash, table_equal_fn *equal, const void *key);
void table_add(struct table *t, uint32_t hash, void *entry);
void table_remove(struct table *t, uint32_t hash, const void *entry); /* it must be there */

/* A hash for table_find of data_len bytes, keyed by what this process drew at random: nobody outside can make
 * keys collide. */
uint32_t table_hash(const void *data, size_t data_len);

#endif
