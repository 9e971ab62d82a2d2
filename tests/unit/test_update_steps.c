/* test_update_steps.c: the moves of steps in Postgres: what each state waits for, who may move it, and that
 * nothing but a describe makes a success. */
#include "fleet_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGON 12
#define BOOTLOADER 2
#define NCP 7
#define OPEN "('ready','claimed','starting','transferring','finishing','rebooting','describing','backoff')"
#define SETTINGS                                                                                             \
    "'{\"again_s\":0,\"describe_s\":100,\"reboot_s\":300,\"ncp_reboot_s\":600,\"backoff_s\":30,"             \
    "\"offline_s\":60}'"

static char device_hex[2 * DEVICE_ID_BYTES + 1];

static int setup(void **state)
{
    if (fleet_fixture_setup(state) != 0)
        return -1;
    fleet_script(
        "TRUNCATE module_content, module_binary, release, campaign, device_update, update_event CASCADE");
    return 0;
}

/* A number or text that the statement of this format answers with; valid until the next call. */
__attribute__((format(printf, 1, 2))) static const char *ask(const char *format, ...)
{
    char sql[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    return fleet_sql(sql);
}
#define assert_says(said, ...) assert_string_equal(ask(__VA_ARGS__), said)

/* A binary of the Argon; its id. */
static long binary(int func, int idx, int version)
{
    return atol(
        ask("WITH c AS (INSERT INTO module_content VALUES (sha256('%d.%d.%d'), 'x') RETURNING sha256)"
            " INSERT INTO module_binary (platform_id, func, idx, version, sha256, size_bytes, uploaded_by)"
            " SELECT 12, %d, %d, %d, sha256, 100000, 'test' FROM c RETURNING id",
            func, idx, version, func, idx, version));
}

/* Device n of this node: an Argon online with a bootloader of this version. */
static void argon(struct fleet_fixture *fx, unsigned n, uint16_t version)
{
    struct device_id id = fleet_test_id(n);
    device_id_format(device_hex, &id);
    fleet_enrol(fx, n);
    fleet_say_hello(fx, n, ARGON, 70 + n);
    fleet_describe_module(fx, n, BOOTLOADER, 0, version);
    ask("UPDATE device SET online = true, node_id = 0, last_heard = now() WHERE id = '\\x%s' RETURNING 1",
        device_hex);
}

static long flash(long module)
{
    assert_says("ok", "SELECT code FROM create_flash(NULL, 'opal', true, '%s', %ld)", device_hex, module);
    return atol(ask("SELECT max(id) FROM update_step"));
}

static const char *state_of(long step)
{
    return ask("SELECT state FROM update_step WHERE id = %ld", step);
}

static int rev_of(long step)
{
    return atoi(ask("SELECT rev FROM update_step WHERE id = %ld", step));
}

static const char *update_of(long step)
{
    return ask("SELECT u.state || coalesce(' ' || u.reason, '') FROM device_update u JOIN update_step s ON"
               " s.update_id = u.id WHERE s.id = %ld",
               step);
}

static const char *claim(void)
{
    return ask("SELECT coalesce(string_agg(job, ' '), '') FROM update_claim(0, 10, 10, 60)");
}

static void sweep(void)
{
    ask("SELECT count(*) FROM update_sweep(0, " SETTINGS ")");
}

static const char *told(void)
{
    return ask("SELECT coalesce(string_agg(convert_from(data, 'UTF8'), '' ORDER BY id), '') FROM event"
               " WHERE name = 'spark/flash/status'");
}

/* From `ready` to `rebooting`. */
static void carry(long step)
{
    assert_string_equal(claim(), "start");
    assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    assert_says("ok", "SELECT said FROM step_transfer(%ld, %d, 0, 0)", step, rev_of(step));
    assert_says("finish", "SELECT said FROM step_finish(%ld, %d, 0, 100000, 110000)", step, rev_of(step));
    assert_says("rebooting",
                "SELECT said FROM step_ended(%ld, %d, 0, 'validated', 0, '', false, 100000, 110000, " SETTINGS
                ")",
                step, rev_of(step));
}

/* It came back, with a Hello. */
static void come_back(struct fleet_fixture *fx, unsigned n, uint16_t version)
{
    fleet_say_hello(fx, n, ARGON, 70 + n);
    fleet_describe_module(fx, n, BOOTLOADER, 0, version);
    sweep();
}

static const char *look(long step)
{
    return ask("SELECT said FROM step_look(%ld, %d, 0, " SETTINGS ")", step, rev_of(step));
}

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

/* Brings a step into a state, and its deadline into the past. */
static void force(long step, const char *state_name, const char *more)
{
    ask("UPDATE update_step SET state = '%s', node_id = 9, deadline_at = now() - interval '1 s', finished_at "
        "= now(),"
        " session_epoch = 0, hellos = (SELECT max(hellos) FROM device)%s WHERE id = %ld RETURNING 1",
        state_name, more, step);
}

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
        TEST(test_only_a_describe_makes_a_success),
        TEST(test_a_hello_between_two_describes_makes_them_one),
        TEST(test_a_device_that_lies_is_never_a_success),
        TEST(test_an_unknown_co_processor_is_asked_again),
        TEST(test_nothing_is_sent_that_is_there),
        TEST(test_asked_twice_answers_the_same),
        TEST(test_updates_wait_for_an_application_that_wants_none),
        TEST(test_what_went_wrong_decides_what_follows),
        TEST(test_a_dead_node_holds_nothing),
        TEST(test_nodes_that_die_condemn_no_device),
        TEST(test_a_node_that_begins_anew_looks_at_once),
        TEST(test_an_outage_loses_no_device),
        TEST(test_a_device_that_never_comes_back_is_lost),
        TEST(test_what_others_decide_stops_a_transfer),
        TEST(test_one_update_a_device),
        TEST(test_deleted_and_rekeyed_devices_are_let_go),
        TEST(test_a_campaign_goes_step_by_step),
        TEST(test_a_plan_for_another_inventory_is_not_taken),
        TEST(test_another_module_that_falls_is_seen),
        TEST(test_a_rule_may_let_it_fall),
        TEST(test_a_pause_stops_and_an_abort_cancels),
        TEST(test_the_disruption_budget_holds_a_finish),
        TEST(test_an_offline_device_holds_no_place),
        TEST(test_a_withdrawn_target_is_said_while_its_campaign_stands_still),
        TEST(test_a_withdrawn_target_is_said_between_two_steps),
        TEST(test_a_silent_device_is_not_asked_for_ever),
        TEST(test_what_never_gets_through_ends),
        TEST(test_an_echo_is_not_waited_for_for_ever),
        TEST(test_a_flash_of_a_device_that_goes_away_ends),
        TEST(test_one_that_leaves_while_it_is_verified_is_no_success),
        TEST(test_steps_of_updates_that_wait_are_held),
        TEST(test_a_claim_of_an_update_that_waits_is_given_back),
        TEST(test_safe_mode_is_healed),
        TEST(test_random_walk),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
