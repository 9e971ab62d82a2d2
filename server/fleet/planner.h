/* planner.h: plans for devices of the registry: loads the release, the rules and what a device runs, and lets
 * plan/ find the order.
 *
 * What a release and the rules of its platforms say is kept by release and revision: planning_revision in
 * Postgres grows with every change of a rule, release or binary, on whatever node, and every question reads
 * it along. Plans are kept by that and the versions a device runs (PLANNER_KEPT_MAX). The search itself runs
 * on libuv's thread pool, on copies and on books that do not change any more, so the loop is never held.
 *
 * Ownership: struct planner belongs to struct fleet. Every call answers exactly once, from the loop, never
 * from inside the call. What callbacks get is borrowed, valid during the callback. Loop thread only. */
#ifndef CYAN_FLEET_PLANNER_H
#define CYAN_FLEET_PLANNER_H

#include <jansson.h>

#include "fleet/fleet.h"
#include "fleet/selector.h"
#include "plan/plan.h"

#define PLANNER_KEPT_MAX 4096     /* plans */
#define PLANNER_BOOKS_MAX 16      /* releases */
#define PLANNER_CLASSES_MAX 20000 /* of one question; more are refused */

struct planner;
struct planner *planner_new(struct metrics *metrics);
/* After fleet_drain and pg_close: what is still on a thread is never answered. */
void planner_free(struct planner *p);
bool planner_is_idle(const struct planner *p);

/* A device, or all devices of a class, and what was found for them. problem.from, .binaries and .rules are
 * what the plan's indices point into. */
struct planner_answer {
    struct device_id device_id; /* zeros in the answer for a class */
    int64_t release_id;
    const char *release_name;
    int64_t sig;      /* device.sig: the inventory class; 0 when nothing was described yet */
    uint64_t devices; /* of this class; 1 for a device */
    struct plan_problem problem;
    const struct plan *plan;
};

/* err: FLEET_NOT_FOUND (why says whether it is the device or the release), FLEET_CONFLICT (the release is
 * a withdrawn one), FLEET_INVALID (a rule cannot be planned with), FLEET_FORBIDDEN, FLEET_AWAY, FLEET_FAULT;
 * answer is NULL then and why a sentence or "".
 */
typedef void planner_device_fn(void *arg, enum fleet_err err, const struct planner_answer *answer,
                               const char *why);
/* which: device id or name; release: id or name. */
void planner_ask(struct fleet *f, const struct fleet_actor *actor, const char *which, const char *release,
                 planner_device_fn *done, void *arg);
/* For the engine: whoever the device belongs to. allow_downgrade: named and approved elsewhere. */
void planner_plan_device(struct fleet *f, const struct device_id *id, int64_t release_id,
                         bool allow_downgrade, planner_device_fn *done, void *arg);

/* One question about many devices: by inventory class. total: devices of the selector. */
typedef void planner_classes_fn(void *arg, enum fleet_err err, const struct planner_answer *classes,
                                size_t count, uint64_t total, const char *why);
/* release: id or name. rules: NULL, or a JSON array of rules as the REST interface writes them, which stand
 * in for those with the same code and are added to the others; borrowed. FLEET_INVALID: what is wrong with
 * them. Nothing is written. */
void planner_classes(struct fleet *f, const struct selector *selector, const char *release,
                     const json_t *rules, planner_classes_fn *done, void *arg);

/* As REST shows it. */
json_t *planner_json(const struct planner_answer *answer); /* {"device_id": .., "outcome": .., ..} */
json_t *
planner_steps_json(const struct planner_answer *answer); /* its "steps" alone, as device_update.plan */
json_t *planner_because_json(const struct planner_answer *answer, size_t step); /* sentences */
json_t *planner_unblock_json(const struct planner_answer *answer);              /* sentences */
json_t *planner_recipe_json(const struct planner_answer *answer);               /* sentences */
json_t *planner_modules_json(const struct plan_vector *vector);  /* [{"f": "b", "n": 0, "v": 1005}] */
json_t *planner_class_json(const struct planner_answer *answer); /* a row of "classes" */
/* {"devices":, "by_outcome":, "blocked":, "bytes":, "classes": [..], "classes_not_shown":}: counted over all
 * classes, of which those with the most devices are shown. */
#define PLANNER_CLASSES_SHOWN 100
json_t *planner_summary_json(const struct planner_answer *classes, size_t count, uint64_t total);
char *planner_sentence(const struct planner_answer *answer);           /* from malloc, the caller's */
const char *planner_outcome_name(const struct planner_answer *answer); /* current, steps, blocked */
uint64_t planner_bytes(const struct planner_answer *answer);           /* of all its steps, one device */
int64_t planner_step_module(const struct planner_answer *answer, size_t step); /* module_binary.id */

#endif
