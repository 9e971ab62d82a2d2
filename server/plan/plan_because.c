/* plan_because.c: why each step of a plan is there: the target it is, and what later steps could not do, or
 * should not, without it. */
#include "plan/plan_inner.h"

struct walk {
    const struct plan_ask *ask;
    const struct plan_path *path;
    struct plan_vector before, after; /* the step at hand */
    size_t at;                        /* its place in the path */
};

static void add(struct plan_step *step, struct plan_reason reason)
{
    if (step->reason_count < PLAN_REASONS_MAX)
        step->reasons[step->reason_count++] = reason;
}

static uint16_t version_in(const struct plan_vector *vector, const struct plan_module *module)
{
    size_t at = plan_vector_find(vector, module->function, module->index);
    return at < vector->count ? vector->modules[at].version : 0;
}

static bool gives_what(const struct plan_vector *before, const struct plan_vector *after,
                       const struct plan_module *need)
{
    size_t was = plan_vector_find(before, need->function, need->index);
    size_t is = plan_vector_find(after, need->function, need->index);
    return is < after->count && after->modules[is].version >= need->version &&
           (was == before->count || before->modules[was].version < need->version);
}

static void add_needs(struct plan_step *step, const struct walk *w)
{
    for (size_t later = w->at + 1; later < w->path->count; later++) {
        const struct plan_binary *b = &w->ask->problem->binaries[w->path->binaries[later]];
        for (size_t i = 0; i < b->needs_count; i++)
            if (gives_what(&w->before, &w->after, &b->needs[i]))
                add(step, (struct plan_reason){.kind = PLAN_NEEDED_BY,
                                               .binary = w->path->binaries[later],
                                               .need = (uint8_t)i});
    }
}

/* A later step that the rule would refuse, or that would cost more, before this one but not after it. */
static bool is_asked_by(const struct walk *w, size_t r, uint8_t later)
{
    const struct plan_rule *rule = w->ask->problem->rules[r];
    if (rule->kind == RULE_PREFERS)
        return rule_is_about(rule, &w->ask->problem->binaries[later]) &&
               rule_all_hold(rule, &w->before, true) && !rule_all_hold(rule, &w->after, true);
    return plan_rule_refuses(w->ask, r, &w->before, later) && !plan_rule_refuses(w->ask, r, &w->after, later);
}

static void add_rules(struct plan_step *step, const struct walk *w)
{
    for (size_t r = 0; r < w->ask->problem->rule_count; r++)
        for (size_t later = w->at + 1; later < w->path->count; later++)
            if (is_asked_by(w, r, w->path->binaries[later])) {
                bool prefers = w->ask->problem->rules[r]->kind == RULE_PREFERS;
                add(step, (struct plan_reason){.kind = prefers ? PLAN_PREFERRED : PLAN_RULE,
                                               .binary = w->path->binaries[later],
                                               .rule = (uint8_t)r});
                break;
            }
}

void plan_fill_steps(struct plan *plan, const struct plan_ask *ask, const struct plan_path *path)
{
    struct walk w = {.ask = ask, .path = path, .after = ask->start};
    plan->step_count = path->count;
    for (w.at = 0; w.at < path->count; w.at++) {
        const struct plan_binary *b = &ask->problem->binaries[path->binaries[w.at]];
        struct plan_step *step = &plan->steps[w.at];
        w.before = w.after;
        step->binary = path->binaries[w.at];
        for (size_t i = 0; i < b->gives_count; i++) {
            step->was[i] = b->gives[i];
            step->was[i].version = version_in(&w.before, &b->gives[i]);
            must(plan_put(&w.after, &b->gives[i]));
        }
        if (b->is_target)
            add(step, (struct plan_reason){.kind = PLAN_TARGET, .binary = step->binary});
        add_needs(step, &w);
        add_rules(step, &w);
    }
}
