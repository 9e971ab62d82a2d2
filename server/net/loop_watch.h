/* loop_watch.h: measures how long the loop does not poll: what everybody who is connected waits for.
 *
 * Ownership: struct loop_watch is the caller's memory until the loop has closed its handles. Loop thread
 * only. */
#ifndef CYAN_NET_LOOP_WATCH_H
#define CYAN_NET_LOOP_WATCH_H

#include <uv.h>

#include "base/metrics.h"

#define LOOP_WATCH_STALL_MS 20   /* longer ones are counted */
#define LOOP_WATCH_SPAN_MS 30000 /* /metrics shows the longest of this and the span before */

struct loop_watch {
    uv_check_t check;
    uv_prepare_t prepare;
    uint64_t woke_ms, span_began_ms, longest_before_ms, longest_ms;
    struct metric *stall_ms, *stalls;
};

void loop_watch_init(struct loop_watch *w, uv_loop_t *loop, struct metrics *metrics);
/* The loop was away from polling for so long. */
void loop_watch_note(struct loop_watch *w, uint64_t busy_ms, uint64_t now_ms);

#endif
