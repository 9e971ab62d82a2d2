/* test_scope.c: what a token's scopes cover. */
#include "fleet/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_what_is_a_scope(void **state)
{
    static const char *const good[] = {"*",   "devices:list", "devices.function:call", "devices:*", "*:list",
                                       "*:*", "a:b",          "teams.users:invite",    "a_1-b.c:d"};
    static const char *const bad[] = {
        "",           "devices",       ":list",        "devices:",      "Devices:list",
        "a:b:c",      "dev*:list",     "devices:li*",  "**:list",       "a b:c",
        "devices:*x", "devices: list", "d\xc3\xa9v:x", "devices:list\n"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!scope_is_valid(good[i]))
            fail_msg("%s is a scope", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (scope_is_valid(bad[i]))
            fail_msg("%s is no scope", bad[i]);
}

static void test_one_scope(void **state)
{
    (void)state;
    assert_true(scope_covers("devices:list", "devices:list"));
    assert_false(scope_covers("devices:list", "devices:lis"));
    assert_false(scope_covers("devices:list", "devices:listen"));
    assert_false(scope_covers("devices:list", "device:list"));
    assert_true(scope_covers("devices:*", "devices:get"));
    assert_false(scope_covers("devices:*", "devices.function:call")); /* another resource */
    assert_true(scope_covers("*:list", "products:list"));
    assert_false(scope_covers("*:list", "products:get"));
    assert_true(scope_covers("*", "anything:at_all"));
    assert_true(scope_covers("*:*", "anything:at_all"));
    assert_false(scope_covers("", "devices:list"));
}

static void test_lists(void **state)
{
    (void)state;
    assert_true(scope_covers("a:b devices:list", "devices:list"));
    assert_true(scope_covers("  a:b   devices:list ", "devices:list"));
    assert_false(scope_covers("a:b devices:get", "devices:list"));
    assert_true(scope_covers_all("devices:* *:list", "devices:get products:list"));
    assert_false(scope_covers_all("devices:* *:list", "devices:get products:get"));
    assert_true(scope_covers_all("devices:*", ""));
}

/* Whoever has some must not be able to give all. */
static void test_a_wildcard_needs_one_as_wide(void **state)
{
    (void)state;
    assert_false(scope_covers("devices:list devices:get", "devices:*"));
    assert_true(scope_covers("devices:*", "devices:*"));
    assert_false(scope_covers("devices:*", "*:get"));
    assert_false(scope_covers("devices:*", "*"));
    assert_false(scope_covers("*:*", "*")); /* the same to us, but written otherwise */
    assert_true(scope_covers("*", "*"));
    assert_true(scope_covers("*", "*:list"));
    assert_true(scope_covers("*:list", "*:list"));
}

static void test_reading(void **state)
{
    (void)state;
    assert_true(scope_only_reads("devices:list *:get"));
    assert_false(scope_only_reads("devices:list devices:update"));
    assert_false(scope_only_reads("devices:*"));
    assert_false(scope_only_reads("*"));
    assert_false(scope_only_reads("devices:getter"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_a_scope), cmocka_unit_test(test_one_scope),
        cmocka_unit_test(test_lists),           cmocka_unit_test(test_a_wildcard_needs_one_as_wide),
        cmocka_unit_test(test_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
