/* plan_effect.c: what a rule means for devices with certain versions, in a sentence. */
#include <stdlib.h>

#include "base/mem.h"
#include "plan/plan_words.h"
#include "plan/rule.h"

/* What the device has of the modules the rule asks about, or must have. */
static char *versions(const struct plan_rule *rule, const struct plan_vector *vector)
{
    char *text = mem_string("");
    for (size_t i = 0; i < rule->has_count; i++) {
        size_t at = plan_vector_find(vector, rule->has[i].function, rule->has[i].index);
        if (at == vector->count)
            continue;
        char *module = plan_words_module(vector, &vector->modules[at]);
        char *longer = mem_printf("%s%s%s", text, *text ? " and " : "", module);
        free(module);
        free(text);
        text = longer;
    }
    if (*text)
        return text;
    free(text);
    return mem_string("what it runs");
}

static char *with_versions(const struct plan_rule *rule, const struct plan_vector *vector, const char *before,
                           const char *after)
{
    char *has = versions(rule, vector);
    char *text = mem_printf("%s%s%s", before, has, after);
    free(has);
    return text;
}

static char *passes(const struct plan_rule *rule, const struct plan_vector *vector)
{
    const struct rule_condition *through = &rule->step;
    size_t at = plan_vector_find(vector, through->function, through->index);
    if (at == vector->count || vector->modules[at].version >= through->from)
        return NULL;
    char *module = plan_words_module(vector, &vector->modules[at]);
    char *text = mem_printf("With %s it has to stop at a version from %u to %u on its way to newer ones.",
                            module, through->from, through->below - 1);
    free(module);
    return text;
}

char *plan_words_effect(const struct plan_rule *rule, const struct plan_vector *vector)
{
    bool hold = rule_all_hold(rule, vector, true);
    switch (rule->kind) {
    case RULE_REQUIRES:
        return hold ? NULL
                    : with_versions(rule, vector, "With ",
                                    " it does not get such a step before it meets what the rule requires.");
    case RULE_FORBIDS:
        return hold ? with_versions(rule, vector, "With ", " it does not get such a step.") : NULL;
    case RULE_MUST_PASS_THROUGH:
        return passes(rule, vector);
    case RULE_UNREACHABLE:
        return hold ? with_versions(rule, vector, "With ", " it cannot connect.") : NULL;
    case RULE_PREFERS:
        return hold ? with_versions(rule, vector, "With ", " such a step comes late, if it can.") : NULL;
    case RULE_COLLATERAL:
        return with_versions(rule, vector, "Such a step may move ", " too, and is no failure if it does.");
    case RULE_DEEP_UPDATE_NEEDED: /* who is asked about was found already */
        break;
    }
    return mem_string("It needs a deep update.");
}
