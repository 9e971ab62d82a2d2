#include "plan/plan.h"

#include <string.h>

#include "module/module_names.h"
#include "plan/plan_inner.h"

const struct plan_relaxed plan_nothing_relaxed = {
    .rule = PLAN_NONE, .need_of = PLAN_NONE, .need = PLAN_NONE, .binary = PLAN_NONE};

const char *plan_outcome_reason(enum plan_outcome outcome)
{
    static const char *const reasons[] = {
        [PLAN_NO_PATH] = "no_path",
        [PLAN_UNREACHABLE] = "unreachable_version",
        [PLAN_LACKS] = "release_lacks_platform",
        [PLAN_WITHDRAWN] = "module_withdrawn",
        [PLAN_DOWNGRADE] = "downgrade_refused",
        [PLAN_UNKNOWN] = "unknown_inventory",
        [PLAN_TOO_LARGE] = "no_path",
    };
    return outcome == PLAN_CURRENT || outcome == PLAN_STEPS ? NULL : reasons[outcome];
}

static bool has_target(const struct plan_problem *problem)
{
    for (size_t b = 0; b < problem->binary_count; b++)
        if (problem->binaries[b].is_target)
            return true;
    return false;
}

static bool has_unknown(const struct plan_vector *vector)
{
    for (size_t i = 0; i < vector->count; i++)
        if (vector->modules[i].function == MODULE_NCP && vector->modules[i].version == 0)
            return true;
    return false;
}

/* What is known of the versions says that a device with them cannot connect. */
static bool cannot_connect(struct plan *plan, const struct plan_ask *ask)
{
    for (size_t r = 0; r < ask->problem->rule_count; r++)
        if (ask->problem->rules[r]->kind == RULE_UNREACHABLE &&
            rule_all_hold(ask->problem->rules[r], &ask->start, false)) {
            plan->unreachable_rule = (uint8_t)r;
            return true;
        }
    return false;
}

static bool opens(const struct plan *plan, enum plan_opening_kind kind)
{
    for (size_t i = 0; i < plan->opening_count; i++)
        if (plan->openings[i].kind == kind)
            return true;
    return false;
}

/* No way: which single change would make one decides what it is called. */
static enum plan_outcome name_blocked(const struct plan *plan)
{
    if (opens(plan, PLAN_WITH_BINARY))
        return PLAN_WITHDRAWN;
    if (opens(plan, PLAN_WITH_DOWNGRADE) && !opens(plan, PLAN_WITHOUT_RULE) &&
        !opens(plan, PLAN_WITHOUT_NEED))
        return PLAN_DOWNGRADE;
    return PLAN_NO_PATH;
}

static void look_for_way(struct plan *plan, const struct plan_ask *ask)
{
    struct plan_path path = {0};
    switch (plan_search(ask, &path)) {
    case PLAN_FOUND:
        plan->outcome = path.count > 0 ? PLAN_STEPS : PLAN_CURRENT;
        plan->cost = path.cost;
        plan_fill_steps(plan, ask, &path);
        return;
    case PLAN_FOUND_LIMIT:
        plan->outcome = PLAN_TOO_LARGE;
        return;
    case PLAN_FOUND_NONE:
        plan_fill_openings(plan, ask);
        plan->outcome = name_blocked(plan);
        plan_fill_local(plan, ask->problem);
    }
}

void plan_make(struct plan *plan, const struct plan_problem *problem)
{
    size_t states_left = PLAN_ALL_STATES_MAX;
    struct plan_ask ask = {.problem = problem, .relaxed = plan_nothing_relaxed, .states_left = &states_left};
    must(problem->binary_count <= PLAN_BINARIES_MAX && problem->rule_count <= PLAN_RULES_MAX);
    *plan = (struct plan){.outcome = PLAN_UNKNOWN};
    if (problem->from->count == 0)
        return;
    if (!has_target(problem)) {
        plan->outcome = PLAN_LACKS;
        return;
    }
    if (!plan_start(&ask.start, problem)) {
        plan->outcome = PLAN_TOO_LARGE;
        return;
    }
    plan->is_uncertain = has_unknown(&ask.start);
    if (cannot_connect(plan, &ask)) {
        plan->outcome = PLAN_UNREACHABLE;
        plan_fill_local(plan, problem);
        return;
    }
    look_for_way(plan, &ask);
}
