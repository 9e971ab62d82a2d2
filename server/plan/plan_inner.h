/* plan_inner.h: what the files of plan_make share. Private to this room. */
#ifndef CYAN_PLAN_PLAN_INNER_H
#define CYAN_PLAN_PLAN_INNER_H

#include "plan/plan.h"
#include "plan/rule.h"

#define PLAN_NONE UINT8_MAX

/* What is left away in one search: PLAN_NONE for nothing. */
struct plan_relaxed {
    uint8_t rule;
    uint8_t need_of, need; /* index into binaries, into its needs */
    uint8_t binary;        /* withdrawn, taken all the same */
    bool downgrade;
};
extern const struct plan_relaxed plan_nothing_relaxed;

/* start: problem->from with NCPs of unknown version where one may matter. */
struct plan_ask {
    const struct plan_problem *problem;
    struct plan_vector start;
    struct plan_relaxed relaxed;
    size_t *states_left; /* of all searches of one plan_make */
};

/* plan_step.c: what one step does and whether it may be taken. */
bool plan_start(struct plan_vector *start, const struct plan_problem *problem); /* false: too many modules */
bool plan_is_done(const struct plan_ask *ask, const struct plan_vector *vector);
/* Applies the binary to vector, when it does anything and may be taken. cost: of the step. */
bool plan_try(const struct plan_ask *ask, const struct plan_vector *vector, uint8_t binary,
              struct plan_vector *result, uint64_t *cost);
/* The rule, unreachable ones among them, refuses the binary in vector. */
bool plan_rule_refuses(const struct plan_ask *ask, size_t rule, const struct plan_vector *vector,
                       uint8_t binary);
bool plan_put(struct plan_vector *vector, const struct plan_module *module); /* false: no room */

/* plan_search.c: the cheapest way. */
enum plan_found { PLAN_FOUND, PLAN_FOUND_NONE, PLAN_FOUND_LIMIT };
struct plan_path {
    uint64_t cost;
    size_t count;
    uint8_t binaries[PLAN_STEPS_MAX];
};
enum plan_found plan_search(const struct plan_ask *ask, struct plan_path *path);

/* plan_because.c, plan_relax.c, plan_local.c: fill that part of plan. */
void plan_fill_steps(struct plan *plan, const struct plan_ask *ask, const struct plan_path *path);
void plan_fill_openings(struct plan *plan, const struct plan_ask *ask);
void plan_fill_local(struct plan *plan, const struct plan_problem *problem);

#endif
