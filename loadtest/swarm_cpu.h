/* swarm_cpu.h: CPU time and resident memory of processes, from /proc. */
#ifndef CYAN_LOADTEST_SWARM_CPU_H
#define CYAN_LOADTEST_SWARM_CPU_H

#include <stdint.h>

/* utime + stime of a process; 0 when there is none. */
double swarm_cpu_of(double pid);
double swarm_cpu_own(void);
uint64_t swarm_resident_own_bytes(void);

#endif
