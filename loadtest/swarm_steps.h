/* swarm_steps.h: what a scenario can let the devices of `run` do: many of them, over some time, until all of
 * them are through or the time is over.
 *
 * Ownership: memory of the caller; swarm_steps_deinit leaves nothing behind. done() comes once for each
 * swarm_steps_start that gave NULL, from the loop, and takes the line. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_STEPS_H
#define CYAN_LOADTEST_SWARM_STEPS_H

#include "swarm_device.h"

struct swarm_steps {
    struct swarm_world *world;    /* borrowed: outlives this */
    struct swarm_device *devices; /* borrowed: outlives this */
    size_t device_count;
    struct swarm_stats *total; /* borrowed: what the steps before the present one counted */
    void (*done)(void *owner, json_t *line);
    void *owner; /* borrowed: outlives this */

    const struct step_kind *kind; /* of the step under way, NULL = none */
    struct swarm_device **chosen; /* ours */
    struct swarm_samples done_ms; /* since the start of the step */
    struct deadline tick;
    uint64_t start_ms, over_ms, within_ms;
    size_t chosen_count, acted, through;
    size_t online_wanted; /* of the step `wait` */
};

/* NULL, or why not. */
const char *swarm_steps_start(struct swarm_steps *s, const char *name, json_t *step);
void swarm_steps_deinit(struct swarm_steps *s);

#endif
