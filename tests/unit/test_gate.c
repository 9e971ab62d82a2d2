/* test_gate.c: the gate of a stage against the numbers it is meant to have, and each way a stage can stand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "campaign/gate.h"

static const struct gate_rules rules = {.max_failure = 0.05,
                                        .min_resolved = 5,
                                        .coverage = 0.9,
                                        .soak_s = 60,
                                        .max_lost = 3,
                                        .allow_small_canary = true};

#define LONG_AGO UINT64_C(3600000)

static struct gate_verdict judge(const struct gate_rules *r, struct gate_counts counts)
{
    struct gate_verdict v;
    gate_judge(&v, r, &counts);
    assert_true(v.sentence[0] != '\0');
    return v;
}

#define assert_says(v, words)                                                                                \
    do {                                                                                                     \
        if (strstr((v).sentence, words) == NULL)                                                             \
            fail_msg("%s", (v).sentence);                                                                    \
    } while (0)

static void test_first_abort_points(void **state)
{
    (void)state;
    static const uint32_t n[] = {5, 10, 20, 50, 100, 200, 500, 1000};
    static const struct {
        double limit;
        uint32_t abort_at[8];
    } rows[] = {{0.01, {1, 1, 1, 2, 3, 5, 9, 16}},
                {0.02, {1, 1, 2, 3, 5, 8, 16, 28}},
                {0.05, {2, 2, 3, 6, 9, 16, 34, 62}},
                {0.10, {2, 3, 5, 9, 15, 27, 62, 116}}};
    for (size_t row = 0; row < 4; row++) {
        struct gate_rules r = rules;
        r.max_failure = rows[row].limit;
        r.max_lost = 1000;
        for (size_t i = 0; i < 8; i++) {
            uint32_t k = rows[row].abort_at[i];
            if (gate_abort_at(n[i], rows[row].limit) != k)
                fail_msg("limit %g n %u: %u", rows[row].limit, n[i], gate_abort_at(n[i], rows[row].limit));
            /* with one failure less the stage is not stopped; failures still to come do not count */
            struct gate_verdict v =
                judge(&r, (struct gate_counts){.total = 2000, .open = 1, .ok = n[i] - k, .failed = k});
            assert_int_equal(v.kind, GATE_FAILED);
            v = judge(&r,
                      (struct gate_counts){.total = 2000, .open = 1, .ok = n[i] - k + 1, .failed = k - 1});
            assert_int_equal(v.kind, GATE_RUNNING);
        }
    }
}

static void test_what_a_stage_can_prove(void **state)
{
    (void)state;
    static const struct {
        double limit;
        uint32_t devices;
    } proofs[] = {{0.01, 268}, {0.02, 133}, {0.05, 52}, {0.10, 25}};
    char sentence[GATE_SENTENCE_SIZE];
    for (size_t i = 0; i < 4; i++) {
        struct gate_rules r = rules;
        r.max_failure = proofs[i].limit;
        assert_int_equal(gate_proof_devices(r.max_failure), proofs[i].devices);
        assert_true(gate_upper(0, proofs[i].devices) < r.max_failure);
        assert_true(gate_upper(0, proofs[i].devices - 1) >= r.max_failure);
        gate_proves(sentence, proofs[i].devices, &r);
        assert_non_null(strstr(sentence, "prove a failure rate below"));
        assert_null(strstr(sentence, "cannot"));
        gate_proves(sentence, proofs[i].devices - 1, &r);
        assert_non_null(strstr(sentence, "cannot prove"));
    }
    gate_proves(sentence, 0, &rules);
    assert_non_null(strstr(sentence, "proves nothing"));
}

static void test_bounds_stay_within_0_and_1(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 60; n++) {
        double before = -1;
        for (uint32_t k = 0; k <= n + 2; k++) {
            double lower = gate_lower(k, n), upper = gate_upper(k, n);
            assert_true(lower >= 0 && lower <= upper && upper <= 1);
            assert_true(lower >= before);
            before = n == 0 ? -1 : lower;
        }
    }
}

static void test_lost_devices_weigh_double_and_stop(void **state)
{
    (void)state;
    struct gate_rules r = rules;
    r.max_lost = 100;
    struct gate_verdict v = judge(&r, (struct gate_counts){.total = 100, .open = 1, .ok = 9, .failed = 1});
    assert_int_equal(v.kind, GATE_RUNNING); /* of 10 two stop it */
    v = judge(&r, (struct gate_counts){.total = 100, .open = 1, .ok = 9, .lost = 1});
    assert_int_equal(v.kind, GATE_FAILED);
    assert_int_equal(v.k, 2);
    r.max_lost = 1;
    v = judge(&r, (struct gate_counts){.total = 10000, .open = 1, .ok = 9000, .lost = 1});
    assert_int_equal(v.kind, GATE_FAILED);
    assert_says(v, "never came back");
}

static void test_empty_stage(void **state)
{
    (void)state;
    struct gate_verdict v = judge(&rules, (struct gate_counts){.since_success_ms = UINT64_MAX});
    assert_int_equal(v.kind, GATE_PASSED);
    assert_says(v, "proves nothing");
    v = judge(&rules, (struct gate_counts){.total = 3, .gone = 3, .since_success_ms = UINT64_MAX});
    assert_int_equal(v.kind, GATE_PASSED);
}

static void test_one_device_stage(void **state)
{
    (void)state;
    struct gate_rules strict = rules;
    strict.allow_small_canary = false;
    struct gate_counts one = {.total = 1, .ok = 1, .since_success_ms = LONG_AGO};
    struct gate_verdict v = judge(&rules, one);
    assert_int_equal(v.kind, GATE_PASSED);
    assert_says(v, "too few devices"); /* said openly */
    assert_says(v, "52 would prove the 5 %");
    v = judge(&strict, one);
    assert_int_equal(v.kind, GATE_HELD);
    assert_says(v, "at least 5");
    strict.min_resolved = 1;
    v = judge(&strict, one);
    assert_int_equal(v.kind, GATE_HELD);
    assert_says(v, "52 devices prove");
    v = judge(&rules, (struct gate_counts){.total = 1, .failed = 1, .since_success_ms = UINT64_MAX});
    assert_int_equal(v.kind, GATE_FAILED);
    v = judge(&rules, (struct gate_counts){.total = 1, .since_success_ms = UINT64_MAX});
    assert_int_equal(v.kind, GATE_RUNNING);
}

static void test_all_offline_stage(void **state)
{
    (void)state;
    struct gate_verdict v = judge(
        &rules, (struct gate_counts){.total = 10, .tail = 8, .blocked = 2, .since_success_ms = UINT64_MAX});
    assert_int_equal(v.kind, GATE_HELD);
    assert_true(v.admits); /* when they come, it goes on by itself */
    assert_says(v, "8 offline, 2 blocked");
    /* stragglers hold up nobody */
    v = judge(&rules, (struct gate_counts){.total = 100, .ok = 60, .tail = 40, .since_success_ms = LONG_AGO});
    assert_int_equal(v.kind, GATE_PASSED);
}

static void test_complete_but_unhealthy_stage_is_held(void **state)
{
    (void)state;
    struct gate_verdict v = judge(
        &rules, (struct gate_counts){.total = 100, .ok = 96, .failed = 4, .since_success_ms = LONG_AGO});
    assert_int_equal(v.kind, GATE_HELD); /* 4 of 100 may well be 9 % */
    assert_false(v.admits);
    assert_says(v, "may be as high as");
    v = judge(&rules,
              (struct gate_counts){.total = 100, .ok = 100, .unhealthy = 6, .since_success_ms = LONG_AGO});
    assert_int_equal(v.kind, GATE_HELD);
    assert_says(v, "safe mode");
    v = judge(&rules,
              (struct gate_counts){.total = 1000, .ok = 980, .failed = 20, .since_success_ms = LONG_AGO});
    assert_int_equal(v.kind, GATE_PASSED);
}

static void test_coverage_and_open_devices(void **state)
{
    (void)state;
    struct gate_counts c = {.total = 100, .ok = 89, .since_success_ms = LONG_AGO};
    assert_int_equal(judge(&rules, c).kind, GATE_RUNNING);
    c.ok = 90;
    assert_int_equal(judge(&rules, c).kind, GATE_PASSED);
    c.open = 1;
    assert_int_equal(judge(&rules, c).kind, GATE_RUNNING);
    c = (struct gate_counts){.total = 100, .ok = 45, .tail = 50, .since_success_ms = LONG_AGO};
    assert_int_equal(judge(&rules, c).kind, GATE_PASSED); /* 90 % of those that can be reached */
}

static void test_soak_begins_with_the_last_success(void **state)
{
    (void)state;
    struct gate_counts c = {.total = 100, .ok = 100, .since_success_ms = 59999};
    assert_int_equal(judge(&rules, c).kind, GATE_SOAKING);
    c.since_success_ms = 60000;
    assert_int_equal(judge(&rules, c).kind, GATE_PASSED);
}

static void test_current_devices_prove_nothing(void **state)
{
    (void)state;
    struct gate_verdict v =
        judge(&rules,
              (struct gate_counts){.total = 100, .ok = 100, .current = 100, .since_success_ms = UINT64_MAX});
    assert_int_equal(v.kind, GATE_PASSED);
    assert_int_equal(v.n, 0);
    assert_says(v, "had the release already");
    /* they do not thin out failures either */
    v = judge(&rules, (struct gate_counts){.total = 1000, .open = 1, .ok = 908, .current = 900, .failed = 2});
    assert_int_equal(v.n, 10);
    assert_int_equal(v.kind, GATE_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_abort_points),
        cmocka_unit_test(test_what_a_stage_can_prove),
        cmocka_unit_test(test_bounds_stay_within_0_and_1),
        cmocka_unit_test(test_lost_devices_weigh_double_and_stop),
        cmocka_unit_test(test_empty_stage),
        cmocka_unit_test(test_one_device_stage),
        cmocka_unit_test(test_all_offline_stage),
        cmocka_unit_test(test_complete_but_unhealthy_stage_is_held),
        cmocka_unit_test(test_coverage_and_open_devices),
        cmocka_unit_test(test_soak_begins_with_the_last_success),
        cmocka_unit_test(test_current_devices_prove_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
