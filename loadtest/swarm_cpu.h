/* swarm_cpu.h: CPU time and resident memory of processes, from /proc. */
#ifndef CYAN_LOADTEST_SWARM_CPU_H
#define CYAN_LOADTEST_SWARM_CPU_H

#include <stdint.h>

/* utime + stime of a process; 0 when there is none. */
double swarm_cpu_of(double pid);
double swarm_cpu_own(void);

/* CPU time of all cores together since the machine began: used, and used or not. 0 when the system does not
 * say. */
struct swarm_cores {
    double busy_s, all_s;
};
struct swarm_cores swarm_cpu_cores(void);
uint64_t swarm_resident_own_bytes(void);

#endif
