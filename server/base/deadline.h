/* deadline.h: many deadlines, one timer: a binary heap of entries embedded in what they belong to.
 *
 * Set, move and cancel cost O(log n) and allocate nothing but the heap's array. The owner of the heap calls
 * deadlines_run from its one uv_timer (deadlines_next says when). A callback may set or cancel any entry and
 * may free the memory its own entry lives in. Loop thread only. */
#ifndef CYAN_BASE_DEADLINE_H
#define CYAN_BASE_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deadline;
typedef void deadline_fn(struct deadline *d, uint64_t now_ms);

struct deadline {
    uint64_t at_ms;
    deadline_fn *fn;
    uint32_t slot; /* private: place in the heap + 1; 0 = not set */
};
struct deadlines {
    struct deadline **heap; /* private */
    uint32_t count, size;
};

void deadlines_init(struct deadlines *all);
void deadlines_deinit(struct deadlines *all); /* entries still set are forgotten, not called */
/* d->fn is set by this call. Moves d when it was set already. A zeroed struct deadline is a valid unset one.
 */
void deadline_set(struct deadlines *all, struct deadline *d, uint64_t at_ms, deadline_fn *fn);
void deadline_cancel(struct deadlines *all, struct deadline *d); /* unset is fine */
bool deadline_is_set(const struct deadline *d);
/* Calls entries due at now_ms, at most `most`; what is left is due still. Returns how many were called. */
size_t deadlines_run_some(struct deadlines *all, uint64_t now_ms, size_t most);
/* Calls every entry due at now_ms (each unset before its call). Returns how many were called. Entries that
 * callbacks set for now_ms or before may be left for the next run, which deadlines_next then says is due at
 * once. */
size_t deadlines_run(struct deadlines *all, uint64_t now_ms);
/* Milliseconds from now_ms to the first deadline, 0 when overdue, UINT64_MAX when none. */
uint64_t deadlines_next(const struct deadlines *all, uint64_t now_ms);

#endif
