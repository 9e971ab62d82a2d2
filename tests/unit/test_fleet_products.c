/* test_fleet_products.c: products on a real Postgres: their names, who may, and their groups. */
#include "product_bench.h"

static struct answer delete (struct fleet_fixture *fx, const struct fleet_actor *who, int product)
{
    struct answer a = {0};
    fleet_delete_product(fx->fleet, who, product, on_product, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static void on_found(void *arg, enum fleet_err err, int product_id)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err;
    a->id = product_id;
}

static struct answer find(struct fleet_fixture *fx, const struct fleet_actor *who, const char *which,
                          enum product_need need)
{
    struct answer a = {0};
    fleet_find_product(fx->fleet, who, which, need, on_found, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    assert_true((a.err == FLEET_OK) == (a.id > 0));
    return a;
}

static void on_products(void *arg, enum fleet_err err, const struct product *rows, size_t count,
                        uint64_t total)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err;
    a->count = count;
    a->total = total;
    for (size_t i = 0; i < count; i++)
        snprintf(a->groups + strlen(a->groups), sizeof a->groups - strlen(a->groups), "%s ", rows[i].slug);
}

static struct answer list(struct fleet_fixture *fx, const struct fleet_actor *who, uint32_t page,
                          uint32_t per_page)
{
    struct answer a = {0};
    fleet_list_products(fx->fleet, who, page, per_page, on_products, &a);
    fleet_run_until(fx, a.calls);
    assert_int_equal(a.err, FLEET_OK);
    return a;
}

static void on_group(void *arg, enum fleet_err err, const struct product_group *g, const char *why)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err;
    snprintf(a->why, sizeof a->why, "%s", why);
    if (!g)
        return;
    snprintf(a->name, sizeof a->name, "%s", g->name);
    a->devices = g->device_count;
    a->version = g->firmware_version;
}

static struct answer create_group(struct fleet_fixture *fx, int product, const char *name)
{
    struct answer a = {0};
    fleet_create_group(fx->fleet, &fx->owner, product, &(struct product_group_change){.name = name}, on_group,
                       &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static struct answer get_group(struct fleet_fixture *fx, int product, const char *name)
{
    struct answer a = {0};
    fleet_get_group(fx->fleet, product, name, on_group, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static void test_slugs_come_from_names(void **state)
{
    struct fleet_fixture *fx = *state;
    static const char *const names[][2] = {
        {"My Kitchen", "my-kitchen"},
        {"my  kitchen!", "my-kitchen-2"},
        {"My Kitchen", "my-kitchen-3"},
        {"My Kitchen 2", "my-kitchen-2-2"},
        {"1234", "product-1234"},
        {"\xd0\x96", "product"},
        {"--", "product-2"},
        {"a_b", "a_b"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct answer a = create(fx, &fx->owner, names[i][0]);
        assert_string_equal(a.slug, names[i][1]);
        assert_string_equal(a.name, names[i][0]);
        assert_string_equal(a.owner, "olive");
        assert_true(a.id >= 1000);
        assert_int_equal(find(fx, &fx->owner, names[i][1], PRODUCT_MANAGE).id, a.id);
    }
    assert_int_equal(
        count_of("SELECT count(*) FROM audit WHERE action = 'product.create' AND actor = 'olive'"), 8);
}

static void test_two_at_once_have_two_slugs(void **state)
{
    struct fleet_fixture *fx = *state;
    struct answer a[8] = {0};
    const struct product_change same = {.name = "Same", .platform_id = ARGON};
    size_t done = 0;
    for (size_t i = 0; i < 8; i++)
        fleet_create_product(fx->fleet, &fx->owner, &same, on_product, &a[i]);
    for (size_t i = 0; i < 8; i++) {
        fleet_run_until(fx, a[i].calls);
        done += a[i].err == FLEET_OK;
    }
    assert_int_equal(done, 8);
    assert_int_equal(count_of("SELECT count(DISTINCT slug) FROM product"), 8);
}

static struct answer try_create(struct fleet_fixture *fx, const struct fleet_actor *who)
{
    struct answer a = {0};
    fleet_create_product(fx->fleet, who, &(struct product_change){.name = "p", .platform_id = ARGON},
                         on_product, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

/* Ids are few, and who takes them in order comes to those that foreign devices say. */
static void test_products_of_a_person_are_bounded(void **state)
{
    struct fleet_fixture *fx = *state;
    char *sql = mem_printf(
        "INSERT INTO product (slug, name, platform_id, owner_id) SELECT 'many-' || i, 'm', 12, %lld"
        " FROM generate_series(1, 99) i",
        (long long)fx->owner.user_id);
    fleet_script(sql);
    free(sql);
    struct answer last = try_create(fx, &fx->owner), a;
    assert_int_equal(last.err, FLEET_OK);
    a = try_create(fx, &fx->owner);
    assert_int_equal(a.err, FLEET_CONFLICT);
    assert_string_equal(a.why, "You have 100 products already: delete one that is empty.");
    assert_int_equal(try_create(fx, &fx->other_owner).err, FLEET_OK);
    assert_int_equal(delete (fx, &fx->owner, last.id).err, FLEET_OK);
    assert_int_equal(try_create(fx, &fx->owner).err, FLEET_OK);
    fleet_script("UPDATE users SET products_made = 1000");
    assert_int_equal(try_create(fx, &fx->other_owner).err, FLEET_CONFLICT); /* however many he deleted */
    assert_int_equal(try_create(fx, &fx->operator).err, FLEET_OK);
}

static void test_who_may(void **state)
{
    struct fleet_fixture *fx = *state;
    struct answer p = create(fx, &fx->owner, "mine");
    char id[16];
    snprintf(id, sizeof id, "%d", p.id);
    assert_int_equal(find(fx, &fx->owner, id, PRODUCT_MANAGE).err, FLEET_OK);
    assert_int_equal(find(fx, &fx->operator, "mine", PRODUCT_MANAGE).err, FLEET_OK);
    assert_int_equal(find(fx, &fx->admin, "mine", PRODUCT_MANAGE).err, FLEET_OK);
    assert_int_equal(find(fx, &fx->other_owner, "mine", PRODUCT_VIEW).err, FLEET_FORBIDDEN);
    add_member(p.id, &fx->other_owner, "view");
    assert_int_equal(find(fx, &fx->other_owner, "mine", PRODUCT_VIEW).err, FLEET_OK);
    assert_int_equal(find(fx, &fx->other_owner, "mine", PRODUCT_MANAGE).err, FLEET_FORBIDDEN);
    fleet_script("UPDATE product_member SET role = 'manage'");
    assert_int_equal(find(fx, &fx->other_owner, "mine", PRODUCT_MANAGE).err, FLEET_OK);
    static const char *const nowhere[] = {"none",         "1",   "99999999999999999999", "", "a/b",
                                          "' OR true --", "\xff"};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        assert_int_equal(find(fx, &fx->admin, nowhere[i], PRODUCT_VIEW).err, FLEET_NOT_FOUND);
}

static void test_list_is_of_ones_own(void **state)
{
    struct fleet_fixture *fx = *state;
    create(fx, &fx->owner, "one");
    struct answer two = create(fx, &fx->other_owner, "two");
    create(fx, &fx->owner, "three");
    assert_string_equal(list(fx, &fx->owner, 1, 10).groups, "one three ");
    assert_string_equal(list(fx, &fx->operator, 1, 10).groups, "one two three ");
    assert_string_equal(list(fx, &fx->operator, 2, 2).groups, "three ");
    assert_int_equal(list(fx, &fx->operator, 2, 2).total, 3);
    assert_int_equal(list(fx, &fx->operator, 9, 2).total, 3);
    assert_int_equal(list(fx, &fx->operator, 9, 2).count, 0);
    add_member(two.id, &fx->owner, "view");
    assert_string_equal(list(fx, &fx->owner, 1, 10).groups, "one two three ");
}

static void test_changes(void **state)
{
    struct fleet_fixture *fx = *state;
    struct answer p = create(fx, &fx->owner, "old");
    struct answer a =
        change(fx, p.id, (struct product_change){.name = "new", .settings = "{\"quarantine\": false}"});
    assert_string_equal(a.name, "new");
    assert_string_equal(a.slug, "old"); /* links go on working */
    assert_string_equal(a.settings, "{\"quarantine\": false}");
    a = change(fx, p.id, (struct product_change){.settings = "{\"location\": {}}"});
    assert_string_equal(a.name, "new");
    assert_string_equal(a.settings, "{\"location\": {}, \"quarantine\": false}");
    assert_string_equal(
        fleet_sql("SELECT before ->> 'name' FROM audit WHERE action = 'product.update' ORDER BY id"), "old");
    assert_int_equal(change(fx, 999, (struct product_change){.name = "x"}).err, FLEET_NOT_FOUND);
}

static void test_only_an_empty_one_is_deleted(void **state)
{
    struct fleet_fixture *fx = *state;
    struct answer p = create(fx, &fx->owner, "p");
    add_member(p.id, &fx->other_owner, "manage");
    fleet_enrol(fx, 1);
    import(fx, p.id, id_text(1));
    assert_int_equal(delete (fx, &fx->other_owner, p.id).err, FLEET_FORBIDDEN);
    struct answer a = delete (fx, &fx->owner, p.id);
    assert_int_equal(a.err, FLEET_CONFLICT);
    assert_string_equal(a.why, "This product still has devices: only an empty one can be deleted.");
    assert_int_equal(remove_device(fx, p.id, id_text(1), true).err, FLEET_OK);
    assert_string_equal(one("denied", 1), "true");
    assert_int_equal(create_group(fx, p.id, "g").err, FLEET_OK);
    assert_int_equal(delete (fx, &fx->owner, p.id).err, FLEET_OK);
    assert_string_equal(one("denied", 1), "false");
    assert_int_equal(delete (fx, &fx->owner, p.id).err, FLEET_NOT_FOUND);
    assert_int_equal(count_of("SELECT count(*) FROM audit WHERE action = 'product.delete'"), 1);
}

static void test_groups(void **state)
{
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id;
    assert_int_equal(create_group(fx, p, "beta").err, FLEET_OK);
    assert_int_equal(create_group(fx, p, "beta").err, FLEET_CONFLICT);
    for (unsigned n = 1; n <= 5; n++) {
        fleet_enrol(fx, n);
        import(fx, p, id_text(n));
        assert_int_equal(change_device(fx, p, id_text(n), "{\"groups\": [\"beta\", \"new\"]}").err, FLEET_OK);
    }
    assert_int_equal(get_group(fx, p, "beta").devices, 5);
    assert_int_equal(get_group(fx, p, "beta").version, -1);
    assert_int_equal(change_device(fx, p, id_text(1), "{\"groups\": [\"beta\"]}").err, FLEET_OK);
    assert_int_equal(get_group(fx, p, "new").devices, 4);
    /* released to it under its new name, and to nobody once it is gone */
    fleet_script("INSERT INTO module_content (sha256, data) VALUES (sha256('x'), 'x')");
    fleet_script(
        "INSERT INTO module_binary (platform_id, func, idx, version, size_bytes, sha256, uploaded_by)"
        " VALUES (12, 5, 1, 1, 1, sha256('x'), 'olive')");
    fleet_script("INSERT INTO product_firmware (product_id, version, module_id, uploaded_by) SELECT p.id, 7, "
                 "m.id, 'olive'"
                 " FROM product p, module_binary m");
    fleet_script("INSERT INTO product_release (product_id, name, version, released_by) SELECT id, 'beta', 7, "
                 "'olive' FROM"
                 " product");
    assert_int_equal(get_group(fx, p, "beta").version, 7);
    struct answer a = {0};
    fleet_change_group(fx->fleet, &fx->owner, p, "beta", &(struct product_group_change){.name = "gamma"},
                       on_group, &a);
    fleet_run_until(fx, a.calls);
    assert_string_equal(a.name, "gamma");
    assert_int_equal(a.devices, 5);
    assert_int_equal(a.version, 7);
    assert_int_equal(get_group(fx, p, "beta").err, FLEET_NOT_FOUND);
    a = (struct answer){0};
    fleet_change_group(fx->fleet, &fx->owner, p, "gamma", &(struct product_group_change){.name = "new"},
                       on_group, &a);
    fleet_run_until(fx, a.calls);
    assert_int_equal(a.err, FLEET_CONFLICT);
    a = (struct answer){0};
    fleet_delete_group(fx->fleet, &fx->owner, p, "gamma", on_group, &a);
    fleet_run_until(fx, a.calls);
    assert_int_equal(a.err, FLEET_OK);
    assert_int_equal(count_of("SELECT count(*) FROM product_release"), 0);
    assert_int_equal(count_of("SELECT count(*) FROM device_group WHERE name = 'gamma'"), 0);
    assert_string_equal(one("in_product IS NOT NULL", 1), "true");
    fleet_script("DELETE FROM product_firmware; DELETE FROM module_binary; DELETE FROM module_content");
}

static void test_groups_of_a_product_are_bounded(void **state)
{
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id;
    char *sql = mem_printf(
        "INSERT INTO product_group (product_id, name) SELECT %d, 'g' || n FROM generate_series(1, %d) n", p,
        GROUPS_PER_PRODUCT_MAX - 1);
    fleet_script(sql);
    free(sql);
    fleet_enrol(fx, 1);
    import(fx, p, id_text(1));
    struct answer a = change_device(fx, p, id_text(1), "{\"groups\": [\"a\", \"b\"], \"notes\": \"x\"}");
    assert_int_equal(a.err, FLEET_INVALID);
    assert_string_equal(a.why, "A product has at most 1000 groups.");
    assert_string_equal(one("notes", 1), "null"); /* all of it, or nothing */
    assert_int_equal(change_device(fx, p, id_text(1), "{\"groups\": [\"a\", \"g1\"]}").err, FLEET_OK);
    assert_int_equal(create_group(fx, p, "b").err, FLEET_CONFLICT);
}

static void on_grouped(void *arg, enum fleet_err err, const char *why)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err;
    snprintf(a->why, sizeof a->why, "%s", why);
}

static struct answer group_many(struct fleet_fixture *fx, int product, const char *to)
{
    struct answer a = {0};
    fleet_change_device_groups(fx->fleet, &fx->owner, product, to, on_grouped, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static void test_many_devices_into_groups(void **state)
{
    struct fleet_fixture *fx = *state;
    int p = create(fx, &fx->owner, "p").id;
    struct answer a;
    for (unsigned n = 1; n <= 3; n++)
        fleet_enrol(fx, n);
    import(fx, p, "e00fce680000000000000001 e00fce680000000000000002");
    a = group_many(
        fx, p,
        "{\"devices\": [\"e00fce680000000000000001\", \"e00fce680000000000000003\"], \"add\": [\"a\"],"
        " \"remove\": []}");
    assert_int_equal(a.err, FLEET_INVALID);
    assert_string_equal(a.why, "These devices are not in the product: e00fce680000000000000003");
    assert_int_equal(count_of("SELECT count(*) FROM product_group"), 0);
#define BOTH "{\"devices\": [\"e00fce680000000000000001\", \"e00fce680000000000000002\"], "
    assert_int_equal(group_many(fx, p, BOTH "\"add\": [\"a\", \"b\"], \"remove\": [\"c\"]}").err, FLEET_OK);
    assert_int_equal(get_group(fx, p, "a").devices, 2);
    assert_int_equal(group_many(fx, p, BOTH "\"add\": [\"b\"], \"remove\": [\"a\", \"b\"]}").err, FLEET_OK);
    assert_int_equal(get_group(fx, p, "a").devices, 0);
    assert_int_equal(get_group(fx, p, "b").devices, 2); /* what is added stays */
    assert_int_equal(count_of("SELECT count(*) FROM audit WHERE action = 'device.groups'"), 4);
}

static void test_away_is_said(void **state)
{
    struct fleet_fixture *fx = *state;
    struct imported i = {0};
    struct answer a = {0};
    int p = create(fx, &fx->owner, "p").id;
    private_postgres_kill(&fleet_postgres);
    fleet_run_until(fx, !fleet_is_up(fx->fleet));
    fleet_import_devices(fx->fleet, &fx->owner, p, "x", 1, on_imported, &i);
    fleet_find_product(fx->fleet, &fx->owner, "p", PRODUCT_VIEW, on_found, &a);
    fleet_run_until(fx, a.calls && i.calls);
    assert_int_equal(a.err, FLEET_AWAY);
    assert_int_equal(i.err, FLEET_AWAY);
    assert_true(private_postgres_start(&fleet_postgres));
    fleet_run_until(fx, fleet_is_up(fx->fleet));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_slugs_come_from_names),
        TEST(test_two_at_once_have_two_slugs),
        TEST(test_products_of_a_person_are_bounded),
        TEST(test_who_may),
        TEST(test_list_is_of_ones_own),
        TEST(test_changes),
        TEST(test_only_an_empty_one_is_deleted),
        TEST(test_groups),
        TEST(test_groups_of_a_product_are_bounded),
        TEST(test_many_devices_into_groups),
        TEST(test_away_is_said),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
