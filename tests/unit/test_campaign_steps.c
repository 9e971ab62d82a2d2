/* test_campaign_steps.c: the steps of a campaign's updates: planned one after the other, stopped by what
 * others decide, bounded in number and time. */
#include "step_bench.h"

#define OPEN "('ready','claimed','starting','transferring','finishing','rebooting','describing','backoff')"

/* A release that wants this module, and an update of the device to it. */
static long update_to(long module, const char *limits)
{
    ask("WITH r AS (INSERT INTO release (name, state, created_by, published_at) VALUES ('2026.11', "
        "'published', 'opal',"
        " now()) RETURNING id), m AS (INSERT INTO release_module SELECT id, %ld, 'target' FROM r),"
        " c AS (INSERT INTO campaign (name, release_id, state, selector, limits, created_by) SELECT 'c', id, "
        "'running',"
        " '{}', '%s', 'opal' FROM r RETURNING id, release_id),"
        " g AS (INSERT INTO campaign_stage (campaign_id, ord, name, state, n_total, n_open) SELECT id, 0, "
        "'all', 'running',"
        " 1, 1 FROM c)"
        " INSERT INTO device_update (kind, campaign_id, stage_ord, release_id, device_id, state, "
        "requested_by)"
        " SELECT 'campaign', id, 0, release_id, '\\x%s', 'active', 'opal' FROM c RETURNING id",
        module, limits, device_hex);
    ask("UPDATE campaign_stage SET n_total = 1, n_open = 1 RETURNING 1");
    return atol(ask("SELECT max(id) FROM device_update"));
}

static const char *planned(long update, const char *outcome, long module)
{
    return ask("SELECT update_planned(%ld, (SELECT rev FROM device_update WHERE id = %ld), '%s', NULL, NULL, "
               "'[]', %ld,"
               " '[\"the release wants it\"]', (SELECT sig FROM device WHERE id = '\\x%s'), " SETTINGS
               ", 'node/0')",
               update, update, outcome, module, device_hex);
}

static void test_a_campaign_goes_step_by_step(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long module = binary(BOOTLOADER, 0, 3100), update = update_to(module, "{\"verify_s\": 100}");
    assert_string_equal(claim(), "plan");
    assert_string_equal(claim(), "");
    assert_string_equal(planned(update, "steps", module), "step");
    assert_string_equal(planned(update, "steps", module), "gone"); /* it has an open one */
    long step = atol(ask("SELECT max(id) FROM update_step"));
    carry(step);
    assert_says("t", "SELECT disrupts FROM device_update");
    come_back(fx, 1, 3100);
    assert_string_equal(look(step), "again");
    assert_string_equal(look(step), "verified");
    assert_says("f", "SELECT disrupts FROM device_update");
    assert_string_equal(claim(), "plan");
    assert_string_equal(planned(update, "current", 0), "verifying");
    assert_string_equal(claim(), "");
    assert_says("verifying", "SELECT update_verify(%ld, 'node/0')", update);
    ask("UPDATE device_update SET verify_until = now(), next_at = now() RETURNING 1");
    assert_string_equal(claim(), "verify");
    assert_says("succeeded", "SELECT update_verify(%ld, 'node/0')", update);
    assert_says("0 1", "SELECT n_open || ' ' || n_ok FROM campaign_stage");
    fleet_describe_module(fx, 1, BOOTLOADER, 0, 1005); /* it falls back while the campaign runs */
    assert_string_equal(update_of(step), "failed regressed");
    assert_says("0 0 1", "SELECT n_open || ' ' || n_ok || ' ' || n_failed FROM campaign_stage");
}

static void test_a_plan_for_another_inventory_is_not_taken(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long module = binary(BOOTLOADER, 0, 3100), update = update_to(module, "{}");
    assert_string_equal(claim(), "plan");
    assert_string_equal(planned(update, "steps", module), "step");
    long step = atol(ask("SELECT max(id) FROM update_step"));
    assert_string_equal(claim(), "start");
    fleet_describe_module(fx, 1, BOOTLOADER, 0, 1200);
    assert_says("changed", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    assert_string_equal(state_of(step), "cancelled");
    assert_string_equal(claim(), "plan"); /* anew */
    assert_says("changed",
                "SELECT update_planned(%ld, 0, 'steps', NULL, NULL, '[]', %ld, '[]', 12345, " SETTINGS
                ", 'node/0')",
                update, module);
}

static void fall_in_an_ncp_step(struct fleet_fixture *fx)
{
    argon(fx, 1, 3000);
    fleet_describe_module(fx, 1, NCP, 0, 3);
    ask("INSERT INTO device_module SELECT device_id, 0, 2, 0, 3000, 3000, true, 0, 0, 0, NULL, '[]', now() "
        "FROM device_module"
        " WHERE func = 7 RETURNING 1");
    long module = binary(NCP, 0, 5), update = update_to(module, "{}");
    assert_string_equal(claim(), "plan");
    assert_string_equal(planned(update, "steps", module), "step");
    long step = atol(ask("SELECT max(id) FROM update_step"));
    carry(step);
    fleet_say_hello(fx, 1, ARGON, 71);
    ask("UPDATE device_module SET version = CASE func WHEN 7 THEN 5 WHEN 2 THEN 1200 ELSE version END "
        "RETURNING 1");
    sweep();
    assert_string_equal(look(step), "again");
    assert_string_equal(look(step), "verified");
}

static void test_another_module_that_falls_is_seen(void **state)
{
    ask("UPDATE transition_rule SET enabled = false WHERE kind = 'collateral' RETURNING 1");
    fall_in_an_ncp_step(*state);
    ask("UPDATE transition_rule SET enabled = true WHERE kind = 'collateral' RETURNING 1");
    assert_says("[{\"to\": 1200, \"from\": 3000, \"func\": 2, \"index\": 0}]",
                "SELECT detail -> 'modules' FROM update_event WHERE kind = 'fallen'");
    assert_string_equal(claim(), "plan"); /* from where it is now */
}

static void test_a_rule_may_let_it_fall(void **state)
{
    fall_in_an_ncp_step(*state);
    assert_says("0", "SELECT count(*) FROM update_event WHERE kind = 'fallen'");
    assert_string_equal(claim(), "plan");
}

static void test_a_pause_stops_and_an_abort_cancels(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long module = binary(BOOTLOADER, 0, 3100), update = update_to(module, "{}");
    assert_string_equal(claim(), "plan");
    assert_string_equal(planned(update, "steps", module), "step");
    long step = atol(ask("SELECT max(id) FROM update_step"));
    assert_string_equal(claim(), "start");
    assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    assert_says("ok", "SELECT said FROM step_transfer(%ld, %d, 0, 512)", step, rev_of(step));
    ask("UPDATE campaign SET state = 'paused', pause_reason = 'operator' RETURNING 1");
    assert_says("held", "SELECT said FROM step_finish(%ld, %d, 0, 1, 1)", step, rev_of(step));
    assert_says("1", "SELECT count(*) FROM update_sweep(0, " SETTINGS ")");
    assert_string_equal(state_of(step), "backoff");
    assert_says("0", "SELECT attempts + breaks FROM update_step");
    ask("UPDATE update_step SET next_at = now() RETURNING 1");
    assert_string_equal(claim(), "");
    ask("UPDATE campaign SET state = 'running' RETURNING 1");
    assert_string_equal(claim(), "start");
    ask("UPDATE campaign SET state = 'aborting' RETURNING 1");
    sweep();
    assert_string_equal(state_of(step), "cancelled");
    assert_string_equal(update_of(step), "cancelled campaign_aborted");
    assert_says("0 1", "SELECT n_open || ' ' || n_gone FROM campaign_stage");
}

static void test_the_disruption_budget_holds_a_finish(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long module = binary(BOOTLOADER, 0, 3100), update = update_to(module, "{\"disruption\": 0}");
    assert_string_equal(claim(), "plan");
    assert_string_equal(planned(update, "steps", module), "step");
    long step = atol(ask("SELECT max(id) FROM update_step"));
    assert_string_equal(claim(), "start");
    assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    assert_says("ok", "SELECT said FROM step_transfer(%ld, %d, 0, 0)", step, rev_of(step));
    assert_says("wait", "SELECT said FROM step_finish(%ld, %d, 0, 1, 1)", step, rev_of(step));
    assert_string_equal(state_of(step), "transferring");
    ask("UPDATE campaign SET limits = '{\"disruption\": 1}' RETURNING 1");
    assert_says("finish", "SELECT said FROM step_finish(%ld, %d, 0, 1, 1)", step, rev_of(step));
}

/* A step of a campaign's update, claimed and transferring. */
static long campaign_transfer(long module, long *update)
{
    *update = update_to(module, "{}");
    assert_string_equal(claim(), "plan");
    assert_string_equal(planned(*update, "steps", module), "step");
    long step = atol(ask("SELECT max(id) FROM update_step"));
    assert_string_equal(claim(), "start");
    assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    assert_says("ok", "SELECT said FROM step_transfer(%ld, %d, 0, 0)", step, rev_of(step));
    return step;
}

/* The campaign stands still for it, so nothing is planned any more: the device is told of all the same. */
static void test_a_withdrawn_target_is_said_while_its_campaign_stands_still(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long update, module = binary(BOOTLOADER, 0, 3100), step = campaign_transfer(module, &update);
    ask("UPDATE module_binary SET status = 'withdrawn', withdrawn_reason = 'It bricks.' RETURNING 1");
    ask("UPDATE campaign SET state = 'paused', pause_reason = 'safety' RETURNING 1");
    sweep();
    assert_string_equal(state_of(step), "cancelled");
    assert_string_equal(update_of(step), "blocked module_withdrawn");
    assert_says("t", "SELECT detail ->> 'sentence' LIKE '%%It bricks.' FROM device_update");
    assert_says("0 1", "SELECT n_open || ' ' || n_blocked FROM campaign_stage");
}

static void test_a_withdrawn_target_is_said_between_two_steps(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    (void)update_to(binary(BOOTLOADER, 0, 3100), "{}");
    ask("UPDATE module_binary SET status = 'withdrawn' RETURNING 1");
    ask("UPDATE campaign SET state = 'paused', pause_reason = 'safety' RETURNING 1");
    sweep();
    assert_says("blocked module_withdrawn", "SELECT state || ' ' || reason FROM device_update");
}

static void test_a_silent_device_is_not_asked_for_ever(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long module = binary(BOOTLOADER, 0, 3100), update = update_to(module, "{}");
    for (int i = 0; i < 29; i++)
        assert_says("active", "SELECT update_silent(%ld, 0, 'node/0')", update);
    assert_says("gone", "SELECT update_silent(%ld, 1, 'node/0')", update); /* of another rev */
    assert_string_equal(planned(update, "steps", module), "step");         /* it spoke: counted anew */
    for (int i = 0; i < 29; i++)
        assert_says("active", "SELECT update_silent(%ld, 0, 'node/0')", update);
    assert_says("failed", "SELECT update_silent(%ld, 0, 'node/0')", update);
    assert_says("failed no_describe", "SELECT state || ' ' || reason FROM device_update");
    assert_says("cancelled", "SELECT state FROM update_step");
}

static void test_an_echo_is_not_waited_for_for_ever(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    long module = binary(BOOTLOADER, 0, 3100), update = update_to(module, "{}");
    ask("UPDATE campaign SET mode = 'forced' RETURNING 1");
    ask("UPDATE device SET updates_enabled = false RETURNING 1");
    assert_string_equal(planned(update, "steps", module), "step");
    long step = atol(ask("SELECT max(id) FROM update_step"));
    for (int i = 0; i < 40; i++) {
        ask("UPDATE update_step SET next_at = now() RETURNING 1");
        assert_string_equal(claim(), "start");
        assert_says("force", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    }
    sweep();
    assert_string_equal(update_of(step), "failed transport");
}

static void test_one_that_leaves_while_it_is_verified_is_no_success(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 1005);
    (void)update_to(binary(BOOTLOADER, 0, 3100), "{\"verify_s\": 60}");
    ask("UPDATE device_update SET state = 'verifying', verify_until = now() - interval '6 days' RETURNING 1");
    ask("UPDATE device SET online = false RETURNING 1");
    sweep();
    assert_says("verifying", "SELECT state FROM device_update");
    ask("UPDATE device_update SET verify_until = now() - interval '8 days' RETURNING 1");
    sweep();
    assert_says("failed no_describe", "SELECT state || ' ' || reason FROM device_update");
}

/* Hundreds of moves at random: what must hold, holds. */
static void test_random_walk(void **state)
{
    struct fleet_fixture *fx = *state;
    static const char *const moves[] = {
        "SELECT count(*) FROM update_claim(0, 3, 3, 60)",
        "SELECT count(*) FROM update_sweep(0, " SETTINGS ")",
        "SELECT (step_check(id, rev, 0)).said FROM update_step WHERE state = 'claimed' ORDER BY random() "
        "LIMIT 1",
        "SELECT (step_transfer(id, rev, 0, 0)).said FROM update_step WHERE state = 'starting' ORDER BY "
        "random() LIMIT 1",
        "SELECT (step_finish(id, rev, 0, 9, 9)).said FROM update_step WHERE state = 'transferring' ORDER BY "
        "random() LIMIT 1",
        "SELECT (step_ended(id, rev, 0, CASE WHEN state = 'finishing' THEN 'validated' ELSE 'gone' END, 0, "
        "'', false, 9, 9,"
        " " SETTINGS
        ")).said FROM update_step WHERE state IN ('claimed', 'starting', 'transferring', 'finishing')"
        " ORDER BY random() LIMIT 1",
        "SELECT (step_ended(id, rev, 0, 'refused', -219, '', random() < 0.1, 9, 9, " SETTINGS
        ")).said FROM update_step"
        " WHERE state IN ('starting', 'finishing') AND random() < 0.2 ORDER BY random() LIMIT 1",
        "SELECT (step_look(id, rev, 0, " SETTINGS ")).said FROM update_step WHERE state = 'describing'"
        " ORDER BY random() LIMIT 1",
        "UPDATE update_step SET next_at = now() WHERE state = 'backoff' RETURNING 1",
        "UPDATE update_step SET deadline_at = now() WHERE state NOT IN ('ready', 'backoff') AND ended_at IS "
        "NULL"
        " AND random() < 0.05 RETURNING 1",
        "UPDATE device SET online = random() < 0.8, hello_flags = 0, session_epoch = session_epoch + "
        "(random() * 0.6)::int"
        " WHERE random() < 0.3 RETURNING 1",
        "UPDATE device_module SET version = CASE WHEN random() < 0.7 THEN 3100 ELSE 1005 END WHERE func = 2 "
        "AND"
        " random() < 0.3 RETURNING 1",
        "SELECT update_planned(id, rev, CASE WHEN random() < 0.97 THEN 'steps' ELSE 'current' END, NULL, "
        "NULL, '[]',"
        " (SELECT min(id) FROM module_binary), '[]', NULL, " SETTINGS ", 'node/0') FROM device_update"
        " WHERE state = 'active' ORDER BY random() LIMIT 1",
        "UPDATE campaign SET state = CASE WHEN random() < 0.8 THEN 'running' ELSE 'paused' END RETURNING 1",
    };
    long module = binary(BOOTLOADER, 0, 3100);
    srandom(4711);
    for (unsigned n = 1; n <= 20; n++)
        argon(fx, n, 1005);
    update_to(module, "{\"disruption\": 3}");
    fleet_script(
        "INSERT INTO device_update (kind, campaign_id, stage_ord, release_id, device_id, state, requested_by)"
        " SELECT 'campaign', u.campaign_id, 0, u.release_id, d.id, 'active', 'opal' FROM device d, "
        "device_update u"
        " WHERE d.id <> u.device_id; UPDATE campaign_stage SET n_total = 20, n_open = 20");
    for (int i = 0; i < 1500; i++)
        ask("%s", moves[(size_t)random() % (sizeof moves / sizeof *moves)]);
    assert_says("t", "SELECT count(*) > 100 FROM update_event WHERE kind = 'step'"); /* it did walk */
    assert_says(
        "0",
        "SELECT count(*) FROM (SELECT device_id FROM device_update WHERE state IN ('active', 'verifying')"
        " GROUP BY 1 HAVING count(*) > 1) x");
    assert_says("0", "SELECT count(*) FROM update_step WHERE state IN " OPEN
                     " AND state NOT IN ('ready', 'backoff')"
                     " AND deadline_at IS NULL");
    assert_says("0", "SELECT count(*) FROM update_event WHERE kind = 'step' AND from_state NOT IN " OPEN);
    assert_says("0",
                "SELECT count(*) FROM update_event WHERE kind = 'update' AND from_state IN ('failed', 'lost',"
                " 'blocked', 'already_current', 'cancelled')");
    assert_says(
        "t",
        "SELECT n_open = (SELECT count(*) FROM device_update WHERE state IN ('active', 'verifying'))"
        " AND n_ok = (SELECT count(*) FROM device_update WHERE state IN ('succeeded', 'already_current'))"
        " AND n_failed = (SELECT count(*) FROM device_update WHERE state = 'failed')"
        " AND n_lost = (SELECT count(*) FROM device_update WHERE state = 'lost')"
        " AND n_blocked = (SELECT count(*) FROM device_update WHERE state = 'blocked') FROM campaign_stage");
    assert_says("0", "SELECT count(*) FROM device_update u WHERE u.state NOT IN ('active', 'verifying', "
                     "'lost') AND disrupts");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_campaign_goes_step_by_step),
        TEST(test_a_plan_for_another_inventory_is_not_taken),
        TEST(test_another_module_that_falls_is_seen),
        TEST(test_a_rule_may_let_it_fall),
        TEST(test_a_pause_stops_and_an_abort_cancels),
        TEST(test_the_disruption_budget_holds_a_finish),
        TEST(test_a_withdrawn_target_is_said_while_its_campaign_stands_still),
        TEST(test_a_withdrawn_target_is_said_between_two_steps),
        TEST(test_a_silent_device_is_not_asked_for_ever),
        TEST(test_an_echo_is_not_waited_for_for_ever),
        TEST(test_one_that_leaves_while_it_is_verified_is_no_success),
        TEST(test_random_walk),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
