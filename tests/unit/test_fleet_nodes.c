/* test_fleet_nodes.c: one of several nodes that share a registry: what a node that died left behind, and what
 * the others are told. */
#include "fleet_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "fake_nodes.h"

static int setup(void **state)
{
    int err = fleet_fixture_setup(state);
    struct fleet_fixture *fx = *state;
    memset(&fake_nodes, 0, sizeof fake_nodes);
    fx->fleet->settings.node_id = FAKE_NODES_ME;
    fleet_set_nodes(fx->fleet, &fake_nodes, &fake_sessions);
    return err;
}

static void leave_online(unsigned first, unsigned count, unsigned node)
{
    char sql[400];
    snprintf(
        sql, sizeof sql,
        "INSERT INTO device (id, online, node_id) SELECT decode(lpad(to_hex(n), 24, '0'), 'hex'), true, %u"
        " FROM generate_series(%u, %u) AS n;"
        "INSERT INTO device_connection (device_id, session_id, started_at, node_id, resumed)"
        " SELECT id, 7, now() - interval '1 min', %u, false FROM device WHERE node_id = %u",
        node, first, first + count - 1, node, node);
    fleet_script(sql);
}

#define ONLINE                                                                                               \
    "SELECT string_agg(node_id || ':' || n, ' ' ORDER BY node_id) FROM (SELECT node_id, count(*) AS n"       \
    " FROM device WHERE online GROUP BY node_id) o"

static void test_what_a_dead_node_left_is_offline(void **state)
{
    struct fleet_fixture *fx = *state;
    leave_online(1, FLEET_OFFLINE_SLICE + 20, 5);
    leave_online(10001, 3, 6);
    leave_online(20001, 2, FAKE_NODES_ME);
    leave_online(30001, 4, 7);
    fleet_node_lost(fx->fleet, 5);
    fleet_node_lost(fx->fleet, 7);
    fleet_node_lost(fx->fleet, 5); /* it is told again and again until it is done */
    fleet_run_until(fx, fake_nodes.forgotten[5] && fake_nodes.forgotten[7]);
    assert_int_equal(fake_nodes.forgets, 2);
    assert_string_equal(fleet_sql(ONLINE), "3:2 6:3");
    assert_string_equal(
        fleet_sql("SELECT string_agg(DISTINCT node_id || ':' || reason, ' ') FROM device_connection"
                  " WHERE ended_at IS NOT NULL"),
        "5:node_lost 7:node_lost");
}

static void test_a_lost_node_waits_for_postgres(void **state)
{
    struct fleet_fixture *fx = *state;
    leave_online(1, 2, 5);
    private_postgres_kill(&fleet_postgres);
    fleet_node_lost(fx->fleet, 5);
    for (uint64_t until_ms = clock_ms() + 300; clock_ms() < until_ms;)
        uv_run(&fx->loop, UV_RUN_ONCE);
    assert_int_equal(fake_nodes.forgets, 0);
    assert_true(private_postgres_start(&fleet_postgres));
    fleet_run_until(fx, fake_nodes.forgotten[5]);
    assert_string_equal(fleet_sql("SELECT count(*) FROM device WHERE online"), "0");
}

/* It was started again and has marked them itself; who is online now came since. */
static void test_a_node_that_lives_again_is_left_alone(void **state)
{
    struct fleet_fixture *fx = *state;
    leave_online(1, 2, 5);
    leave_online(3, 1, 6);
    fleet_node_lost(fx->fleet, 5);
    fake_nodes.alive[5] = true;
    fleet_node_lost(fx->fleet, 6);
    fleet_run_until(fx, fake_nodes.forgotten[6]);
    assert_false(fake_nodes.forgotten[5]);
    assert_string_equal(fleet_sql(ONLINE), "5:2");
}

static void test_presence_names_the_node(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts facts = fleet_test_facts(1, 77);
    struct fleet_settings settings = fx->fleet->settings;
    fleet_enrol(fx, 1);
    settings.node_id = 0;
    fleet_reload(fx->fleet, &settings); /* a number is not changed while it is in use */
    fx->ops->online(fx->ops->ctx, &facts, false);
    fleet_run_until(fx, fleet_get_id(fx, 1).connected);
    assert_string_equal(fleet_sql("SELECT node_id FROM device"), "3");
    assert_string_equal(fleet_sql("SELECT node_id FROM device_connection"), "3");
}

/* Its lease had lapsed, and another node marked its devices offline, or did not come to it. */
static void test_what_is_online_is_told_again(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts facts = fleet_test_facts(1, 77);
    fleet_enrol(fx, 1);
    fx->ops->online(fx->ops->ctx, &facts, false);
    fleet_run_until(fx, fleet_get_id(fx, 1).connected);
    fx->ops->online(fx->ops->ctx, &facts, true);
    for (uint64_t until_ms = clock_ms() + 1000; clock_ms() < until_ms;)
        uv_run(&fx->loop, UV_RUN_ONCE);
    assert_string_equal(fleet_sql("SELECT count(*) FROM device_connection"), "1");
    fleet_sql("SELECT store_node_offline(3, 'node_lost', 10)");
    fx->ops->online(fx->ops->ctx, &facts, true);
    fleet_run_until(fx, *fleet_sql("SELECT count(*) FROM device WHERE online") == '1');
    fx->ops->offline(fx->ops->ctx, &facts, DEVICE_OFFLINE_SILENT, NULL);
    fleet_run_until(fx, *fleet_sql("SELECT count(*) FROM device WHERE online") == '0');
    assert_string_equal(
        fleet_sql("SELECT string_agg(reason, ' ' ORDER BY started_at) FROM device_connection"),
        "node_lost silent");
}

static void test_a_retired_key_ends_sessions_everywhere(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_answer a = {0};
    struct fleet_key key;
    struct device_id id = fleet_test_id(1);
    const char *why;
    fleet_enrol(fx, 1);
    for (int i = 0; i < 2; i++) {
        char hex[40];
        snprintf(hex, sizeof hex, "%032x", 0xabc + i);
        assert_true(fleet_key_from_hex(&key, hex, &why));
        fleet_provision_device(fx->fleet, &fx->admin, &id, &key, -1, fleet_on_change, &a);
        fleet_run_until(fx, a.calls == i + 1);
    }
    assert_int_equal(fx->revoked, 1);
    assert_int_equal(fake_nodes.sent, 1);
    assert_int_equal(fake_nodes.topic, NODES_REVOKE);
    assert_string_equal(fake_nodes.text, "{\"v\":1,\"d\":\"e00fce680000000000000001\"}");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_a_dead_node_left_is_offline),       TEST(test_a_lost_node_waits_for_postgres),
        TEST(test_a_node_that_lives_again_is_left_alone),  TEST(test_presence_names_the_node),
        TEST(test_a_retired_key_ends_sessions_everywhere), TEST(test_what_is_online_is_told_again),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
