/* swarm_schedule.h: what a device does again and again: events, moves, sleep, each with its own deadline.
 *
 * First times are spread over the interval, so that devices do not act as one. */
#ifndef CYAN_LOADTEST_SWARM_SCHEDULE_H
#define CYAN_LOADTEST_SWARM_SCHEDULE_H

#include "swarm_device.h"

void swarm_schedule_start(struct swarm_device *d, uint64_t from_ms);
void swarm_schedule_awake(struct swarm_device *d); /* woken up: the next sleep */
void swarm_schedule_stop(struct swarm_device *d);

#endif
