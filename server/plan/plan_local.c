/* plan_local.c: what a person with a cable does for a device that nothing can be sent to: bootloader, soft
 * device and system, then the network co-processor. Written in that order the device is never left with a
 * co-processor that its system does not know how to write, nor with a system its bootloader cannot start. */
#include "module/module_names.h"
#include "plan/plan_inner.h"

static unsigned rank(const struct plan_binary *b)
{
    static const uint8_t ranks[] = {
        [MODULE_BOOTLOADER] = 1, [MODULE_RADIO] = 2, [MODULE_SYSTEM] = 3,
        [MODULE_MONOLITHIC] = 3, [MODULE_NCP] = 4,   [MODULE_USER] = 5,
    };
    uint8_t function = b->gives[0].function;
    return function < sizeof ranks && ranks[function] ? ranks[function] : 6;
}

/* A target that may be written and gives something newer than the device has, and than others give. */
static bool is_wanted(const struct plan_problem *p, const struct plan_vector *has, size_t at)
{
    const struct plan_binary *b = &p->binaries[at];
    if (!b->is_target || b->is_withdrawn)
        return false;
    for (size_t i = 0; i < b->gives_count; i++) {
        size_t found = plan_vector_find(has, b->gives[i].function, b->gives[i].index);
        if (found == has->count || has->modules[found].version < b->gives[i].version)
            return true;
    }
    return false;
}

static bool gives_need(const struct plan_binary *giver, const struct plan_module *need)
{
    for (size_t i = 0; i < giver->gives_count; i++)
        if (giver->gives[i].function == need->function && giver->gives[i].index == need->index &&
            giver->gives[i].version >= need->version)
            return true;
    return false;
}

/* Another one that is still to be written brings what this one needs. */
static bool waits(const struct plan_problem *p, const struct plan_vector *has, size_t at)
{
    for (size_t i = 0; i < p->binaries[at].needs_count; i++) {
        const struct plan_module *need = &p->binaries[at].needs[i];
        size_t found = plan_vector_find(has, need->function, need->index);
        if (found < has->count && has->modules[found].version >= need->version)
            continue;
        for (size_t other = 0; other < p->binary_count; other++)
            if (other != at && is_wanted(p, has, other) && gives_need(&p->binaries[other], need))
                return true;
    }
    return false;
}

/* The next one by rank that waits for no other; when all wait for each other, the first by rank. */
static size_t next(const struct plan_problem *p, const struct plan_vector *has)
{
    size_t best = p->binary_count;
    bool best_waits = true;
    for (size_t b = 0; b < p->binary_count; b++) {
        if (!is_wanted(p, has, b))
            continue;
        bool b_waits = waits(p, has, b);
        if (best == p->binary_count || b_waits < best_waits ||
            (b_waits == best_waits && rank(&p->binaries[b]) < rank(&p->binaries[best]))) {
            best = b;
            best_waits = b_waits;
        }
    }
    return best;
}

/* Of several targets for one module only the newest is written. */
static size_t newest(const struct plan_problem *p, size_t of)
{
    size_t best = of;
    for (size_t b = 0; b < p->binary_count; b++)
        if (p->binaries[b].is_target && !p->binaries[b].is_withdrawn &&
            p->binaries[b].gives_count == p->binaries[of].gives_count &&
            p->binaries[b].gives[0].function == p->binaries[of].gives[0].function &&
            p->binaries[b].gives[0].index == p->binaries[of].gives[0].index &&
            p->binaries[b].gives[0].version > p->binaries[best].gives[0].version)
            best = b;
    return best;
}

void plan_fill_local(struct plan *plan, const struct plan_problem *problem)
{
    struct plan_vector has = *problem->from;
    size_t b;
    while (plan->local_count < PLAN_STEPS_MAX && (b = next(problem, &has)) < problem->binary_count) {
        b = newest(problem, b);
        for (size_t i = 0; i < problem->binaries[b].gives_count; i++)
            if (!plan_put(&has, &problem->binaries[b].gives[i]))
                return;
        plan->local[plan->local_count++] = (uint8_t)b;
    }
}
