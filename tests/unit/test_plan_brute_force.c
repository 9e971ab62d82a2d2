/* The planner against a search written apart from it: many random small universes, in each of them every
 * version vector that can be reached is listed and its cost lowered until nothing changes. Feasibility, cost
 * and every single change that would open a way must be the same.
 *
 * PLAN_UNIVERSES=2000000 in the environment makes it look longer, PLAN_SEED at other universes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/plan.h"
#include "plan/rule.h"

#define UNIVERSES 200000
#define MODULES 4
#define VERSIONS 7 /* absent, 0 to 5 */
#define STATES (VERSIONS * VERSIONS * VERSIONS * VERSIONS)
#define BINARIES 7
#define RULES 4
#define NO_WAY UINT64_MAX

static const uint8_t functions[MODULES] = {2, 4, 7, 8}; /* the third is an NCP: its version 0 is unknown */
enum { NCP = 2 };

struct bound {
    int module, from, below, is; /* -1 = not there */
};
enum kind { REQUIRES, FORBIDS, THROUGH, UNREACHABLE, PREFERS, COLLATERAL, KINDS };
struct law {
    enum kind kind;
    struct bound step, has[2];
    int has_count;
    uint64_t cost;
};
struct gift {
    int module, version;
};
struct file {
    struct gift gives[2], needs[2];
    int gives_count, needs_count;
    uint64_t bytes;
    bool target, withdrawn;
};
struct universe {
    int start[MODULES]; /* -1 = absent */
    struct file files[BINARIES];
    int file_count;
    struct law laws[RULES];
    int law_count;
    bool downgrade;
};
struct change { /* -1 = none */
    int law, need_of, need, file;
    bool downgrade;
};
static const struct change no_change = {-1, -1, -1, -1, false};

/* --- chance --- */

static uint64_t chance;
static uint64_t draw(uint64_t below)
{
    uint64_t z = (chance += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

static bool likely(unsigned percent)
{
    return draw(100) < percent;
}

static struct bound draw_bound(bool may_be_free)
{
    struct bound b = {(int)draw(MODULES), -1, -1, -1};
    unsigned way = (unsigned)draw(may_be_free ? 4 : 3);
    if (way == 0)
        b.from = (int)draw(5) + 1;
    else if (way == 1)
        b.below = (int)draw(5) + 1;
    else if (way == 2)
        b.is = (int)draw(5);
    return b;
}

static struct law draw_law(void)
{
    struct law law = {
        .kind = (enum kind)draw(KINDS), .has_count = (int)draw(2) + 1, .cost = draw(500000) + 1};
    law.step = draw_bound(true);
    if (law.kind == THROUGH) {
        law.step.from = (int)draw(3) + 1;
        law.step.below = law.step.from + 1 + (int)draw(2);
        law.step.is = -1;
    }
    for (int i = 0; i < law.has_count; i++)
        law.has[i] = draw_bound(false);
    return law;
}

static struct file draw_file(void)
{
    struct file f = {.gives_count = 1 + likely(15), .bytes = draw(400000) + 1000};
    f.target = likely(45);
    f.withdrawn = likely(10);
    f.gives[0] = (struct gift){(int)draw(MODULES), (int)draw(5) + 1};
    f.gives[1] = (struct gift){(f.gives[0].module + 1 + (int)draw(MODULES - 1)) % MODULES, (int)draw(5) + 1};
    f.needs_count = likely(45) ? 1 + likely(25) : 0;
    for (int i = 0; i < f.needs_count; i++)
        f.needs[i] = (struct gift){(int)draw(MODULES), (int)draw(5) + 1};
    return f;
}

static void draw_universe(struct universe *u)
{
    *u = (struct universe){.file_count = 1 + (int)draw(BINARIES), .downgrade = likely(5)};
    for (int m = 0; m < MODULES; m++)
        u->start[m] = likely(85) ? (int)draw(5) : -1;
    for (int i = 0; i < u->file_count; i++)
        u->files[i] = draw_file();
    u->law_count = (int)draw(RULES + 1);
    for (int i = 0; i < u->law_count; i++)
        u->laws[i] = draw_law();
}

/* --- the other search --- */

static bool within(const struct bound *b, int version)
{
    return (b->from < 0 || version >= b->from) && (b->below < 0 || version < b->below) &&
           (b->is < 0 || version == b->is);
}

static bool true_of(const struct law *law, const int *v, bool believes_unknown)
{
    for (int i = 0; i < law->has_count; i++) {
        const struct bound *b = &law->has[i];
        if (v[b->module] < 0 || !within(b, v[b->module]))
            return false;
        if (b->module == NCP && v[NCP] == 0 && !believes_unknown)
            return false;
    }
    return true;
}

static bool concerns(const struct law *law, const struct file *f)
{
    for (int i = 0; i < f->gives_count; i++)
        if (f->gives[i].module == law->step.module && within(&law->step, f->gives[i].version))
            return true;
    return false;
}

static bool leaps(const struct law *law, const struct file *f, const int *v)
{
    int now = v[law->step.module];
    for (int i = 0; i < f->gives_count; i++)
        if (f->gives[i].module == law->step.module && now >= 0 && now < law->step.from &&
            f->gives[i].version >= law->step.below)
            return true;
    return false;
}

static bool breaks(const struct law *law, const struct file *f, const int *v, const int *after,
                   const int *first)
{
    switch (law->kind) {
    case REQUIRES:
        return concerns(law, f) && !true_of(law, v, true);
    case FORBIDS:
        return concerns(law, f) && true_of(law, v, true);
    case THROUGH:
        return leaps(law, f, v);
    case UNREACHABLE:
        return true_of(law, after, false) || (true_of(law, after, true) && !true_of(law, first, true));
    default:
        return false;
    }
}

/* The cost of putting file i on v, which becomes after; NO_WAY when it may not be. */
static uint64_t put(const struct universe *u, const struct change *c, const int *first, const int *v, int i,
                    int *after)
{
    const struct file *f = &u->files[i];
    int ups = 0, downs = 0;
    uint64_t cost = f->bytes + 100000;
    if (f->withdrawn && c->file != i)
        return NO_WAY;
    memcpy(after, v, MODULES * sizeof *after);
    for (int g = 0; g < f->gives_count; g++) {
        ups += f->gives[g].version > v[f->gives[g].module];
        downs += f->gives[g].version < v[f->gives[g].module];
        after[f->gives[g].module] = f->gives[g].version;
    }
    if (ups + downs == 0 || (downs > 0 && !u->downgrade && !c->downgrade))
        return NO_WAY;
    for (int n = 0; n < f->needs_count; n++)
        if (!(c->need_of == i && c->need == n) && v[f->needs[n].module] < f->needs[n].version)
            return NO_WAY;
    for (int l = 0; l < u->law_count; l++) {
        if (l != c->law && breaks(&u->laws[l], f, v, after, first))
            return NO_WAY;
        if (u->laws[l].kind == PREFERS && concerns(&u->laws[l], f) && true_of(&u->laws[l], v, true) &&
            l != c->law)
            cost += u->laws[l].cost;
    }
    return cost;
}

static bool arrived(const struct universe *u, const struct change *c, const int *v)
{
    int want[MODULES];
    for (int m = 0; m < MODULES; m++)
        want[m] = -1;
    for (int i = 0; i < u->file_count; i++)
        for (int g = 0; u->files[i].target && g < u->files[i].gives_count; g++)
            if (u->files[i].gives[g].version > want[u->files[i].gives[g].module])
                want[u->files[i].gives[g].module] = u->files[i].gives[g].version;
    for (int m = 0; m < MODULES; m++)
        if (want[m] >= 0 && (v[m] < want[m] || ((u->downgrade || c->downgrade) && v[m] != want[m])))
            return false;
    return true;
}

static int number_of(const int *v)
{
    int n = 0;
    for (int m = 0; m < MODULES; m++)
        n = n * VERSIONS + v[m] + 1;
    return n;
}

/* The NCP is there, if unknown, as soon as a file or a law speaks of it. */
static void first_state(const struct universe *u, int *v)
{
    bool spoken = false;
    memcpy(v, u->start, sizeof u->start);
    for (int i = 0; i < u->file_count; i++)
        for (int g = 0; g < u->files[i].gives_count; g++)
            spoken |= u->files[i].gives[g].module == NCP;
    for (int l = 0; l < u->law_count; l++)
        for (int i = 0; u->laws[l].kind != THROUGH && i < u->laws[l].has_count; i++)
            spoken |= u->laws[l].has[i].module == NCP;
    if (spoken && v[NCP] < 0)
        v[NCP] = 0;
}

static uint64_t best_cost(const struct universe *u, const struct change *c)
{
    static uint64_t costs[STATES];
    static int seen[STATES][MODULES];
    static uint16_t known[STATES];
    int count = 1, first[MODULES], after[MODULES];
    uint64_t best = NO_WAY;
    bool changed = true;
    first_state(u, first);
    memcpy(seen[0], first, sizeof first);
    known[number_of(first)] = 1;
    costs[0] = 0;
    while (changed) {
        changed = false;
        for (int s = 0; s < count; s++)
            for (int i = 0; i < u->file_count; i++) {
                uint64_t step = put(u, c, first, seen[s], i, after);
                if (step == NO_WAY)
                    continue;
                int at = known[number_of(after)] - 1;
                if (at < 0) {
                    at = count++;
                    known[number_of(after)] = (uint16_t)(at + 1);
                    memcpy(seen[at], after, sizeof after);
                    costs[at] = NO_WAY;
                }
                if (costs[s] + step < costs[at]) {
                    costs[at] = costs[s] + step;
                    changed = true;
                }
            }
    }
    for (int s = 0; s < count; s++) {
        if (costs[s] < best && arrived(u, c, seen[s]))
            best = costs[s];
        known[number_of(seen[s])] = 0;
    }
    return best;
}

/* --- the same universe for the planner --- */

struct posed {
    struct plan_vector from;
    struct plan_binary binaries[BINARIES];
    struct plan_rule rules[RULES];
    const struct plan_rule *rule_list[RULES];
    struct plan_problem problem;
};

static char letter(int module)
{
    return "bsca"[module];
}

static json_t *bound_json(const struct bound *b)
{
    char name[2] = {letter(b->module), 0};
    json_t *object = json_pack("{s:s,s:i}", "module", name, "index", 0);
    if (b->from >= 0)
        json_object_set_new(object, "from", json_integer(b->from));
    if (b->below >= 0)
        json_object_set_new(object, "below", json_integer(b->below));
    if (b->is >= 0)
        json_object_set_new(object, "is", json_pack("[i]", b->is));
    return object;
}

static json_t *body_json(const struct law *law)
{
    static const char *const has_keys[] = {"requires", "has", "", "all", "has", "moves"};
    json_t *body, *list = json_array();
    if (law->kind == THROUGH) {
        char name[2] = {letter(law->step.module), 0};
        json_decref(list);
        return json_pack("{s:s,s:i,s:{s:i,s:i}}", "module", name, "index", 0, "through", "from",
                         law->step.from, "below", law->step.below);
    }
    for (int i = 0; i < law->has_count; i++) {
        json_t *one = bound_json(&law->has[i]);
        if (law->kind == COLLATERAL) {
            json_object_del(one, "from");
            json_object_del(one, "below");
            json_object_del(one, "is");
        }
        json_array_append_new(list, one);
    }
    body = json_pack("{s:o}", has_keys[law->kind], list);
    if (law->kind != UNREACHABLE)
        json_object_set_new(body, "step", bound_json(&law->step));
    if (law->kind == PREFERS)
        json_object_set_new(body, "cost", json_integer((json_int_t)law->cost));
    return body;
}

static void pose_rule(struct plan_rule *rule, const struct law *law)
{
    static const enum rule_kind kinds[] = {RULE_REQUIRES,    RULE_FORBIDS, RULE_MUST_PASS_THROUGH,
                                           RULE_UNREACHABLE, RULE_PREFERS, RULE_COLLATERAL};
    char why[RULE_WHY_SIZE];
    json_t *body = body_json(law);
    if (!rule_parse(rule, kinds[law->kind], &(struct rule_words){"drawn", "By chance.", "Drawn."}, body, why))
        fail_msg("%s", why);
    json_decref(body);
}

static struct plan_module module_of(const struct gift *g)
{
    return (struct plan_module){.function = functions[g->module], .version = (uint16_t)g->version};
}

static void pose(struct posed *p, const struct universe *u)
{
    *p = (struct posed){.from = {.platform_id = 12}};
    for (int m = 0; m < MODULES; m++) /* functions grow with m: sorted */
        if (u->start[m] >= 0)
            p->from.modules[p->from.count++] =
                (struct plan_module){.function = functions[m], .version = (uint16_t)u->start[m]};
    for (int i = 0; i < u->file_count; i++) {
        const struct file *f = &u->files[i];
        struct plan_binary *b = &p->binaries[i];
        *b = (struct plan_binary){.id = i + 1,
                                  .gives_count = (size_t)f->gives_count,
                                  .needs_count = (size_t)f->needs_count,
                                  .size_bytes = (uint32_t)f->bytes,
                                  .is_target = f->target,
                                  .is_withdrawn = f->withdrawn};
        for (int g = 0; g < f->gives_count; g++)
            b->gives[g] = module_of(&f->gives[g]);
        for (int n = 0; n < f->needs_count; n++)
            b->needs[n] = module_of(&f->needs[n]);
    }
    for (int l = 0; l < u->law_count; l++) {
        pose_rule(&p->rules[l], &u->laws[l]);
        p->rule_list[l] = &p->rules[l];
    }
    p->problem = (struct plan_problem){.from = &p->from,
                                       .binaries = p->binaries,
                                       .binary_count = (size_t)u->file_count,
                                       .rules = p->rule_list,
                                       .rule_count = (size_t)u->law_count,
                                       .allow_downgrade = u->downgrade};
}

/* --- what must be the same --- */

static uint64_t universe_number;
#define hold(cond)                                                                                           \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            fail_msg("universe %llu: %s", (unsigned long long)universe_number, #cond);                       \
    } while (0)

/* The steps can be taken one by one, cost what is said and end where the release wants. */
static void check_steps(const struct universe *u, const struct plan *plan)
{
    int first[MODULES], v[MODULES], after[MODULES];
    uint64_t cost = 0;
    first_state(u, first);
    memcpy(v, first, sizeof v);
    for (size_t s = 0; s < plan->step_count; s++) {
        uint64_t step = put(u, &no_change, first, v, plan->steps[s].binary, after);
        hold(step != NO_WAY);
        for (size_t g = 0; g < (size_t)u->files[plan->steps[s].binary].gives_count; g++) {
            int was = v[u->files[plan->steps[s].binary].gives[g].module];
            hold(plan->steps[s].was[g].version == (was < 0 ? 0 : was));
        }
        memcpy(v, after, sizeof v);
        cost += step;
    }
    hold(cost == plan->cost);
    hold(arrived(u, &no_change, v));
}

static bool is_told(const struct plan *plan, const struct universe *u, const struct change *c)
{
    for (size_t i = 0; i < plan->opening_count; i++) {
        const struct plan_opening *o = &plan->openings[i];
        if ((o->kind == PLAN_WITHOUT_RULE && c->law == o->rule) ||
            (o->kind == PLAN_WITH_BINARY && c->file == o->binary) ||
            (o->kind == PLAN_WITH_DOWNGRADE && c->downgrade))
            return true;
        if (o->kind == PLAN_WITHOUT_NEED && c->need_of == o->binary) {
            struct plan_module need = module_of(&u->files[c->need_of].needs[c->need]);
            if (need.function == o->need.function && need.version == o->need.version)
                return true;
        }
    }
    return false;
}

struct tally {
    size_t opening_count;
    bool by_file, by_downgrade, by_law_or_need;
};

static void check_change(const struct plan *plan, const struct universe *u, const struct change *c,
                         struct tally *t)
{
    bool opens = best_cost(u, c) != NO_WAY;
    t->opening_count += opens;
    t->by_file |= opens && c->file >= 0;
    t->by_downgrade |= opens && c->downgrade;
    t->by_law_or_need |= opens && (c->law >= 0 || c->need_of >= 0);
    if (opens)
        hold(is_told(plan, u, c) || plan->opening_count == PLAN_OPENINGS_MAX);
    else
        hold(!is_told(plan, u, c) || c->need_of >= 0); /* two equal needs of one file are told alike */
}

static void check_openings(const struct universe *u, const struct plan *plan)
{
    struct tally t = {0};
    for (int l = 0; l < u->law_count; l++) {
        struct change c = {l, -1, -1, -1, false};
        if (u->laws[l].kind != PREFERS && u->laws[l].kind != COLLATERAL)
            check_change(plan, u, &c, &t);
    }
    for (int i = 0; i < u->file_count; i++) {
        struct change whole = {-1, -1, -1, i, false};
        for (int n = 0; n < u->files[i].needs_count && !u->files[i].withdrawn; n++) {
            struct change c = {-1, i, n, -1, false};
            check_change(plan, u, &c, &t);
        }
        if (u->files[i].withdrawn)
            check_change(plan, u, &whole, &t);
    }
    if (!u->downgrade) {
        struct change c = {-1, -1, -1, -1, true};
        check_change(plan, u, &c, &t);
    }
    hold(plan->opening_count == (t.opening_count < PLAN_OPENINGS_MAX ? t.opening_count : PLAN_OPENINGS_MAX));
    hold(plan->outcome == (t.by_file                             ? PLAN_WITHDRAWN
                           : t.by_downgrade && !t.by_law_or_need ? PLAN_DOWNGRADE
                                                                 : PLAN_NO_PATH));
}

static bool is_empty(const struct universe *u)
{
    for (int m = 0; m < MODULES; m++)
        if (u->start[m] >= 0)
            return false;
    return true;
}

static bool has_target(const struct universe *u)
{
    for (int i = 0; i < u->file_count; i++)
        if (u->files[i].target)
            return true;
    return false;
}

static int cut_off(const struct universe *u)
{
    int first[MODULES];
    first_state(u, first);
    for (int l = 0; l < u->law_count; l++)
        if (u->laws[l].kind == UNREACHABLE && true_of(&u->laws[l], first, false))
            return l;
    return -1;
}

static void check_universe(const struct universe *u, size_t counts[PLAN_TOO_LARGE + 1])
{
    static struct posed p;
    struct plan plan;
    pose(&p, u);
    plan_make(&plan, &p.problem);
    counts[plan.outcome]++;
    if (is_empty(u)) {
        hold(plan.outcome == PLAN_UNKNOWN);
    } else if (!has_target(u)) {
        hold(plan.outcome == PLAN_LACKS);
    } else if (cut_off(u) >= 0) {
        hold(plan.outcome == PLAN_UNREACHABLE && plan.unreachable_rule == cut_off(u));
    } else {
        uint64_t best = best_cost(u, &no_change);
        hold((best != NO_WAY) == (plan.outcome == PLAN_CURRENT || plan.outcome == PLAN_STEPS));
        if (best == NO_WAY) {
            check_openings(u, &plan);
            return;
        }
        hold(plan.cost == best && (plan.outcome == PLAN_CURRENT) == (plan.step_count == 0));
        check_steps(u, &plan);
    }
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void every_universe_has_the_same_answer(void **state)
{
    uint64_t count = from_environment("PLAN_UNIVERSES", UNIVERSES), seed = from_environment("PLAN_SEED", 1);
    size_t counts[PLAN_TOO_LARGE + 1] = {0};
    (void)state;
    for (uint64_t n = 0; n < count; n++) {
        struct universe u;
        universe_number = n;
        chance = seed * 1000003 + n;
        draw_universe(&u);
        check_universe(&u, counts);
    }
    /* It looked at all kinds of them. */
    for (int outcome = PLAN_CURRENT; outcome <= PLAN_UNKNOWN; outcome++)
        if (count >= UNIVERSES)
            assert_true(counts[outcome] > 0);
    assert_int_equal(counts[PLAN_TOO_LARGE], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_universe_has_the_same_answer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
