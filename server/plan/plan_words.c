#include "plan/plan_words.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "module/module_names.h"
#include "plan/rule.h"

/* Names as short as people use them. */
static const char *noun(uint8_t function)
{
    switch (function) {
    case MODULE_BOOTLOADER:
        return "bootloader";
    case MODULE_SYSTEM:
        return "system";
    case MODULE_NCP:
        return "NCP";
    case MODULE_RADIO:
        return "soft device";
    case MODULE_USER:
        return "user firmware";
    case MODULE_MONOLITHIC:
        return "firmware";
    case MODULE_RESOURCE:
        return "CC3000 patch"; /* of a Core; nobody else has one */
    default:
        return "module";
    }
}

static bool is_one_of_several(const struct plan_vector *vector, const struct plan_module *module)
{
    for (size_t i = 0; i < vector->count; i++)
        if (vector->modules[i].function == module->function && vector->modules[i].index != module->index)
            return true;
    return false;
}

static bool needs_part(const struct plan_vector *vector, const struct plan_module *module)
{
    return is_one_of_several(vector, module) &&
           !(module->function == MODULE_BOOTLOADER && module->index == 0);
}

static char *name(const struct plan_vector *vector, const struct plan_module *module)
{
    if (needs_part(vector, module))
        return mem_printf("%s part %u", noun(module->function), module->index);
    return mem_string(noun(module->function));
}

/* A patch is known by its dotted number. */
static char *version(const struct plan_module *module)
{
    if (module->function == MODULE_RESOURCE)
        return mem_printf("%u.%02u", module->version / 100, module->version % 100);
    return mem_printf("%u", module->version);
}

char *plan_words_module(const struct plan_vector *vector, const struct plan_module *module)
{
    char *what = name(vector, module), *number = version(module), *text;
    if (module->function == MODULE_NCP && module->version == 0)
        text = mem_printf("%s of unknown version", what);
    else
        text = mem_printf(needs_part(vector, module) ? "%s v%s" : "%s %s", what, number);
    free(what);
    free(number);
    return text;
}

char *plan_words_binary(const struct plan_problem *problem, const struct plan_binary *binary)
{
    char *first = plan_words_module(problem->from, &binary->gives[0]);
    if (binary->gives_count < 2)
        return first;
    char *second = plan_words_module(problem->from, &binary->gives[1]);
    char *text = mem_printf("%s with %s", first, second);
    free(first);
    free(second);
    return text;
}

static const char *article(const char *noun_text)
{
    return strchr("AEIOU", noun_text[0]) ? "an" : "a";
}

static const char *platform(const struct plan_problem *problem)
{
    const char *found = module_platform_name(problem->from->platform_id);
    return found ? found : "device";
}

/* `NCP 3 under system 3103`: the modules a rule speaks of, as the device has them. */
static char *versions_of_rule(const struct plan_problem *problem, const struct plan_rule *rule)
{
    char *text = NULL;
    for (size_t i = 0; i < rule->has_count; i++) {
        size_t at = plan_vector_find(problem->from, rule->has[i].function, rule->has[i].index);
        if (at == problem->from->count)
            continue;
        char *module = plan_words_module(problem->from, &problem->from->modules[at]);
        char *longer = text ? mem_printf("%s under %s", text, module) : mem_string(module);
        free(module);
        free(text);
        text = longer;
    }
    return text ? text : mem_string("what it runs");
}

static char *recipe(const struct plan *plan, const struct plan_problem *problem)
{
    char *text = mem_string("");
    for (size_t i = 0; i < plan->local_count; i++) {
        char *step = plan_words_local(problem, plan, i);
        char *longer = mem_printf("%s%s %zu. %s", text, i ? "" : " Locally over USB:", i + 1, step);
        free(step);
        free(text);
        text = longer;
    }
    return text;
}

static char *unreachable(const struct plan *plan, const struct plan_problem *problem)
{
    const struct plan_rule *rule = problem->rules[plan->unreachable_rule];
    char *versions = versions_of_rule(problem, rule), *local = recipe(plan, problem);
    char *text = mem_printf("This %s cannot connect with %s, so nothing can be sent to it over the air: %s%s",
                            platform(problem), versions, rule->evidence, local);
    free(versions);
    free(local);
    return text;
}

static char *steps(const struct plan *plan, const struct plan_problem *problem, const char *release)
{
    char *text = mem_printf("%zu %s to release %s:", plan->step_count,
                            plan->step_count == 1 ? "step" : "steps", release);
    for (size_t i = 0; i < plan->step_count; i++) {
        char *binary = plan_words_binary(problem, &problem->binaries[plan->steps[i].binary]);
        char *longer = mem_printf("%s%s %s", text, i ? "," : "", binary);
        free(binary);
        free(text);
        text = longer;
    }
    char *whole = mem_printf("%s.", text);
    free(text);
    return whole;
}

static char *everything(const struct plan_problem *problem)
{
    char *text = mem_string("");
    for (size_t i = 0; i < problem->from->count; i++) {
        char *module = plan_words_module(problem->from, &problem->from->modules[i]);
        char *longer = mem_printf("%s%s%s", text, i ? ", " : "", module);
        free(module);
        free(text);
        text = longer;
    }
    return text;
}

static char *no_path(const struct plan *plan, const struct plan_problem *problem, const char *release)
{
    char *has = everything(problem), *text;
    if (plan->opening_count == 0) {
        text = mem_printf("There is no way from %s to release %s, and no single change would open one.", has,
                          release);
    } else {
        char *opening = plan_words_opening(problem, &plan->openings[0]);
        text = mem_printf("There is no way from %s to release %s. %s", has, release, opening);
        free(opening);
    }
    free(has);
    return text;
}

static char *withdrawn(const struct plan *plan, const struct plan_problem *problem, const char *release)
{
    char *binary = plan_words_binary(problem, &problem->binaries[plan->openings[0].binary]);
    char *text = mem_printf("The way to release %s needs %s, which was withdrawn.", release, binary);
    free(binary);
    return text;
}

char *plan_words_outcome(const struct plan *plan, const struct plan_problem *problem, const char *release)
{
    switch (plan->outcome) {
    case PLAN_CURRENT:
        return mem_printf("It runs what release %s wants, or newer.", release);
    case PLAN_STEPS:
        return steps(plan, problem, release);
    case PLAN_NO_PATH:
        return no_path(plan, problem, release);
    case PLAN_UNREACHABLE:
        return unreachable(plan, problem);
    case PLAN_LACKS:
        return mem_printf("Release %s has nothing for %s %s.", release, article(platform(problem)),
                          platform(problem));
    case PLAN_WITHDRAWN:
        return withdrawn(plan, problem, release);
    case PLAN_DOWNGRADE:
        return mem_printf("Only a downgrade would lead to release %s, and downgrades are refused.", release);
    case PLAN_UNKNOWN:
        return mem_string("What it runs is not known: it has never described its modules.");
    case PLAN_TOO_LARGE:
        break;
    }
    return mem_printf(
        "The search for a way to release %s gave up: its binaries can be combined in too many ways.",
        release);
}

static char *needed_by(const struct plan_problem *problem, const struct plan_step *step,
                       const struct plan_reason *reason)
{
    const struct plan_binary *later = &problem->binaries[reason->binary];
    const struct plan_module *need = &later->needs[reason->need];
    char *what = plan_words_binary(problem, &problem->binaries[step->binary]);
    char *by = plan_words_binary(problem, later), *asked = name(problem->from, need), *number = version(need);
    char *text = mem_printf("%s is needed by %s (its header asks for %s >= %s)", what, by, asked, number);
    free(what);
    free(by);
    free(asked);
    free(number);
    return text;
}

static char *asked_by_rule(const struct plan_problem *problem, const struct plan_step *step,
                           const struct plan_reason *reason)
{
    const struct plan_rule *rule = problem->rules[reason->rule];
    char *what = plan_words_binary(problem, &problem->binaries[step->binary]);
    char *later = plan_words_binary(problem, &problem->binaries[reason->binary]);
    char *text = mem_printf("%s %s before %s by rule %s: %s", what,
                            reason->kind == PLAN_PREFERRED ? "is preferred" : "has to come", later,
                            rule->code, rule->explain);
    free(what);
    free(later);
    return text;
}

char *plan_words_reason(const struct plan_problem *problem, const struct plan_step *step, size_t reason,
                        const char *release)
{
    const struct plan_reason *r = &step->reasons[reason];
    if (r->kind == PLAN_NEEDED_BY)
        return needed_by(problem, step, r);
    if (r->kind != PLAN_TARGET)
        return asked_by_rule(problem, step, r);
    char *what = plan_words_binary(problem, &problem->binaries[step->binary]);
    char *text = mem_printf("%s is what release %s wants", what, release);
    free(what);
    return text;
}

char *plan_words_on_the_way(const struct plan_problem *problem, const struct plan_step *step)
{
    char *what = plan_words_binary(problem, &problem->binaries[step->binary]);
    char *text = mem_printf("%s is a stepping stone on the cheapest way", what);
    free(what);
    return text;
}

char *plan_words_opening(const struct plan_problem *problem, const struct plan_opening *opening)
{
    char *binary = NULL, *what = NULL, *number = NULL, *text;
    switch (opening->kind) {
    case PLAN_WITHOUT_RULE:
        return mem_printf("It would go without rule %s: %s", problem->rules[opening->rule]->code,
                          problem->rules[opening->rule]->explain);
    case PLAN_WITHOUT_NEED:
        binary = plan_words_binary(problem, &problem->binaries[opening->binary]);
        what = name(problem->from, &opening->need);
        number = version(&opening->need);
        text = mem_printf(
            "A stepping stone that brings %s to %s or newer would open a way: %s asks for it in its "
            "header.",
            what, number, binary);
        break;
    case PLAN_WITH_BINARY:
        binary = plan_words_binary(problem, &problem->binaries[opening->binary]);
        text = mem_printf("A binary to take the place of %s, which was withdrawn, would open a way.", binary);
        break;
    default:
        text = mem_string("An approved downgrade would open a way.");
    }
    free(binary);
    free(what);
    free(number);
    return text;
}

char *plan_words_remedy(const struct plan *plan, const struct plan_problem *problem)
{
    switch (plan->outcome) {
    case PLAN_UNREACHABLE:
        return mem_string("Somebody with a USB cable has to update it, in the order of the recipe.");
    case PLAN_LACKS:
        return mem_printf("A release with binaries for %s %s.", article(platform(problem)),
                          platform(problem));
    case PLAN_UNKNOWN:
        return mem_string("It connects and describes its modules.");
    case PLAN_TOO_LARGE:
        return mem_string("A release with fewer stepping stones.");
    default:
        return NULL;
    }
}

char *plan_words_local(const struct plan_problem *problem, const struct plan *plan, size_t at)
{
    return plan_words_binary(problem, &problem->binaries[plan->local[at]]);
}

char *plan_words_uncertain(const struct plan *plan, const struct plan_problem *problem)
{
    (void)problem;
    if (!plan->is_uncertain)
        return NULL;
    return mem_string(
        "The version of its NCP is not known; it was taken for the oldest. A describe may tell it.");
}
