/* test_stage.c: what people write about stages and limits: defaults are filled in, nonsense is refused by
 * name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "campaign/stage.h"

static json_t *parse(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    return json;
}

/* NULL: accepted. */
static const char *flaw_of(json_t *(*check)(const json_t *json, char why[STAGE_WHY_SIZE]), const char *text)
{
    static char why[STAGE_WHY_SIZE];
    json_t *json = parse(text), *checked = check(json, why);
    json_decref(json);
    json_decref(checked);
    return checked == NULL ? why : NULL;
}

static void assert_refused(json_t *(*check)(const json_t *json, char why[STAGE_WHY_SIZE]), const char *text,
                           const char *words)
{
    const char *why = flaw_of(check, text);
    if (why == NULL || strstr(why, words) == NULL)
        fail_msg("%s: %s", text, why != NULL ? why : "accepted");
}

static void test_defaults(void **state)
{
    (void)state;
    char why[STAGE_WHY_SIZE];
    struct gate_rules rules;
    json_t *stages = stages_check(NULL, why), *limits = limits_check(NULL, why);
    assert_int_equal(json_array_size(stages), 1);
    json_t *all = json_array_get(stages, 0);
    assert_true(json_number_value(json_object_get(all, "percent")) == 100);
    gate_rules_read(&rules, json_object_get(all, "gate"));
    assert_true(rules.max_failure == 0.05 && rules.coverage == 0.9 && rules.allow_small_canary);
    assert_int_equal(rules.min_resolved, 5);
    assert_int_equal(rules.soak_s, 3600);
    assert_int_equal(rules.max_lost, 3);
    assert_int_equal(json_integer_value(json_object_get(limits, "transfers")), 100);
    assert_null(json_object_get(limits, "disruption"));
    json_decref(stages);
    json_decref(limits);
}

static void test_what_was_checked_passes_again_unchanged(void **state)
{
    (void)state;
    char why[STAGE_WHY_SIZE];
    json_t *asked = parse(
        "[{\"name\": \"canary\", \"max_devices\": 3, \"gate\": {\"soak_s\": 0, \"max_failure_percent\": 1,"
        " \"allow_small_canary\": false}}, {\"percent\": 0.5}, {\"percent\": 100}]");
    json_t *once = stages_check(asked, why), *twice = stages_check(once, why);
    assert_non_null(once);
    assert_true(json_equal(once, twice));
    assert_string_equal(json_string_value(json_object_get(json_array_get(once, 1), "name")), "stage 1");
    struct gate_rules rules;
    gate_rules_read(&rules, json_object_get(json_array_get(once, 0), "gate"));
    assert_true(rules.max_failure == 0.01 && !rules.allow_small_canary && rules.soak_s == 0);
    json_decref(asked);
    json_decref(once);
    json_decref(twice);
    asked = parse(
        "{\"transfers\": 5, \"disruption\": 2, \"window\": {\"from\": \"22:00\", \"to\": \"06:00\", \"tz\": "
        "\"Europe/Berlin\", \"days\": [1, 7]}}");
    once = limits_check(asked, why);
    twice = limits_check(once, why);
    assert_non_null(once);
    assert_true(json_equal(once, twice));
    json_decref(asked);
    json_decref(once);
    json_decref(twice);
}

static void test_stages_that_make_no_sense(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{}", "stages must be a list"},
        {"[]", "stages must be a list"},
        {"[1]", "stages[0] must be an object"},
        {"[{}]", "either percent or max_devices"},
        {"[{\"percent\": 5, \"max_devices\": 5}]", "either percent or max_devices"},
        {"[{\"percent\": 0}]", "stages[0].percent"},
        {"[{\"percent\": 100.1}]", "stages[0].percent"},
        {"[{\"percent\": \"5\"}]", "stages[0].percent"},
        {"[{\"max_devices\": 1.5}]", "stages[0].max_devices"},
        {"[{\"percent\": 5}, {\"percent\": 5}]", "stages[1].percent must be more"},
        {"[{\"max_devices\": 5}, {\"percent\": 50}, {\"max_devices\": 4}]",
         "stages[2].max_devices must be more"},
        {"[{\"percent\": 5, \"name\": \"\"}]", "stages[0].name"},
        {"[{\"percent\": 5, \"name\": 7}]", "stages[0].name"},
        {"[{\"percent\": 5, \"gates\": {}}]", "has a field gates"},
        {"[{\"percent\": 5, \"gate\": 1}]", "stages[0].gate must be an object"},
        {"[{\"percent\": 5, \"gate\": {\"soak\": 1}}]", "has a field soak"},
        {"[{\"percent\": 5, \"gate\": {\"max_failure_percent\": 0}}]", "stages[0].gate.max_failure_percent"},
        {"[{\"percent\": 5, \"gate\": {\"max_failure_percent\": 100}}]",
         "stages[0].gate.max_failure_percent"},
        {"[{\"percent\": 5, \"gate\": {\"max_lost\": 0}}]", "stages[0].gate.max_lost"},
        {"[{\"percent\": 5, \"gate\": {\"soak_s\": 1e300}}]", "stages[0].gate.soak_s"},
        {"[{\"percent\": 5, \"gate\": {\"allow_small_canary\": 1}}]",
         "allow_small_canary must be true or false"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(stages_check, cases[i][0], cases[i][1]);
}

static void test_limits_that_make_no_sense(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[]", "limits must be an object"},
        {"{\"transfer\": 5}", "has a field transfer"},
        {"{\"transfers\": 0}", "limits.transfers"},
        {"{\"transfers\": 5.5}", "limits.transfers must be a whole number"},
        {"{\"disruption\": -1}", "limits.disruption"},
        {"{\"window\": 5}", "limits.window must be an object"},
        {"{\"window\": {\"from\": \"22:00\", \"to\": \"24:00\", \"tz\": \"UTC\"}}", "limits.window.from"},
        {"{\"window\": {\"from\": \"2:00\", \"to\": \"06:00\", \"tz\": \"UTC\"}}", "limits.window.from"},
        {"{\"window\": {\"from\": \"22:60\", \"to\": \"06:00\", \"tz\": \"UTC\"}}", "limits.window.from"},
        {"{\"window\": {\"from\": \"22:00\", \"to\": \"06:00\"}}", "limits.window.tz"},
        {"{\"window\": {\"from\": \"22:00\", \"to\": \"06:00\", \"tz\": \"UTC\", \"days\": []}}",
         "days must be"},
        {"{\"window\": {\"from\": \"22:00\", \"to\": \"06:00\", \"tz\": \"UTC\", \"days\": [0]}}", "days[0]"},
        {"{\"window\": {\"from\": \"22:00\", \"to\": \"06:00\", \"tz\": \"UTC\", \"day\": [1]}}",
         "has a field day"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(limits_check, cases[i][0], cases[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_what_was_checked_passes_again_unchanged),
        cmocka_unit_test(test_stages_that_make_no_sense),
        cmocka_unit_test(test_limits_that_make_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
