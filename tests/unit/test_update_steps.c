/* test_update_steps.c: the moves of steps in Postgres: what each state waits for, who may move it, and that
 * nothing but a describe makes a success. */
#include "step_bench.h"

static void test_only_a_describe_makes_a_success(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    carry(step);
    assert_string_equal(told(), "started ");
    sweep(); /* no Hello yet */
    assert_string_equal(state_of(step), "rebooting");
    come_back(fx, 1, 3100);
    assert_string_equal(state_of(step), "describing");
    assert_string_equal(claim(), "look");
    assert_string_equal(claim(), ""); /* given out once */
    assert_string_equal(look(step), "again");
    assert_string_equal(told(), "started ");
    assert_string_equal(look(step), "verified");
    assert_string_equal(update_of(step), "succeeded");
    assert_string_equal(told(), "started success ");
    assert_says("t",
                "SELECT bool_and(step_id = %ld) FROM device_module_history WHERE func = 2 AND"
                " new_version = 3100",
                step);
}

static void test_a_hello_between_two_describes_makes_them_one(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    carry(step);
    come_back(fx, 1, 3100);
    assert_string_equal(look(step), "again");
    fleet_say_hello(fx, 1, ARGON, 71); /* in the same session */
    assert_string_equal(look(step), "again");
    assert_string_equal(look(step), "verified");
    assert_says("2", "SELECT reboots FROM update_step WHERE id = %ld", step);
}

static void test_a_device_that_lies_is_never_a_success(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    carry(step);
    come_back(fx, 1, 1005);
    assert_string_equal(look(step), "again");
    assert_string_equal(look(step), "backoff");
    assert_says("t",
                "SELECT next_at BETWEEN now() + interval '20 s' AND now() + interval '40 s' FROM update_step"
                " WHERE id = %ld",
                step);
    assert_string_equal(claim(), "");
    ask("UPDATE update_step SET next_at = now() WHERE id = %ld RETURNING 1", step);
    carry(step);
    come_back(fx, 1, 1005);
    assert_string_equal(look(step), "again");
    assert_string_equal(look(step), "failed");
    assert_string_equal(update_of(step), "failed no_effect");
    assert_string_equal(told(), "started failed ");
}

static void test_an_unknown_co_processor_is_asked_again(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    fleet_describe_module(fx, 1, NCP, 0, 3);
    long step = flash(binary(NCP, 0, 5));
    carry(step);
    assert_says("t", "SELECT deadline_at > now() + interval '500 s' FROM update_step WHERE id = %ld", step);
    fleet_say_hello(fx, 1, ARGON, 71);
    fleet_describe_module(fx, 1, NCP, 0, 0);
    sweep();
    for (int i = 0; i < 4; i++)
        assert_string_equal(look(step), "again");
    fleet_describe_module(fx, 1, NCP, 0, 5);
    assert_string_equal(look(step), "again");
    assert_string_equal(look(step), "verified");
}

static void test_nothing_is_sent_that_is_there(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 3100);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    assert_string_equal(claim(), "start");
    assert_says("verified", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    assert_string_equal(update_of(step), "succeeded");
    assert_says("0", "SELECT sent_bytes FROM update_step WHERE id = %ld", step);
}

static void test_asked_twice_answers_the_same(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    assert_string_equal(claim(), "start");
    int rev = rev_of(step);
    for (int i = 0; i < 2; i++)
        assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step, rev);
    for (int i = 0; i < 2; i++)
        assert_says("ok", "SELECT said FROM step_transfer(%ld, %d, 0, 0)", step, rev + 1);
    for (int i = 0; i < 2; i++)
        assert_says("finish", "SELECT said FROM step_finish(%ld, %d, 0, 1, 1)", step, rev + 2);
    assert_int_equal(rev_of(step), rev + 3);
    assert_says("gone", "SELECT said FROM step_finish(%ld, %d, 1, 1, 1)", step, rev + 2); /* another node */
    assert_says("4", "SELECT count(*) FROM update_event WHERE step_id = %ld", step);
}

static void test_updates_wait_for_an_application_that_wants_none(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    fleet_send_event(fx, 1, DEVICE_EVENT_UPDATES_ENABLED, "particle/device/updates/enabled", "false");
    long step = flash(binary(BOOTLOADER, 0, 3100));
    assert_string_equal(claim(), "start");
    assert_says("disabled", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    assert_string_equal(update_of(step), "waiting updates_disabled");
    assert_says("0", "SELECT attempts + breaks FROM update_step WHERE id = %ld", step);
    sweep();
    assert_string_equal(claim(), "");
    fleet_send_event(fx, 1, DEVICE_EVENT_UPDATES_ENABLED, "particle/device/updates/enabled", "true");
    sweep();
    assert_string_equal(update_of(step), "active");
    assert_string_equal(claim(), "start");
}

static void end_with(long step, const char *how, int code, bool final)
{
    ask("UPDATE update_step SET next_at = now() WHERE id = %ld RETURNING 1", step);
    assert_string_equal(claim(), "start");
    assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    ask("SELECT said FROM step_ended(%ld, %d, 0, '%s', %d, '', %s, 5, 5, " SETTINGS ")", step, rev_of(step),
        how, code, final ? "true" : "false");
}

static void test_what_went_wrong_decides_what_follows(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long module = binary(BOOTLOADER, 0, 3100), step = flash(module);
    for (int i = 0; i < 10; i++) /* the way to it: as often as it takes */
        end_with(step, i % 2 ? "stalled" : "gone", 0, false);
    end_with(step, "refused", -110, false); /* busy */
    assert_string_equal(state_of(step), "backoff");
    assert_says("0", "SELECT attempts FROM update_step WHERE id = %ld", step);
    for (int i = 0; i < 2; i++) {
        end_with(step, "refused", -219, false);
        assert_string_equal(state_of(step), "backoff");
    }
    end_with(step, "refused", -219, false);
    assert_string_equal(update_of(step), "failed device_error");
    step = flash(module);
    end_with(step, "refused", -1320, true);
    assert_string_equal(update_of(step), "blocked no_path");
    step = flash(module);
    end_with(step, "disabled", -1380, false);
    assert_string_equal(update_of(step), "waiting updates_disabled");
}

static void test_what_others_decide_stops_a_transfer(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long module = binary(BOOTLOADER, 0, 3100), step = flash(module);
    assert_string_equal(claim(), "start");
    assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    assert_says("0", "SELECT count(*) FROM update_sweep(0, " SETTINGS ")");
    /* the device opens another session */
    fleet_say_hello(fx, 1, ARGON, 999);
    assert_says("1", "SELECT count(*) FROM update_sweep(0, " SETTINGS ")");
    assert_string_equal(state_of(step), "backoff");
    ask("UPDATE update_step SET next_at = now() RETURNING 1");
    assert_string_equal(claim(), "start");
    /* the binary is withdrawn */
    ask("UPDATE module_binary SET status = 'withdrawn' RETURNING 1");
    assert_says("held", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    sweep();
    assert_string_equal(state_of(step), "cancelled");
    assert_string_equal(update_of(step), "blocked module_withdrawn");
    /* somebody cancels */
    ask("UPDATE module_binary SET status = 'active' RETURNING 1");
    step = flash(module);
    assert_string_equal(claim(), "start");
    assert_says(
        "ok", "SELECT code FROM cancel_update(NULL, 'opal', true, '%s', (SELECT max(id) FROM device_update))",
        device_hex);
    sweep();
    assert_string_equal(state_of(step), "cancelled");
}

static void test_one_update_a_device(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long module = binary(BOOTLOADER, 0, 3100);
    flash(module);
    assert_says("held", "SELECT code FROM create_flash(NULL, 'olive', true, '%s', %ld)", device_hex, module);
    assert_says("opal", "SELECT update_holder('\\x%s') ->> 'by'", device_hex);
    ask("UPDATE device SET online = false RETURNING 1");
    argon(fx, 2, 1005);
    ask("UPDATE device SET online = false RETURNING 1");
    assert_says("offline", "SELECT code FROM create_flash(NULL, 'opal', true, '%s', %ld)", device_hex,
                module);
}

static void test_deleted_and_rekeyed_devices_are_let_go(void **state)
{
    struct fleet_fixture *fx = *state;
    long module = binary(BOOTLOADER, 0, 3100);
    argon(fx, 1, 1005);
    long step = flash(module);
    ask("UPDATE device_key SET state = 'retired' RETURNING 1");
    assert_string_equal(update_of(step), "cancelled device_rekeyed");
    sweep();
    assert_string_equal(state_of(step), "cancelled");
    argon(fx, 2, 1005);
    step = flash(module);
    carry(step);
    ask("UPDATE device_key SET state = 'retired' RETURNING 1"); /* too late: the device decides */
    assert_string_equal(update_of(step), "active");
    ask("DELETE FROM device WHERE id = '\\x%s' RETURNING 1", device_hex);
    assert_string_equal(update_of(step), "cancelled device_deleted");
    assert_string_equal(state_of(step), "cancelled");
}

/* A million that are away are not looked at each second: their steps are in no index of what is due. */
static void test_steps_of_updates_that_wait_are_held(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    assert_says("f", "SELECT is_held FROM update_step");
    ask("SELECT updates_settle(ARRAY(SELECT id FROM device_update), ARRAY['active'], 'waiting', "
        "'offline_never_seen', NULL, 'x')");
    assert_says("t", "SELECT is_held FROM update_step");
    ask("UPDATE device SET online = false RETURNING 1");
    ask("UPDATE device_update SET next_at = now() + interval '1 hour' RETURNING 1");
    ask("UPDATE device SET online = true RETURNING 1"); /* looked at at once */
    sweep();
    assert_string_equal(update_of(step), "active");
    assert_says("f", "SELECT is_held FROM update_step");
    assert_string_equal(claim(), "start");
}

/* Put aside at the moment it was claimed: a flash has no other step, so it is not thrown away. */
static void test_a_claim_of_an_update_that_waits_is_given_back(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long step = flash(binary(BOOTLOADER, 0, 3100));
    assert_string_equal(claim(), "start");
    ask("UPDATE device_update SET state = 'waiting', reason = 'offline_since' RETURNING 1");
    sweep();
    assert_string_equal(state_of(step), "backoff");
}

static void test_safe_mode_is_healed(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long module = binary(BOOTLOADER, 0, 3100);
    ask("WITH r AS (INSERT INTO release (name, state, created_by, published_at) VALUES ('r', 'published', "
        "'opal', now())"
        " RETURNING id) INSERT INTO release_module SELECT id, %ld, 'target' FROM r RETURNING 1",
        module);
    assert_says("0", "SELECT create_heals(0, 10)");
    fleet_send_event(fx, 1, DEVICE_EVENT_SAFE_MODE, "spark/device/safemode", "");
    fleet_describe_module(fx, 1, BOOTLOADER, 0, 1005);
    assert_says("0", "SELECT create_heals(1, 10)"); /* it is not there */
    assert_says("0", "SELECT create_heals(0, 0)");
    assert_says("1", "SELECT create_heals(0, 10)");
    assert_says("0", "SELECT create_heals(0, 10)");
    assert_string_equal(claim(), "plan");
    ask("SELECT updates_settle(ARRAY(SELECT id FROM device_update), ARRAY['active'], 'blocked', 'no_path', "
        "NULL, 'x')");
    assert_says("0", "SELECT create_heals(0, 10)"); /* this release was tried */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_only_a_describe_makes_a_success),
        TEST(test_a_hello_between_two_describes_makes_them_one),
        TEST(test_a_device_that_lies_is_never_a_success),
        TEST(test_an_unknown_co_processor_is_asked_again),
        TEST(test_nothing_is_sent_that_is_there),
        TEST(test_asked_twice_answers_the_same),
        TEST(test_updates_wait_for_an_application_that_wants_none),
        TEST(test_what_went_wrong_decides_what_follows),
        TEST(test_what_others_decide_stops_a_transfer),
        TEST(test_one_update_a_device),
        TEST(test_deleted_and_rekeyed_devices_are_let_go),
        TEST(test_steps_of_updates_that_wait_are_held),
        TEST(test_a_claim_of_an_update_that_waits_is_given_back),
        TEST(test_safe_mode_is_healed),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
