/* swarm_enrol.h: makes devices known to the server over its REST interface: key first, then name.
 *
 * Blocks, with up to 8 requests under way; used before the loop starts. Repeats for 30 s while the server
 * answers 503 or is not there yet. */
#ifndef CYAN_LOADTEST_SWARM_ENROL_H
#define CYAN_LOADTEST_SWARM_ENROL_H

#include "swarm_models.h"

struct swarm_enrol_target {
    const char *api;   /* URL without a trailing slash */
    const char *token; /* borrowed */
};
/* Every chosen model. False with a sentence in error at the first refusal. */
bool swarm_enrol_all(const struct swarm_models *models, const struct swarm_enrol_target *target,
                     char error[SWARM_ERROR_SIZE]) must_check;
/* First line of a file, without the line end. NULL with a sentence in error; the caller frees. */
char *swarm_enrol_token(const char *path, char error[SWARM_ERROR_SIZE]);

#endif
