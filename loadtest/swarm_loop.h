/* swarm_loop.h: what every command of the swarm runs on: one loop, one timer for all deadlines, the network
 * and the primitives, and a clean end on SIGINT and SIGTERM.
 *
 * Ownership: memory of the caller; swarm_loop_deinit closes everything and runs the loop until it is empty.
 * stop() comes at most once a signal, from the loop. */
#ifndef CYAN_LOADTEST_SWARM_LOOP_H
#define CYAN_LOADTEST_SWARM_LOOP_H

#include "swarm_session.h"

struct swarm_loop {
    uv_loop_t uv;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_signal_t interrupt, terminate;
    struct deadlines deadlines;
    struct swarm_session_env env; /* net and crypto in it are ours */
    void (*stop)(void *owner);
    void *owner; /* borrowed: outlives this */
};

/* time_scale multiplies the handshake's 3 s and 24 s. */
void swarm_loop_init(struct swarm_loop *l, const struct swarm_net_options *net, double time_scale,
                     void (*stop)(void *owner), void *owner);
void swarm_loop_run(struct swarm_loop *l); /* until swarm_loop_end */
void swarm_loop_end(struct swarm_loop *l);
void swarm_loop_deinit(struct swarm_loop *l);

#endif
