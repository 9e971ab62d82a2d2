/* swarm_rests.h: the sessions of a fleet in a file (mode 0600: there are keys in it), so that another process
 * goes on with them as if nothing had happened.
 *
 * Blocks; used while the fleet is at rest: of a device that is awake the file has what it had before. */
#ifndef CYAN_LOADTEST_SWARM_RESTS_H
#define CYAN_LOADTEST_SWARM_RESTS_H

#include "swarm_fleet.h"

/* Both: false with a sentence in error. */
bool swarm_rests_save(const struct swarm_fleet *f, const char *path, char error[SWARM_ERROR_SIZE]) must_check;
/* Into a fleet of the same seed that has not done anything yet; may have more devices than the file. */
bool swarm_rests_load(struct swarm_fleet *f, const char *path, char error[SWARM_ERROR_SIZE]) must_check;

#endif
