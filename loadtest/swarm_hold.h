/* swarm_hold.h: the command `hold`: a fleet that connects, is at rest, and wakes on command
 * (loadtest/README.md). */
#ifndef CYAN_LOADTEST_SWARM_HOLD_H
#define CYAN_LOADTEST_SWARM_HOLD_H

#include "swarm_options.h"

int swarm_hold(const struct swarm_options *o); /* the exit status */

#endif
