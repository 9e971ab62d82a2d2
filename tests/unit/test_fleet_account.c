/* test_fleet_account.c: tokens that are granted, refreshed and reused, clients, teams. */
#include "account_bench.h"

#include <jansson.h>

#include "fleet/oauth_client.h"
#include "fleet/team.h"

/* --- tokens --- */

static void test_grants(void **state)
{
    struct fleet_fixture *fx = *state;
    struct got g =
        grant(fx, &fx->owner, (struct grant_wish){.client = "cli", .expires_s = 3600, .scopes = "a:b c:*"});
    struct checked c = check(fx, g.access);
    assert_int_equal(c.err, FLEET_OK);
    assert_string_equal(c.actor.user_name, "olive");
    assert_string_equal(c.actor.scopes, "a:b c:*");
    assert_string_equal(
        fleet_sql("SELECT round(extract(epoch FROM expires_at - created_at)) FROM access_token"), "3600");
    g = grant(fx, &fx->owner, (struct grant_wish){.expires_s = 0});
    assert_false(check(fx, g.access).actor.has_scopes);
    assert_string_equal(fleet_sql("SELECT count(*) FROM access_token WHERE expires_at IS NULL"), "1");
    assert_string_equal(
        fleet_sql("SELECT count(*) FROM audit WHERE action = 'token.create' AND actor = 'olive'"), "2");
}

static void test_refreshing_rotates(void **state)
{
    struct fleet_fixture *fx = *state;
    struct grant_wish wish = {.client = "cli", .expires_s = 60, .scopes = "a:b"};
    struct got first = grant(fx, &fx->owner, wish);
    assert_int_equal(refresh(fx, "0123456789012345678901234567890123456789", wish).err, FLEET_NOT_FOUND);
    assert_int_equal(refresh(fx, first.access, wish).err, FLEET_NOT_FOUND); /* that is no refresh token */
    assert_int_equal(refresh(fx, first.refresh, (struct grant_wish){.client = "other"}).err, FLEET_NOT_FOUND);
    struct got second = refresh(fx, first.refresh, (struct grant_wish){.client = "cli", .scopes = "*"});
    assert_int_equal(second.err, FLEET_OK);
    assert_string_not_equal(second.refresh, first.refresh);
    assert_string_equal(check(fx, second.access).actor.scopes, "a:b"); /* never more than before */
    struct got third = refresh(fx, second.refresh, wish);
    assert_int_equal(check(fx, third.access).err, FLEET_OK);
    assert_int_equal(check(fx, first.access).err, FLEET_OK);
}

static void test_a_refresh_token_that_comes_again_ends_its_family(void **state)
{
    struct fleet_fixture *fx = *state;
    struct grant_wish wish = {.client = "cli"};
    struct got other = grant(fx, &fx->owner, wish), first = grant(fx, &fx->owner, wish);
    struct got second = refresh(fx, first.refresh, wish);
    assert_int_equal(check(fx, second.access).err, FLEET_OK);
    assert_int_equal(refresh(fx, first.refresh, wish).err, FLEET_NOT_FOUND);
    assert_int_equal(check(fx, first.access).err, FLEET_NOT_FOUND);
    assert_int_equal(check(fx, second.access).err, FLEET_NOT_FOUND);
    assert_int_equal(refresh(fx, second.refresh, wish).err, FLEET_NOT_FOUND);
    assert_int_equal(check(fx, other.access).err, FLEET_OK); /* another sign-in of the same person */
    assert_string_equal(fleet_sql("SELECT after->>'tokens_ended' FROM audit WHERE action = 'token.reuse'"),
                        "2");
}

static void test_two_who_refresh_at_once(void **state)
{
    struct fleet_fixture *fx = *state;
    struct grant_wish wish = {.client = "cli"};
    struct got first = grant(fx, &fx->owner, wish), a = {0}, b = {0};
    fleet_refresh_token(fx->fleet, first.refresh, NULL, &wish, on_granted, &a);
    fleet_refresh_token(fx->fleet, first.refresh, NULL, &wish, on_granted, &b);
    fleet_run_until(fx, a.calls && b.calls);
    assert_int_equal((a.err == FLEET_OK) + (b.err == FLEET_OK), 1);
    assert_int_equal(check(fx, a.err == FLEET_OK ? a.access : b.access).err, FLEET_NOT_FOUND);
}

static void test_refresh_tokens_expire(void **state)
{
    struct fleet_fixture *fx = *state;
    struct grant_wish wish = {.client = "cli"};
    struct got old = grant(fx, &fx->owner, wish);
    fleet_script("UPDATE refresh_token SET expires_at = now() - interval '1 s'");
    assert_int_equal(refresh(fx, old.refresh, wish).err, FLEET_NOT_FOUND);
    assert_int_equal(check(fx, old.access).err, FLEET_OK); /* late is not stolen */
}

struct counted {
    int calls;
    uint64_t count;
};

static void on_revoked(void *arg, enum fleet_err err, uint64_t count)
{
    struct counted *c = arg;
    assert_int_equal(err, FLEET_OK);
    c->calls++;
    c->count = count;
}

static void test_a_revoked_token_cannot_be_refreshed(void **state)
{
    struct fleet_fixture *fx = *state;
    struct grant_wish wish = {.client = "cli"};
    struct got one = grant(fx, &fx->owner, wish), two = grant(fx, &fx->owner, wish);
    struct counted c = {0};
    fleet_revoke_token(fx->fleet, one.access, on_revoked, &c);
    fleet_run_until(fx, c.calls == 1);
    assert_int_equal(refresh(fx, one.refresh, wish).err, FLEET_NOT_FOUND);
    two = refresh(fx, two.refresh, wish);
    assert_int_equal(two.err, FLEET_OK);
    fleet_revoke_all_tokens(fx->fleet, &fx->owner, on_revoked, &c);
    fleet_run_until(fx, c.calls == 2);
    assert_int_equal(c.count, 2);
    assert_int_equal(refresh(fx, two.refresh, wish).err, FLEET_NOT_FOUND);
}

static void test_a_person_has_a_thousand_at_most(void **state)
{
    struct fleet_fixture *fx = *state;
    char sql[300];
    struct got first = grant(fx, &fx->owner, (struct grant_wish){.client = "cli"});
    snprintf(sql, sizeof sql,
             "INSERT INTO access_token (user_id, sha256, prefix, family) SELECT %lld, "
             "sha256(n::text::bytea), 'x', 0"
             " FROM generate_series(1, 999) n;"
             "INSERT INTO access_token (user_id, sha256, prefix) SELECT %lld, sha256('made by cyand'), 'y'",
             (long long)fx->owner.user_id, (long long)fx->owner.user_id);
    fleet_script(sql);
    fleet_script("UPDATE access_token SET last_used_at = now() - interval '1 day' WHERE client = 'cli' OR "
                 "prefix = 'y'");
    struct got newest = grant(fx, &fx->owner, (struct grant_wish){.client = "cli"});
    assert_int_equal(check(fx, newest.access).err, FLEET_OK);
    assert_int_equal(check(fx, first.access).err, FLEET_NOT_FOUND);
    assert_string_equal(fleet_sql("SELECT count(*) FROM access_token WHERE revoked_at IS NULL"), "1001");
}

/* --- clients --- */

struct client {
    int calls;
    enum fleet_err err;
    char id[80], secret[80], json[2000];
};

static void on_client(void *arg, enum fleet_err err, const char *json, const char *secret)
{
    struct client *c = arg;
    c->calls++;
    c->err = err;
    if (err)
        return;
    json_t *root = json_loads(json, 0, NULL);
    snprintf(c->id, sizeof c->id, "%s", json_string_value(json_object_get(root, "id")));
    snprintf(c->secret, sizeof c->secret, "%s", secret);
    json_decref(root);
}

static void on_clients(void *arg, enum fleet_err err, const char *json)
{
    struct client *c = arg;
    c->calls++;
    c->err = err;
    snprintf(c->json, sizeof c->json, "%s", json ? json : "");
}

static void on_client_gone(void *arg, enum fleet_err err)
{
    struct client *c = arg;
    c->calls++;
    c->err = err;
}

static struct client make_client(struct fleet_fixture *fx, int32_t product, const char *scopes)
{
    struct client c = {0};
    struct oauth_client_wish wish = {.name = "My App! 2", .type = "web", .scopes = scopes};
    fleet_create_client(fx->fleet, &fx->owner, product, &wish, on_client, &c);
    fleet_run_until(fx, c.calls);
    return c;
}

static void test_clients(void **state)
{
    struct fleet_fixture *fx = *state;
    struct client c = make_client(fx, 0, "a:b"), list = {0}, gone = {0};
    struct got g = {0}, wrong = {0};
    assert_int_equal(c.err, FLEET_OK);
    assert_int_equal(strncmp(c.id, "my-app-2-", 9), 0);
    fleet_grant_client_token(fx->fleet, c.id, c.secret, &(struct grant_wish){0}, on_granted, &g);
    fleet_grant_client_token(fx->fleet, c.id, "wrong", &(struct grant_wish){0}, on_granted, &wrong);
    fleet_run_until(fx, g.calls && wrong.calls);
    assert_int_equal(wrong.err, FLEET_NOT_FOUND);
    struct checked token = check(fx, g.access);
    assert_string_equal(token.actor.user_name, "olive");
    assert_string_equal(token.actor.scopes, "a:b");
    fleet_list_clients(fx->fleet, &fx->owner, 0, on_clients, &list);
    fleet_run_until(fx, list.calls);
    assert_non_null(strstr(list.json, c.id));
    assert_null(strstr(list.json, c.secret));
    fleet_delete_client(fx->fleet, &fx->other_owner, 0, c.id, on_client_gone, &gone);
    fleet_run_until(fx, gone.calls == 1);
    assert_int_equal(gone.err, FLEET_NOT_FOUND);
    assert_int_equal(check(fx, g.access).err, FLEET_OK);
    fleet_delete_client(fx->fleet, &fx->owner, 0, c.id, on_client_gone, &gone);
    fleet_run_until(fx, gone.calls == 2);
    assert_int_equal(gone.err, FLEET_OK);
    assert_int_equal(check(fx, g.access).err, FLEET_NOT_FOUND);
    char sql[200];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM audit WHERE audit::text LIKE '%%%s%%'", c.secret);
    assert_string_equal(fleet_sql(sql), "0");
}

static void make_product(struct fleet_fixture *fx, int id)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "INSERT INTO product (id, slug, name, platform_id, owner_id) VALUES (%d, 'p%d', 'p', 12, %lld)",
             id, id, (long long)fx->owner.user_id);
    fleet_script(sql);
}

static void test_clients_of_a_product(void **state)
{
    struct fleet_fixture *fx = *state;
    make_product(fx, 1701);
    struct client c = make_client(fx, 1701, NULL), list = {0};
    struct got g = {0};
    fleet_grant_client_token(fx->fleet, c.id, c.secret, &(struct grant_wish){0}, on_granted, &g);
    fleet_run_until(fx, g.calls);
    assert_int_equal(check(fx, g.access).actor.confined_to, 1701);
    struct got next = {0}, stolen = refresh(fx, g.refresh, (struct grant_wish){.client = c.id});
    assert_int_equal(stolen.err, FLEET_NOT_FOUND); /* it has a secret, and must bring it */
    fleet_refresh_token(fx->fleet, g.refresh, c.secret, &(struct grant_wish){.client = c.id}, on_granted,
                        &next);
    fleet_run_until(fx, next.calls);
    assert_int_equal(check(fx, next.access).actor.confined_to, 1701);
    fleet_list_clients(fx->fleet, &fx->owner, 0, on_clients, &list);
    fleet_run_until(fx, list.calls);
    assert_string_equal(list.json, "[]"); /* not a person's own */
    fleet_script("DELETE FROM product WHERE id = 1701");
    assert_string_equal(fleet_sql("SELECT count(*) FROM access_token"), "0");
}

static void test_clients_are_bounded(void **state)
{
    struct fleet_fixture *fx = *state;
    for (int i = 0; i < OAUTH_CLIENT_MAX; i++)
        assert_int_equal(make_client(fx, 0, NULL).err, FLEET_OK);
    assert_int_equal(make_client(fx, 0, NULL).err, FLEET_CONFLICT);
}

/* --- teams --- */

struct change {
    int calls;
    enum fleet_err err;
    char why[100], username[80], token[80], json[2000];
};

static void on_change(void *arg, enum fleet_err err, const char *why)
{
    struct change *c = arg;
    c->calls++;
    c->err = err;
    snprintf(c->why, sizeof c->why, "%s", why);
}

static void on_api_user(void *arg, enum fleet_err err, const struct api_user *user, const char *why)
{
    struct change *c = arg;
    on_change(arg, err, why);
    if (user) {
        snprintf(c->username, sizeof c->username, "%s", user->username);
        snprintf(c->token, sizeof c->token, "%s", user->token);
    }
}

static void on_team(void *arg, enum fleet_err err, const char *json)
{
    struct change *c = arg;
    on_change(arg, err, "");
    snprintf(c->json, sizeof c->json, "%s", json);
}

static enum fleet_err add(struct fleet_fixture *fx, const struct fleet_actor *actor, const char *name)
{
    struct change c = {0};
    fleet_add_member(fx->fleet, actor, 1702, name, false, on_change, &c);
    fleet_run_until(fx, c.calls);
    return c.err;
}

static enum fleet_err take_out(struct fleet_fixture *fx, const struct fleet_actor *actor, const char *name)
{
    struct change c = {0};
    fleet_remove_member(fx->fleet, actor, 1702, name, on_change, &c);
    fleet_run_until(fx, c.calls);
    return c.err;
}

static void test_team(void **state)
{
    struct fleet_fixture *fx = *state;
    struct change api = {0}, list = {0};
    make_product(fx, 1702);
    assert_int_equal(add(fx, &fx->other_owner, "otto"), FLEET_FORBIDDEN); /* nobody adds himself */
    assert_int_equal(add(fx, &fx->owner, "nobody"), FLEET_NOT_FOUND);
    assert_int_equal(add(fx, &fx->owner, "olive"), FLEET_CONFLICT);
    assert_int_equal(add(fx, &fx->owner, "Otto"), FLEET_OK);
    assert_int_equal(add(fx, &fx->operator, "ada"), FLEET_OK);
    fleet_add_api_user(fx->fleet, &fx->other_owner, 1702, "Robot", "devices:list", on_api_user, &api);
    fleet_run_until(fx, api.calls == 1);
    assert_int_equal(api.err, FLEET_FORBIDDEN);
    fleet_add_api_user(fx->fleet, &fx->owner, 1702, "Robot", "devices:list devices:get", on_api_user, &api);
    fleet_run_until(fx, api.calls == 2);
    assert_int_equal(api.err, FLEET_OK);
    struct checked c = check(fx, api.token);
    assert_int_equal(c.actor.confined_to, 1702);
    assert_string_equal(c.actor.scopes, "devices:list devices:get");
    assert_string_equal(fleet_sql("SELECT m.role FROM product_member m JOIN users u ON u.id = m.user_id"
                                  " WHERE u.api_user_of IS NOT NULL"),
                        "view"); /* it only reads */
    fleet_list_team(fx->fleet, 1702, on_team, &list);
    fleet_run_until(fx, list.calls);
    json_t *team = json_loads(list.json, 0, NULL);
    assert_int_equal(json_array_size(team), 4);
    assert_string_equal(json_string_value(json_object_get(json_array_get(team, 0), "role")), "owner");
    json_decref(team);
    assert_int_equal(add(fx, &fx->owner, api.username), FLEET_NOT_FOUND); /* it is nobody to be added */
    assert_int_equal(take_out(fx, &fx->other_owner, api.username), FLEET_FORBIDDEN);
    assert_int_equal(take_out(fx, &fx->owner, "olive"), FLEET_NOT_FOUND);
    assert_int_equal(take_out(fx, &fx->owner, api.username), FLEET_OK);
    assert_int_equal(check(fx, api.token).err, FLEET_NOT_FOUND);
    assert_int_equal(take_out(fx, &fx->owner, "OTTO"), FLEET_OK);
    assert_string_equal(fleet_sql("SELECT count(*) FROM users WHERE name = 'otto'"), "1");
    fleet_script("DELETE FROM product WHERE id = 1702");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_grants),
        TEST(test_refreshing_rotates),
        TEST(test_a_refresh_token_that_comes_again_ends_its_family),
        TEST(test_two_who_refresh_at_once),
        TEST(test_refresh_tokens_expire),
        TEST(test_a_revoked_token_cannot_be_refreshed),
        TEST(test_a_person_has_a_thousand_at_most),
        TEST(test_clients),
        TEST(test_clients_of_a_product),
        TEST(test_clients_are_bounded),
        TEST(test_team),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
