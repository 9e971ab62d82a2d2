/* Plans for devices as they are in the field, with the rules as they are shipped: which order, and in what
 * words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "module/module_names.h"
#include "plan/plan_words.h"
#include "plan/rule.h"

#define B MODULE_BOOTLOADER
#define S MODULE_SYSTEM
#define U MODULE_USER
#define C MODULE_NCP
#define A MODULE_RADIO
#define P MODULE_RESOURCE

enum platform { CORE = 0, PHOTON = 6, ARGON = 12, TRACKER = 26, P2 = 32 };

struct story {
    struct plan_vector from;
    struct plan_binary binaries[PLAN_BINARIES_MAX];
    struct plan_rule rules[8];
    const struct plan_rule *rule_list[8];
    struct plan_problem problem;
    struct plan plan;
};

static struct story *tell(struct story *s, uint16_t platform)
{
    *s = (struct story){.from = {.platform_id = platform}};
    s->problem = (struct plan_problem){.from = &s->from, .binaries = s->binaries, .rules = s->rule_list};
    return s;
}

/* In order of function and index. */
static void runs(struct story *s, uint8_t function, uint8_t index, uint16_t version)
{
    s->from.modules[s->from.count++] = (struct plan_module){function, index, version};
}

static struct plan_binary *binary(struct story *s, bool is_target, uint8_t function, uint8_t index,
                                  uint16_t version)
{
    struct plan_binary *b = &s->binaries[s->problem.binary_count++];
    *b = (struct plan_binary){.id = (int64_t)s->problem.binary_count,
                              .gives = {{function, index, version}},
                              .gives_count = 1,
                              .size_bytes = 100000,
                              .is_target = is_target};
    return b;
}

static struct plan_binary *target(struct story *s, uint8_t function, uint8_t index, uint16_t version)
{
    return binary(s, true, function, index, version);
}

static struct plan_binary *stone(struct story *s, uint8_t function, uint8_t index, uint16_t version)
{
    return binary(s, false, function, index, version);
}

static void needs(struct plan_binary *b, uint8_t function, uint8_t index, uint16_t version)
{
    b->needs[b->needs_count++] = (struct plan_module){function, index, version};
}

static void rule(struct story *s, enum rule_kind kind, const char *code, const char *body)
{
    char why[RULE_WHY_SIZE];
    json_t *json = json_loads(body, 0, NULL);
    assert_non_null(json);
    struct plan_rule *r = &s->rules[s->problem.rule_count];
    if (!rule_parse(r, kind,
                    &(struct rule_words){code, "The sentence of the rule.", "The evidence of the rule."},
                    json, why))
        fail_msg("%s", why);
    json_decref(json);
    s->rule_list[s->problem.rule_count++] = r;
}

static void argon_rules(struct story *s)
{
    rule(s, RULE_UNREACHABLE, "argon-ncp-3-cannot-connect",
         "{\"all\": [{\"module\": \"c\", \"index\": 0, \"below\": 4}, {\"module\": \"s\", \"index\": 1, "
         "\"from\": 3001}]}");
    rule(s, RULE_PREFERS, "argon-bootloader-before-ncp",
         "{\"has\": {\"module\": \"b\", \"index\": 0, \"below\": 3000}, \"step\": {\"module\": \"c\", "
         "\"index\": 0}, \"cost\": 10000000}");
}

/* The release of an Argon: 6.2.0 with the steps that lead to it. */
static void argon_release(struct story *s)
{
    needs(stone(s, S, 1, 2302), B, 0, 1005);
    needs(target(s, A, 0, 202), S, 1, 1512);
    struct plan_binary *system = target(s, S, 1, 6200);
    needs(system, B, 0, 3100);
    needs(system, A, 0, 202);
    needs(target(s, B, 0, 3100), S, 1, 2302); /* an old system cannot write it */
    target(s, C, 0, 5);
}

/* `s1=2302 b0=3100 ...` */
static const char *steps(const struct story *s)
{
    static char text[400];
    size_t at = 0;
    text[0] = 0;
    for (size_t i = 0; i < s->plan.step_count; i++) {
        const struct plan_module *m = &s->binaries[s->plan.steps[i].binary].gives[0];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%c%u=%u", i ? " " : "",
                               module_function_letter(m->function), m->index, m->version);
    }
    return text;
}

static void make(struct story *s)
{
    plan_make(&s->plan, &s->problem);
}

static void assert_words(char *words, const char *expected)
{
    assert_string_equal(words, expected);
    free(words);
}

static bool has_reason(const struct story *s, size_t step, const char *words)
{
    bool found = false;
    for (size_t i = 0; i < s->plan.steps[step].reason_count; i++) {
        char *text = plan_words_reason(&s->problem, &s->plan.steps[step], i, "2026.11");
        found |= strcmp(text, words) == 0;
        free(text);
    }
    return found;
}

static void an_argon_gets_its_bootloader_before_its_ncp(void **state)
{
    struct story s;
    (void)state;
    argon_rules(tell(&s, ARGON));
    runs(&s, B, 0, 1200);
    runs(&s, S, 1, 1512);
    runs(&s, C, 0, 3);
    runs(&s, A, 0, 202);
    argon_release(&s);
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_STEPS);
    assert_string_equal(steps(&s), "s1=2302 b0=3100 c0=5 s1=6200");
    assert_true(
        has_reason(&s, 0, "system 2302 is needed by bootloader 3100 (its header asks for system >= 2302)"));
    assert_true(has_reason(
        &s, 1, "bootloader 3100 is needed by system 6200 (its header asks for bootloader >= 3100)"));
    assert_true(has_reason(&s, 1,
                           "bootloader 3100 is preferred before NCP 5 by rule argon-bootloader-before-ncp: "
                           "The sentence of the rule."));
    assert_true(has_reason(&s, 2, "NCP 5 is what release 2026.11 wants"));
    assert_true(has_reason(&s, 2,
                           "NCP 5 has to come before system 6200 by rule argon-ncp-3-cannot-connect: The "
                           "sentence of the rule."));
    assert_false(s.plan.is_uncertain);
    assert_words(plan_words_outcome(&s.plan, &s.problem, "2026.11"),
                 "4 steps to release 2026.11: system 2302, bootloader 3100, NCP 5, system 6200.");
}

static void the_preference_gives_way_where_it_must(void **state)
{
    struct story s;
    (void)state;
    argon_rules(tell(&s, ARGON));
    runs(&s, B, 0, 1200);
    runs(&s, S, 1, 1512);
    runs(&s, C, 0, 3);
    target(&s, C, 0, 5); /* no bootloader in this release */
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_STEPS);
    assert_string_equal(steps(&s), "c0=5");
    assert_int_equal(s.plan.cost, 100000 + PLAN_REBOOT_BYTES + 10000000);
}

static void an_argon_that_cannot_connect_gets_a_recipe(void **state)
{
    struct story s;
    (void)state;
    argon_rules(tell(&s, ARGON));
    runs(&s, B, 0, 1100);
    runs(&s, S, 1, 3103);
    runs(&s, C, 0, 3);
    runs(&s, A, 0, 112);
    argon_release(&s);
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_UNREACHABLE);
    assert_string_equal(plan_outcome_reason(s.plan.outcome), "unreachable_version");
    assert_int_equal(s.plan.step_count, 0);
    assert_words(plan_words_outcome(&s.plan, &s.problem, "2026.11"),
                 "This Argon cannot connect with NCP 3 under system 3103, so nothing can be sent to it over "
                 "the air: The "
                 "evidence of the rule. Locally over USB: 1. bootloader 3100 2. soft device 202 3. system "
                 "6200 4. NCP 5");
    assert_words(plan_words_remedy(&s.plan, &s.problem),
                 "Somebody with a USB cable has to update it, in the order of the recipe.");
}

static void an_unknown_ncp_counts_as_the_oldest(void **state)
{
    struct story s;
    (void)state;
    argon_rules(tell(&s, ARGON));
    runs(&s, B, 0, 3100);
    runs(&s, S, 1, 2302);
    runs(&s, A, 0, 202); /* no NCP described at all */
    needs(target(&s, S, 1, 6200), B, 0, 3100);
    target(&s, C, 0, 5);
    make(&s);
    assert_string_equal(steps(&s), "c0=5 s1=6200"); /* never a system above an NCP that may be 3 */
    assert_true(s.plan.is_uncertain);
    s.problem.binary_count = 1; /* without the NCP in the release */
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_NO_PATH);
    assert_int_equal(s.plan.opening_count, 1);
    assert_words(plan_words_opening(&s.problem, &s.plan.openings[0]),
                 "It would go without rule argon-ncp-3-cannot-connect: The sentence of the rule.");
}

/* It is connected: whatever its NCP is, it is not too old for this system. */
static void a_connected_argon_with_an_unknown_ncp_is_not_cut_off(void **state)
{
    struct story s;
    (void)state;
    argon_rules(tell(&s, ARGON));
    runs(&s, B, 0, 1100);
    runs(&s, S, 1, 3103);
    runs(&s, C, 0, 0);
    needs(target(&s, S, 1, 6200), B, 0, 3100);
    target(&s, B, 0, 3100);
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_STEPS);
    assert_string_equal(steps(&s), "b0=3100 s1=6200");
    assert_true(s.plan.is_uncertain);
    assert_words(plan_words_uncertain(&s.plan, &s.problem),
                 "The version of its NCP is not known; it was taken for the oldest. A describe may tell it.");
}

static void a_tracker_passes_through_3001(void **state)
{
    struct story s;
    const char *body =
        "{\"step\": {\"module\": \"s\", \"index\": 1, \"from\": 5600}, \"requires\": {\"module\": "
        "\"s\", \"index\": 1, \"from\": 3001}}";
    (void)state;
    rule(tell(&s, TRACKER), RULE_REQUIRES, "tracker-ncp-7-first", body);
    runs(&s, B, 0, 3100);
    runs(&s, S, 1, 1513);
    target(&s, S, 1, 6200);
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_NO_PATH);
    assert_words(plan_words_outcome(&s.plan, &s.problem, "R"),
                 "There is no way from bootloader 3100, system 1513 to release R. It would go without rule "
                 "tracker-ncp-7-first: The sentence of the rule.");
    stone(&s, S, 1, 3201);
    make(&s);
    assert_string_equal(steps(&s), "s1=3201 s1=6200");
    assert_true(has_reason(&s, 0,
                           "system 3201 has to come before system 6200 by rule tracker-ncp-7-first: The "
                           "sentence of the rule."));
}

static void a_photon_goes_around_the_forbidden_step(void **state)
{
    struct story s;
    (void)state;
    rule(tell(&s, PHOTON), RULE_FORBIDS, "photon-0.6.0-rc.1",
         "{\"has\": {\"module\": \"s\", \"index\": 1, \"is\": [100]}, \"step\": {\"module\": \"s\", "
         "\"index\": 1, "
         "\"is\": [102, 105, 108]}}");
    runs(&s, S, 1, 100);
    runs(&s, S, 2, 100);
    target(&s, S, 1, 108);
    needs(target(&s, S, 2, 108), S, 1, 108);
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_NO_PATH);
    stone(&s, S, 1, 101);
    make(&s);
    assert_string_equal(steps(&s), "s1=101 s1=108 s2=108");
    assert_true(has_reason(
        &s, 1,
        "system part 1 v108 is needed by system part 2 v108 (its header asks for system part 1 >= 108)"));
}

static void an_electron_passes_through(void **state)
{
    struct story s;
    (void)state;
    rule(tell(&s, 10), RULE_MUST_PASS_THROUGH, "electron-0.6.4",
         "{\"module\": \"s\", \"index\": 2, \"through\": {\"from\": 110, \"below\": 200}}");
    runs(&s, S, 2, 23);
    target(&s, S, 2, 2302);
    stone(&s, S, 2, 110);
    make(&s);
    assert_string_equal(steps(&s), "s2=110 s2=2302");
    s.from.modules[0].version = 110; /* it is there: nothing to pass */
    make(&s);
    assert_string_equal(steps(&s), "s2=2302");
}

static void an_rtl_gets_its_prebootloader_first(void **state)
{
    struct story s;
    (void)state;
    tell(&s, P2);
    runs(&s, B, 0, 2000);
    runs(&s, B, 1, 1);
    runs(&s, B, 2, 7);
    runs(&s, S, 1, 5002);
    needs(target(&s, S, 1, 6200), B, 0, 3100);
    needs(target(&s, B, 0, 3100), B, 2, 9);
    target(&s, B, 2, 9);
    make(&s);
    assert_string_equal(steps(&s), "b2=9 b0=3100 s1=6200");
    assert_true(has_reason(
        &s, 0,
        "bootloader part 2 v9 is needed by bootloader 3100 (its header asks for bootloader part 2 >= 9)"));
}

static void a_core_gets_its_patch(void **state)
{
    struct story s;
    (void)state;
    tell(&s, CORE);
    runs(&s, P, 0, 123);
    target(&s, P, 0, 128);
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_STEPS);
    assert_words(plan_words_outcome(&s.plan, &s.problem, "july-2014"),
                 "1 step to release july-2014: CC3000 patch 1.28.");
    s.from.modules[0].version = 128;
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_CURRENT);
}

static void what_keeps_a_device_is_named(void **state)
{
    struct story s;
    (void)state;
    tell(&s, ARGON);
    target(&s, S, 1, 6200);
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_UNKNOWN);
    runs(&s, B, 0, 1200);
    runs(&s, S, 1, 2302);
    needs(&s.binaries[0], B, 0, 3100);
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_NO_PATH);
    assert_words(plan_words_opening(&s.problem, &s.plan.openings[0]),
                 "A stepping stone that brings bootloader to 3100 or newer would open a way: system 6200 "
                 "asks for it in "
                 "its header.");
    stone(&s, B, 0, 3100)->is_withdrawn = true;
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_WITHDRAWN);
    assert_words(plan_words_outcome(&s.plan, &s.problem, "R"),
                 "The way to release R needs bootloader 3100, which was withdrawn.");
    s.problem.binary_count = 0;
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_LACKS);
    assert_words(plan_words_outcome(&s.plan, &s.problem, "R"), "Release R has nothing for an Argon.");
}

static void a_downgrade_is_refused_unless_it_is_allowed(void **state)
{
    struct story s;
    (void)state;
    tell(&s, ARGON);
    runs(&s, B, 0, 3100);
    runs(&s, S, 1, 6200);
    target(&s, S, 1, 5901);
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_CURRENT); /* above what the release wants */
    s.problem.allow_downgrade = true;
    make(&s);
    assert_string_equal(steps(&s), "s1=5901");
    s.problem.allow_downgrade = false;
    s.binaries[0].gives[1] = (struct plan_module){C, 0, 5}; /* brings an old system along */
    s.binaries[0].gives_count = 2;
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_DOWNGRADE);
    assert_words(plan_words_outcome(&s.plan, &s.problem, "R"),
                 "Only a downgrade would lead to release R, and downgrades are refused.");
}

/* Ten modules with many versions each: more combinations than anybody waits for. */
static void a_search_without_end_gives_up(void **state)
{
    struct story s;
    (void)state;
    tell(&s, ARGON);
    for (uint8_t i = 0; i < 9; i++) {
        runs(&s, S, i, 1);
        for (uint16_t v = 2; v < 7 && s.problem.binary_count < PLAN_BINARIES_MAX; v++)
            binary(&s, false, S, i, v);
    }
    target(&s, U, 1, 5);
    needs(&s.binaries[s.problem.binary_count - 1], C, 0, 9);
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_TOO_LARGE);
    assert_int_equal(s.plan.step_count, 0);
}

/* --- rules --- */

static void assert_refused(enum rule_kind kind, const char *body, const char *expected)
{
    struct plan_rule r;
    char why[RULE_WHY_SIZE] = "";
    json_t *json = json_loads(body, 0, NULL);
    assert_non_null(json);
    assert_false(rule_parse(&r, kind, &(struct rule_words){"code", "Explained.", "Known."}, json, why));
    assert_string_equal(why, expected);
    json_decref(json);
}

static void bodies_are_read_strictly(void **state)
{
    (void)state;
    assert_refused(RULE_REQUIRES, "{}",
                   "the body must have a `step`, as in {\"module\": \"s\", \"index\": 1, \"from\": 5600}.");
    assert_refused(RULE_REQUIRES, "{\"step\": {\"module\": \"s\"}, \"requires\": {\"module\": \"s\"}}",
                   "`requires` must have at least one of `from`, `below` and `is`.");
    assert_refused(RULE_REQUIRES, "{\"way\": \"by foot\", \"requires\": {\"module\": \"s\", \"from\": 1}}",
                   "`way` must be combined_bootloader_softdevice.");
    assert_refused(
        RULE_FORBIDS, "{\"has\": {\"module\": \"s\", \"version\": 1}, \"step\": {\"module\": \"s\"}}",
        "`has` has a key `version` that means nothing there; known are: module index from below is.");
    assert_refused(RULE_FORBIDS, "{\"has\": {\"module\": \"x\", \"is\": [1]}, \"step\": {\"module\": \"s\"}}",
                   "`module` of `has` must be one of r, b, m, s, u, c, a.");
    assert_refused(RULE_UNREACHABLE, "{\"all\": {\"module\": \"c\", \"below\": 4}}",
                   "`all` must be a list of 1 to 4 conditions.");
    assert_refused(RULE_UNREACHABLE, "{\"all\": [{\"module\": \"c\", \"below\": 70000}]}",
                   "`below` of `all` must be a number from 1 to 65535.");
    assert_refused(RULE_UNREACHABLE, "{\"all\": [{\"module\": \"c\", \"from\": 5, \"below\": 4}]}",
                   "`from` of `all` must be less than its `below`.");
    assert_refused(RULE_MUST_PASS_THROUGH, "{\"module\": \"s\", \"through\": {\"from\": 3}}",
                   "`through` must have `from` and `below`, as in {\"from\": 207, \"below\": 300}.");
    assert_refused(RULE_PREFERS,
                   "{\"has\": {\"module\": \"b\", \"below\": 3000}, \"step\": {\"module\": \"c\"}}",
                   "the body must have a `cost`: how many more bytes would be sent to have it otherwise.");
    assert_refused(RULE_COLLATERAL, "{\"step\": {\"module\": \"c\"}, \"moves\": []}",
                   "`moves` must be a list of 1 to 4 modules.");
    assert_refused(RULE_DEEP_UPDATE_NEEDED, "{\"fact\": \"cc3000_patch_version\", \"below\": \"1.x\"}",
                   "`below` must be a dotted version like \"1.28\".");
}

static void a_collateral_rule_excuses_what_it_names(void **state)
{
    struct story s;
    (void)state;
    rule(tell(&s, ARGON), RULE_COLLATERAL, "argon-ncp-moves-bootloader",
         "{\"step\": {\"module\": \"c\", \"index\": 0}, \"moves\": [{\"module\": \"b\", \"index\": 0}]}");
    struct plan_binary *ncp = target(&s, C, 0, 5), *system = target(&s, S, 1, 6200);
    assert_true(rule_lets_move(&s.rules[0], ncp, B, 0));
    assert_false(rule_lets_move(&s.rules[0], ncp, S, 1));
    assert_false(rule_lets_move(&s.rules[0], system, B, 0));
}

static void the_newer_way_needs_a_bootloader(void **state)
{
    struct story s;
    (void)state;
    rule(tell(&s, ARGON), RULE_REQUIRES, "nrf52-bootloader-1001-argon",
         "{\"way\": \"combined_bootloader_softdevice\", \"requires\": {\"module\": \"b\", \"index\": 0, "
         "\"from\": "
         "1001}}");
    runs(&s, B, 0, 501);
    runs(&s, A, 0, 112);
    struct plan_binary *both = target(&s, A, 0, 202);
    both->gives[1] = (struct plan_module){B, 0, 3100};
    both->gives_count = 2;
    make(&s);
    assert_int_equal(s.plan.outcome, PLAN_NO_PATH);
    stone(&s, B, 0, 1001);
    make(&s);
    assert_string_equal(steps(&s), "b0=1001 a0=202");
    assert_words(plan_words_binary(&s.problem, &s.binaries[0]), "soft device 202 with bootloader 3100");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_argon_gets_its_bootloader_before_its_ncp),
        cmocka_unit_test(the_preference_gives_way_where_it_must),
        cmocka_unit_test(an_argon_that_cannot_connect_gets_a_recipe),
        cmocka_unit_test(an_unknown_ncp_counts_as_the_oldest),
        cmocka_unit_test(a_connected_argon_with_an_unknown_ncp_is_not_cut_off),
        cmocka_unit_test(a_tracker_passes_through_3001),
        cmocka_unit_test(a_photon_goes_around_the_forbidden_step),
        cmocka_unit_test(an_electron_passes_through),
        cmocka_unit_test(an_rtl_gets_its_prebootloader_first),
        cmocka_unit_test(a_core_gets_its_patch),
        cmocka_unit_test(what_keeps_a_device_is_named),
        cmocka_unit_test(a_downgrade_is_refused_unless_it_is_allowed),
        cmocka_unit_test(a_search_without_end_gives_up),
        cmocka_unit_test(bodies_are_read_strictly),
        cmocka_unit_test(a_collateral_rule_excuses_what_it_names),
        cmocka_unit_test(the_newer_way_needs_a_bootloader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
