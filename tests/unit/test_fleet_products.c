/* Products on a real Postgres: who may, what they hold, and what their teams do with their devices. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/product.h"
#include "fleet/product_device.h"
#include "fleet/product_group.h"
#include "fleet/product_import.h"
#include "fleet_fixture.h"

#define ARGON 12

struct answer {
    int calls;
    enum fleet_err err;
    int id;
    char slug[65], name[65], owner[65], settings[200], groups[200], why[200];
    uint64_t devices, total;
    size_t count;
    int version;
    bool pushed;
    struct device_id device;
};

/* --- steps --- */

static void on_product(void *arg, enum fleet_err err, const struct product *p, const char *why)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err;
    snprintf(a->why, sizeof a->why, "%s", why);
    if (!p)
        return;
    a->id = p->id;
    snprintf(a->slug, sizeof a->slug, "%s", p->slug);
    snprintf(a->name, sizeof a->name, "%s", p->name);
    snprintf(a->owner, sizeof a->owner, "%s", p->owner ? p->owner : "");
    snprintf(a->settings, sizeof a->settings, "%s", p->settings);
    snprintf(a->groups, sizeof a->groups, "%s", p->groups);
}

static struct answer create(struct fleet_fixture *fx, const struct fleet_actor *who, const char *name)
{
    struct answer a = {0};
    fleet_create_product(fx->fleet, who, &(struct product_change){.name = name, .platform_id = ARGON},
                         on_product, &a);
    fleet_run_until(fx, a.calls);
    assert_int_equal(a.err, FLEET_OK);
    return a;
}

static struct answer change(struct fleet_fixture *fx, int product, struct product_change to)
{
    struct answer a = {0};
    fleet_change_product(fx->fleet, &fx->owner, product, &to, on_product, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

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

static void add_member(int product, const struct fleet_actor *who, const char *role)
{
    char *sql = mem_printf("INSERT INTO product_member (product_id, user_id, role) VALUES (%d, %lld, '%s')",
                           product, (long long)who->user_id, role);
    fleet_script(sql);
    free(sql);
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

static void on_device(void *arg, enum fleet_err err, const struct device_id *id, bool pushed, const char *why)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err;
    a->pushed = pushed;
    assert_true((err == FLEET_OK) == (id != NULL));
    if (id)
        a->device = *id;
    snprintf(a->why, sizeof a->why, "%s", why);
}

static const char *id_text(unsigned n)
{
    static char text[DEVICE_ID_TEXT_SIZE];
    struct device_id id = fleet_test_id(n);
    device_id_format(text, &id);
    return text;
}

static struct answer change_device(struct fleet_fixture *fx, int product, const char *which, const char *to)
{
    struct answer a = {0};
    fleet_change_product_device(fx->fleet, &fx->owner, product, which, to, on_device, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static struct answer remove_device(struct fleet_fixture *fx, int product, const char *which, bool deny)
{
    struct answer a = {0};
    fleet_remove_product_device(fx->fleet, &fx->owner, product, which, deny, on_device, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

struct imported {
    int calls;
    enum fleet_err err;
    size_t updated;
    char ids[400], nonmembers[400], strangers[400];
};

static void on_imported(void *arg, enum fleet_err err, const struct product_imported *imported)
{
    struct imported *i = arg;
    i->calls++;
    i->err = err;
    if (err)
        return;
    i->updated = imported->updated;
    snprintf(i->ids, sizeof i->ids, "%s", imported->updated_ids);
    snprintf(i->nonmembers, sizeof i->nonmembers, "%s", imported->nonmembers);
    snprintf(i->strangers, sizeof i->strangers, "%s", imported->strangers);
}

static struct imported import_as(struct fleet_fixture *fx, const struct fleet_actor *who, int product,
                                 const char *said)
{
    struct imported i = {0};
    fleet_import_devices(fx->fleet, who, product, said, strlen(said), on_imported, &i);
    assert_int_equal(i.calls, 0);
    fleet_run_until(fx, i.calls);
    assert_int_equal(i.err, FLEET_OK);
    return i;
}

static struct imported import(struct fleet_fixture *fx, int product, const char *said)
{
    return import_as(fx, &fx->owner, product, said);
}

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

static const char *one(const char *column, unsigned n)
{
    char *sql = mem_printf("SELECT coalesce((%s)::text, 'null') FROM device d WHERE id = '\\x%s'", column,
                           id_text(n));
    const char *value = fleet_sql(sql);
    free(sql);
    return value;
}

static int count_of(const char *sql)
{
    return atoi(fleet_sql(sql));
}

/* --- tests --- */

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
        TEST(test_import_by_all_names),
        TEST(test_import_refuses),
        TEST(test_a_confined_token_takes_nothing_from_elsewhere),
        TEST(test_import_of_a_large_file),
        TEST(test_device_changes),
        TEST(test_found_under_its_product),
        TEST(test_a_denied_device_is_turned_away),
        TEST(test_leaving_takes_what_was_the_products),
        TEST(test_quarantine_of_a_product),
        TEST(test_many_devices_into_groups),
        TEST(test_away_is_said),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
