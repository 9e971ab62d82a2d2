/* test_fleet_presence.c: who is online: told by the nodes, written in batches, true again after an outage
 * of Postgres or an end of the process. */
#include "fleet_fixture.h"

#include <stdio.h>

#include "fleet/attendance.h"

static uint64_t presence_writes(struct fleet_fixture *fx)
{
    return metrics_add(fx->metrics, METRIC_COUNTER, "cyan_presence_writes_total", NULL, "")->value;
}

static void test_presence_is_batched(void **state)
{
    struct fleet_fixture *fx = *state;
    for (unsigned n = 1; n <= 20; n++)
        fleet_enrol(fx, n);
    uint64_t writes = presence_writes(fx);
    for (unsigned n = 1; n <= 20; n++) {
        struct device_facts facts = fleet_test_facts(n, 7);
        fx->ops->online(fx->ops->ctx, &facts, false);
        for (int i = 0; i < 50; i++)
            fx->ops->heard(fx->ops->ctx, &facts, 1700000000000 + (uint64_t)i);
    }
    fleet_run_until(fx, !strcmp(fleet_sql("SELECT count(*) FROM device WHERE online"), "20"));
    assert_true(presence_writes(fx) - writes <= 2);
    assert_string_equal(fleet_sql("SELECT count(*) FROM device_connection WHERE ended_at IS NULL"), "20");
    struct fleet_answer a = fleet_get_id(fx, 3);
    assert_true(a.connected && a.last_heard_ms >= 1700000000049);
}

static void drained(void *arg)
{
    *(bool *)arg = true;
}

static void test_replaced_session_and_reasons(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts old = fleet_test_facts(1, 7), new = fleet_test_facts(1, 8);
    struct device_goodbye goodbye = {
        .cloud_reason = 6, .reset_reason = -1, .sleep_s = 3600, .network_reason = -1};
    bool done = false;
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, 12, 7);
    fx->ops->online(fx->ops->ctx, &old, false);
    fleet_run_until(fx, fleet_get_id(fx, 1).connected);
    fleet_say_hello(fx, 1, 12, 8);
    fx->ops->offline(fx->ops->ctx, &old, DEVICE_OFFLINE_REPLACED, NULL); /* in either order it stays online */
    fx->ops->online(fx->ops->ctx, &new, false);
    fx->ops->offline(fx->ops->ctx, &old, DEVICE_OFFLINE_REPLACED, NULL);
    fleet_run_until(fx, *fleet_sql("SELECT count(*) FROM device_connection WHERE session_id = 8") == '1');
    assert_true(fleet_get_id(fx, 1).connected);
    fx->ops->offline(fx->ops->ctx, &old, DEVICE_OFFLINE_CLOSED, NULL); /* late news of the old session */
    fx->ops->heard(fx->ops->ctx, &new, clock_wall_ms());
    uint64_t writes = presence_writes(fx);
    fleet_run_until(fx, presence_writes(fx) > writes);
    assert_true(fleet_get_id(fx, 1).connected);
    fx->ops->offline(fx->ops->ctx, &new, DEVICE_OFFLINE_GOODBYE, &goodbye);
    fleet_run_until(fx, !fleet_get_id(fx, 1).connected);
    assert_string_equal(
        fleet_sql("SELECT string_agg(session_id || reason || (duration_ms >= 0), ' ' ORDER BY session_id)"
                  " FROM device_connection"),
        "7replacedtrue 8goodbyetrue");
    assert_string_equal(fleet_sql("SELECT goodbye ->> 'sleep_s' FROM device_connection WHERE session_id = 8"),
                        "3600");
    fx->ops->online(fx->ops->ctx, &new, true);
    fleet_drain(fx->fleet, drained, &done);
    assert_false(done);
    fleet_run_until(fx, done);
    assert_int_equal(fx->deadlines.count, 0); /* nothing will be asked of Postgres any more */
    assert_string_equal(fleet_sql("SELECT string_agg(reason, ' ' ORDER BY started_at) FROM device_connection"
                                  " WHERE session_id = 8"),
                        "goodbye shutdown");
    assert_false(fleet_get_id(fx, 1).connected);
}

/* A Hello is stored before its session is online; when it never gets there the end of the one before counts.
 */
static void test_offline_is_of_the_session_that_was_online(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts old = fleet_test_facts(1, 7), new = fleet_test_facts(1, 9);
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, 12, 7);
    fx->ops->online(fx->ops->ctx, &old, false);
    fleet_run_until(fx, fleet_get_id(fx, 1).connected);
    fleet_say_hello(fx, 1, 12, 8);
    fx->ops->offline(fx->ops->ctx, &old, DEVICE_OFFLINE_SILENT, NULL);
    fleet_run_until(fx, !fleet_get_id(fx, 1).connected);
    fx->ops->online(fx->ops->ctx, &old, true);
    fleet_run_until(fx, fleet_get_id(fx, 1).connected);
    fx->ops->offline(fx->ops->ctx, &old, DEVICE_OFFLINE_REPLACED, NULL);
    fx->ops->online(fx->ops->ctx, &new, false); /* all within one statement */
    fx->ops->offline(fx->ops->ctx, &new, DEVICE_OFFLINE_GOODBYE, NULL);
    fleet_run_until(fx, !fleet_get_id(fx, 1).connected);
}

static void test_who_comes_and_goes_is_written_soon(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts facts = fleet_test_facts(1, 7), other = fleet_test_facts(2, 8);
    fleet_enrol(fx, 1);
    fleet_enrol(fx, 2);
    uint64_t before_ms = clock_ms();
    fx->ops->heard(fx->ops->ctx, &facts, 1700000000000);
    assert_true(deadlines_next(&fx->deadlines, before_ms) > ATTENDANCE_TURN_FLUSH_MS);
    fx->ops->online(fx->ops->ctx, &other, false);
    assert_true(deadlines_next(&fx->deadlines, clock_ms()) <= ATTENDANCE_TURN_FLUSH_MS);
    fleet_run_until(fx, fleet_get_id(fx, 2).connected);
    fleet_run_until(fx, fleet_get_id(fx, 1).last_heard_ms == 1700000000000);
}

static void test_presence_waits_for_postgres(void **state)
{
    struct fleet_fixture *fx = *state;
    for (unsigned n = 1; n <= 3; n++) {
        fleet_enrol(fx, n);
        fleet_say_hello(fx, n, 12, 7);
    }
    private_postgres_kill(&fleet_postgres);
    uint64_t writes = presence_writes(fx);
    for (unsigned n = 1; n <= 3; n++) {
        struct device_facts facts = fleet_test_facts(n, 7);
        fx->ops->online(fx->ops->ctx, &facts, false);
    }
    fleet_run_until(fx, presence_writes(fx) > writes); /* on its way to nobody */
    struct device_facts facts = fleet_test_facts(2, 7);
    fx->ops->offline(fx->ops->ctx, &facts, DEVICE_OFFLINE_SILENT, NULL);
    assert_true(private_postgres_start(&fleet_postgres));
    fleet_run_until(fx, *fleet_sql("SELECT count(*) FROM device_connection WHERE reason = 'silent'") == '1');
    assert_string_equal(fleet_sql("SELECT count(*) FROM device WHERE online"), "2");
    assert_string_equal(fleet_sql("SELECT count(*) FROM device_connection"), "3");
}

static void test_start_marks_what_was_left_online(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    fleet_script("UPDATE device SET online = true, node_id = 0, last_heard = now();"
                 "INSERT INTO device_connection (device_id, session_id, started_at, node_id, resumed)"
                 " SELECT id, 7, now() - interval '1 min', 0, false FROM device");
    fx->fleet->started = false;
    fleet_start(fx->fleet);
    fleet_run_until(fx, fx->fleet->started);
    assert_string_equal(
        fleet_sql("SELECT reason || ' ' || (duration_ms BETWEEN 50000 AND 70000) FROM device_connection"),
        "restart true");
    assert_false(fleet_get_id(fx, 1).connected);
}

static void leave_online(unsigned count)
{
    char sql[400];
    snprintf(
        sql, sizeof sql,
        "INSERT INTO device (id, online, node_id) SELECT decode(lpad(to_hex(n), 24, '0'), 'hex'), true, 0"
        " FROM generate_series(1, %u) n",
        count);
    fleet_script(sql);
}

/* However many they are: no statement touches more than a slice. */
static void test_many_left_online(void **state)
{
    struct fleet_fixture *fx = *state;
    bool done = false;
    leave_online(2 * FLEET_OFFLINE_SLICE + 20);
    assert_string_equal(fleet_sql("SELECT store_node_offline(0, 'restart', 10)"), "10");
    fx->fleet->started = false;
    fleet_start(fx->fleet);
    fleet_run_until(fx, fx->fleet->started);
    assert_string_equal(fleet_sql("SELECT count(*) FROM device WHERE online"), "0");
    assert_string_equal(fleet_sql("SELECT count(DISTINCT xmin::text) >= 4 FROM device"), "t");
    fleet_script("UPDATE device SET online = true");
    fleet_drain(fx->fleet, drained, &done);
    fleet_run_until(fx, done);
    assert_string_equal(fleet_sql("SELECT count(DISTINCT xmin::text) >= 2 FROM device"), "t");
}

static void test_idle(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts facts = fleet_test_facts(1, 1);
    struct hello hello = fleet_test_hello(1, 12);
    struct device_event event = {.kind = DEVICE_EVENT_USER, .name = "e", .key = {1}};
    struct fleet_verdict said = {0}, sent = {0};
    fleet_enrol(fx, 1);
    fleet_run_until(fx, fleet_is_idle(fx->fleet));
    fx->ops->hello(fx->ops->ctx, &facts, &hello, false, NULL, 0, fleet_on_verdict, &said);
    assert_false(fleet_is_idle(fx->fleet));
    fleet_run_until(fx, said.calls);
    assert_true(fleet_is_idle(fx->fleet));
    fx->ops->event(fx->ops->ctx, &facts, &event, fleet_on_verdict, &sent);
    assert_false(fleet_is_idle(fx->fleet));
    fleet_run_until(fx, sent.calls);
    assert_true(fleet_is_idle(fx->fleet));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_presence_is_batched),
        TEST(test_replaced_session_and_reasons),
        TEST(test_offline_is_of_the_session_that_was_online),
        TEST(test_who_comes_and_goes_is_written_soon),
        TEST(test_presence_waits_for_postgres),
        TEST(test_start_marks_what_was_left_online),
        TEST(test_many_left_online),
        TEST(test_idle),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
