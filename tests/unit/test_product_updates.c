/* test_product_updates.c: the updates that follow from the firmware of a product: nothing but a describe and
 * a Hello makes a success, and nothing is tried for ever. */
#include "product_firmware_bench.h"

/* The newest update of the device. */
static const char *update(void)
{
    return ask(
        "SELECT coalesce((SELECT kind || ' ' || coalesce(product_version, 0) || ' ' || state ||"
        " coalesce(' ' || reason, '') FROM device_update WHERE device_id = '\\x%s' ORDER BY id DESC LIMIT 1),"
        " 'none')",
        device_hex);
}

static const char *claim(void)
{
    return ask("SELECT coalesce(string_agg(job, ' '), '') FROM update_claim(0, 10, 10, 60)");
}

static long step(void)
{
    return atol(ask("SELECT max(s.id) FROM update_step s JOIN device_update u ON u.id = s.update_id"
                    " WHERE u.device_id = '\\x%s'",
                    device_hex));
}

static int rev(void)
{
    return atoi(ask("SELECT rev FROM update_step WHERE id = %ld", step()));
}

/* From pending to `rebooting`. */
static void carry(void)
{
    sweep();
    assert_string_equal(claim(), "start");
    assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step(), rev());
    assert_says("ok", "SELECT said FROM step_transfer(%ld, %d, 0, 0)", step(), rev());
    assert_says("finish", "SELECT said FROM step_finish(%ld, %d, 0, 4000, 4000)", step(), rev());
    assert_says("rebooting",
                "SELECT said FROM step_ended(%ld, %d, 0, 'validated', 0, '', false, 4000, 4000, " SETTINGS
                ")",
                step(), rev());
}

/* It is back: with the binary of the step, or as it was; its Hello says this version. */
static const char *come_back(struct fleet_fixture *fx, unsigned n, bool with_it, uint16_t version)
{
    say_hello(fx, n, 70 + n, PRODUCT, version);
    fleet_describe_module(fx, n, MODULE_USER, 1, with_it ? 6 : 5);
    if (with_it)
        ask("UPDATE device_module m SET hash = b.suffix_sha256 FROM update_step s JOIN module_binary b ON "
            "b.id ="
            " s.module_id WHERE s.id = %ld AND m.func = 5 AND m.device_id = '\\x%s' RETURNING 1",
            step(), device_hex);
    sweep();
    assert_string_equal(claim(), "look");
    assert_says("again", "SELECT said FROM step_look(%ld, %d, 0, " SETTINGS ")", step(), rev());
    return ask("SELECT said FROM step_look(%ld, %d, 0, " SETTINGS ")", step(), rev());
}

static void test_a_hello_brings_the_update(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    argon(fx, 1, 6);
    release(fx, 7, NULL, false);
    sweep();
    assert_string_equal(update(), "none"); /* at its next handshake */
    say_hello(fx, 1, 71, PRODUCT, 6);
    assert_string_equal(update(), "product 7 pending");
    say_hello(fx, 1, 71, PRODUCT, 6);
    assert_says("1", "SELECT count(*) FROM device_update");
    carry();
    assert_string_equal(come_back(fx, 1, true, 7), "verified");
    assert_string_equal(update(), "product 7 succeeded");
    assert_says("started success ", "SELECT string_agg(convert_from(data, 'UTF8'), '' ORDER BY id) FROM event"
                                    " WHERE name = 'spark/flash/status'");
    say_hello(fx, 1, 72, PRODUCT, 7);
    assert_says("1", "SELECT count(*) FROM device_update");
}

static void test_a_device_that_runs_it_gets_nothing(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    release(fx, 7, NULL, false);
    argon(fx, 1, 7);
    say_hello(fx, 1, 71, PRODUCT, 7);
    assert_string_equal(update(), "none");
    /* safe mode: it says no product, and describes the very binary */
    ask("UPDATE device_module m SET hash = b.suffix_sha256 FROM module_binary b WHERE m.func = 5 RETURNING "
        "1");
    say_hello(fx, 1, 71, ARGON, 0xffff);
    assert_string_equal(update(), "none");
    say_hello(fx, 1, 71, PRODUCT, 6);
    assert_string_equal(update(), "product 7 pending");
}

static void test_the_hello_has_to_say_the_version_too(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    argon(fx, 1, 6);
    release(fx, 7, NULL, false);
    say_hello(fx, 1, 71, PRODUCT, 6);
    carry();
    assert_string_equal(come_back(fx, 1, true, 6), "backoff");
    ask("UPDATE update_step SET next_at = now() RETURNING 1");
    carry();
    assert_string_equal(come_back(fx, 1, false, 7), "failed"); /* nor is the Hello enough */
    assert_string_equal(update(), "product 7 failed no_effect");
}

/* Fails once more. */
static void lie(struct fleet_fixture *fx)
{
    for (int i = 0; i < 2; i++) {
        ask("UPDATE update_step SET next_at = now() WHERE id = %ld RETURNING 1", step());
        carry();
        come_back(fx, 1, false, 6);
    }
    assert_string_equal(update(), "product 7 failed no_effect");
}

static void test_nothing_is_tried_for_ever(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    argon(fx, 1, 6);
    release(fx, 7, NULL, false);
    say_hello(fx, 1, 71, PRODUCT, 6);
    lie(fx);
    for (int tries = 1; tries < 3; tries++) {
        say_hello(fx, 1, 71, PRODUCT, 6);
        assert_string_equal(update(), "product 7 waiting tried_before");
        sweep();
        assert_string_equal(update(), "product 7 waiting tried_before");
        assert_says(
            "t",
            "SELECT next_at > now() + interval '2 min' AND attempts = %d FROM device_update ORDER BY id"
            " DESC LIMIT 1",
            tries);
        assert_string_equal(claim(), "");
        ask("UPDATE device_update SET next_at = now() WHERE state = 'waiting' RETURNING 1");
        lie(fx);
    }
    for (int i = 0; i < 2; i++) {
        say_hello(fx, 1, 71, PRODUCT, 6);
        assert_string_equal(update(), "product 7 blocked tried_too_often");
        assert_says("4", "SELECT count(*) FROM device_update");
    }
    assert_has(ask("SELECT detail ->> 'sentence' FROM device_update ORDER BY id DESC LIMIT 1"), "3 times");
    /* until a person wants it */
    assert_says("ok", "SELECT product_push_device('\\x%s', 'opal')", device_hex);
    assert_string_equal(update(), "product 7 pending");
    ask("DELETE FROM device_update WHERE state = 'pending' RETURNING 1");
    release(fx, 7, NULL, false);
    say_hello(fx, 1, 71, PRODUCT, 6);
    assert_string_equal(update(), "product 7 pending");
}

static void test_a_newer_release_takes_its_place(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    add_version(fx, 8);
    argon(fx, 1, 6);
    release(fx, 7, NULL, false);
    say_hello(fx, 1, 71, PRODUCT, 6);
    release(fx, 8, NULL, false);
    sweep(); /* not begun */
    assert_says("superseded pending", "SELECT string_agg(state, ' ' ORDER BY id) FROM device_update");
    sweep();
    assert_string_equal(update(), "product 8 active");
    assert_string_equal(claim(), "start");
    assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step(), rev());
    assert_says("ok", "SELECT said FROM step_transfer(%ld, %d, 0, 0)", step(), rev());
    release(fx, 7, NULL, false);
    assert_says("held", "SELECT said FROM step_finish(%ld, %d, 0, 1, 1)", step(), rev());
    sweep(); /* in the middle of the file: it stops */
    ask("UPDATE update_step SET next_at = now() WHERE state = 'backoff' RETURNING 1");
    sweep();
    assert_string_equal(update(), "product 7 active");
    carry();
    release(fx, 8, NULL, false); /* it is applying it: that is seen to its end, then the next one follows */
    assert_string_equal(come_back(fx, 1, true, 7), "verified");
    assert_string_equal(update(), "product 8 pending");
}

static void test_marked_devices_are_let_alone(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    argon(fx, 1, 6);
    release(fx, 7, NULL, false);
    say_hello(fx, 1, 71, PRODUCT, 6);
    sweep();
    assert_string_equal(update(), "product 7 active");
    ask("UPDATE device SET development = true RETURNING 1");
    assert_string_equal(claim(), "");
    sweep();
    assert_string_equal(update(), "product 7 superseded released_anew");
    say_hello(fx, 1, 71, PRODUCT, 6);
    assert_says("current", "SELECT product_push_device('\\x%s', 'opal')", device_hex);
    assert_says("1", "SELECT count(*) FROM device_update");
}

static void test_one_update_a_device_and_campaigns_go_first(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    argon(fx, 1, 6);
    release(fx, 7, NULL, false);
    ask("WITH r AS (INSERT INTO release (name, state, created_by) VALUES ('x', 'published', 'opal') "
        "RETURNING id),"
        " c AS (INSERT INTO campaign (name, release_id, state, selector, created_by) SELECT 'c', id, "
        "'running', '{}',"
        " 'opal' FROM r RETURNING id, release_id), g AS (INSERT INTO campaign_stage (campaign_id, ord, name, "
        "state)"
        " SELECT id, 0, 'all', 'running' FROM c)"
        " INSERT INTO device_update (kind, campaign_id, stage_ord, release_id, device_id, requested_by)"
        " SELECT 'campaign', id, 0, release_id, '\\x%s', 'opal' FROM c RETURNING 1",
        device_hex);
    say_hello(fx, 1, 71, PRODUCT, 6);
    sweep();
    assert_string_equal(update(), "product 7 waiting busy_in_campaign");
    ask("UPDATE campaign SET state = 'paused' RETURNING 1");
    ask("UPDATE device_update SET next_at = now() WHERE kind = 'product' RETURNING 1");
    sweep();
    assert_string_equal(update(), "product 7 active");
    long module = atol(ask("SELECT max(id) FROM module_binary"));
    assert_says("held", "SELECT code FROM create_flash(NULL, 'opal', true, '%s', %ld)", device_hex, module);
}

static void test_a_withdrawn_binary_is_sent_to_nobody(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    argon(fx, 1, 6);
    release(fx, 7, NULL, false);
    say_hello(fx, 1, 71, PRODUCT, 6);
    ask("UPDATE module_binary SET status = 'withdrawn', withdrawn_reason = 'it smokes' RETURNING 1");
    sweep();
    assert_string_equal(update(), "product 7 blocked module_withdrawn");
    argon(fx, 2, 6);
    say_hello(fx, 2, 72, PRODUCT, 6);
    assert_string_equal(update(), "none");
    ask("UPDATE module_binary SET status = 'active', withdrawn_reason = NULL RETURNING 1");
    say_hello(fx, 2, 72, PRODUCT, 6);
    sweep();
    assert_string_equal(update(), "product 7 active");
    ask("UPDATE module_binary SET status = 'withdrawn', withdrawn_reason = 'it smokes' RETURNING 1");
    assert_string_equal(claim(), "");
    sweep();
    assert_string_equal(update(), "product 7 blocked module_withdrawn");
}

static void test_what_cannot_fit_is_said_once(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    argon(fx, 1, 6);
    release(fx, 7, NULL, false);
    ask("UPDATE module_binary SET size_bytes = 1536001 RETURNING 1");
    for (int i = 0; i < 2; i++) {
        say_hello(fx, 1, 71, PRODUCT, 6);
        assert_string_equal(update(), "product 7 blocked no_path");
        assert_says("1", "SELECT count(*) FROM device_update");
    }
    assert_string_equal(ask("SELECT detail ->> 'sentence' FROM device_update"),
                        "Firmware 7 has 1536001 bytes, the device takes at most 1536000.");
}

static void test_a_release_at_once_goes_in_slices(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    fleet_script(
        "INSERT INTO device (id, platform_id, product_id, product_version, in_product, online, node_id,"
        " last_heard) SELECT decode(lpad(to_hex(i), 24, '0'), 'hex'), 12, 1000, 6, 1000, i <= 1200, 5, now()"
        " FROM generate_series(1, 1300) i");
    release(fx, 7, NULL, true);
    static const char *const after[] = {"500", "1000", "1200", "1200"};
    for (size_t i = 0; i < 4; i++) {
        sweep(); /* any node does it */
        assert_says(after[i], "SELECT count(*) FROM device_update WHERE state = 'pending'");
    }
    assert_says("0", "SELECT count(*) FROM product_push");
    release(fx, 7, NULL, true); /* once more changes nothing for who has it coming */
    for (size_t i = 0; i < 4; i++)
        sweep();
    assert_says("1200", "SELECT count(*) FROM device_update");
}

static void test_a_device_that_goes_offline_waits(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    argon(fx, 1, 6);
    release(fx, 7, NULL, false);
    say_hello(fx, 1, 71, PRODUCT, 6);
    ask("UPDATE device SET online = false RETURNING 1");
    ask("UPDATE device_update SET created_at = now() - interval '2 min' RETURNING 1");
    sweep();
    assert_string_equal(update(), "product 7 waiting offline_since");
    ask("UPDATE device SET online = true RETURNING 1");
    sweep();
    assert_string_equal(update(), "product 7 active");
    ask("UPDATE device_update SET state = 'pending' RETURNING 1");
    ask("UPDATE device SET online = false RETURNING 1");
    assert_says("offline", "SELECT product_push_device('\\x%s', 'opal')", device_hex);
}

static void test_an_application_that_wants_no_updates(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    argon(fx, 1, 6);
    release(fx, 7, NULL, false);
    fleet_send_event(fx, 1, DEVICE_EVENT_UPDATES_ENABLED, "particle/device/updates/enabled", "false");
    say_hello(fx, 1, 71, PRODUCT, 6);
    sweep();
    assert_string_equal(claim(), "start");
    assert_says("disabled", "SELECT said FROM step_check(%ld, %d, 0)", step(), rev());
    assert_string_equal(update(), "product 7 waiting updates_disabled");
    assert_says(
        "true",
        "SELECT convert_from(data, 'UTF8') FROM event WHERE name = 'particle/device/updates/pending'");
    /* forced by a person: told until it echoes */
    assert_says("ok", "SELECT code FROM force_device_updates(NULL, 'opal', true, '%s', true)", device_hex);
    assert_says("t", "SELECT forced FROM update_force(0, 10)");
    assert_says("0", "SELECT count(*) FROM update_force(0, 10)"); /* not every second */
    assert_says("t", "SELECT force_next_at > now() + interval '20 s' FROM device");
    fleet_send_event(fx, 1, DEVICE_EVENT_UPDATES_FORCED, "particle/device/updates/forced", "true");
    ask("UPDATE device SET force_next_at = now() RETURNING 1");
    assert_says("0", "SELECT count(*) FROM update_force(0, 10)");
    sweep();
    assert_string_equal(claim(), "start");
    assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step(), rev());
    /* a reset clears it */
    fleet_send_event(fx, 1, DEVICE_EVENT_UPDATES_FORCED, "particle/device/updates/forced", "false");
    assert_says("t", "SELECT forced FROM update_force(0, 10)");
    assert_says("ok", "SELECT code FROM force_device_updates(NULL, 'opal', true, '%s', false)", device_hex);
    assert_says("0", "SELECT count(*) FROM update_force(0, 10)");
    fleet_send_event(fx, 1, DEVICE_EVENT_UPDATES_FORCED, "particle/device/updates/forced", "true");
    assert_says("f", "SELECT forced FROM update_force(0, 10)");
    assert_says("f", "SELECT coalesce(d.force_updates, d.updates_forced) FROM device d");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_hello_brings_the_update),
        TEST(test_a_device_that_runs_it_gets_nothing),
        TEST(test_the_hello_has_to_say_the_version_too),
        TEST(test_nothing_is_tried_for_ever),
        TEST(test_a_newer_release_takes_its_place),
        TEST(test_marked_devices_are_let_alone),
        TEST(test_one_update_a_device_and_campaigns_go_first),
        TEST(test_a_withdrawn_binary_is_sent_to_nobody),
        TEST(test_what_cannot_fit_is_said_once),
        TEST(test_a_release_at_once_goes_in_slices),
        TEST(test_a_device_that_goes_offline_waits),
        TEST(test_an_application_that_wants_no_updates),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
