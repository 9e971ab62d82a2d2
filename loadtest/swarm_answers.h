/* swarm_answers.h: what the server's acknowledgements, or their absence, mean to a device. */
#ifndef CYAN_LOADTEST_SWARM_ANSWERS_H
#define CYAN_LOADTEST_SWARM_ANSWERS_H

#include "swarm_device.h"

extern const struct swarm_exchange_ops swarm_answers_ops; /* owner: struct swarm_device */

#endif
