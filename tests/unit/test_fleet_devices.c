/* test_fleet_devices.c: what people see and change: lists and their order, names, owners, roles, audit. */
#include "fleet_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "fleet/device_list.h"

struct listed {
    int calls;
    enum fleet_err err;
    size_t count;
    uint64_t total, counted_ms;
    unsigned numbers[50];
    char next[200];
};

static void on_list(void *arg, enum fleet_err err, const struct fleet_page *page)
{
    struct listed *l = arg;
    l->calls++;
    l->err = err;
    if (err != FLEET_OK)
        return;
    l->count = page->count;
    l->total = page->total;
    l->counted_ms = page->counted_ms;
    snprintf(l->next, sizeof l->next, "%s", page->next ? page->next : "");
    for (size_t i = 0; i < page->count && i < 50; i++)
        l->numbers[i] = be32_load(page->rows[i].id.bytes + 8);
}

static struct listed list(struct fleet_fixture *fx, const struct fleet_actor *who,
                          const struct fleet_filter *filter)
{
    struct listed l = {0};
    fleet_list_devices(fx->fleet, who, filter, on_list, &l);
    assert_int_equal(l.calls, 0);
    fleet_run_until(fx, l.calls);
    assert_int_equal(l.err, FLEET_OK);
    return l;
}

/* n devices made in SQL: device i has shaken hands i minutes ago, the even ones belong to the owner. */
static void fill(struct fleet_fixture *fx, unsigned n)
{
    char sql[700];
    snprintf(
        sql, sizeof sql,
        "INSERT INTO device (id, name, owner_id, platform_id, product_id, online, last_handshake, last_heard,"
        " requires_deep_update, deep_update_rule) SELECT decode('e00fce6800000000' || lpad(to_hex(i), 8, "
        "'0'), 'hex'),"
        " 'dev_' || i, CASE WHEN i %% 2 = 0 THEN %lld END, 12, i %% 3, i %% 4 = 0,"
        " '2026-01-01T00:00:00Z'::timestamptz - i * interval '1 min', '2026-01-01T00:00:00Z'::timestamptz - "
        "i *"
        " interval '1 s', i %% 100 = 7, CASE WHEN i %% 100 = 7 THEN 'argon-ncp-5' END FROM "
        "generate_series(1, %u) i",
        (long long)fx->owner.user_id, n);
    fleet_script(sql);
}

static void test_list_order_and_pages(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_filter filter;
    fill(fx, 30);
    fleet_script("UPDATE device SET last_handshake = NULL WHERE name IN ('dev_1', 'dev_2');"
                 "UPDATE device SET last_handshake = '2027-01-01' WHERE name IN ('dev_9', 'dev_8')");
    fleet_filter_init(&filter);
    struct listed all = list(fx, &fx->admin, &filter);
    assert_int_equal(all.count, 30);
    assert_int_equal(all.total, 30);
    assert_int_equal(all.numbers[0], 9); /* the same time: by id */
    assert_int_equal(all.numbers[1], 8);
    assert_int_equal(all.numbers[2], 3);
    assert_int_equal(all.numbers[28], 2); /* never seen: last, by id */
    assert_int_equal(all.numbers[29], 1);
    filter.per_page = 7;
    unsigned at = 0;
    for (filter.page = 1; filter.page <= 6; filter.page++) {
        struct listed page = list(fx, &fx->admin, &filter);
        assert_int_equal(page.total, 30);
        assert_int_equal(page.count, filter.page <= 4 ? 7 : filter.page == 5 ? 2 : 0);
        for (size_t i = 0; i < page.count; i++)
            assert_int_equal(page.numbers[i], all.numbers[at++]);
    }
    assert_int_equal(at, 30);
}

static size_t count_of(struct fleet_fixture *fx, const struct fleet_actor *who,
                       const struct fleet_filter *filter)
{
    return list(fx, who, filter).count;
}

static void test_filters(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_filter f;
    fill(fx, 40);
    fleet_filter_init(&f);
    f.requires_deep_update = FLEET_YES;
    assert_int_equal(count_of(fx, &fx->admin, &f), 1);
    f.requires_deep_update = FLEET_NO;
    assert_int_equal(count_of(fx, &fx->admin, &f), 39);
    fleet_filter_init(&f);
    f.connected = FLEET_YES;
    assert_int_equal(count_of(fx, &fx->admin, &f), 10);
    f.platform_id = 12;
    f.product_id = 1;
    assert_int_equal(count_of(fx, &fx->admin, &f), 4); /* 4, 16, 28, 40 */
    f.platform_id = 13;
    assert_int_equal(count_of(fx, &fx->admin, &f), 0);
    fleet_filter_init(&f);
    f.quarantined = FLEET_YES;
    assert_int_equal(count_of(fx, &fx->admin, &f), 0);
    fleet_filter_init(&f);
    f.name = "dev_4";
    assert_int_equal(count_of(fx, &fx->admin, &f), 1);
    f.name = "dev_4*";
    assert_int_equal(count_of(fx, &fx->admin, &f), 2); /* 4 and 40 */
    f.name = "devx4*";                                 /* `_` is no wildcard */
    assert_int_equal(count_of(fx, &fx->admin, &f), 0);
    f.name = "dev%*";
    assert_int_equal(count_of(fx, &fx->admin, &f), 0);
    f.name = "*";
    assert_int_equal(count_of(fx, &fx->admin, &f), 40);
    fleet_filter_init(&f);
    uint64_t at;
    assert_true(clock_parse(&at, "2026-01-01T00:00:00Z"));
    f.heard_after_ms = at - 10500;
    assert_int_equal(count_of(fx, &fx->admin, &f), 10);
    f.heard_before_ms = at - 5500;
    assert_int_equal(count_of(fx, &fx->admin, &f), 5);
    f.heard_after_ms = 0;
    assert_int_equal(count_of(fx, &fx->admin, &f), 35);
    fleet_filter_init(&f);
    assert_int_equal(count_of(fx, &fx->owner, &f), 20);
    assert_int_equal(count_of(fx, &fx->other_owner, &f), 0);
    assert_int_equal(count_of(fx, &fx->operator, & f), 40);
}

static void test_hostile_names_find_nothing(void **state)
{
    struct fleet_fixture *fx = *state;
    static const char *const names[] = {
        "' OR '1'='1", "'; DELETE FROM device; --", "$1", "\\", "%", "\xff\xfe", "*'*", "dev_1' --"};
    struct fleet_filter f;
    fill(fx, 5);
    fleet_filter_init(&f);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct fleet_answer a = {0};
        f.name = names[i];
        assert_int_equal(count_of(fx, &fx->admin, &f), 0);
        assert_int_equal(fleet_get(fx, &fx->admin, names[i]).err, FLEET_NOT_FOUND);
        fleet_update_device(fx->fleet, &fx->admin, names[i], "x", NULL, fleet_on_change, &a);
        fleet_run_until(fx, a.calls == 1);
        assert_int_equal(a.err, FLEET_NOT_FOUND);
        fleet_update_device(fx->fleet, &fx->admin, "dev_1", names[i], NULL, fleet_on_change, &a);
        fleet_run_until(fx, a.calls == 2);
        assert_int_equal(a.err, FLEET_INVALID);
        fleet_unclaim_device(fx->fleet, &fx->admin, names[i], fleet_on_change, &a);
        fleet_run_until(fx, a.calls == 3);
        assert_int_equal(a.err, FLEET_NOT_FOUND);
        fleet_update_device(fx->fleet, &fx->admin, "dev_1", NULL, names[i], fleet_on_change,
                            &a); /* notes may be anything */
        fleet_run_until(fx, a.calls == 4);
        assert_int_equal(a.err, FLEET_OK);
    }
    assert_string_equal(fleet_sql("SELECT count(*) FROM device"), "5");
    assert_string_equal(fleet_sql("SELECT notes FROM device WHERE name = 'dev_1'"), "dev_1' --");
}

/* Every plan of a page of a list: it is read from an index in list order, and nothing but the page is sorted.
 */
static void check_plan(const struct fleet_actor *who, const struct fleet_filter *filter, const char *index)
{
    struct device_filter_params p;
    struct pg_param params[DEVICE_LIST_PARAMS];
    struct pg_result *plan;
    char why[200], wanted[100];
    bool indexed = false;
    struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    char *sql = mem_printf("EXPLAIN %s", device_list_page(filter->order, filter->ascending)->sql);
    assert_true(device_filter_fill(&p, who, filter));
    memcpy(params, p.params, sizeof p.params);
    params[DEVICE_FILTER_PARAMS] = params[DEVICE_FILTER_PARAMS + 1] = pg_text(NULL);
    params[DEVICE_FILTER_PARAMS + 2] = pg_text("100");
    params[DEVICE_FILTER_PARAMS + 3] = params[DEVICE_FILTER_PARAMS + 4] = pg_text("0");
    if (pg_sync_exec(s, sql, params, DEVICE_LIST_PARAMS, &plan, why, sizeof why) != 0)
        fail_msg("%s", why);
    snprintf(wanted, sizeof wanted, " using %s on device d", index);
    for (int row = 0; row < pg_rows(plan); row++)
        indexed |= strstr(pg_value(plan, row, 0), wanted) != NULL;
    for (int row = 0; !indexed && row < pg_rows(plan); row++)
        print_message("%s\n", pg_value(plan, row, 0));
    assert_true(indexed);
    pg_sync_free(plan);
    pg_sync_close(s);
    free(sql);
}

static void test_a_page_is_read_from_an_index(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_filter f;
    static const char *const of_product[FLEET_ORDER_COUNT] = {[FLEET_BY_HANDSHAKE] = "device_in_product",
                                                              [FLEET_BY_ID] = "device_pkey",
                                                              [FLEET_BY_NAME] = "device_list_name",
                                                              [FLEET_BY_VERSION] =
                                                                  "device_in_product_version",
                                                              [FLEET_BY_HEARD] = "device_in_product_heard"};
    fill(fx, 20000);
    fleet_script(
        "INSERT INTO product (id, slug, name, platform_id) VALUES (1000, 'p', 'p', 12);"
        "UPDATE device SET quarantined = true WHERE name IN ('dev_1', 'dev_5');"
        "UPDATE device SET in_product = 1000, product_version = 3 WHERE product_id = 1; ANALYZE device");
    fleet_filter_init(&f);
    check_plan(&fx->admin, &f, "device_list");
    check_plan(&fx->owner, &f, "device_list_owner");
    f.requires_deep_update = FLEET_YES;
    check_plan(&fx->admin, &f, "device_list_deep_update");
    fleet_filter_init(&f);
    f.connected = FLEET_YES;
    check_plan(&fx->admin, &f, "device_list_online");
    fleet_filter_init(&f);
    f.quarantined = FLEET_YES;
    check_plan(&fx->admin, &f, "device_list_quarantined");
    fleet_filter_init(&f);
    f.in_product = 1000;
    for (f.order = 0; f.order < FLEET_ORDER_COUNT; f.order++)
        for (int up = 0; up < 2; up++) {
            f.ascending = up;
            check_plan(&fx->admin, &f, of_product[f.order]);
        }
}

/* A list too long to be counted each time: every page of it, and where a page that is jumped to lies. */
static void test_a_long_list(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_filter f;
    fill(fx, 20000);
    fleet_filter_init(&f);
    f.per_page = 40;
    f.page = 300;
    struct listed l = list(fx, &fx->admin, &f);
    assert_int_equal(l.total, 20000);
    assert_true(l.counted_ms > 0);
    assert_int_equal(l.numbers[0], 299 * 40 + 1);
    assert_int_equal(l.numbers[39], 300 * 40);
    f.page = 500;
    assert_int_equal(list(fx, &fx->admin, &f).numbers[39], 20000);
    f.page = 501;
    l = list(fx, &fx->admin, &f);
    assert_int_equal(l.count, 0);
    assert_int_equal(l.total, 20000);
    f.requires_deep_update = FLEET_YES; /* a short one is counted */
    f.page = 5;
    l = list(fx, &fx->admin, &f);
    assert_int_equal(l.total, 200);
    assert_int_equal(l.counted_ms, 0);
    assert_int_equal(l.numbers[39], 19907);
    fleet_script("DELETE FROM device WHERE name = 'dev_7'");
    assert_int_equal(list(fx, &fx->admin, &f).total, 199);
}

/* Between two pages devices go, and come back at the top: those that stay are in one page each. */
static void test_a_walk_neither_repeats_nor_drops(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_filter f;
    unsigned seen[401] = {0};
    fill(fx, 400);
    fleet_filter_init(&f);
    f.per_page = 20;
    for (f.page = 1;; f.page++) {
        char sql[300];
        struct listed l = list(fx, &fx->admin, &f);
        for (size_t i = 0; i < l.count; i++)
            seen[l.numbers[i]]++;
        if (l.count == 0)
            break;
        snprintf(sql, sizeof sql,
                 "DELETE FROM device WHERE name = 'dev_%u'; UPDATE device SET last_handshake = now() WHERE "
                 "name = 'dev_%u'",
                 7 * f.page, 11 * f.page + 200);
        fleet_script(sql);
    }
    for (unsigned i = 1; i <= 400; i++)
        if ((i % 7 || i > 7 * f.page) && (i < 200 || (i - 200) % 11))
            assert_int_equal(seen[i], 1);
    assert_true(seen[400] == 1);
}

static void test_cursors(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_filter f;
    char cursor[200];
    static const char *const wrong[] = {"",
                                        "x",
                                        "e00fce6800000000000000",
                                        "e00fce680000000000000000",
                                        "e00fce68000000000000000061",
                                        "e00fce6800000000000000000a"};
    fill(fx, 50);
    fleet_script("UPDATE device SET name = NULL WHERE name IN ('dev_3', 'dev_4', 'dev_5')");
    for (int order = 0; order < FLEET_ORDER_COUNT; order++)
        for (int up = 0; up < 2; up++) {
            fleet_filter_init(&f);
            f.order = (enum fleet_order)order;
            f.ascending = up;
            struct listed all = list(fx, &fx->admin, &f);
            size_t at = 0;
            f.per_page = 9;
            do {
                struct listed l = list(fx, &fx->admin, &f);
                for (size_t i = 0; i < l.count; i++)
                    assert_int_equal(l.numbers[i], all.numbers[at++]);
                snprintf(cursor, sizeof cursor, "%s", l.next);
                f.cursor = cursor;
            } while (*cursor);
            assert_int_equal(at, 50);
        }
    fleet_filter_init(&f);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct listed l = {0};
        f.cursor = wrong[i];
        fleet_list_devices(fx->fleet, &fx->admin, &f, on_list, &l);
        fleet_run_until(fx, l.calls);
        assert_int_equal(l.err, FLEET_INVALID);
    }
}

static struct fleet_answer update(struct fleet_fixture *fx, const struct fleet_actor *who, const char *which,
                                  const char *name)
{
    struct fleet_answer a = {0};
    fleet_update_device(fx->fleet, who, which, name, NULL, fleet_on_change, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    return a;
}

static struct fleet_answer claim(struct fleet_fixture *fx, const struct fleet_actor *who, unsigned n)
{
    struct fleet_answer a = {0};
    struct device_id id = fleet_test_id(n);
    fleet_claim_device(fx->fleet, who, &id, fleet_on_change, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    return a;
}

static struct fleet_answer unclaim(struct fleet_fixture *fx, const struct fleet_actor *who, const char *which)
{
    struct fleet_answer a = {0};
    fleet_unclaim_device(fx->fleet, who, which, fleet_on_change, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static void test_names_are_unique_per_owner(void **state)
{
    struct fleet_fixture *fx = *state;
    for (unsigned n = 1; n <= 4; n++)
        fleet_enrol(fx, n);
    assert_int_equal(claim(fx, &fx->owner, 1).err, FLEET_OK);
    assert_int_equal(claim(fx, &fx->owner, 2).err, FLEET_OK);
    assert_int_equal(claim(fx, &fx->other_owner, 3).err, FLEET_OK);
    struct fleet_answer a = update(fx, &fx->owner, "e00fce680000000000000001", "pump");
    assert_int_equal(a.err, FLEET_OK);
    assert_string_equal(a.name, "pump");
    a = update(fx, &fx->owner, "e00fce680000000000000002", "pump");
    assert_int_equal(a.err, FLEET_CONFLICT);
    assert_true(strlen(a.why) > 0);
    assert_int_equal(update(fx, &fx->owner, "pump", "pump").err, FLEET_OK);
    assert_int_equal(update(fx, &fx->other_owner, "e00fce680000000000000003", "pump").err, FLEET_OK);
    a = fleet_get(fx, &fx->owner, "pump");
    struct device_id first = fleet_test_id(1);
    assert_true(device_id_equal(&a.id, &first));
    assert_int_equal(fleet_get(fx, &fx->admin, "pump").err,
                     FLEET_CONFLICT); /* two of them, neither the admin's */
    assert_int_equal(fleet_get(fx, &fx->operator, "Pump").err, FLEET_NOT_FOUND);
    /* a device that is claimed loses a name its new owner has given already */
    assert_int_equal(update(fx, &fx->admin, "e00fce680000000000000004", "pump").err, FLEET_OK);
    a = claim(fx, &fx->owner, 4);
    assert_int_equal(a.err, FLEET_OK);
    assert_false(a.has_name);
    static const char *const bad[] = {"",
                                      "a b",
                                      "e00fce680000000000000001",
                                      "E00FCE680000000000000001",
                                      "a/b",
                                      "\xc3\xa9",
                                      "x23456789012345678901234567890123456789012345678901234567890123456"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(update(fx, &fx->owner, "pump", bad[i]).err, FLEET_INVALID);
}

/* Two devices of one name become one owner's at the same moment: the second loses its name, not its claim. */
static void test_names_that_meet_in_a_claim(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_answer a = {0};
    struct device_id id = fleet_test_id(1);
    char why[200], sql[300];
    fleet_enrol(fx, 1);
    fleet_enrol(fx, 2);
    fleet_script("UPDATE device SET name = 'pump' WHERE id = '\\xe00fce680000000000000001'");
    struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    snprintf(sql, sizeof sql,
             "BEGIN; UPDATE device SET name = 'pump', owner_id = %d WHERE id = '\\xe00fce680000000000000002'",
             (int)fx->owner.user_id);
    assert_int_equal(pg_sync_script(s, sql, why, sizeof why), 0);
    fleet_claim_device(fx->fleet, &fx->owner, &id, fleet_on_change, &a);
    fleet_run_until(fx, *fleet_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") !=
                            '0');
    assert_int_equal(pg_sync_script(s, "COMMIT", why, sizeof why), 0);
    pg_sync_close(s);
    fleet_run_until(fx, a.calls);
    assert_int_equal(a.err, FLEET_OK);
    assert_string_equal(a.owner, "olive");
    assert_false(a.has_name);
}

static void test_owners_see_their_own(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    fleet_enrol(fx, 2);
    assert_int_equal(fleet_get(fx, &fx->owner, "e00fce680000000000000001").err, FLEET_FORBIDDEN);
    assert_int_equal(fleet_get(fx, &fx->owner, "e00fce6800000000000000ff").err, FLEET_NOT_FOUND);
    assert_string_equal(claim(fx, &fx->owner, 1).owner, "olive");
    assert_int_equal(claim(fx, &fx->owner, 1).err, FLEET_OK); /* hers already */
    assert_int_equal(claim(fx, &fx->other_owner, 1).err, FLEET_FORBIDDEN);
    assert_int_equal(claim(fx, &fx->owner, 99).err, FLEET_NOT_FOUND);
    assert_int_equal(fleet_get(fx, &fx->owner, "E00FCE680000000000000001").err, FLEET_OK);
    assert_int_equal(fleet_get(fx, &fx->other_owner, "e00fce680000000000000001").err, FLEET_FORBIDDEN);
    assert_int_equal(fleet_get(fx, &fx->operator, "e00fce680000000000000001").err, FLEET_OK);
    assert_int_equal(update(fx, &fx->other_owner, "e00fce680000000000000001", "mine").err, FLEET_FORBIDDEN);
    assert_int_equal(update(fx, &fx->operator, "e00fce680000000000000001", "ops").err, FLEET_OK);
    assert_int_equal(fleet_get(fx, &fx->other_owner, "ops").err,
                     FLEET_NOT_FOUND); /* names of others are not told */
    assert_int_equal(unclaim(fx, &fx->other_owner, "e00fce680000000000000001").err, FLEET_FORBIDDEN);
    assert_int_equal(unclaim(fx, &fx->owner, "ops").err, FLEET_OK);
    assert_string_equal(fleet_get_id(fx, 1).owner, "");
    assert_int_equal(claim(fx, &fx->other_owner, 1).err, FLEET_OK);
    assert_int_equal(unclaim(fx, &fx->operator, "ops").err, FLEET_OK);
    assert_string_equal(
        fleet_sql("SELECT string_agg(actor || ':' || action, ' ' ORDER BY id) FROM audit"
                  " WHERE target = 'e00fce680000000000000001'"),
        "ada:device.create olive:device.claim opal:device.update olive:device.unclaim otto:device.claim"
        " opal:device.unclaim");
    assert_string_equal(fleet_sql("SELECT after ->> 'name' FROM audit WHERE action = 'device.update'"),
                        "ops");
}

static struct fleet_answer provision(struct fleet_fixture *fx, const struct fleet_actor *who, unsigned n,
                                     const char *hex)
{
    struct fleet_answer a = {0};
    struct fleet_key key;
    struct device_id id = fleet_test_id(n);
    const char *why;
    assert_true(fleet_key_from_hex(&key, hex, &why));
    fleet_provision_device(fx->fleet, who, &id, &key, 42, fleet_on_change, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static void test_who_may_provision(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_answer a = provision(fx, &fx->owner, 1, "01010101010101010101010101010101");
    assert_int_equal(a.err, FLEET_OK);
    assert_string_equal(a.owner, "olive");
    assert_int_equal(a.product_id, 42);
    assert_int_equal(provision(fx, &fx->owner, 1, "02020202020202020202020202020202").err, FLEET_OK);
    assert_int_equal(provision(fx, &fx->other_owner, 1, "03030303030303030303030303030303").err,
                     FLEET_FORBIDDEN);
    assert_int_equal(provision(fx, &fx->operator, 1, "03030303030303030303030303030303").err,
                     FLEET_FORBIDDEN);
    assert_int_equal(provision(fx, &fx->admin, 1, "03030303030303030303030303030303").err, FLEET_OK);
    a = provision(fx, &fx->operator, 2, "04040404040404040404040404040404");
    assert_int_equal(a.err, FLEET_OK);
    assert_string_equal(a.owner, "");
    /* no pre-shared key is written to the audit trail, nor its sum */
    assert_string_equal(fleet_sql("SELECT count(*) FROM audit WHERE after ->> 'sha256' IS NOT NULL"), "0");
}

static void on_counts(void *arg, enum fleet_err err, const struct fleet_counts *counts)
{
    assert_int_equal(err, FLEET_OK);
    *(struct fleet_counts *)arg = *counts;
}

static void test_counts(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_counts counts = {0};
    fill(fx, 200);
    fleet_count_devices(fx->fleet, on_counts, &counts);
    fleet_run_until(fx, counts.devices);
    assert_int_equal(counts.devices, 200);
    assert_int_equal(counts.connected, 50);
    assert_int_equal(counts.deep_updates, 2);
}

static void test_away_is_said_soon(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_answer a = {0};
    struct listed l = {0};
    struct fleet_filter filter;
    fleet_filter_init(&filter);
    private_postgres_kill(&fleet_postgres);
    fleet_run_until(fx, !fleet_is_up(fx->fleet));
    fleet_get_device(fx->fleet, &fx->admin, "x", fleet_on_device, &a);
    fleet_list_devices(fx->fleet, &fx->admin, &filter, on_list, &l);
    fleet_run_until(fx, a.calls && l.calls);
    assert_int_equal(a.err, FLEET_AWAY);
    assert_int_equal(l.err, FLEET_AWAY);
    assert_true(private_postgres_start(&fleet_postgres));
    fleet_run_until(fx, fleet_is_up(fx->fleet));
    assert_int_equal(fleet_get(fx, &fx->admin, "x").err, FLEET_NOT_FOUND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_list_order_and_pages),
        TEST(test_filters),
        TEST(test_hostile_names_find_nothing),
        TEST(test_a_page_is_read_from_an_index),
        TEST(test_a_long_list),
        TEST(test_a_walk_neither_repeats_nor_drops),
        TEST(test_cursors),
        TEST(test_names_are_unique_per_owner),
        TEST(test_names_that_meet_in_a_claim),
        TEST(test_owners_see_their_own),
        TEST(test_who_may_provision),
        TEST(test_counts),
        TEST(test_away_is_said_soon),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
