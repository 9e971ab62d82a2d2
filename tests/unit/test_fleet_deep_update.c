/* test_fleet_deep_update.c: the flag follows the facts and the rules, one device at a time and the fleet at
 * once. */
#include "fleet_fixture.h"

#include <string.h>

#define CORE 0
#define ARGON 12

static void patch(struct fleet_fixture *fx, unsigned n, const char *version)
{
    fleet_send_event(fx, n, DEVICE_EVENT_CC3000_PATCH, "spark/cc3000-patch-version", version);
}

static bool flag(struct fleet_fixture *fx, unsigned n)
{
    return fleet_get_id(fx, n).requires_deep_update;
}

static void test_core_story(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, CORE, 7);
    struct fleet_answer a = fleet_get_id(fx, 1);
    assert_false(a.requires_deep_update); /* nothing is known yet */
    assert_false(a.has_cc3000);
    patch(fx, 1, "1.23");
    a = fleet_get_id(fx, 1);
    assert_true(a.requires_deep_update);
    assert_string_equal(a.cc3000, "1.23");
    assert_true(a.has_reason && strstr(a.reason, "1.28"));
    patch(fx, 1, "1.28");
    a = fleet_get_id(fx, 1);
    assert_false(a.requires_deep_update);
    assert_false(a.has_reason);
    assert_string_equal(a.cc3000, "1.28");
}

static void test_dotted_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *version, *below;
    } cases[] = {{"1.9", "t"},  {"1.28", "f"}, {"1.28.0", "f"},  {"1.27.99", "t"}, {"1.280", "f"},
                 {"2", "f"},    {"1", "t"},    {"01.028", "f"},  {"0.99", "t"},    {"1.28.1", "f"},
                 {"", "f"},     {"1.", "f"},   {"x", "f"},       {"1.2.3 ", "f"},  {"99999999999", "f"},
                 {"1..2", "f"}, {"-1", "f"},   {"1.28-rc1", "f"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char sql[100];
        snprintf(sql, sizeof sql, "SELECT dotted_below('%s', '1.28')", cases[i].version);
        if (strcmp(fleet_sql(sql), cases[i].below) != 0)
            fail_msg("%s", cases[i].version);
    }
    assert_string_equal(fleet_sql("SELECT dotted_below(NULL, '1.28')"), "f");
}

static void test_nonsense_version_changes_nothing(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, CORE, 7);
    patch(fx, 1, "1.23");
    patch(fx, 1, "9'; DROP TABLE device; --");
    patch(fx, 1, "\xff\xfe");
    patch(fx, 1, "");
    struct fleet_answer a = fleet_get_id(fx, 1);
    assert_true(a.requires_deep_update);
    assert_string_equal(a.cc3000, "1.23");
}

static void test_argon_story(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 2);
    fleet_say_hello(fx, 2, ARGON, 7);
    fleet_describe_module(fx, 2, MODULE_NCP, 0, 0); /* unknown: sets nothing */
    assert_false(flag(fx, 2));
    fleet_describe_module(fx, 2, MODULE_NCP, 0, 3);
    assert_true(flag(fx, 2));
    fleet_describe_module(fx, 2, MODULE_NCP, 0, 0); /* unknown: clears nothing */
    assert_true(flag(fx, 2));
    fleet_describe_module(fx, 2, MODULE_USER, 1, 6); /* left out: neither */
    assert_true(flag(fx, 2));
    fleet_describe_module(fx, 2, MODULE_NCP, 0, 5);
    assert_false(flag(fx, 2));
    fleet_describe_module(fx, 2, MODULE_NCP, 0, 0);
    assert_false(flag(fx, 2));
    /* a lower version in another store does not count */
    fleet_script("INSERT INTO device_module SELECT device_id, 1, func, idx, 3, 3, valid, 0, 0, 0, hash, "
                 "dependencies, now()"
                 " FROM device_module WHERE func = 7");
    fleet_script("SELECT refresh_deep_update_fleet()");
    assert_false(flag(fx, 2));
}

static void test_rules_of_other_platforms_do_not_count(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 3);
    fleet_say_hello(fx, 3, 13, 7); /* a Boron */
    fleet_describe_module(fx, 3, MODULE_NCP, 0, 3);
    patch(fx, 3, "1.1");
    assert_false(flag(fx, 3));
    fleet_say_hello(fx, 3, ARGON, 8); /* it was an Argon all the time */
    assert_true(flag(fx, 3));
}

static void test_editing_a_rule_recomputes_the_fleet(void **state)
{
    struct fleet_fixture *fx = *state;
    for (unsigned n = 10; n < 20; n++) {
        fleet_enrol(fx, n);
        fleet_say_hello(fx, n, n % 2 ? CORE : ARGON, 7);
        if (n % 2)
            patch(fx, n, n < 15 ? "1.27" : "1.29");
        else
            fleet_describe_module(fx, n, MODULE_NCP, 0, n < 15 ? 4 : 5);
    }
    const char *count = "SELECT count(*) FROM device WHERE requires_deep_update";
    assert_string_equal(fleet_sql(count), "5"); /* 11, 13 and 10, 12, 14 */
    fleet_script("UPDATE transition_rule SET body = '{\"module\": \"c\", \"index\": 0, \"below\": 6}'"
                 " WHERE code = 'argon-ncp-5'");
    assert_string_equal(fleet_sql(count), "7");
    fleet_script("UPDATE transition_rule SET enabled = false WHERE code = 'core-cc3000-patch'");
    assert_string_equal(fleet_sql(count), "5");
    fleet_script("INSERT INTO transition_rule (code, platform_id, kind, body, explain, evidence) VALUES"
                 " ('test-core', 0, 'deep_update_needed', '{\"fact\": \"cc3000_patch_version\", \"below\": "
                 "\"1.30\"}', 'x', 'y')");
    assert_string_equal(fleet_sql(count), "10");
    fleet_script("DELETE FROM transition_rule WHERE code = 'test-core';"
                 "UPDATE transition_rule SET enabled = true WHERE code = 'core-cc3000-patch';"
                 "UPDATE transition_rule SET body = '{\"module\": \"c\", \"index\": 0, \"below\": 5}'"
                 " WHERE code = 'argon-ncp-5'");
    assert_string_equal(fleet_sql(count), "5");
}

/* What is computed by sets for the fleet is what the view says of each device alone. */
static void test_fleet_and_device_agree(void **state)
{
    (void)state;
    fleet_script(
        "INSERT INTO device (id, platform_id, cc3000_patch_version) SELECT decode(lpad(to_hex(i), 24, '0'), "
        "'hex'),"
        " CASE i % 3 WHEN 0 THEN 0 WHEN 1 THEN 12 END, CASE WHEN i % 5 > 0 THEN i % 3 || '.' || i % 40 END"
        " FROM generate_series(1, 3000) i;"
        "INSERT INTO device_module SELECT decode(lpad(to_hex(i), 24, '0'), 'hex'), s, f, 0, v, nullif(v, 0), "
        "true, 0,"
        " 0, 0, NULL, '[]', now() FROM (SELECT i, s, f, (i * 7 + s + f) % 9 AS v FROM generate_series(1, "
        "3000) i,"
        " generate_series(0, 1) s, generate_series(7, 8) f WHERE i % 4 > 0) x;"
        "INSERT INTO transition_rule (code, platform_id, kind, body, explain, evidence) VALUES"
        " ('test-1', 0, 'deep_update_needed', '{\"fact\": \"cc3000_patch_version\", \"below\": \"2.5\"}', "
        "'x', 'y'),"
        " ('test-2', 0, 'deep_update_needed', '{\"module\": \"a\", \"below\": 3}', 'x', 'y'),"
        " ('test-3', 12, 'deep_update_needed', '{\"module\": \"c\", \"index\": 1, \"below\": 9}', 'x', 'y')");
    static const char differ[] =
        "SELECT count(*) FROM device d JOIN device_deep_update v ON v.device_id = d.id"
        " WHERE d.deep_update_rule IS DISTINCT FROM v.rule";
    assert_string_equal(fleet_sql(differ), "0");
    assert_string_equal(fleet_sql("SELECT count(*) > 500 FROM device WHERE requires_deep_update"), "t");
    fleet_script("UPDATE transition_rule SET enabled = code NOT IN ('test-1', 'argon-ncp-5')");
    assert_string_equal(fleet_sql(differ), "0");
    fleet_script(
        "UPDATE transition_rule SET enabled = true; DELETE FROM transition_rule WHERE code LIKE 'test-%'");
    assert_string_equal(fleet_sql(differ), "0");
    assert_string_equal(fleet_sql("SELECT count(DISTINCT deep_update_rule) FROM device"), "2");
}

static void test_a_broken_rule_is_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{}", "{\"fact\": \"other\", \"below\": \"1\"}",
                                         "{\"fact\": \"cc3000_patch_version\", \"below\": \"x\"}",
                                         "{\"module\": \"c\", \"index\": 0, \"below\": \"five\"}",
                                         "{\"module\": \"zz\", \"below\": 5}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char sql[300], why[300];
        struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
        snprintf(sql, sizeof sql,
                 "INSERT INTO transition_rule (code, platform_id, kind, body, explain, evidence)"
                 " VALUES ('broken', 0, 'deep_update_needed', '%s', 'x', 'y')",
                 bodies[i]);
        assert_int_equal(pg_sync_script(s, sql, why, sizeof why), -1);
        assert_non_null(strstr(why, "body"));
        pg_sync_close(s);
    }
}

static void on_ruled(void *arg, enum pg_err err, const struct pg_result *result)
{
    (void)result;
    assert_int_equal(err, PG_OK);
    *(bool *)arg = true;
}

/* As everybody who locks several devices: whoever waits for one holds none that comes after it. */
static void test_rules_lock_devices_in_order(void **state)
{
    struct fleet_fixture *fx = *state;
    static const struct pg_statement edit = {
        .name = "test_edit_rule",
        .sql = "UPDATE transition_rule SET enabled = false WHERE code = 'core-cc3000-patch'",
    };
    char why[200];
    bool ruled = false;
    fleet_script("INSERT INTO device (id, platform_id, cc3000_patch_version, requires_deep_update,"
                 " deep_update_rule) SELECT decode(lpad(to_hex(n), 24, '0'), 'hex'), 0, '1.23', true,"
                 " 'core-cc3000-patch' FROM generate_series(100, 1, -1) n");
    struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    assert_int_equal(
        pg_sync_script(s, "BEGIN; SELECT FROM device ORDER BY id LIMIT 1 FOR UPDATE", why, sizeof why), 0);
    pg_exec(fx->pg, &edit, NULL, 60000, PG_RETRY, on_ruled, &ruled);
    fleet_run_until(fx, *fleet_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") !=
                            '0');
    assert_int_equal(
        pg_sync_script(s, "SELECT FROM device ORDER BY id FOR UPDATE NOWAIT; COMMIT", why, sizeof why), 0);
    pg_sync_close(s);
    fleet_run_until(fx, ruled);
    assert_string_equal(fleet_sql("SELECT count(*) FROM device WHERE requires_deep_update"), "0");
    fleet_script("UPDATE transition_rule SET enabled = true WHERE code = 'core-cc3000-patch'");
}

/* A rule edit waits for describes under way and sees them; a describe that comes meanwhile sees the new rule.
 */
static void test_rule_edit_and_describe_at_once(void **state)
{
    struct fleet_fixture *fx = *state;
    char why[200];
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, ARGON, 7);
    fleet_describe_module(fx, 1, MODULE_NCP, 0, 5);
    struct pg_sync *editor = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    assert_int_equal(
        pg_sync_script(editor,
                       "BEGIN; UPDATE transition_rule SET body = '{\"module\": \"c\", \"below\": 9}'"
                       " WHERE code = 'argon-ncp-5'",
                       why, sizeof why),
        0);
    struct device_facts facts = fleet_test_facts(1, 7);
    struct module module = {.function = MODULE_NCP, .version = 8};
    struct describe d = {.parts = DESCRIBE_SYSTEM, .modules = &module, .module_count = 1};
    struct fleet_verdict v = {0};
    fx->ops->describe(fx->ops->ctx, &facts, &d, fleet_on_verdict, &v);
    fleet_run_until(fx, *fleet_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") ==
                            '1');
    assert_int_equal(v.calls, 0);
    assert_int_equal(pg_sync_script(editor, "COMMIT", why, sizeof why), 0);
    fleet_run_until(fx, v.calls);
    assert_int_equal(v.verdict, DEVICE_STORED);
    assert_true(flag(fx, 1));
    assert_int_equal(
        pg_sync_script(editor,
                       "UPDATE transition_rule SET body = '{\"module\": \"c\", \"index\": 0, \"below\": 5}'"
                       " WHERE code = 'argon-ncp-5'",
                       why, sizeof why),
        0);
    pg_sync_close(editor);
    assert_false(flag(fx, 1));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_core_story),
        TEST(test_dotted_numbers),
        TEST(test_nonsense_version_changes_nothing),
        TEST(test_argon_story),
        TEST(test_rules_of_other_platforms_do_not_count),
        TEST(test_editing_a_rule_recomputes_the_fleet),
        TEST(test_fleet_and_device_agree),
        TEST(test_a_broken_rule_is_refused),
        TEST(test_rules_lock_devices_in_order),
        TEST(test_rule_edit_and_describe_at_once),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
