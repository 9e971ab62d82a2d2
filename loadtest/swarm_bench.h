/* swarm_bench.h: the command `bench`: load for measurements (swarm_load.h).
 *
 * The result is one JSON line on stdout, with the CPU time of --server-pid in it. `bench sessions` prints it
 * when all sessions are there and keeps them until stdin ends or a signal comes. */
#ifndef CYAN_LOADTEST_SWARM_BENCH_H
#define CYAN_LOADTEST_SWARM_BENCH_H

#include "swarm_options.h"

int swarm_bench_run(const struct swarm_options *o); /* the exit status */

#endif
