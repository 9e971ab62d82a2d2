/* test_fleet_account.c: accounts, signing in and its locks, tokens that are granted, refreshed and reused,
 * clients, and what becomes of it in the audit trail. */
#include "fleet_fixture.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/account.h"
#include "fleet/audit.h"
#include "fleet/grant.h"
#include "fleet/oauth_client.h"
#include "fleet/refusals.h"
#include "fleet/sign_in.h"
#include "fleet/team.h"

#define HOME "192.0.2.1"
#define AWAY "192.0.2.99"

/* --- one call each, waited for --- */

struct made {
    int calls;
    enum account_err err;
    char why[100];
};

static void on_account(void *arg, enum account_err err, const char *why)
{
    struct made *m = arg;
    m->calls++;
    m->err = err;
    snprintf(m->why, sizeof m->why, "%s", why);
}

static enum account_err make(struct fleet_fixture *fx, const char *name, const char *password)
{
    struct made m = {0};
    fleet_create_account(fx->fleet, &fx->admin, name, password, FLEET_OWNER, on_account, &m);
    assert_int_equal(m.calls, 0);
    fleet_run_until(fx, m.calls);
    return m.err;
}

struct signed_in {
    int calls;
    enum sign_in result;
    struct fleet_actor actor;
    uint64_t wait_ms;
};

static void on_signed_in(void *arg, enum sign_in result, const struct fleet_actor *actor, uint64_t wait_ms)
{
    struct signed_in *s = arg;
    s->calls++;
    s->result = result;
    s->wait_ms = wait_ms;
    assert_true((result == SIGN_IN_OK) == (actor != NULL));
    if (actor)
        s->actor = *actor;
}

static struct signed_in sign_in(struct fleet_fixture *fx, const char *name, const char *password,
                                const char *address)
{
    struct signed_in s = {0};
    fleet_sign_in(fx->fleet, name, password, address, on_signed_in, &s);
    assert_int_equal(s.calls, 0);
    fleet_run_until(fx, s.calls);
    return s;
}

struct got {
    int calls;
    enum fleet_err err;
    char access[FLEET_TOKEN_TEXT_SIZE], refresh[FLEET_TOKEN_TEXT_SIZE];
};

static void on_granted(void *arg, enum fleet_err err, const struct granted *granted)
{
    struct got *g = arg;
    g->calls++;
    g->err = err;
    assert_true((err == FLEET_OK) == (granted != NULL));
    if (!granted)
        return;
    snprintf(g->access, sizeof g->access, "%s", granted->access_token);
    snprintf(g->refresh, sizeof g->refresh, "%s", granted->refresh_token);
}

static struct got grant(struct fleet_fixture *fx, const struct fleet_actor *actor, struct grant_wish wish)
{
    struct got g = {0};
    fleet_grant_token(fx->fleet, actor, &wish, on_granted, &g);
    fleet_run_until(fx, g.calls);
    return g;
}

static struct got refresh(struct fleet_fixture *fx, const char *token, struct grant_wish wish)
{
    struct got g = {0};
    fleet_refresh_token(fx->fleet, token, NULL, &wish, on_granted, &g);
    fleet_run_until(fx, g.calls);
    return g;
}

struct checked {
    int calls;
    enum fleet_err err;
    struct fleet_actor actor;
};

static void on_checked(void *arg, enum fleet_err err, const struct fleet_actor *actor)
{
    struct checked *c = arg;
    c->calls++;
    c->err = err;
    if (actor)
        c->actor = *actor;
}

static struct checked check(struct fleet_fixture *fx, const char *token)
{
    struct checked c = {0};
    fleet_check_token(fx->fleet, token, on_checked, &c);
    fleet_run_until(fx, c.calls);
    return c;
}

/* --- accounts --- */

static void test_make_and_sign_in(void **state)
{
    struct fleet_fixture *fx = *state;
    assert_int_equal(make(fx, "nina@example.com", "correct horse"), ACCOUNT_OK);
    struct signed_in s = sign_in(fx, "nina@example.com", "correct horse", HOME);
    assert_int_equal(s.result, SIGN_IN_OK);
    assert_string_equal(s.actor.user_name, "nina@example.com");
    assert_int_equal(s.actor.role, FLEET_OWNER);
    assert_false(s.actor.has_scopes);
    assert_int_equal(sign_in(fx, "NINA@Example.com", "correct horse", HOME).result, SIGN_IN_OK);
    assert_int_equal(sign_in(fx, "nina@example.com", "Correct horse", HOME).result, SIGN_IN_WRONG);
    assert_int_equal(sign_in(fx, "nobody", "correct horse", HOME).result, SIGN_IN_WRONG);
    assert_int_equal(sign_in(fx, "olive", "", HOME).result, SIGN_IN_WRONG); /* she has no password */
    assert_int_equal(sign_in(fx, "\xff\xfe", "\xff", HOME).result, SIGN_IN_WRONG);
    assert_string_equal(fleet_sql("SELECT left(password, 10) FROM users WHERE name = 'nina@example.com'"),
                        "$argon2id$");
    assert_string_equal(fleet_sql("SELECT actor || ' ' || target FROM audit WHERE action = 'user.create'"),
                        "ada user nina@example.com");
}

static void test_names_and_passwords_that_are_none(void **state)
{
    struct fleet_fixture *fx = *state;
    assert_int_equal(make(fx, "nina", "correct horse"), ACCOUNT_OK);
    assert_int_equal(make(fx, "nina", "another horse"), ACCOUNT_TAKEN);
    assert_int_equal(make(fx, "Nina", "another horse"), ACCOUNT_TAKEN);
    assert_int_equal(make(fx, "olive", "another horse"), ACCOUNT_TAKEN); /* also of who has only tokens */
    assert_int_equal(make(fx, "mike", "short"), ACCOUNT_INVALID);
    assert_int_equal(make(fx, "m ike", "correct horse"), ACCOUNT_INVALID);
    assert_int_equal(make(fx, "Policy", "correct horse"),
                     ACCOUNT_INVALID); /* the trail would tell of another */
    assert_int_equal(make(fx, "192.0.2.1", "correct horse"), ACCOUNT_INVALID);
    assert_int_equal(sign_in(fx, "nina", "correct horse", HOME).result, SIGN_IN_OK);
}

static void test_another_password_ends_other_sign_ins(void **state)
{
    struct fleet_fixture *fx = *state;
    struct made m = {0};
    make(fx, "nina", "correct horse");
    struct fleet_actor nina = sign_in(fx, "nina", "correct horse", HOME).actor;
    struct got here = grant(fx, &nina, (struct grant_wish){.client = "cli"});
    struct got there = grant(fx, &nina, (struct grant_wish){.client = "cli"});
    struct fleet_actor me = check(fx, here.access).actor;
    assert_int_equal(check(fx, there.access).err, FLEET_OK);
    fleet_change_password(fx->fleet, &me, "battery staple", on_account, &m);
    fleet_run_until(fx, m.calls);
    assert_int_equal(m.err, ACCOUNT_OK);
    assert_int_equal(check(fx, here.access).err, FLEET_OK);
    assert_int_equal(check(fx, there.access).err, FLEET_NOT_FOUND);
    assert_int_equal(refresh(fx, there.refresh, (struct grant_wish){.client = "cli"}).err, FLEET_NOT_FOUND);
    assert_int_equal(refresh(fx, here.refresh, (struct grant_wish){.client = "cli"}).err, FLEET_OK);
    assert_int_equal(sign_in(fx, "nina", "correct horse", HOME).result, SIGN_IN_WRONG);
    assert_int_equal(sign_in(fx, "nina", "battery staple", HOME).result, SIGN_IN_OK);
    assert_string_equal(fleet_sql("SELECT after->>'tokens_ended' FROM audit WHERE action = 'user.password'"),
                        "1");
}

static void test_old_hashes_follow(void **state)
{
    struct fleet_fixture *fx = *state;
    make(fx, "nina", "correct horse");
    fx->fleet->settings.argon2_iterations = 2;
    assert_int_equal(sign_in(fx, "nina", "wrong horse", HOME).result, SIGN_IN_WRONG);
    assert_string_equal(fleet_sql("SELECT split_part(password, '$', 4) FROM users WHERE name = 'nina'"),
                        "m=64,t=1,p=1");
    assert_int_equal(sign_in(fx, "nina", "correct horse", HOME).result, SIGN_IN_OK);
    assert_string_equal(fleet_sql("SELECT split_part(password, '$', 4) FROM users WHERE name = 'nina'"),
                        "m=64,t=2,p=1");
    assert_int_equal(sign_in(fx, "nina", "correct horse", HOME).result, SIGN_IN_OK);
}

/* --- locks --- */

static void fail_times(struct fleet_fixture *fx, const char *name, const char *address, int times)
{
    for (int i = 0; i < times; i++)
        assert_int_equal(sign_in(fx, name, "wrong horse", address).result, SIGN_IN_WRONG);
}

static void test_the_tenth_failure_locks_account_and_address(void **state)
{
    struct fleet_fixture *fx = *state;
    make(fx, "nina", "correct horse");
    make(fx, "mike", "correct horse");
    fail_times(fx, "nina", HOME, 10);
    struct signed_in s = sign_in(fx, "nina", "correct horse", AWAY); /* the account, from anywhere */
    assert_int_equal(s.result, SIGN_IN_LOCKED);
    assert_true(s.wait_ms > 20000 && s.wait_ms <= 30000);
    assert_int_equal(sign_in(fx, "mike", "correct horse", HOME).result,
                     SIGN_IN_LOCKED); /* the address, for all */
    assert_int_equal(sign_in(fx, "mike", "correct horse", AWAY).result, SIGN_IN_OK);
    assert_string_equal(fleet_sql("SELECT string_agg(target, ',' ORDER BY target) FROM audit"
                                  " WHERE action = 'sign_in.lock'"),
                        "address " HOME ",user nina");
    assert_string_equal(fleet_sql("SELECT count(*) FROM sign_in_failure WHERE subject = 'nina'"), "0");
}

static void end_locks(void)
{
    fleet_script(
        "UPDATE sign_in_failure SET locked_until = now() - interval '1 s' WHERE locked_until IS NOT NULL");
}

static void test_locks_grow_and_success_forgets(void **state)
{
    struct fleet_fixture *fx = *state;
    make(fx, "nina", "correct horse");
    fail_times(fx, "nina", HOME, 10);
    uint64_t last_ms = 0;
    for (int i = 0; i < 9; i++) {
        struct signed_in s = sign_in(fx, "nina", "correct horse", HOME);
        assert_int_equal(s.result, SIGN_IN_LOCKED);
        assert_true(s.wait_ms > last_ms && s.wait_ms <= 3600000);
        last_ms = s.wait_ms - 10000;
        end_locks();
        fail_times(fx, "nina", HOME, 1);
    }
    end_locks();
    assert_int_equal(sign_in(fx, "nina", "correct horse", HOME).result, SIGN_IN_OK);
    assert_string_equal(fleet_sql("SELECT count(*) FROM sign_in_failure"), "0");
    fail_times(fx, "nina", HOME, 9);
    assert_int_equal(sign_in(fx, "nina", "correct horse", HOME).result, SIGN_IN_OK);
}

/* Who has an account guesses at those of others no more often than who has none. */
static void test_a_right_password_buys_no_guesses(void **state)
{
    struct fleet_fixture *fx = *state;
    make(fx, "nina", "correct horse");
    make(fx, "mike", "correct horse");
    fail_times(fx, "nina", HOME, 5);
    assert_int_equal(sign_in(fx, "mike", "correct horse", HOME).result, SIGN_IN_OK);
    fail_times(fx, "mike", HOME, 4); /* these may be his own */
    assert_int_equal(sign_in(fx, "mike", "correct horse", HOME).result, SIGN_IN_OK);
    fail_times(fx, "lara", HOME, 5);
    assert_int_equal(sign_in(fx, "mike", "correct horse", HOME).result, SIGN_IN_LOCKED);
    assert_int_equal(sign_in(fx, "nina", "correct horse", AWAY).result, SIGN_IN_OK);
}

/* A name nobody has is locked like any other: a lock does not tell who exists. */
static void test_unknown_names_are_locked_alike(void **state)
{
    struct fleet_fixture *fx = *state;
    fail_times(fx, "nobody", HOME, 10);
    assert_int_equal(sign_in(fx, "nobody", "wrong horse", AWAY).result, SIGN_IN_LOCKED);
    assert_string_equal(fleet_sql("SELECT count(*) FROM audit WHERE audit::text LIKE '%nobody%'"), "0");
}

/* Many guesses at once, all let through before the first was counted: those after the tenth do not count,
 * even the right one. */
static void test_guesses_at_the_same_time(void **state)
{
    struct fleet_fixture *fx = *state;
    struct signed_in guesses[40] = {0};
    int wrong = 0, locked = 0;
    make(fx, "nina", "correct horse");
    for (int i = 0; i < 40; i++)
        fleet_sign_in(fx->fleet, "nina", i < 39 ? "wrong horse" : "correct horse", HOME, on_signed_in,
                      &guesses[i]);
    for (int i = 0; i < 40; i++)
        fleet_run_until(fx, guesses[i].calls);
    for (int i = 0; i < 39; i++) {
        wrong += guesses[i].result == SIGN_IN_WRONG;
        locked += guesses[i].result == SIGN_IN_LOCKED;
    }
    assert_int_equal(wrong, 10);
    assert_int_equal(locked, 29);
    assert_int_equal(guesses[39].result, SIGN_IN_LOCKED);
}

static void test_yesterdays_failures_are_forgotten(void **state)
{
    struct fleet_fixture *fx = *state;
    make(fx, "nina", "correct horse");
    fail_times(fx, "nina", HOME, 9);
    fleet_script("UPDATE sign_in_failure SET last_at = now() - interval '25 hours'");
    fail_times(fx, "nina", HOME, 1);
    assert_int_equal(sign_in(fx, "nina", "correct horse", HOME).result, SIGN_IN_OK);
}

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

/* --- the trail --- */

static void refuse(struct fleet_fixture *fx, const char *actor, const char *address, unsigned status)
{
    fleet_refused(fx->fleet, &(struct refusal){.actor = actor,
                                               .address = address,
                                               .route = "GET /v1/devices/:device",
                                               .status = status,
                                               .why = "Permission Denied",
                                               .device = "kitchen"});
}

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

static void test_away(void **state)
{
    struct fleet_fixture *fx = *state;
    make(fx, "nina", "correct horse");
    private_postgres_kill(&fleet_postgres);
    fleet_run_until(fx, !fleet_is_up(fx->fleet));
    assert_int_equal(sign_in(fx, "nina", "correct horse", HOME).result, SIGN_IN_AWAY);
    assert_int_equal(make(fx, "mike", "correct horse"), ACCOUNT_AWAY);
    assert_int_equal(grant(fx, &fx->owner, (struct grant_wish){0}).err, FLEET_AWAY);
    refuse(fx, "olive", HOME, 403);
    assert_true(private_postgres_start(&fleet_postgres));
    fleet_run_until(fx, fleet_is_up(fx->fleet));
    assert_int_equal(sign_in(fx, "nina", "correct horse", HOME).result, SIGN_IN_OK);
    fleet_run_until(fx, !strcmp(fleet_sql("SELECT count(*) FROM audit WHERE action = 'refused'"), "1"));
}

static void test_commands(void **state)
{
    struct fleet_fixture *fx = *state;
    struct password_cost cost = account_cost(fx->fleet);
    char why[200] = "";
    struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    assert_non_null(s);
    assert_int_equal(fleet_add_user_sync(s, "nina", FLEET_ADMIN, "correct horse", &cost, why, sizeof why), 0);
    assert_int_equal(fleet_add_user_sync(s, "Nina", FLEET_ADMIN, "correct horse", &cost, why, sizeof why),
                     -1);
    assert_string_equal(why, "there is a user Nina already; cyand user password Nina gives it a password");
    assert_int_equal(fleet_add_user_sync(s, "mike", FLEET_OWNER, "short", &cost, why, sizeof why), -1);
    assert_int_equal(sign_in(fx, "nina", "correct horse", HOME).actor.role, FLEET_ADMIN);
    assert_int_equal(fleet_set_password_sync(s, "nobody", "battery staple", &cost, why, sizeof why), -1);
    assert_string_equal(why, "there is no user nobody");
    fail_times(fx, "olive", AWAY, 10);
    assert_int_equal(fleet_set_password_sync(s, "olive", "battery staple", &cost, why, sizeof why), 0);
    assert_int_equal(sign_in(fx, "olive", "battery staple", HOME).actor.user_id, fx->owner.user_id);
    pg_sync_close(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_make_and_sign_in),
        TEST(test_names_and_passwords_that_are_none),
        TEST(test_another_password_ends_other_sign_ins),
        TEST(test_old_hashes_follow),
        TEST(test_the_tenth_failure_locks_account_and_address),
        TEST(test_locks_grow_and_success_forgets),
        TEST(test_a_right_password_buys_no_guesses),
        TEST(test_unknown_names_are_locked_alike),
        TEST(test_guesses_at_the_same_time),
        TEST(test_yesterdays_failures_are_forgotten),
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
        TEST(test_refusals_are_gathered),
        TEST(test_a_flood_stays_small),
        TEST(test_old_refusals_go_and_changes_stay),
        TEST(test_the_trail_in_pages),
        TEST(test_away),
        TEST(test_commands),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
