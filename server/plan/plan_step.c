/* plan_step.c: what one step does to the versions of a device, and whether it may be taken. */
#include <string.h>

#include "module/module_names.h"
#include "plan/plan_inner.h"

bool plan_put(struct plan_vector *vector, const struct plan_module *module)
{
    size_t at = 0;
    while (at < vector->count &&
           (vector->modules[at].function < module->function ||
            (vector->modules[at].function == module->function && vector->modules[at].index < module->index)))
        at++;
    if (at < vector->count && vector->modules[at].function == module->function &&
        vector->modules[at].index == module->index) {
        vector->modules[at].version = module->version;
        return true;
    }
    if (vector->count == PLAN_MODULES_MAX)
        return false;
    memmove(&vector->modules[at + 1], &vector->modules[at], (vector->count - at) * sizeof vector->modules[0]);
    vector->modules[at] = *module;
    vector->count++;
    return true;
}

/* An NCP that a device does not list is there all the same, where a rule or a binary speaks of one. */
static bool add_unknown(struct plan_vector *start, uint8_t function, uint8_t index)
{
    struct plan_module unknown = {.function = function, .index = index};
    if (function != MODULE_NCP || plan_vector_find(start, function, index) < start->count)
        return true;
    return plan_put(start, &unknown);
}

bool plan_start(struct plan_vector *start, const struct plan_problem *problem)
{
    bool fits = true;
    *start = (struct plan_vector){.platform_id = problem->from->platform_id, .count = problem->from->count};
    memcpy(start->modules, problem->from->modules, start->count * sizeof start->modules[0]);
    for (size_t b = 0; b < problem->binary_count; b++)
        for (size_t i = 0; i < problem->binaries[b].gives_count; i++)
            fits &= add_unknown(start, problem->binaries[b].gives[i].function,
                                problem->binaries[b].gives[i].index);
    for (size_t r = 0; r < problem->rule_count; r++)
        for (size_t i = 0; i < problem->rules[r]->has_count; i++)
            fits &= add_unknown(start, problem->rules[r]->has[i].function, problem->rules[r]->has[i].index);
    return fits;
}

static bool may_downgrade(const struct plan_ask *ask)
{
    return ask->problem->allow_downgrade || ask->relaxed.downgrade;
}

/* The version the release wants of what this target gives: the highest of all its targets. */
static uint16_t wanted(const struct plan_problem *problem, const struct plan_module *module)
{
    uint16_t version = 0;
    for (size_t b = 0; b < problem->binary_count; b++)
        for (size_t i = 0; problem->binaries[b].is_target && i < problem->binaries[b].gives_count; i++) {
            const struct plan_module *given = &problem->binaries[b].gives[i];
            if (given->function == module->function && given->index == module->index &&
                given->version > version)
                version = given->version;
        }
    return version;
}

static bool is_met(const struct plan_ask *ask, const struct plan_vector *vector,
                   const struct plan_module *target)
{
    size_t at = plan_vector_find(vector, target->function, target->index);
    if (at == vector->count)
        return false;
    uint16_t version = vector->modules[at].version, want = wanted(ask->problem, target);
    return may_downgrade(ask) ? version == want : version >= want;
}

bool plan_is_done(const struct plan_ask *ask, const struct plan_vector *vector)
{
    const struct plan_problem *problem = ask->problem;
    for (size_t b = 0; b < problem->binary_count; b++)
        for (size_t i = 0; problem->binaries[b].is_target && i < problem->binaries[b].gives_count; i++)
            if (!is_met(ask, vector, &problem->binaries[b].gives[i]))
                return false;
    return true;
}

/* Puts what the binary gives. False: it changes nothing, takes a module down, or there is no room. */
static bool apply(const struct plan_ask *ask, struct plan_vector *result, const struct plan_binary *binary)
{
    bool up = false, down = false;
    for (size_t i = 0; i < binary->gives_count; i++) {
        const struct plan_module *given = &binary->gives[i];
        size_t at = plan_vector_find(result, given->function, given->index);
        bool is_there = at < result->count;
        up |= !is_there || given->version > result->modules[at].version;
        down |= is_there && given->version < result->modules[at].version;
        if (!plan_put(result, given))
            return false;
    }
    return down ? may_downgrade(ask) : up;
}

static bool needs_are_met(const struct plan_ask *ask, const struct plan_vector *vector, uint8_t binary)
{
    const struct plan_binary *b = &ask->problem->binaries[binary];
    for (size_t i = 0; i < b->needs_count; i++) {
        size_t at = plan_vector_find(vector, b->needs[i].function, b->needs[i].index);
        if (ask->relaxed.need_of == binary && ask->relaxed.need == i)
            continue;
        if (at == vector->count || vector->modules[at].version < b->needs[i].version)
            return false;
    }
    return true;
}

/* A device that is connected with an NCP of unknown version evidently can: what an unreachable rule says of
 * it then counts only where a step makes it so. */
static bool is_unreachable(const struct plan_ask *ask, const struct plan_rule *rule,
                           const struct plan_vector *result)
{
    return rule->kind == RULE_UNREACHABLE &&
           (rule_all_hold(rule, result, false) ||
            (rule_all_hold(rule, result, true) && !rule_all_hold(rule, &ask->start, true)));
}

bool plan_rule_refuses(const struct plan_ask *ask, size_t rule, const struct plan_vector *vector,
                       uint8_t binary)
{
    const struct plan_rule *r = ask->problem->rules[rule];
    const struct plan_binary *b = &ask->problem->binaries[binary];
    struct plan_vector result = *vector;
    if (r->kind != RULE_UNREACHABLE)
        return rule_refuses(r, b, vector);
    for (size_t i = 0; i < b->gives_count; i++)
        if (!plan_put(&result, &b->gives[i]))
            return false;
    return is_unreachable(ask, r, &result);
}

bool plan_try(const struct plan_ask *ask, const struct plan_vector *vector, uint8_t binary,
              struct plan_vector *result, uint64_t *cost)
{
    const struct plan_problem *problem = ask->problem;
    const struct plan_binary *b = &problem->binaries[binary];
    *result = *vector;
    if ((b->is_withdrawn && ask->relaxed.binary != binary) || !apply(ask, result, b) ||
        !needs_are_met(ask, vector, binary))
        return false;
    *cost = (uint64_t)b->size_bytes + PLAN_REBOOT_BYTES;
    for (size_t r = 0; r < problem->rule_count; r++) {
        const struct plan_rule *rule = problem->rules[r];
        if (ask->relaxed.rule == r)
            continue;
        if (rule_refuses(rule, b, vector) || is_unreachable(ask, rule, result))
            return false;
        if (rule->kind == RULE_PREFERS && rule_is_about(rule, b) && rule_all_hold(rule, vector, true))
            *cost += rule->cost_bytes;
    }
    return true;
}
