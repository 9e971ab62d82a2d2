/* swarm_keys.h: the commands `list` and `keys`: devices and their keys without connecting. */
#ifndef CYAN_LOADTEST_SWARM_KEYS_H
#define CYAN_LOADTEST_SWARM_KEYS_H

#include "swarm_options.h"

/* Both return the exit status. */
int swarm_keys_list(const struct swarm_options *o);
int swarm_keys_make(const struct swarm_options *o);

#endif
