/* swarm_run.h: the command `run`: a fleet from start to report. */
#ifndef CYAN_LOADTEST_SWARM_RUN_H
#define CYAN_LOADTEST_SWARM_RUN_H

#include "swarm_device.h"
#include "swarm_models.h"
#include "swarm_options.h"

int swarm_run(const struct swarm_options *o); /* the exit status */
/* What must be zero always, and how much was tried: into a report. */
void swarm_run_truths(struct swarm_world *w, json_t *root);
struct swarm_choice swarm_run_choice(const struct swarm_options *o);
/* The devices the options name, made where missing, saved and enrolled. NULL after a line on stderr. */
struct swarm_models *swarm_run_models(const struct swarm_options *o, struct swarm_crypto *crypto);

#endif
