/* test_hook_retry.c: which answers are tried again, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hook/retry.h"

static const struct retry_rule rule = {.backoff_s = 10, .attempts_max = 15};

static struct retry judge(enum web_err err, int status, uint32_t retry_after_s, uint32_t attempt,
                          uint32_t dice)
{
    const struct web_answer answer = {.err = err, .status = status, .retry_after_s = retry_after_s};
    return retry_judge(&rule, &answer, attempt, dice);
}

static void test_kinds(void **state)
{
    static const int delivered[] = {200, 201, 202, 204, 299},
                     again[] = {408, 425, 429, 500, 502, 503, 504, 599},
                     dead[] = {100, 199, 300, 301, 304, 400, 401, 403, 404, 410, 422, 501, 505, 600, 0};
    (void)state;
    for (size_t i = 0; i < sizeof delivered / sizeof *delivered; i++)
        assert_int_equal(judge(WEB_ANSWERED, delivered[i], 0, 1, 0).kind, RETRY_DELIVERED);
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        assert_int_equal(judge(WEB_ANSWERED, again[i], 0, 1, 0).kind, RETRY_AGAIN);
    for (size_t i = 0; i < sizeof dead / sizeof *dead; i++)
        assert_int_equal(judge(WEB_ANSWERED, dead[i], 0, 1, 0).kind, RETRY_DEAD);
    assert_int_equal(judge(WEB_FAILED, 0, 0, 1, 0).kind, RETRY_AGAIN);
    assert_int_equal(judge(WEB_REFUSED, 0, 0, 1, 0).kind, RETRY_DEAD);
}

/* Doubled with each attempt, spread, bounded by an hour and a quarter. */
static void test_waits(void **state)
{
    (void)state;
    for (uint32_t attempt = 1; attempt < 15; attempt++) {
        uint64_t middle = 10ull << (attempt - 1);
        if (middle > RETRY_WAIT_MAX_S)
            middle = RETRY_WAIT_MAX_S;
        for (uint32_t dice = 0; dice < 5000; dice += 7) {
            uint32_t wait_s = judge(WEB_FAILED, 0, 0, attempt, dice * 977).wait_s;
            assert_in_range(wait_s, middle - middle / 4, middle + middle / 4 + 1);
        }
        assert_int_not_equal(judge(WEB_FAILED, 0, 0, attempt, 0).wait_s,
                             judge(WEB_FAILED, 0, 0, attempt, (uint32_t)middle / 2).wait_s);
    }
    assert_int_equal(judge(WEB_FAILED, 0, 0, 15, 0).kind, RETRY_DEAD);
    assert_int_equal(judge(WEB_FAILED, 0, 0, UINT32_MAX, 0).kind, RETRY_DEAD);
}

static void test_what_the_target_asks_for(void **state)
{
    struct retry retry = judge(WEB_ANSWERED, 429, 600, 1, 0);
    (void)state;
    assert_int_equal(retry.kind, RETRY_AGAIN);
    assert_int_equal(retry.wait_s, 600);
    assert_int_equal(retry.hold_s, 600);
    assert_in_range(judge(WEB_ANSWERED, 503, 1, 1, 0).wait_s, 7, 13); /* never sooner than we would */
    assert_int_equal(judge(WEB_ANSWERED, 500, 600, 1, 0).hold_s, 0);
    assert_int_equal(judge(WEB_ANSWERED, 429, 600, 15, 0).hold_s, 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_what_the_target_asks_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
