/* test_fleet_audit.c: the audit trail: refusals gathered, what is old, and its pages. */
#include "account_bench.h"

#include <jansson.h>

#include "fleet/audit.h"

static uint64_t counter(struct fleet_fixture *fx, const char *name)
{
    return metrics_add(fx->metrics, METRIC_COUNTER, name, NULL, "")->value;
}

static void test_refusals_are_gathered(void **state)
{
    struct fleet_fixture *fx = *state;
    for (int i = 0; i < 1000; i++)
        refuse(fx, "olive", HOME, 403);
    refuse(fx, NULL, HOME, 401);
    refuse(fx, "olive", HOME, 429);
    refuse(fx, "olive", "\xff'\\\"", 403);
    fleet_run_until(fx, !strcmp(fleet_sql("SELECT count(*) FROM audit WHERE action = 'refused'"), "4"));
    assert_string_equal(
        fleet_sql("SELECT count || ' ' || actor || ' ' || target || ' ' || (after->>'address') || ' '"
                  " || (after->>'device') FROM audit WHERE count > 1"),
        "1000 olive GET /v1/devices/:device " HOME " kitchen");
    assert_string_equal(fleet_sql("SELECT actor FROM audit WHERE after->>'status' = '401'"), HOME);
    for (int i = 0; i < 7; i++)
        refuse(fx, "olive", HOME, 403);
    fleet_run_until(
        fx, !strcmp(fleet_sql("SELECT sum(count) FROM audit WHERE actor = 'olive' AND after->>'status' = "
                              "'403' AND after->>'address' = '" HOME "'"),
                    "1007"));
    assert_int_equal(counter(fx, "cyan_refusals_total"), 1010);
}

static void test_a_flood_stays_small(void **state)
{
    struct fleet_fixture *fx = *state;
    char address[32];
    for (int i = 0; i < 5000; i++) {
        snprintf(address, sizeof address, "10.0.%d.%d", i / 250, i % 250);
        refuse(fx, NULL, address, 401);
    }
    fleet_run_until(
        fx, !strcmp(fleet_sql("SELECT coalesce(sum(count), 0) FROM audit WHERE action = 'refused'"), "5000"));
    assert_string_equal(fleet_sql("SELECT count(*) FROM audit"), "257");
    assert_string_equal(fleet_sql("SELECT count FROM audit WHERE target = '*'"), "4744");
}

static void test_old_refusals_go_and_changes_stay(void **state)
{
    struct fleet_fixture *fx = *state;
    (void)fx;
    fleet_script(
        "INSERT INTO audit (actor, action, target, at, coalesced) SELECT 'x', 'refused', 'y',"
        " now() - interval '1 hour' * n, sha256(n::text::bytea) FROM generate_series(1, 100) n;"
        "INSERT INTO audit (actor, action, target, at) VALUES ('x', 'device.update', 'y', '2001-01-01')");
    fleet_script("SELECT account_sweep(5000, 48 * 3600 + 60, 1000)");
    assert_string_equal(fleet_sql("SELECT count(*) FROM audit WHERE action = 'refused'"), "48");
    fleet_script("SELECT account_sweep(5000, 48 * 3600 + 60, 10)");
    assert_string_equal(fleet_sql("SELECT count(*) FROM audit WHERE action = 'refused'"), "10");
    assert_string_equal(fleet_sql("SELECT count(*) FROM audit WHERE action = 'device.update'"), "1");
}

struct page {
    int calls;
    enum fleet_err err;
    json_t *root;
};

static void on_page(void *arg, enum fleet_err err, const char *json)
{
    struct page *p = arg;
    p->calls++;
    p->err = err;
    p->root = json ? json_loads(json, 0, NULL) : NULL;
}

static struct page read_page(struct fleet_fixture *fx, struct audit_filter filter)
{
    struct page p = {0};
    fleet_read_audit(fx->fleet, &filter, on_page, &p);
    fleet_run_until(fx, p.calls);
    assert_int_equal(p.err, FLEET_OK);
    return p;
}

static void test_the_trail_in_pages(void **state)
{
    struct fleet_fixture *fx = *state;
    int64_t below = 0, last = INT64_MAX;
    size_t seen = 0;
    fleet_script(
        "INSERT INTO audit (actor, action, target, before) SELECT 'a' || n % 2, 'x' || n % 3, 't' || n % 5,"
        " '{\"n\":1}' FROM generate_series(1, 101) n");
    do {
        struct page p = read_page(fx, (struct audit_filter){.below = below, .at_most = 20});
        json_t *rows = json_object_get(p.root, "audit"), *row;
        size_t i;
        json_array_foreach (rows, i, row) {
            int64_t id = json_integer_value(json_object_get(row, "id"));
            assert_true(id < last);
            last = id;
            seen++;
        }
        below = json_integer_value(json_object_get(p.root, "next"));
        json_decref(p.root);
    } while (below);
    assert_int_equal(seen, 101);
    struct page p =
        read_page(fx, (struct audit_filter){.actor = "a1", .action = "x1", .target = "t1", .at_most = 1000});
    assert_int_equal(json_array_size(json_object_get(p.root, "audit")), 4); /* 1, 31, 61, 91 */
    assert_true(json_is_null(json_object_get(p.root, "next")));
    json_decref(p.root);
    p = read_page(fx, (struct audit_filter){.actor = "' OR true --", .at_most = 10});
    assert_int_equal(json_array_size(json_object_get(p.root, "audit")), 0);
    json_decref(p.root);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_refusals_are_gathered),
        TEST(test_a_flood_stays_small),
        TEST(test_old_refusals_go_and_changes_stay),
        TEST(test_the_trail_in_pages),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
