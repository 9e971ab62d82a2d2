/* update_pacer.h: what all updates of this node send in one turn of the loop, each a few chunks in its turn.
 * Private to device/.
 *
 * A turn sends UPDATE_TURN_CHUNKS at most, and the next turn comes a millisecond later at the earliest: in
 * between the loop has read what devices sent. An update asks for its turn when it may send and is at the end
 * of the queue again while it may send more. Ownership: in struct devices; updates are borrowed and leave
 * before they are freed. */
#ifndef CYAN_DEVICE_UPDATE_PACER_H
#define CYAN_DEVICE_UPDATE_PACER_H

#include "base/deadline.h"
#include "base/metrics.h"

#define UPDATE_TURN_CHUNKS 64 /* about half a millisecond of encryption and system calls */
#define UPDATE_SHARE_CHUNKS 4 /* of one update */

struct device_update;
struct update_pacer {
    struct device_update *queue; /* borrowed: those that may send */
    struct deadline turn;
    uint64_t turn_ms;            /* when the last one was */
    struct deadlines *deadlines; /* borrowed: outlives this */
    struct metric *running, *started, *sent_bytes, *resent_bytes;
    struct metric *ended[8]; /* by enum device_update_end */
};
void update_pacer_init(struct update_pacer *pacer, struct deadlines *deadlines, struct metrics *metrics);
void update_pacer_deinit(struct update_pacer *pacer);
void update_pacer_join(struct update_pacer *pacer, struct device_update *update, uint64_t now_ms);
void update_pacer_leave(struct update_pacer *pacer, struct device_update *update);

#endif
