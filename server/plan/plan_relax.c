/* plan_relax.c: without a way: each rule, dependency and withdrawn binary left away in turn, then downgrades
 * allowed; what alone would open one is told. */
#include "plan/plan_inner.h"

static bool try_relaxed(struct plan *plan, const struct plan_ask *ask, const struct plan_relaxed *relaxed,
                        const struct plan_opening *opening)
{
    struct plan_ask relaxed_ask = *ask;
    struct plan_path path;
    relaxed_ask.relaxed = *relaxed;
    if (*ask->states_left == 0 || plan_search(&relaxed_ask, &path) != PLAN_FOUND)
        return false;
    if (plan->opening_count < PLAN_OPENINGS_MAX)
        plan->openings[plan->opening_count++] = *opening;
    return true;
}

static bool restricts(const struct plan_rule *rule)
{
    return rule->kind == RULE_REQUIRES || rule->kind == RULE_FORBIDS ||
           rule->kind == RULE_MUST_PASS_THROUGH || rule->kind == RULE_UNREACHABLE;
}

static void relax_rules(struct plan *plan, const struct plan_ask *ask)
{
    for (size_t r = 0; r < ask->problem->rule_count; r++) {
        struct plan_relaxed relaxed = plan_nothing_relaxed;
        struct plan_opening opening = {.kind = PLAN_WITHOUT_RULE, .rule = (uint8_t)r};
        relaxed.rule = (uint8_t)r;
        if (restricts(ask->problem->rules[r]))
            (void)try_relaxed(plan, ask, &relaxed, &opening);
    }
}

static void relax_needs(struct plan *plan, const struct plan_ask *ask)
{
    for (size_t b = 0; b < ask->problem->binary_count; b++)
        for (size_t i = 0; i < ask->problem->binaries[b].needs_count; i++) {
            struct plan_relaxed relaxed = plan_nothing_relaxed;
            struct plan_opening opening = {
                .kind = PLAN_WITHOUT_NEED, .binary = (uint8_t)b, .need = ask->problem->binaries[b].needs[i]};
            relaxed.need_of = (uint8_t)b;
            relaxed.need = (uint8_t)i;
            if (!ask->problem->binaries[b].is_withdrawn)
                (void)try_relaxed(plan, ask, &relaxed, &opening);
        }
}

static void relax_withdrawn(struct plan *plan, const struct plan_ask *ask)
{
    for (size_t b = 0; b < ask->problem->binary_count; b++) {
        struct plan_relaxed relaxed = plan_nothing_relaxed;
        struct plan_opening opening = {.kind = PLAN_WITH_BINARY, .binary = (uint8_t)b};
        relaxed.binary = (uint8_t)b;
        if (ask->problem->binaries[b].is_withdrawn)
            (void)try_relaxed(plan, ask, &relaxed, &opening);
    }
}

static void relax_downgrade(struct plan *plan, const struct plan_ask *ask)
{
    struct plan_relaxed relaxed = plan_nothing_relaxed;
    struct plan_opening opening = {.kind = PLAN_WITH_DOWNGRADE};
    relaxed.downgrade = true;
    if (!ask->problem->allow_downgrade)
        (void)try_relaxed(plan, ask, &relaxed, &opening);
}

/* Withdrawn binaries and downgrades are few and name the outcome: they are tried before what may fill the
 * list. */
void plan_fill_openings(struct plan *plan, const struct plan_ask *ask)
{
    relax_withdrawn(plan, ask);
    relax_downgrade(plan, ask);
    relax_rules(plan, ask);
    relax_needs(plan, ask);
}
