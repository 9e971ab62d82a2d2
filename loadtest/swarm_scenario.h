/* swarm_scenario.h: a list of steps from a JSON file, one after the other; each ends with a JSON line of its
 * figures (loadtest/README.md).
 *
 * Steps of the swarm itself go to start(); pause, faults, assert, await and end are the scenario's own. An
 * assertion looks at the line before it.
 *
 * Ownership: swarm_scenario_load gives, swarm_scenario_free takes. ended() comes once, from the loop. Loop
 * thread only. */
#ifndef CYAN_LOADTEST_SWARM_SCENARIO_H
#define CYAN_LOADTEST_SWARM_SCENARIO_H

#include "swarm_loop.h"
#include <jansson.h>

#define SWARM_SCENARIO_ERROR_SIZE 256

struct swarm_scenario;
struct swarm_scenario_ops {
    /* NULL: swarm_scenario_done comes, later or from inside this. Else why not. */
    const char *(*start)(void *owner, const char *name, json_t *step);
    void (*ended)(void *owner, bool ok);
};

/* NULL with a sentence in error when the file is no list of steps. */
struct swarm_scenario *swarm_scenario_load(const char *path, struct swarm_loop *loop,
                                           const struct swarm_scenario_ops *ops, void *owner,
                                           char error[SWARM_SCENARIO_ERROR_SIZE]);
void swarm_scenario_free(struct swarm_scenario *s); /* NULL is fine */
void swarm_scenario_start(struct swarm_scenario *s);
/* The step that start() began is over. Takes the reference. */
void swarm_scenario_done(struct swarm_scenario *s, json_t *line);
/* Somebody outside says that await is over. False when no step awaits it. */
bool swarm_scenario_go(struct swarm_scenario *s);
/* Number of a step's field, or missing. */
double swarm_scenario_number(json_t *step, const char *key, double missing);

#endif
