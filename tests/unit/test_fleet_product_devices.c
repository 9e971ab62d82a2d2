/* test_fleet_product_devices.c: devices of products: imported, changed, found, denied, quarantined, and what
 * leaves with them. */
#include "product_bench.h"

/* A device that has said this product in its Hello. */
static void says(struct fleet_fixture *fx, unsigned n, uint16_t platform, int product)
{
    struct device_facts facts = fleet_test_facts(n, n + 1);
    struct hello hello = fleet_test_hello(n, platform);
    struct fleet_verdict v = {0};
    fleet_enrol(fx, n);
    hello.product_id = (uint16_t)product;
    fx->ops->hello(fx->ops->ctx, &facts, &hello, false, NULL, 0, fleet_on_verdict, &v);
    fleet_run_until(fx, v.calls);
    assert_int_equal(v.verdict, DEVICE_STORED);
}

static void test_import_by_all_names(void **state)
{
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id;
    for (unsigned n = 1; n <= 6; n++)
        fleet_enrol(fx, n);
    fleet_script("UPDATE device SET serial_number = 'P046AABB' WHERE id = '\\xe00fce680000000000000002';"
                 "UPDATE device SET imei = '351234567890123' WHERE id = '\\xe00fce680000000000000003';"
                 "UPDATE device SET iccid = '8934076500002589174' WHERE id = '\\xe00fce680000000000000004';"
                 "UPDATE device SET serial_number = 'TWICE' WHERE id IN ('\\xe00fce680000000000000005',"
                 " '\\xe00fce680000000000000006')");
    struct imported i =
        import(fx, p,
               "\xef\xbb\xbf"
               "E00FCE680000000000000001\r\np046aabb,351234567890123;\n\n8934076500002589174 e00fce68000000"
               "0000000001\ntwice unknown\r\n\xff\n");
    assert_int_equal(i.updated, 4);
    assert_string_equal(
        i.ids, "[\"e00fce680000000000000001\",\"e00fce680000000000000002\",\"e00fce680000000000000003\","
               "\"e00fce680000000000000004\"]");
    assert_string_equal(i.nonmembers, "[]");
    assert_string_equal(i.strangers, "[\"twice\",\"unknown\",\"?\"]");
    assert_int_equal(count_of("SELECT count(*) FROM device WHERE in_product IS NOT NULL"), 4);
    assert_int_equal(count_of("SELECT count(*) FROM audit WHERE action = 'product.import'"), 4);
    i = import(fx, p, id_text(1)); /* once more is fine, and no news */
    assert_int_equal(i.updated, 1);
    assert_int_equal(count_of("SELECT count(*) FROM audit WHERE action = 'product.import'"), 4);
    assert_int_equal(import(fx, p, " \r\n,").updated, 0);
}

static void test_import_refuses(void **state)
{
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id, other = create(fx, &fx->other_owner, "other").id;
    char *sql;
    for (unsigned n = 1; n <= 5; n++) {
        fleet_enrol(fx, n);
        fleet_say_hello(fx, n, n == 1 ? 13 : ARGON, n); /* the first one is a Boron */
    }
    assert_int_equal(import_as(fx, &fx->other_owner, other, id_text(2)).updated, 1);
    sql = mem_printf("UPDATE device SET owner_id = %lld WHERE id = '\\x%s'",
                     (long long)fx->other_owner.user_id, id_text(3));
    fleet_script(sql);
    free(sql);
    fleet_script("UPDATE device SET quarantined = true WHERE id = '\\xe00fce680000000000000004'");
    struct imported i = import(fx, p,
                               "e00fce680000000000000001 e00fce680000000000000002 e00fce680000000000000003 "
                               "e00fce680000000000000004 e00fce680000000000000005");
    assert_string_equal(i.ids, "[\"e00fce680000000000000005\"]");
    assert_string_equal(i.nonmembers, "[\"e00fce680000000000000003\"]");
    assert_string_equal(
        i.strangers,
        "[\"e00fce680000000000000001\",\"e00fce680000000000000002\",\"e00fce680000000000000004\"]");
    /* whoever is put into a team keeps what is theirs, until they bring it themselves */
    add_member(p, &fx->other_owner, "manage");
    assert_int_equal(import(fx, p, "e00fce680000000000000003").updated, 0);
    assert_int_equal(import_as(fx, &fx->other_owner, p, "e00fce680000000000000003").updated, 1);
    /* who sees all, approves all but what another product has, and other platforms */
    i = import_as(fx, &fx->operator, p,
                  "e00fce680000000000000001 e00fce680000000000000002 e00fce680000000000000004");
    assert_string_equal(i.ids, "[\"e00fce680000000000000004\"]");
    assert_string_equal(one("quarantined", 4), "false");
    assert_int_equal(fx->revoked, 1); /* its session was one of a stranger */
}

static struct fleet_answer provision(struct fleet_fixture *fx, const struct fleet_actor *who, unsigned n,
                                     int product)
{
    struct fleet_answer a = {0};
    struct fleet_key key;
    struct device_id id = fleet_test_id(n);
    const char *why;
    assert_true(fleet_key_from_hex(&key, "0102030405060708090a0b0c0d0e0f10", &why));
    fleet_provision_device(fx->fleet, who, &id, &key, product, fleet_on_change, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

/* A token of one product reaches nothing outside it, also when an admin made it. */
static void test_a_confined_token_takes_nothing_from_elsewhere(void **state)
{
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id, other = create(fx, &fx->other_owner, "other").id;
    struct fleet_actor confined = fx->admin;
    char *sql;
    confined.confined_to = p;
    for (unsigned n = 1; n <= 4; n++) {
        fleet_enrol(fx, n);
        fleet_say_hello(fx, n, ARGON, n);
    }
    assert_int_equal(import_as(fx, &fx->other_owner, other, id_text(1)).updated, 1);
    assert_int_equal(import(fx, p, id_text(2)).updated, 1);
    sql = mem_printf("UPDATE device SET owner_id = %lld WHERE id = '\\x%s'",
                     (long long)fx->other_owner.user_id, id_text(3));
    fleet_script(sql);
    free(sql);
    fleet_script("UPDATE device SET quarantined = true WHERE id = '\\xe00fce680000000000000004'");
    struct imported i = import_as(fx, &confined, p, "e00fce680000000000000003 e00fce680000000000000004");
    assert_string_equal(i.nonmembers, "[\"e00fce680000000000000003\"]");
    assert_string_equal(i.strangers, "[\"e00fce680000000000000004\"]");
    assert_int_equal(provision(fx, &confined, 1, p).err, FLEET_FORBIDDEN); /* of another product */
    assert_int_equal(provision(fx, &confined, 3, p).err, FLEET_FORBIDDEN); /* of none */
    assert_int_equal(provision(fx, &confined, 2, p).err, FLEET_OK);
    assert_int_equal(provision(fx, &confined, 9, p).err, FLEET_OK); /* a new one */
    assert_int_equal(atoi(one("in_product", 9)), p);
    assert_int_equal(provision(fx, &fx->admin, 3, p).err, FLEET_OK); /* with all that an admin may */
}

static void test_import_of_a_large_file(void **state)
{
    enum { COUNT = 30000 };
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id;
    struct imported i = {0};
    size_t text_len = 0;
    char *text = mem_alloc(COUNT * 25 + 1);
    fleet_script("INSERT INTO device (id) SELECT decode('e00fce68' || lpad(to_hex(n), 16, '0'), 'hex') FROM"
                 " generate_series(1, 30000, 2) n");
    for (unsigned n = 1; n <= COUNT; n++)
        text_len += (size_t)sprintf(text + text_len, "%s\n", id_text(n));
    fleet_import_devices(fx->fleet, &fx->owner, p, text, text_len, on_imported, &i);
    free(text);
    fleet_run_until(fx, i.calls);
    assert_int_equal(i.err, FLEET_OK);
    assert_int_equal(i.updated, COUNT / 2);
    assert_int_equal(count_of("SELECT count(*) FROM device WHERE in_product IS NOT NULL"), COUNT / 2);
    assert_int_equal(count_of("SELECT count(*) FROM audit WHERE action = 'product.import'"), COUNT / 2);
}

static void test_device_changes(void **state)
{
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id;
    for (unsigned n = 1; n <= 2; n++) {
        fleet_enrol(fx, n);
        import(fx, p, id_text(n));
    }
    struct answer a = change_device(
        fx, p, id_text(1),
        "{\"name\": \"kitchen\", \"notes\": \"n\", \"development\": true, \"groups\": [\"g\"]}");
    assert_int_equal(a.err, FLEET_OK);
    assert_memory_equal(a.device.bytes, fleet_test_id(1).bytes, 12);
    assert_string_equal(one("name", 1), "kitchen");
    assert_string_equal(one("development", 1), "true");
    assert_string_equal(
        fleet_sql("SELECT after::text FROM audit WHERE action = 'device.update'"),
        "{\"name\": \"kitchen\", \"notes\": \"n\", \"groups\": [\"g\"], \"development\": true}");
    assert_string_equal(fleet_sql("SELECT before::text FROM audit WHERE action = 'device.update'"),
                        "{\"name\": null, \"notes\": null, \"groups\": [], \"development\": false}");
    assert_int_equal(change_device(fx, p, "kitchen", "{\"development\": false}").err, FLEET_OK);
    assert_string_equal(one("development", 1), "false");
    assert_string_equal(one("name", 1), "kitchen"); /* left */
    a = change_device(fx, p, id_text(2), "{\"name\": \"kitchen\"}");
    assert_int_equal(a.err, FLEET_CONFLICT);
    a = change_device(fx, p, "kitchen", "{\"desired_firmware_version\": 3}");
    assert_int_equal(a.err, FLEET_INVALID);
    assert_string_equal(a.why, "desired_firmware_version must be a version of this product's firmware.");
    static const char *const nobody[] = {"e00fce680000000000000009", "none", "a/b", "", "\xff"};
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++)
        assert_int_equal(change_device(fx, p, nobody[i], "{\"notes\": \"x\"}").err, FLEET_NOT_FOUND);
}

static struct fleet_answer get_in(struct fleet_fixture *fx, const struct fleet_actor *who, int product,
                                  const char *which)
{
    char *path = mem_printf("%d/%s", product, which);
    struct fleet_answer a = fleet_get(fx, who, path);
    free(path);
    return a;
}

static void test_found_under_its_product(void **state)
{
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id, other = create(fx, &fx->owner, "other").id;
    for (unsigned n = 1; n <= 3; n++)
        fleet_enrol(fx, n);
    import(fx, p, "e00fce680000000000000001 e00fce680000000000000002");
    fleet_script(
        "UPDATE device SET owner_id = (SELECT id FROM users WHERE name = 'otto'), name = 'lamp' WHERE id ="
        " '\\xe00fce680000000000000001'; UPDATE device SET name = 'lamp' WHERE id ="
        " '\\xe00fce680000000000000003'");
    /* whoever owns it */
    assert_int_equal(get_in(fx, &fx->owner, p, id_text(1)).err, FLEET_OK);
    assert_int_equal(get_in(fx, &fx->owner, p, "lamp").err, FLEET_OK);
    assert_int_equal(fleet_get(fx, &fx->owner, id_text(1)).err, FLEET_FORBIDDEN);
    assert_int_equal(fleet_get(fx, &fx->other_owner, id_text(1)).err, FLEET_OK);
    assert_int_equal(get_in(fx, &fx->other_owner, p, id_text(1)).err, FLEET_FORBIDDEN);
    assert_int_equal(get_in(fx, &fx->owner, other, id_text(1)).err, FLEET_NOT_FOUND);
    assert_int_equal(get_in(fx, &fx->owner, p, id_text(3)).err, FLEET_NOT_FOUND);
    assert_int_equal(get_in(fx, &fx->owner, 999, id_text(1)).err, FLEET_NOT_FOUND);
    import(fx, p, id_text(3));
    assert_int_equal(get_in(fx, &fx->owner, p, "lamp").err, FLEET_CONFLICT);
    static const char *const nowhere[] = {"/lamp", "1000/", "1000/a/b", "p/lamp", "-1/lamp", "1000000/lamp"};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        assert_int_equal(fleet_get(fx, &fx->admin, nowhere[i]).err, FLEET_NOT_FOUND);
}

static enum device_admission admitted;
static int admissions;

static void on_admit(void *arg, enum device_admission admission, const struct device_id *id)
{
    (void)arg, (void)id;
    admitted = admission;
    admissions++;
}

static enum device_admission authorise(struct fleet_fixture *fx, unsigned n)
{
    struct session_proof proof = {.profile = SESSION_PSK};
    snprintf(proof.identity, sizeof proof.identity, "%s", id_text(n));
    admissions = 0;
    fx->ops->authorise(fx->ops->ctx, &proof, on_admit, NULL);
    fleet_run_until(fx, admissions);
    return admitted;
}

static void start_authorising(struct fleet_fixture *fx)
{
    struct session_proof proof = {.profile = SESSION_PSK};
    snprintf(proof.identity, sizeof proof.identity, "%s", id_text(1));
    admissions = 0;
    fx->ops->authorise(fx->ops->ctx, &proof, on_admit, NULL);
}

/* Inside the answer with its key the registry is not asked twice. */
static enum device_admission authorise_with_its_key(struct fleet_fixture *fx)
{
    admissions = 0;
    fx->on_psk_answer = start_authorising;
    fx->ops->find_psk(fx->ops->ctx, id_text(1), (struct dtls_psk_query *)fx);
    fleet_run_until(fx, admissions);
    return admitted;
}

static void test_a_denied_device_is_turned_away(void **state)
{
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id, other = create(fx, &fx->owner, "other").id;
    struct fleet_verdict v = {0};
    struct device_facts facts = fleet_test_facts(1, 50);
    struct hello hello = fleet_test_hello(1, ARGON);
    fleet_enrol(fx, 1);
    import(fx, p, id_text(1));
    assert_int_equal(authorise(fx, 1), DEVICE_ADMIT);
    assert_int_equal(change_device(fx, p, id_text(1), "{\"denied\": true}").err, FLEET_OK);
    assert_int_equal(fx->revoked, 1);
    assert_int_equal(authorise(fx, 1), DEVICE_REFUSE_DENIED);
    assert_int_equal(authorise_with_its_key(fx), DEVICE_REFUSE_DENIED);
    fx->ops->hello(fx->ops->ctx, &facts, &hello, false, NULL, 0, fleet_on_verdict, &v);
    fleet_run_until(fx, v.calls);
    assert_int_equal(v.verdict, DEVICE_REJECTED);
    assert_int_equal(change_device(fx, p, id_text(1), "{\"denied\": false}").err, FLEET_OK);
    assert_int_equal(authorise(fx, 1), DEVICE_ADMIT);
    assert_int_equal(authorise_with_its_key(fx), DEVICE_ADMIT);
    assert_int_equal(remove_device(fx, p, id_text(1), true).err, FLEET_OK);
    assert_int_equal(fx->revoked, 2);
    assert_int_equal(authorise(fx, 1), DEVICE_REFUSE_DENIED);
    assert_int_equal(remove_device(fx, p, id_text(1), false).err, FLEET_NOT_FOUND);
    assert_string_equal(import(fx, other, id_text(1)).strangers, "[\"e00fce680000000000000001\"]");
    assert_int_equal(import(fx, p, id_text(1)).updated, 1); /* who denied it may have it back */
    assert_int_equal(authorise(fx, 1), DEVICE_ADMIT);
}

static void test_leaving_takes_what_was_the_products(void **state)
{
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id;
    fleet_enrol(fx, 1);
    import(fx, p, id_text(1));
    assert_int_equal(change_device(fx, p, id_text(1), "{\"groups\": [\"g\"], \"development\": true}").err,
                     FLEET_OK);
    assert_int_equal(remove_device(fx, p, id_text(1), false).err, FLEET_OK);
    assert_string_equal(one("in_product", 1), "null");
    assert_string_equal(one("development", 1), "false");
    assert_string_equal(one("denied", 1), "false");
    assert_int_equal(count_of("SELECT count(*) FROM device_group"), 0);
    assert_int_equal(fx->revoked, 0);
}

static void test_quarantine_of_a_product(void **state)
{
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id, open = create(fx, &fx->owner, "open").id;
    says(fx, 1, ARGON, p);
    says(fx, 2, 13, p); /* of another platform: it says so, but cannot be */
    assert_string_equal(one("in_product", 1), "null");
    fleet_script("UPDATE device SET owner_id = (SELECT id FROM users WHERE name = 'otto') WHERE id ="
                 " '\\xe00fce680000000000000001'");
    assert_int_equal(change_device(fx, p, id_text(1), "{\"notes\": \"x\"}").err, FLEET_NOT_FOUND);
    assert_int_equal(change_device(fx, open, id_text(1), "{\"quarantined\": false}").err, FLEET_NOT_FOUND);
    assert_int_equal(change_device(fx, p, id_text(2), "{\"quarantined\": false}").err, FLEET_INVALID);
    /* approved, though a customer owns it: it says itself that it is the product's */
    assert_int_equal(change_device(fx, p, id_text(1), "{\"quarantined\": false, \"groups\": [\"g\"]}").err,
                     FLEET_OK);
    assert_string_equal(one("in_product IS NOT NULL", 1), "true");
    assert_int_equal(change_device(fx, p, id_text(1), "{\"quarantined\": true}").err, FLEET_OK);
    assert_string_equal(one("in_product", 1), "null");
    assert_int_equal(import(fx, p, id_text(1)).updated, 1);
    /* denied while it waits */
    says(fx, 3, ARGON, p);
    assert_int_equal(remove_device(fx, p, id_text(3), false).err, FLEET_NOT_FOUND);
    assert_int_equal(remove_device(fx, p, id_text(3), true).err, FLEET_OK);
    assert_string_equal(one("denied", 3), "true");
    /* a product without quarantine has them as soon as they say so */
    assert_int_equal(change(fx, open, (struct product_change){.settings = "{\"quarantine\": false}"}).err,
                     FLEET_OK);
    says(fx, 4, ARGON, open);
    says(fx, 5, 13, open);
    assert_string_equal(one("in_product IS NOT NULL", 4), "true");
    assert_string_equal(one("in_product", 5), "null");
    struct answer a = change_device(fx, open, id_text(4), "{\"quarantined\": true}");
    assert_int_equal(a.err, FLEET_INVALID);
    assert_string_equal(
        fleet_sql("SELECT reason FROM audit WHERE action = 'product.import' AND actor = 'policy'"),
        "says so itself");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_import_by_all_names),
        TEST(test_import_refuses),
        TEST(test_a_confined_token_takes_nothing_from_elsewhere),
        TEST(test_import_of_a_large_file),
        TEST(test_device_changes),
        TEST(test_found_under_its_product),
        TEST(test_a_denied_device_is_turned_away),
        TEST(test_leaving_takes_what_was_the_products),
        TEST(test_quarantine_of_a_product),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
