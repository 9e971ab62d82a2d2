/* test_fleet_token.c: access tokens: made, checked, listed, revoked, expired; roles. */
#include "fleet_fixture.h"

#include <string.h>

#include "fake_nodes.h"
#include "fleet/token_cache.h"

struct checked {
    int calls;
    enum fleet_err err;
    bool is_known;
    struct fleet_actor actor;
};

static void on_checked(void *arg, enum fleet_err err, const struct fleet_actor *actor)
{
    struct checked *c = arg;
    c->calls++;
    c->err = err;
    assert_true(err != FLEET_OK || actor != NULL);
    c->is_known = actor != NULL;
    if (actor)
        c->actor = *actor;
}

static struct checked check(struct fleet_fixture *fx, const char *token)
{
    struct checked c = {0};
    fleet_check_token(fx->fleet, token, on_checked, &c);
    assert_int_equal(c.calls, 0);
    fleet_run_until(fx, c.calls);
    return c;
}

static void create(const char *user, enum fleet_role role, uint64_t expires_s,
                   char text[FLEET_TOKEN_TEXT_SIZE])
{
    char why[200];
    struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    assert_non_null(s);
    if (fleet_create_token_sync(s, user, role, expires_s, text, why, sizeof why) != 0)
        fail_msg("%s", why);
    pg_sync_close(s);
}

struct revoked {
    int calls;
    enum fleet_err err;
    uint64_t count;
};

static void on_revoked(void *arg, enum fleet_err err, uint64_t count)
{
    struct revoked *r = arg;
    r->calls++;
    r->err = err;
    r->count = count;
}

static void test_create_and_check(void **state)
{
    struct fleet_fixture *fx = *state;
    char token[FLEET_TOKEN_TEXT_SIZE], other[FLEET_TOKEN_TEXT_SIZE];
    create("nina", FLEET_OPERATOR, 0, token);
    create("nina", FLEET_ADMIN, 3600, other); /* the same person, another role */
    assert_int_equal(strspn(token, "0123456789abcdef"), 40);
    assert_string_not_equal(token, other);
    struct checked c = check(fx, token);
    assert_int_equal(c.err, FLEET_OK);
    assert_string_equal(c.actor.user_name, "nina");
    assert_int_equal(c.actor.role, FLEET_ADMIN);
    struct checked d = check(fx, other);
    assert_int_equal(d.actor.user_id, c.actor.user_id);
    assert_true(d.actor.token_id != c.actor.token_id);
    assert_string_equal(fleet_sql("SELECT count(last_used_at) FROM access_token"), "2");
    char sql[200];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM access_token t WHERE t::text LIKE '%%%s%%'", token);
    assert_string_equal(fleet_sql(sql), "0"); /* only its sum is kept */
    assert_string_equal(fleet_sql("SELECT count(*) FROM audit WHERE action = 'token.create'"), "2");
}

static void test_what_is_no_token(void **state)
{
    struct fleet_fixture *fx = *state;
    char token[FLEET_TOKEN_TEXT_SIZE], longer[200];
    create("nina", FLEET_OWNER, 0, token);
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(check(fx, "").err, FLEET_NOT_FOUND);
    assert_int_equal(check(fx, longer).err, FLEET_NOT_FOUND);
    assert_int_equal(check(fx, "' OR 1=1 --").err, FLEET_NOT_FOUND);
    assert_int_equal(check(fx, "\xff\xfe").err, FLEET_NOT_FOUND);
    token[0] = token[0] == '0' ? '1' : '0';
    assert_int_equal(check(fx, token).err, FLEET_NOT_FOUND);
}

static void test_revoking_works_at_once(void **state)
{
    struct fleet_fixture *fx = *state;
    char token[FLEET_TOKEN_TEXT_SIZE];
    struct revoked r = {0};
    struct checked racing = {0};
    create("nina", FLEET_OWNER, 0, token);
    assert_int_equal(check(fx, token).err, FLEET_OK); /* now it is in the cache */
    fleet_revoke_token(fx->fleet, token, on_revoked, &r);
    fleet_check_token(fx->fleet, token, on_checked,
                      &racing); /* asked before the answer: either is right, but not kept */
    assert_int_equal(r.calls, 0);
    fleet_run_until(fx, r.calls && racing.calls);
    assert_int_equal(r.err, FLEET_OK);
    assert_int_equal(r.count, 1);
    assert_int_equal(check(fx, token).err, FLEET_NOT_FOUND);
    fleet_revoke_token(fx->fleet, token, on_revoked, &r);
    fleet_run_until(fx, r.calls == 2);
    assert_int_equal(r.count, 0);
}

static void test_revoke_all_is_of_one_user(void **state)
{
    struct fleet_fixture *fx = *state;
    char mine[2][FLEET_TOKEN_TEXT_SIZE], others[FLEET_TOKEN_TEXT_SIZE];
    struct revoked r = {0};
    create("nina", FLEET_OWNER, 0, mine[0]);
    create("nina", FLEET_OWNER, 0, mine[1]);
    create("mike", FLEET_OWNER, 0, others);
    struct checked me = check(fx, mine[0]);
    assert_int_equal(check(fx, others).err, FLEET_OK);
    fleet_revoke_all_tokens(fx->fleet, &me.actor, on_revoked, &r);
    fleet_run_until(fx, r.calls);
    assert_int_equal(r.count, 2);
    assert_int_equal(check(fx, mine[0]).err, FLEET_NOT_FOUND);
    assert_int_equal(check(fx, mine[1]).err, FLEET_NOT_FOUND);
    assert_int_equal(check(fx, others).err, FLEET_OK);
}

static bool is_cached(struct fleet_fixture *fx, const char *token)
{
    struct fleet_actor actor;
    uint8_t sha256[32];
    token_sum(sha256, token);
    return token_cache_get(fx->fleet->tokens, sha256, clock_ms(), &actor);
}

/* What one node says of a revocation makes another forget, and nothing else. */
static void test_other_nodes_hear_of_it(void **state)
{
    struct fleet_fixture *fx = *state;
    char token[FLEET_TOKEN_TEXT_SIZE], other[FLEET_TOKEN_TEXT_SIZE], message[64];
    struct revoked r = {0};
    create("nina", FLEET_OWNER, 0, token);
    create("mike", FLEET_OWNER, 0, other);
    memset(&fake_nodes, 0, sizeof fake_nodes);
    fleet_set_nodes(fx->fleet, &fake_nodes, &fake_sessions);
    fleet_revoke_token(fx->fleet, token, on_revoked, &r);
    fleet_run_until(fx, r.calls);
    assert_int_equal(fake_nodes.sent, 1);
    assert_int_equal(fake_nodes.topic, NODES_TOKENS);
    memcpy(message, fake_nodes.text, 33);
    fleet_script("UPDATE access_token SET revoked_at = NULL"); /* as if this node had not done it */
    assert_int_equal(check(fx, token).err, FLEET_OK);
    assert_int_equal(check(fx, other).err, FLEET_OK);
    nodes_receive_fn *hear = fake_nodes.receivers[NODES_TOKENS].fn;
    hear(fake_nodes.receivers[NODES_TOKENS].ctx, 1, (uint8_t *)message, 33);
    assert_false(is_cached(fx, token));
    assert_true(is_cached(fx, other));
    hear(fake_nodes.receivers[NODES_TOKENS].ctx, 1, (const uint8_t *)"?",
         1); /* not understood: all of them */
    assert_false(is_cached(fx, other));
}

static void test_expired_tokens(void **state)
{
    struct fleet_fixture *fx = *state;
    char token[FLEET_TOKEN_TEXT_SIZE];
    create("nina", FLEET_OWNER, 1000, token);
    fleet_script("UPDATE access_token SET expires_at = now() - interval '1 s'");
    struct checked c = check(fx, token);
    assert_int_equal(c.err, FLEET_NOT_FOUND);
    assert_true(c.is_known); /* whose it was is told, for the audit trail */
    assert_string_equal(c.actor.user_name, "nina");
    token[0] = token[0] == '0' ? '1' : '0';
    assert_false(check(fx, token).is_known);
}

static void test_scopes_and_confinement(void **state)
{
    struct fleet_fixture *fx = *state;
    char token[FLEET_TOKEN_TEXT_SIZE];
    create("nina", FLEET_OWNER, 0, token);
    assert_false(check(fx, token).actor.has_scopes);
    assert_int_equal(check(fx, token).actor.confined_to, 0);
    create("nina", FLEET_OWNER, 0, token); /* none of the cache's */
    fleet_script("INSERT INTO product (id, slug, name, platform_id) VALUES (1700, 'p', 'p', 12);"
                 "UPDATE access_token SET scopes = '{devices:list,*:get}', product_id = 1700");
    struct checked c = check(fx, token);
    assert_int_equal(c.err, FLEET_OK);
    assert_true(c.actor.has_scopes);
    assert_string_equal(c.actor.scopes, "devices:list *:get");
    assert_int_equal(c.actor.confined_to, 1700);
    create("nina", FLEET_OWNER, 0, token); /* without a single scope it may nothing, not all */
    fleet_script("UPDATE access_token SET scopes = '{}'");
    c = check(fx, token);
    assert_true(c.actor.has_scopes);
    assert_string_equal(c.actor.scopes, "");
    create("nina", FLEET_OWNER, 0, token); /* a list that does not fit is no list */
    fleet_script("UPDATE access_token SET scopes = ARRAY(SELECT 'a:' || n FROM generate_series(1, 1000) n)");
    assert_int_equal(check(fx, token).err, FLEET_NOT_FOUND);
    fleet_script("DELETE FROM product WHERE id = 1700");
}

/* An answer is never kept beyond the life of the token, nor beyond its few seconds. */
static void test_cache(void **state)
{
    (void)state;
    struct token_cache *c = token_cache_new();
    uint8_t a[32] = {1}, b[32] = {2};
    struct fleet_actor actor = {.user_id = 7}, found;
    token_cache_put(c, a, 1000, UINT64_MAX, &actor);
    token_cache_put(c, b, 1000, 10, &actor);
    assert_true(token_cache_get(c, a, 1000 + TOKEN_CACHE_MS - 1, &found));
    assert_int_equal(found.user_id, 7);
    assert_false(token_cache_get(c, a, 1000 + TOKEN_CACHE_MS, &found));
    assert_false(token_cache_get(c, b, 1010, &found));
    for (unsigned i = 0; i < 3 * TOKEN_CACHE_MAX; i++) {
        memcpy(a, &i, sizeof i);
        token_cache_put(c, a, 1000, UINT64_MAX, &actor);
    }
    assert_true(token_cache_get(c, a, 1000, &found));
    memset(a, 0, sizeof a); /* long since pushed out by the others */
    assert_false(token_cache_get(c, a, 1000, &found));
    token_cache_free(c);
}

struct tokens {
    int calls;
    enum fleet_err err;
    size_t count;
    char users[100];
    char prefix[8];
};

static void on_tokens(void *arg, enum fleet_err err, const struct fleet_token_row *rows, size_t count)
{
    struct tokens *t = arg;
    t->calls++;
    t->err = err;
    t->count = count;
    for (size_t i = 0; i < count && i < 3; i++) {
        size_t len = strlen(t->users);
        snprintf(t->users + len, sizeof t->users - len, "%s:%s ", rows[i].user,
                 fleet_role_name(rows[i].role));
        assert_true(rows[i].created_ms > 0);
    }
    if (count)
        snprintf(t->prefix, sizeof t->prefix, "%s", rows[0].prefix);
}

static void test_list(void **state)
{
    struct fleet_fixture *fx = *state;
    char nina[FLEET_TOKEN_TEXT_SIZE], mike[FLEET_TOKEN_TEXT_SIZE];
    struct tokens own = {0}, all = {0}, operators = {0};
    create("nina", FLEET_OWNER, 0, nina);
    create("mike", FLEET_OPERATOR, 60, mike);
    struct checked n = check(fx, nina), m = check(fx, mike);
    fleet_list_tokens(fx->fleet, &n.actor, on_tokens, &own);
    fleet_list_tokens(fx->fleet, &m.actor, on_tokens, &operators);
    fleet_list_tokens(fx->fleet, &fx->admin, on_tokens, &all);
    fleet_run_until(fx, own.calls && all.calls && operators.calls);
    assert_string_equal(own.users, "nina:owner ");
    assert_int_equal(strlen(own.prefix), 6);
    assert_memory_equal(own.prefix, nina, 6);
    assert_string_equal(operators.users, "mike:operator ");
    assert_string_equal(all.users, "nina:owner mike:operator ");
}

static void test_the_current_token_is_always_listed(void **state)
{
    struct fleet_fixture *fx = *state;
    char nina[FLEET_TOKEN_TEXT_SIZE], last[FLEET_TOKEN_TEXT_SIZE];
    struct tokens own = {0};
    create("nina", FLEET_OWNER, 0, nina);
    fleet_script("INSERT INTO access_token (user_id, sha256, prefix) SELECT user_id,"
                 " sha256(n::text::bytea), 'old' FROM access_token, generate_series(1, 10000) n");
    create("nina", FLEET_OWNER, 0, last);
    struct checked n = check(fx, last);
    fleet_list_tokens(fx->fleet, &n.actor, on_tokens, &own);
    fleet_run_until(fx, own.calls);
    assert_int_equal(own.count, 10000);
    assert_memory_equal(own.prefix, last, 6);
}

static void test_away(void **state)
{
    struct fleet_fixture *fx = *state;
    char known[FLEET_TOKEN_TEXT_SIZE];
    create("nina", FLEET_OWNER, 0, known);
    private_postgres_kill(&fleet_postgres);
    fleet_run_until(fx, !fleet_is_up(fx->fleet));
    assert_int_equal(check(fx, known).err, FLEET_AWAY);
    assert_true(private_postgres_start(&fleet_postgres));
    fleet_run_until(fx, fleet_is_up(fx->fleet));
    assert_int_equal(check(fx, known).err, FLEET_OK);
}

static void test_roles(void **state)
{
    (void)state;
    enum fleet_role role;
    for (int i = FLEET_OWNER; i <= FLEET_ADMIN; i++) {
        assert_true(fleet_role_parse(&role, fleet_role_name((enum fleet_role)i)));
        assert_int_equal(role, i);
    }
    assert_false(fleet_role_parse(&role, "root"));
    assert_false(fleet_role_parse(&role, ""));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_create_and_check),
        TEST(test_what_is_no_token),
        TEST(test_revoking_works_at_once),
        TEST(test_revoke_all_is_of_one_user),
        TEST(test_other_nodes_hear_of_it),
        TEST(test_expired_tokens),
        TEST(test_scopes_and_confinement),
        cmocka_unit_test(test_cache),
        TEST(test_list),
        TEST(test_the_current_token_is_always_listed),
        TEST(test_away),
        cmocka_unit_test(test_roles),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
