/* test_fleet_claims.c: claim codes, transfers from person to person, serial numbers, versions of Device OS.
 */
#include "fleet_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/claim_code.h"
#include "fleet/device_serial.h"
#include "fleet/system_version.h"
#include "fleet/transfer.h"

/* --- claim codes --- */

struct coded {
    int calls;
    enum fleet_err err;
    uint32_t wait_s;
    char text[80], devices[400];
};

static void on_code(void *arg, enum fleet_err err, const struct claim_code *code, uint32_t wait_s)
{
    struct coded *c = arg;
    c->calls++;
    c->err = err;
    c->wait_s = wait_s;
    if (code) {
        snprintf(c->text, sizeof c->text, "%s", code->text);
        snprintf(c->devices, sizeof c->devices, "%s", code->devices);
    }
}

static struct coded create_code(struct fleet_fixture *fx, const struct fleet_actor *who, int product_id)
{
    struct coded c = {0};
    fleet_create_claim_code(fx->fleet, who, product_id, on_code, &c);
    assert_int_equal(c.calls, 0);
    fleet_run_until(fx, c.calls);
    return c;
}

static void claim(struct fleet_fixture *fx, unsigned n)
{
    struct fleet_answer a = {0};
    struct device_id id = fleet_test_id(n);
    fleet_claim_device(fx->fleet, &fx->owner, &id, fleet_on_change, &a);
    fleet_run_until(fx, a.calls);
    assert_int_equal(a.err, FLEET_OK);
}

static void show_code(struct fleet_fixture *fx, unsigned n, const char *code)
{
    fleet_send_event(fx, n, DEVICE_EVENT_CLAIM_CODE, "spark/device/claim/code", code);
}

static void test_a_code_claims_a_device(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    fleet_enrol(fx, 2);
    fleet_enrol(fx, 3);
    claim(fx, 1);
    claim(fx, 2);
    struct coded c = create_code(fx, &fx->owner, 0);
    assert_int_equal(c.err, FLEET_OK);
    assert_int_equal(strlen(c.text), 63);
    assert_int_equal(strspn(c.text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"), 63);
    assert_string_equal(c.devices, "[\"e00fce680000000000000001\", \"e00fce680000000000000002\"]");
    assert_string_not_equal(create_code(fx, &fx->owner, 0).text, c.text);
    char sql[300];
    snprintf(
        sql, sizeof sql,
        "SELECT count(*) FROM claim_code WHERE sha256 = sha256('%s') AND expires_at > now() + '4 minutes'",
        c.text);
    assert_string_equal(fleet_sql(sql), "1");
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM audit a, claim_code c WHERE a::text LIKE '%%%.20s%%' OR"
             " c::text LIKE '%%%.20s%%'",
             c.text, c.text);
    assert_string_equal(fleet_sql(sql), "0"); /* shown once, kept nowhere */
    show_code(fx, 3, c.text);
    assert_string_equal(fleet_get_id(fx, 3).owner, "olive");
    assert_int_equal(fx->published, 1);
    assert_string_equal(
        fleet_sql("SELECT string_agg(action, ' ' ORDER BY id) FROM audit WHERE action LIKE '%claim%'"),
        "device.claim device.claim claim_code.create claim_code.create device.claim");
}

static void test_codes_are_bounded_and_swept(void **state)
{
    struct fleet_fixture *fx = *state;
    char sql[300];
    snprintf(sql, sizeof sql,
             "INSERT INTO claim_code (sha256, user_id, expires_at) SELECT sha256(i::text::bytea), %lld,"
             " now() + i * interval '1 minute' FROM generate_series(1, 99) i",
             (long long)fx->owner.user_id);
    fleet_script(sql);
    assert_int_equal(create_code(fx, &fx->owner, 0).err, FLEET_OK);
    struct coded c = create_code(fx, &fx->owner, 0);
    assert_int_equal(c.err, FLEET_CONFLICT);
    assert_in_range(c.wait_s, 1, 60);
    assert_int_equal(create_code(fx, &fx->other_owner, 0).err, FLEET_OK);
    fleet_script("UPDATE claim_code SET expires_at = now() - interval '25 hours'");
    assert_int_equal(create_code(fx, &fx->owner, 0).err, FLEET_OK);
    assert_string_equal(fleet_sql("SELECT count(*) FROM claim_code"), "2"); /* a hundred were swept */
}

static void test_a_code_of_a_product_is_good_for_its_devices_only(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    fleet_enrol(fx, 2);
    fleet_enrol(fx, 3);
    fleet_script("DELETE FROM product; INSERT INTO product (id, slug, name, platform_id) VALUES (1234, "
                 "'kettle', 'Kettle', 13);"
                 " UPDATE device SET in_product = 1234 WHERE id = '\\xe00fce680000000000000002'");
    claim(fx, 3);
    struct coded c = create_code(fx, &fx->owner, 1234);
    assert_string_equal(c.devices, "[]"); /* what else is hers is nothing to a token of the product */
    show_code(fx, 1, c.text);
    assert_string_equal(fleet_get_id(fx, 1).owner, "");
    show_code(fx, 2, c.text);
    assert_string_equal(fleet_get_id(fx, 2).owner, "olive");
    assert_string_equal(create_code(fx, &fx->owner, 1234).devices, "[\"e00fce680000000000000002\"]");
    fleet_script("DELETE FROM product");
}

/* --- transfers --- */

struct asked {
    int calls;
    enum fleet_err err;
    enum transfer_refusal why;
    bool has_id;
    struct device_id id;
};

static void on_asked(void *arg, enum fleet_err err, const char *id, enum transfer_refusal why)
{
    struct asked *a = arg;
    a->calls++;
    a->err = err;
    a->why = why;
    a->has_id = id != NULL;
    if (id)
        assert_true(device_id_parse(&a->id, id, strlen(id)));
}

static struct asked ask(struct fleet_fixture *fx, const struct fleet_actor *who, unsigned n)
{
    struct asked a = {0};
    struct device_id id = fleet_test_id(n);
    fleet_ask_transfer(fx->fleet, who, &id, on_asked, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    return a;
}

struct decided {
    int calls;
    enum fleet_err err;
};

static void on_decided(void *arg, enum fleet_err err)
{
    struct decided *d = arg;
    d->calls++;
    d->err = err;
}

static enum fleet_err decide(struct fleet_fixture *fx, const struct fleet_actor *who,
                             const struct device_id *id, enum transfer_decision decision)
{
    struct decided d = {0};
    fleet_decide_transfer(fx->fleet, who, id, decision, on_decided, &d);
    fleet_run_until(fx, d.calls);
    assert_int_equal(d.calls, 1);
    return d.err;
}

struct listed {
    int calls;
    char text[1000];
};

static void on_list(void *arg, enum fleet_err err, const char *transfers)
{
    struct listed *l = arg;
    l->calls++;
    assert_int_equal(err, FLEET_OK);
    snprintf(l->text, sizeof l->text, "%s", transfers);
}

static struct listed list(struct fleet_fixture *fx, const struct fleet_actor *who)
{
    struct listed l = {0};
    fleet_list_transfers(fx->fleet, who, on_list, &l);
    fleet_run_until(fx, l.calls);
    return l;
}

static void test_an_owner_accepts(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    claim(fx, 1);
    struct asked a = ask(fx, &fx->other_owner, 1);
    assert_int_equal(a.err, FLEET_OK);
    assert_true(a.has_id);
    struct asked again = ask(fx, &fx->other_owner, 1);
    assert_true(device_id_equal(&a.id, &again.id));
    assert_non_null(
        strstr(list(fx, &fx->owner).text, "\"from\" : \"olive\", \"to\" : \"otto\", \"incoming\" : true"));
    assert_non_null(strstr(list(fx, &fx->other_owner).text, "\"incoming\" : false"));
    assert_string_equal(list(fx, &fx->operator).text, "[]");
    assert_int_equal(decide(fx, &fx->other_owner, &a.id, TRANSFER_ACCEPT), FLEET_FORBIDDEN);
    assert_int_equal(decide(fx, &fx->owner, &a.id, TRANSFER_WITHDRAW), FLEET_FORBIDDEN);
    struct device_id unknown = fleet_test_id(7);
    assert_int_equal(decide(fx, &fx->owner, &unknown, TRANSFER_ACCEPT), FLEET_NOT_FOUND);
    assert_int_equal(decide(fx, &fx->owner, &a.id, TRANSFER_ACCEPT), FLEET_OK);
    assert_string_equal(fleet_get_id(fx, 1).owner, "otto");
    assert_int_equal(decide(fx, &fx->owner, &a.id, TRANSFER_DENY), FLEET_CONFLICT);
    assert_string_equal(list(fx, &fx->owner).text, "[]");
    assert_string_equal(
        fleet_sql(
            "SELECT string_agg(actor || ':' || action || ':' || (before ->> 'owner') || ':' ||"
            " coalesce(after ->> 'owner', ''), ' ' ORDER BY id) FROM audit WHERE action LIKE 'transfer%'"),
        "otto:transfer.ask:olive: olive:transfer.accept:olive:otto");
}

static void test_an_owner_denies(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    claim(fx, 1);
    struct asked a = ask(fx, &fx->other_owner, 1);
    assert_int_equal(decide(fx, &fx->operator, & a.id, TRANSFER_DENY), FLEET_OK);
    assert_string_equal(fleet_get_id(fx, 1).owner, "olive");
    a = ask(fx, &fx->other_owner, 1); /* no is no, for as long as a request waits */
    assert_int_equal(a.err, FLEET_CONFLICT);
    assert_int_equal(a.why, TRANSFER_DENIED_BEFORE);
    fleet_script("UPDATE device_transfer SET decided_at = now() - interval '8 days'");
    assert_int_equal(ask(fx, &fx->other_owner, 1).err, FLEET_OK);
}

static void test_transfers_end_by_themselves(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_answer answer = {0};
    for (unsigned n = 1; n <= 3; n++) {
        fleet_enrol(fx, n);
        claim(fx, n);
    }
    struct asked withdrawn = ask(fx, &fx->other_owner, 1), expired = ask(fx, &fx->other_owner, 2),
                 gone = ask(fx, &fx->other_owner, 3);
    assert_int_equal(decide(fx, &fx->other_owner, &withdrawn.id, TRANSFER_WITHDRAW), FLEET_OK);
    assert_int_equal(decide(fx, &fx->owner, &withdrawn.id, TRANSFER_ACCEPT), FLEET_CONFLICT);
    fleet_script(
        "UPDATE device_transfer SET expires_at = now() WHERE device_id = '\\xe00fce680000000000000002'");
    assert_int_equal(decide(fx, &fx->owner, &expired.id, TRANSFER_ACCEPT), FLEET_CONFLICT);
    struct asked renewed = ask(fx, &fx->other_owner, 2);
    assert_int_equal(renewed.err, FLEET_OK);
    assert_false(device_id_equal(&expired.id, &renewed.id));
    fleet_unclaim_device(fx->fleet, &fx->owner, "e00fce680000000000000003", fleet_on_change, &answer);
    fleet_run_until(fx, answer.calls);
    assert_int_equal(decide(fx, &fx->owner, &gone.id, TRANSFER_ACCEPT), FLEET_CONFLICT);
    struct asked taken = ask(fx, &fx->other_owner, 3); /* nobody's: no need to ask */
    assert_int_equal(taken.err, FLEET_OK);
    assert_false(taken.has_id);
    assert_string_equal(fleet_get_id(fx, 3).owner, "otto");
    assert_int_equal(ask(fx, &fx->other_owner, 99).err, FLEET_NOT_FOUND);
}

static void test_transfers_are_bounded(void **state)
{
    struct fleet_fixture *fx = *state;
    char sql[500];
    fleet_enrol(fx, 1);
    claim(fx, 1);
    snprintf(sql, sizeof sql,
             "WITH u AS (INSERT INTO users (name, role) SELECT 'u' || i, 'owner' FROM generate_series(1, 10) "
             "i RETURNING id)"
             " INSERT INTO device_transfer (id, device_id, from_id, to_id, expires_at) SELECT"
             " substr(sha256(u.id::text::bytea), 1, 12), '\\xe00fce680000000000000001', %lld, u.id, now() + "
             "'1 day' FROM u",
             (long long)fx->owner.user_id);
    fleet_script(sql);
    struct asked a = ask(fx, &fx->other_owner, 1);
    assert_int_equal(a.err, FLEET_CONFLICT);
    assert_int_equal(a.why, TRANSFER_TOO_MANY);
    fleet_script("UPDATE device_transfer SET expires_at = now()");
    assert_int_equal(ask(fx, &fx->other_owner, 1).err, FLEET_OK);
}

/* --- serial numbers --- */

struct found {
    int calls;
    enum fleet_err err;
    struct device_id id;
    char iccid[40];
};

static void on_serial(void *arg, enum fleet_err err, const struct device_id *id, const char *iccid)
{
    struct found *found = arg;
    found->calls++;
    found->err = err;
    if (id)
        found->id = *id;
    snprintf(found->iccid, sizeof found->iccid, "%s", iccid ? iccid : "-");
}

static struct found find(struct fleet_fixture *fx, const struct fleet_actor *who, const char *serial)
{
    struct found found = {0};
    fleet_find_serial(fx->fleet, who, serial, on_serial, &found);
    fleet_run_until(fx, found.calls);
    return found;
}

static void test_serial_numbers(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_id first = fleet_test_id(1);
    fleet_enrol(fx, 1);
    fleet_enrol(fx, 2);
    fleet_script("UPDATE device SET serial_number = 'ARNKAB0000ABCDE', iccid = '8934076500002589174'"
                 " WHERE id = '\\xe00fce680000000000000001'");
    struct found free_one = find(fx, &fx->other_owner, "ARNKAB0000ABCDE");
    assert_int_equal(free_one.err, FLEET_OK);
    assert_true(device_id_equal(&free_one.id, &first));
    assert_string_equal(free_one.iccid, "8934076500002589174");
    fleet_script("INSERT INTO product (id, slug, name, platform_id) VALUES (1234, 'kettle', 'Kettle', 13);"
                 " UPDATE device SET in_product = 1234 WHERE id = '\\xe00fce680000000000000001'");
    assert_int_equal(find(fx, &fx->other_owner, "ARNKAB0000ABCDE").err,
                     FLEET_NOT_FOUND); /* its team's affair */
    fleet_script("DELETE FROM product");
    claim(fx, 1);
    assert_int_equal(find(fx, &fx->other_owner, "ARNKAB0000ABCDE").err, FLEET_NOT_FOUND);
    assert_int_equal(find(fx, &fx->owner, "ARNKAB0000ABCDE").err, FLEET_OK);
    assert_int_equal(find(fx, &fx->operator, "ARNKAB0000ABCDE").err, FLEET_OK);
    assert_int_equal(find(fx, &fx->owner, "arnkab0000abcde").err, FLEET_NOT_FOUND);
    assert_int_equal(find(fx, &fx->owner, "").err, FLEET_NOT_FOUND);
}

/* --- Device OS --- */

struct versions {
    int calls;
    char text[200];
};

static void on_versions(void *arg, enum fleet_err err, const struct system_version *rows, size_t count)
{
    struct versions *v = arg;
    v->calls++;
    assert_int_equal(err, FLEET_OK);
    for (size_t i = 0; i < count; i++) {
        size_t at = strlen(v->text);
        snprintf(v->text + at, sizeof v->text - at, "%s %d %s;", rows[i].release, rows[i].version,
                 rows[i].platforms);
    }
}

static struct versions versions(struct fleet_fixture *fx, int platform_id)
{
    struct versions v = {0};
    fleet_list_system_versions(fx->fleet, platform_id, on_versions, &v);
    fleet_run_until(fx, v.calls);
    return v;
}

static void test_system_versions_are_those_of_published_releases(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_script(
        "TRUNCATE release, module_binary, module_content CASCADE;"
        " INSERT INTO module_content (sha256, data) VALUES (sha256('x'), 'x');"
        " INSERT INTO module_binary (platform_id, func, idx, version, sha256, size_bytes, uploaded_by, "
        "status) VALUES"
        " (12, 4, 1, 6200, sha256('x'), 1, 'ada', 'active'), (13, 4, 1, 6200, sha256('x'), 1, 'ada', "
        "'active'),"
        " (13, 4, 1, 5501, sha256('x'), 1, 'ada', 'active'), (13, 4, 1, 4200, sha256('x'), 1, 'ada', "
        "'withdrawn'),"
        " (13, 5, 1, 7, sha256('x'), 1, 'ada', 'active'), (13, 4, 1, 3302, sha256('x'), 1, 'ada', 'active');"
        " INSERT INTO release (name, state, created_by) VALUES ('now', 'published', 'ada'), ('soon', "
        "'draft', 'ada');"
        " INSERT INTO release_module (release_id, module_id, role) SELECT r.id, m.id, 'target' FROM release "
        "r,"
        " module_binary m WHERE r.name = CASE WHEN m.version = 3302 THEN 'soon' ELSE 'now' END");
    assert_string_equal(versions(fx, -1).text, "6.2.0 6200 [12, 13];5.5.0 5501 [13];");
    assert_string_equal(versions(fx, 12).text, "6.2.0 6200 [12];");
    assert_string_equal(versions(fx, 6).text, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_code_claims_a_device),
        TEST(test_codes_are_bounded_and_swept),
        TEST(test_a_code_of_a_product_is_good_for_its_devices_only),
        TEST(test_an_owner_accepts),
        TEST(test_an_owner_denies),
        TEST(test_transfers_end_by_themselves),
        TEST(test_transfers_are_bounded),
        TEST(test_serial_numbers),
        TEST(test_system_versions_are_those_of_published_releases),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
