#include "plan/rule.h"

#include "module/module_names.h"

size_t plan_vector_find(const struct plan_vector *vector, uint8_t function, uint8_t index)
{
    size_t i = 0;
    while (i < vector->count &&
           (vector->modules[i].function != function || vector->modules[i].index != index))
        i++;
    return i;
}

static bool is_in_bounds(const struct rule_condition *c, uint16_t version)
{
    if (version < c->from || version >= c->below)
        return false;
    if (c->is_count == 0)
        return true;
    for (size_t i = 0; i < c->is_count; i++)
        if (c->is[i] == version)
            return true;
    return false;
}

bool rule_condition_holds(const struct rule_condition *c, const struct plan_vector *vector, bool as_oldest)
{
    size_t at = plan_vector_find(vector, c->function, c->index);
    if (at == vector->count)
        return false;
    uint16_t version = vector->modules[at].version;
    if (c->function == MODULE_NCP && version == 0 && !as_oldest)
        return false;
    return is_in_bounds(c, version);
}

bool rule_all_hold(const struct plan_rule *rule, const struct plan_vector *vector, bool as_oldest)
{
    for (size_t i = 0; i < rule->has_count; i++)
        if (!rule_condition_holds(&rule->has[i], vector, as_oldest))
            return false;
    return true;
}

static bool is_combined_way(const struct plan_binary *binary)
{
    if (binary->gives_count != 2)
        return false;
    for (size_t i = 0; i < 2; i++)
        if (binary->gives[i].function == MODULE_BOOTLOADER || binary->gives[i].function == MODULE_RADIO)
            return true;
    return false;
}

bool rule_is_about(const struct plan_rule *rule, const struct plan_binary *binary)
{
    const struct rule_condition *step = &rule->step;
    if (rule->kind == RULE_UNREACHABLE || rule->kind == RULE_DEEP_UPDATE_NEEDED)
        return false;
    if (step->is_way)
        return is_combined_way(binary);
    for (size_t i = 0; i < binary->gives_count; i++)
        if (binary->gives[i].function == step->function && binary->gives[i].index == step->index)
            return rule->kind == RULE_MUST_PASS_THROUGH || is_in_bounds(step, binary->gives[i].version);
    return false;
}

/* From below what has to be passed to above it. A module that is not there yet passes through nothing. */
static bool jumps_over(const struct plan_rule *rule, const struct plan_binary *binary,
                       const struct plan_vector *vector)
{
    const struct rule_condition *through = &rule->step;
    size_t at = plan_vector_find(vector, through->function, through->index);
    if (at == vector->count || vector->modules[at].version >= through->from)
        return false;
    for (size_t i = 0; i < binary->gives_count; i++)
        if (binary->gives[i].function == through->function && binary->gives[i].index == through->index &&
            binary->gives[i].version >= through->below)
            return true;
    return false;
}

bool rule_refuses(const struct plan_rule *rule, const struct plan_binary *binary,
                  const struct plan_vector *vector)
{
    switch (rule->kind) {
    case RULE_REQUIRES:
        return rule_is_about(rule, binary) && !rule_all_hold(rule, vector, true);
    case RULE_FORBIDS:
        return rule_is_about(rule, binary) && rule_all_hold(rule, vector, true);
    case RULE_MUST_PASS_THROUGH:
        return jumps_over(rule, binary, vector);
    default:
        return false;
    }
}

bool rule_lets_move(const struct plan_rule *rule, const struct plan_binary *binary, uint8_t function,
                    uint8_t index)
{
    if (rule->kind != RULE_COLLATERAL || !rule_is_about(rule, binary))
        return false;
    for (size_t i = 0; i < rule->has_count; i++)
        if (rule->has[i].function == function && rule->has[i].index == index)
            return true;
    return false;
}
