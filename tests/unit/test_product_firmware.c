/* test_product_firmware.c: firmware of products in Postgres: what is taken, what may be changed, and which
 * device gets which version. */
#include "product_firmware_bench.h"

#include "fleet/firmware_get.h"

#define BORON 13

/* --- uploads --- */

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

static const char *target(void)
{
    return ask("SELECT coalesce(targeted_firmware_version(d), 0) FROM device d WHERE id = '\\x%s'",
               device_hex);
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
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
