/* swarm_bench.h: closed-loop load for measurements: N clients, each with one thing under way at a time.
 *
 * handshakes: handshake, one exchange, close_notify, again. exchanges: all clients handshake first, then
 * exchange for the time given. The result is one JSON line on stdout, with the CPU time of --server-pid in
 * it. */
#ifndef CYAN_LOADTEST_SWARM_BENCH_H
#define CYAN_LOADTEST_SWARM_BENCH_H

#include "swarm_models.h"
#include "swarm_options.h"

/* models: chosen by nobody; the first --clients of the wanted profile are used. Returns the exit status. */
int swarm_bench_run(const struct swarm_options *o);

#endif
