/* test_product_firmware.c: firmware of products in Postgres: what is taken, which device gets which version,
 * and the updates that follow: nothing but a describe and a Hello makes a success, and nothing is tried for
 * ever. */
#include "fleet_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/firmware_get.h"
#include "fleet/product_firmware.h"
#include "module_builder.h"

#define ARGON 12
#define BORON 13
#define PRODUCT 1000
#define SETTINGS                                                                                             \
    "'{\"again_s\":0,\"describe_s\":100,\"reboot_s\":300,\"ncp_reboot_s\":600,\"backoff_s\":30,"             \
    "\"offline_s\":60}'"

static char device_hex[2 * DEVICE_ID_BYTES + 1];

/* A number or text that the statement of this format answers with; valid until the next call. */
__attribute__((format(printf, 1, 2))) static const char *ask(const char *format, ...)
{
    char sql[4000];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    return fleet_sql(sql);
}
#define assert_says(said, ...) assert_string_equal(ask(__VA_ARGS__), said)

static int setup(void **state)
{
    if (fleet_fixture_setup(state) != 0)
        return -1;
    fleet_script(
        "TRUNCATE module_content, module_binary, release, campaign, device_update, update_event, product,"
        " product_push RESTART IDENTITY CASCADE;"
        "INSERT INTO product (id, slug, name, platform_id) VALUES (1000, 'toaster', 'Toaster', 12),"
        " (1001, 'kettle', 'Kettle', 12);"
        "INSERT INTO product_group (product_id, name) VALUES (1000, 'beta'), (1000, 'late'), (1001, 'beta')");
    return 0;
}

/* --- uploads --- */

struct answered {
    int calls;
    enum fleet_err err;
    char json[2000], why[300];
};

static void on_answer(void *arg, enum fleet_err err, const char *json, const char *why)
{
    struct answered *a = arg;
    a->calls++;
    a->err = err;
    snprintf(a->json, sizeof a->json, "%s", json ? json : "");
    snprintf(a->why, sizeof a->why, "%s", why);
}

struct wanted {
    uint16_t platform_id, product_id, product_version;
    uint8_t function, fill;
    bool bare; /* its suffix says no product */
    int version;
};
/* An application for the Argon that says what it is a version of. */
#define APPLICATION(v)                                                                                       \
    (struct wanted)                                                                                          \
    {                                                                                                        \
        .platform_id = ARGON, .product_id = PRODUCT, .product_version = (v), .function = MODULE_USER,        \
        .version = (v)                                                                                       \
    }

static struct answered upload(struct fleet_fixture *fx, struct wanted w)
{
    uint8_t suffix[4] = {(uint8_t)w.product_id, (uint8_t)(w.product_id >> 8), (uint8_t)w.product_version,
                         (uint8_t)(w.product_version >> 8)};
    struct module_recipe recipe = {.body_len = 4000,
                                   .function = w.function,
                                   .index = 1,
                                   .platform_id = w.platform_id,
                                   .version = 6,
                                   .fill = (uint8_t)(w.fill + w.product_version),
                                   .suffix = suffix,
                                   .suffix_len = w.bare ? 0 : sizeof suffix};
    struct built b = module_build(&recipe);
    struct product_firmware_upload up = {
        .product_id = PRODUCT, .version = w.version, .title = "first", .description = "<b>text</b>"};
    struct answered a = {0};
    fleet_upload_product_firmware(fx->fleet, &fx->owner, &up, b.data, b.len, "app.bin", on_answer, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    return a;
}

static void add_version(struct fleet_fixture *fx, uint16_t version)
{
    struct answered a = upload(fx, APPLICATION(version));
    assert_string_equal(a.why, "");
    assert_int_equal(a.err, FLEET_OK);
}

#define assert_has(text, part) assert_non_null(strstr(text, part))

static void test_an_upload_is_a_version(void **state)
{
    struct fleet_fixture *fx = *state;
    struct answered a = upload(fx, APPLICATION(7));
    assert_int_equal(a.err, FLEET_OK);
    assert_has(a.json, "\"version\" : 7");
    assert_has(a.json, "\"title\" : \"first\"");
    assert_has(a.json, "\"name\" : \"app.bin\"");
    assert_has(a.json, "\"product_default\" : false");
    assert_has(a.json, "\"_id\" : \"000003e80000000000000007\"");
    assert_has(a.json, "\"uploaded_by\" : {\"username\" : ");
    assert_says(
        "particle/firmware/create {\"version\":\"7\"}",
        "SELECT string_agg(name || ' ' || convert_from(data, 'UTF8'), ',') FROM event WHERE is_system");
    assert_says("firmware.upload,product_firmware.create",
                "SELECT string_agg(action, ',' ORDER BY id) FROM audit WHERE action LIKE '%%firmware%%'");
}

static void test_each_refusal_says_why(void **state)
{
    struct fleet_fixture *fx = *state;
    struct wanted w = APPLICATION(7);
    w.function = MODULE_SYSTEM;
    assert_has(upload(fx, w).why, "not a user application");
    w = APPLICATION(7);
    w.version = 8;
    assert_string_equal(upload(fx, w).why, "it says that it is version 7 of its product, not 8");
    w = APPLICATION(7);
    w.bare = true;
    assert_has(upload(fx, w).why, "build it with PRODUCT_VERSION(7)");
    w = APPLICATION(7);
    w.platform_id = BORON;
    assert_string_equal(upload(fx, w).why, "The binary is for platform 13, the product is of platform 12.");
    w = APPLICATION(7);
    w.product_id = 1001;
    assert_string_equal(upload(fx, w).why, "The binary says that it is for product 1001, not 1000.");
    assert_says("0", "SELECT count(*) FROM module_binary");
    w = APPLICATION(7);
    w.product_id = 0xffff; /* its compiler was told the version alone */
    assert_int_equal(upload(fx, w).err, FLEET_OK);
    ask("UPDATE product_firmware SET uploaded_at = now() - interval '1 min' RETURNING 1");
    struct answered twice = upload(fx, w);
    assert_int_equal(twice.err, FLEET_CONFLICT);
    assert_string_equal(twice.why, "Version 7 of this product exists already.");
}

static void test_what_is_uploaded_when_the_server_stops(void **state)
{
    struct fleet_fixture *fx = *state;
    struct answered a = {0};
    struct module_recipe recipe = {
        .body_len = 1900000, .function = MODULE_USER, .index = 1, .platform_id = ARGON, .version = 6};
    struct built b = module_build(&recipe);
    struct product_firmware_upload up = {.product_id = PRODUCT, .version = 7, .title = "", .description = ""};
    fleet_upload_product_firmware(fx->fleet, &fx->owner, &up, b.data, b.len, NULL, on_answer, &a);
    firmware_upload_stop(fx->fleet);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.err, FLEET_AWAY);
}

/* --- changes --- */

static struct answered release(struct fleet_fixture *fx, int version, const char *group, bool at_once)
{
    struct answered a = {0};
    struct product_firmware_release r = {.product_id = PRODUCT,
                                         .version = version,
                                         .groups = &group,
                                         .group_count = group ? 1 : 0,
                                         .is_default = !group,
                                         .at_once = at_once};
    fleet_release_product_firmware(fx->fleet, &fx->owner, &r, on_answer, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static struct answered delete (struct fleet_fixture *fx, int version)
{
    struct answered a = {0};
    fleet_delete_product_firmware(fx->fleet, &fx->owner, PRODUCT, version, on_answer, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static void test_what_was_released_stays(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    add_version(fx, 8);
    struct answered a = release(fx, 7, "beta", true);
    assert_int_equal(a.err, FLEET_OK);
    assert_has(a.json, "\"groups\": [\"beta\"]");
    assert_has(a.json, "\"intelligent\": true");
    assert_has(a.json, "\"updated_at\": ");
    assert_says("{\"immediate\":true,\"version\":7}",
                "SELECT convert_from(data, 'UTF8') FROM event WHERE name = 'particle/firmware/release'");
    assert_int_equal(delete (fx, 7).err, FLEET_INVALID);
    assert_int_equal(delete (fx, 9).err, FLEET_NOT_FOUND);
    assert_int_equal(delete (fx, 8).err, FLEET_OK);
    assert_says("7", "SELECT string_agg(version::text, ',') FROM product_firmware");
    assert_int_equal(release(fx, 9, NULL, false).err, FLEET_NOT_FOUND);
    assert_string_equal(release(fx, 7, "none", false).why, "The product has no group none.");
    fx->fleet->settings.release_needs_proof = true;
    assert_has(release(fx, 7, NULL, false).why, "No device of the product has run version 7 yet");
    fx->fleet->settings.release_needs_proof = false;
    ask("UPDATE module_binary SET status = 'withdrawn', withdrawn_reason = 'it smokes' RETURNING 1");
    assert_string_equal(release(fx, 7, NULL, false).why, "This binary was withdrawn: it smokes");
    struct answered edited = {0};
    struct product_firmware_edit edit = {.product_id = PRODUCT, .version = 7, .title = "second"};
    fleet_edit_product_firmware(fx->fleet, &fx->owner, &edit, on_answer, &edited);
    fleet_run_until(fx, edited.calls);
    assert_has(edited.json, "\"title\" : \"second\"");
    assert_has(edited.json, "\"description\" : \"<b>text</b>\"");
    assert_says("t", "SELECT bool_and(before IS NOT NULL AND after IS NOT NULL) FROM audit"
                     " WHERE action = 'product_firmware.update'");
}

/* --- devices --- */

static void say_hello(struct fleet_fixture *fx, unsigned n, uint64_t session, uint16_t product,
                      uint16_t version)
{
    struct device_facts facts = fleet_test_facts(n, session);
    struct hello hello = fleet_test_hello(n, ARGON);
    struct fleet_verdict v = {0};
    hello.product_id = product;
    hello.product_version = version;
    fx->ops->hello(fx->ops->ctx, &facts, &hello, false, NULL, 0, fleet_on_verdict, &v);
    fleet_run_until(fx, v.calls);
    assert_int_equal(v.verdict, DEVICE_STORED);
}

/* Device n of this node and of the product, online, running this version of it; 0: another application. */
static void argon(struct fleet_fixture *fx, unsigned n, uint16_t version)
{
    struct device_id id = fleet_test_id(n);
    device_id_format(device_hex, &id);
    fleet_enrol(fx, n);
    say_hello(fx, n, 70 + n, version ? PRODUCT : ARGON, version ? version : 0xffff);
    fleet_describe_module(fx, n, MODULE_USER, 1, 5);
    ask("UPDATE device SET online = true, node_id = 0, last_heard = now(), in_product = 1000 WHERE id = "
        "'\\x%s'"
        " RETURNING 1",
        device_hex);
}

static const char *target(void)
{
    return ask("SELECT coalesce(targeted_firmware_version(d), 0) FROM device d WHERE id = '\\x%s'",
               device_hex);
}

static void sweep(void)
{
    ask("SELECT count(*) FROM update_sweep(0, " SETTINGS ")");
}

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

static void test_which_device_gets_which_version(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    add_version(fx, 8);
    add_version(fx, 9);
    argon(fx, 1, 6);
    assert_string_equal(target(), "0");
    release(fx, 7, NULL, false);
    assert_string_equal(target(), "7");
    ask("INSERT INTO device_group SELECT '\\x%s', 1000, x FROM unnest(ARRAY['beta', 'late']) x RETURNING 1",
        device_hex);
    assert_string_equal(target(), "7"); /* its groups say nothing */
    release(fx, 9, "beta", false);
    release(fx, 8, "late", false);
    assert_string_equal(target(), "9"); /* the highest of its groups */
    ask("UPDATE device SET desired_firmware_version = 8 RETURNING 1");
    assert_string_equal(target(), "8");
    ask("UPDATE device SET development = true RETURNING 1");
    assert_string_equal(target(), "0");
    ask("UPDATE device SET development = false, denied = true RETURNING 1");
    assert_string_equal(target(), "0");
    ask("UPDATE device SET denied = false, quarantined = true RETURNING 1");
    assert_string_equal(target(), "0");
}

static struct answered preview(struct fleet_fixture *fx, int version, const char *group)
{
    struct answered a = {0};
    struct product_firmware_release r = {.product_id = PRODUCT,
                                         .version = version,
                                         .groups = &group,
                                         .group_count = group ? 1 : 0,
                                         .is_default = !group};
    fleet_preview_product_firmware(fx->fleet, &r, on_answer, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static void test_the_preview_counts_what_the_release_does(void **state)
{
    struct fleet_fixture *fx = *state;
    add_version(fx, 7);
    add_version(fx, 8);
    release(fx, 7, NULL, false);
    for (unsigned n = 1; n <= 12; n++) {
        argon(fx, n, n % 4 == 0 ? 8 : n % 4 == 1 ? 7 : n % 4 == 2 ? 6 : 0);
        if (n > 4)
            ask("INSERT INTO device_group VALUES ('\\x%s', 1000, 'beta') RETURNING 1", device_hex);
    }
    ask("UPDATE device SET development = true WHERE id = '\\x%s' RETURNING 1", device_hex);
    struct answered a = preview(fx, 8, "beta");
    assert_string_equal(
        a.json, "{\"devices\" : {\"firmware_update\" : {\"total\" : 6, \"by_version\" : [{\"version\" : 6,"
                " \"total\" : 2}, {\"version\" : 7, \"total\" : 2}, {\"version\" : null, \"total\" : 2}]}}}");
    assert_string_equal(preview(fx, 8, "none").why, "The product has no group none.");
    assert_int_equal(preview(fx, 9, NULL).err, FLEET_NOT_FOUND);
    release(fx, 8, "beta", true);
    sweep();
    assert_says("6", "SELECT count(*) FROM device_update WHERE product_version = 8");
    assert_string_equal(preview(fx, 8, "beta").json, a.json); /* still so many: none has it yet */
    assert_says("0", "SELECT count(*) FROM product_push");
    /* one by one as all at once */
    assert_says("t",
                "SELECT bool_and(t.target IS NOT DISTINCT FROM targeted_firmware_version(d)) FROM device d"
                " JOIN firmware_targets(1000, '{}', NULL) t ON t.device_id = d.id");
}

/* --- updates --- */

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
        TEST(test_an_upload_is_a_version),
        TEST(test_each_refusal_says_why),
        TEST(test_what_is_uploaded_when_the_server_stops),
        TEST(test_what_was_released_stays),
        TEST(test_which_device_gets_which_version),
        TEST(test_the_preview_counts_what_the_release_does),
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
