/* test_limits.c: how often a token and an address may ask. */
#include "api/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_clock.h"

static struct metrics *metrics;

static struct limits *make(uint32_t per_token, uint32_t per_address, uint32_t logins)
{
    struct limits_settings settings = {.per_token = per_token, .per_address = per_address, .logins = logins};

    metrics = metrics_new();
    return limits_new(metrics, &settings);
}

static void end(struct limits *l)
{
    limits_free(l);
    metrics_free(metrics);
}

static uint64_t limited(const char *by)
{
    char label[32];

    snprintf(label, sizeof(label), "by=\"%s\"", by);
    return metrics_add(metrics, METRIC_COUNTER, "cyan_http_limited_total", label, "")->value;
}

static void test_ten_seconds_worth_and_then_the_rate(void **state)
{
    struct limits *l = make(5, 0, 0);
    uint64_t wait_ms = 0;

    (void)state;
    for (int i = 0; i < 50; i++)
        assert_true(limits_take_token(l, 7, &wait_ms));
    assert_false(limits_take_token(l, 7, &wait_ms));
    assert_int_equal(wait_ms, 200);
    assert_true(limits_take_token(l, 8, &wait_ms)); /* each has its own */
    fake_clock_ms += 199;
    assert_false(limits_take_token(l, 7, &wait_ms));
    assert_int_equal(wait_ms, 1);
    fake_clock_ms += 1;
    assert_true(limits_take_token(l, 7, &wait_ms));
    assert_int_equal(limited("token"), 2);
    end(l);
}

static void test_logins_are_counted_by_the_minute(void **state)
{
    struct limits *l = make(0, 0, 3);
    uint8_t here[16] = {1}, there[16] = {2};
    uint64_t wait_ms = 0;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(limits_take_login(l, here, &wait_ms));
    assert_false(limits_take_login(l, here, &wait_ms));
    assert_int_equal(wait_ms, 20000);
    assert_true(limits_take_login(l, there, &wait_ms));
    fake_clock_ms += 20000;
    assert_true(limits_take_login(l, here, &wait_ms));
    assert_false(limits_take_login(l, here, &wait_ms));
    assert_int_equal(limited("logins"), 2);
    end(l);
}

static void test_zero_is_no_limit(void **state)
{
    struct limits *l = make(0, 0, 0);
    uint8_t here[16] = {1};
    uint64_t wait_ms = 0;

    (void)state;
    for (int i = 0; i < 100000; i++)
        assert_true(limits_take_address(l, here, &wait_ms) && limits_take_token(l, 1, &wait_ms) &&
                    limits_take_login(l, here, &wait_ms));
    end(l);
}

/* Many addresses push out the one not seen for the longest, never one that comes again and again. */
static void test_memory_is_bounded(void **state)
{
    struct limits *l = make(0, 1, 0);
    uint8_t busy[16] = {1}, quiet[16] = {2}, other[16] = {3};
    uint64_t wait_ms = 0;

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_true(limits_take_address(l, quiet, &wait_ms) && limits_take_address(l, busy, &wait_ms));
    assert_false(limits_take_address(l, quiet, &wait_ms));
    for (uint32_t i = 0; i < 3 * LIMITS_MAX; i++) {
        memcpy(other + 4, &i, sizeof(i));
        assert_true(limits_take_address(l, other, &wait_ms));
        if (i % 100 == 0)
            assert_false(limits_take_address(l, busy, &wait_ms));
    }
    assert_true(limits_take_address(l, quiet, &wait_ms)); /* forgotten, and with it what it had taken */
    end(l);
}

static void test_a_new_rate_counts_at_once(void **state)
{
    struct limits *l = make(1, 0, 0);
    uint64_t wait_ms = 0;

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_true(limits_take_token(l, 7, &wait_ms));
    assert_false(limits_take_token(l, 7, &wait_ms));
    limits_reload(l, &(struct limits_settings){.per_token = 1}); /* the same: nothing is forgotten */
    assert_false(limits_take_token(l, 7, &wait_ms));
    limits_reload(l, &(struct limits_settings){.per_token = 2});
    for (int i = 0; i < 20; i++)
        assert_true(limits_take_token(l, 7, &wait_ms));
    assert_false(limits_take_token(l, 7, &wait_ms));
    end(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_seconds_worth_and_then_the_rate),
        cmocka_unit_test(test_logins_are_counted_by_the_minute),
        cmocka_unit_test(test_zero_is_no_limit),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_a_new_rate_counts_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
