/* test_update_outage.c: steps whose node ends or whose device goes away: none is held for ever, condemned or
 * forgotten. */
#include "step_bench.h"

static void test_a_dead_node_holds_nothing(void **state)
{
    struct fleet_fixture *fx = *state;
    static const char *const before[] = {"claimed", "starting", "transferring"};
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    for (size_t i = 0; i < 3; i++) {
        force(step, before[i], "");
        sweep();
        assert_string_equal(state_of(step), "backoff");
    }
    force(step, "finishing", "");
    sweep();
    assert_string_equal(state_of(step), "rebooting");
    force(step, "describing", "");
    sweep();
    assert_string_equal(state_of(step), "backoff");
}

/* Each time the node ends between what it wrote and what the device would have answered. */
static void test_nodes_that_die_condemn_no_device(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    for (int i = 0; i < 3; i++) {
        ask("UPDATE update_step SET next_at = now() WHERE id = %ld RETURNING 1", step);
        assert_string_equal(claim(), "start");
        assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
        assert_says("ok", "SELECT said FROM step_transfer(%ld, %d, 0, 0)", step, rev_of(step));
        assert_says("finish", "SELECT said FROM step_finish(%ld, %d, 0, 1, 1)", step, rev_of(step));
        ask("SELECT update_begin(0, " SETTINGS ")");
        sweep();
        assert_string_equal(state_of(step), "rebooting");
        come_back(fx, 1, 1005);
        assert_string_equal(look(step), "again");
        assert_string_equal(look(step), "backoff");
        assert_says("0", "SELECT no_effects FROM update_step WHERE id = %ld", step);
    }
    /* what it answers counts as before */
    ask("UPDATE update_step SET next_at = now() WHERE id = %ld RETURNING 1", step);
    carry(step);
    come_back(fx, 1, 1005);
    assert_string_equal(look(step), "again");
    assert_string_equal(look(step), "backoff");
    assert_says("1", "SELECT no_effects FROM update_step WHERE id = %ld", step);
}

static void test_a_node_that_begins_anew_looks_at_once(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    carry(step);
    come_back(fx, 1, 3100);
    assert_string_equal(claim(), "look");
    assert_string_equal(claim(), ""); /* for as long as the look may take */
    ask("SELECT update_begin(0, " SETTINGS ")");
    assert_string_equal(claim(), "look");
}

/* While the node was away nobody could hear whether the device came back. */
static void test_an_outage_loses_no_device(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    carry(step);
    ask("UPDATE device SET online = false RETURNING 1");
    ask("UPDATE update_step SET deadline_at = now() - interval '1 h' WHERE id = %ld RETURNING 1", step);
    ask("SELECT update_begin(0, " SETTINGS ")");
    sweep();
    assert_string_equal(state_of(step), "rebooting");
    ask("UPDATE device SET online = true RETURNING 1");
    come_back(fx, 1, 3100);
    assert_string_equal(state_of(step), "describing");
    ask("UPDATE update_step SET deadline_at = now() - interval '1 h' WHERE id = %ld RETURNING 1", step);
    ask("SELECT update_begin(0, " SETTINGS ")");
    sweep();
    assert_string_equal(look(step), "again");
    assert_string_equal(look(step), "verified");
}

static void test_a_device_that_never_comes_back_is_lost(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    carry(step);
    ask("UPDATE device SET online = false RETURNING 1");
    sweep();
    assert_string_equal(state_of(step), "rebooting");
    ask("INSERT INTO device_connection VALUES ('\\x%s', 1, now(), now(), 0, 'goodbye', '', 0, false,"
        " '{\"sleep_s\": 3600}') RETURNING 1",
        device_hex);
    force(step, "rebooting", "");
    sweep(); /* it sleeps */
    assert_string_equal(state_of(step), "rebooting");
    ask("DELETE FROM device_connection RETURNING 1");
    sweep();
    assert_string_equal(state_of(step), "lost");
    assert_string_equal(update_of(step), "lost never_came_back");
    assert_says("t", "SELECT disrupts FROM device_update");
    ask("UPDATE device SET online = true, last_heard = now() + interval '1 s' RETURNING 1");
    sweep();
    assert_says("f", "SELECT disrupts FROM device_update");
    assert_string_equal(told(), "started failed ");
}

static void test_an_offline_device_holds_no_place(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    ask("UPDATE device SET online = false, last_heard = now() - interval '1 hour' RETURNING 1");
    ask("UPDATE device_update SET started_at = now() - interval '1 hour' RETURNING 1");
    sweep();
    assert_string_equal(update_of(step), "waiting offline_since");
    ask("UPDATE device SET online = true RETURNING 1");
    sweep();
    assert_string_equal(update_of(step), "active");
    assert_string_equal(claim(), "start");
}

/* Nothing that begins goes on without end, though no byte of it ever moved. */
static void test_what_never_gets_through_ends(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    for (int i = 0; i < 40; i++) {
        assert_string_equal(update_of(step), "active");
        ask("UPDATE update_step SET next_at = now() RETURNING 1");
        assert_string_equal(claim(), "start");
        assert_says("backoff",
                    "SELECT said FROM step_ended(%ld, %d, 0, 'no_describe', 0, '', false, 0, 0, " SETTINGS
                    ")",
                    step, rev_of(step));
        if (i < 39)
            sweep();
    }
    sweep();
    assert_string_equal(update_of(step), "failed transport");
    assert_string_equal(state_of(step), "cancelled");
}

static void test_a_flash_of_a_device_that_goes_away_ends(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    ask("UPDATE device SET online = false, last_heard = now() - interval '1 hour' RETURNING 1");
    ask("UPDATE device_update SET started_at = now() - interval '1 hour' RETURNING 1");
    sweep();
    assert_string_equal(update_of(step), "waiting offline_since");
    ask("UPDATE device_update SET created_at = now() - interval '8 days' RETURNING 1");
    sweep();
    assert_string_equal(update_of(step), "cancelled too_late");
    assert_string_equal(state_of(step), "cancelled");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_dead_node_holds_nothing),
        TEST(test_nodes_that_die_condemn_no_device),
        TEST(test_a_node_that_begins_anew_looks_at_once),
        TEST(test_an_outage_loses_no_device),
        TEST(test_a_device_that_never_comes_back_is_lost),
        TEST(test_an_offline_device_holds_no_place),
        TEST(test_what_never_gets_through_ends),
        TEST(test_a_flash_of_a_device_that_goes_away_ends),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
