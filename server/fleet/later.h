/* later.h: calls made from the next turn of the loop, for answers that are known at once but may not be given
 * from inside the call that asked.
 *
 * Ownership: embedded in struct fleet. ctx is the caller's; what has not been called when later_deinit comes
 * is dropped. Loop thread only. */
#ifndef CYAN_FLEET_LATER_H
#define CYAN_FLEET_LATER_H

#include "base/deadline.h"

struct later_call;
struct later {
    struct deadlines *deadlines; /* borrowed: outlives this */
    struct deadline due;
    struct later_call *calls; /* ours, in order */
};
void later_init(struct later *l, struct deadlines *deadlines);
void later_deinit(struct later *l);
void later_push(struct later *l, void (*fn)(void *ctx), void *ctx);

#endif
