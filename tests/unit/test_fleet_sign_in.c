/* test_fleet_sign_in.c: accounts and their passwords, signing in and its locks. */
#include "account_bench.h"

#include <stdlib.h>

#include "fleet/account.h"
#include "fleet/sign_in.h"

#define AWAY "192.0.2.99"

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

#define GUESSES 40

static void guess_at_once(struct fleet_fixture *fx, const char *last, const char *address, int counts[5],
                          enum sign_in *of_last)
{
    struct signed_in guesses[GUESSES] = {0};
    memset(counts, 0, 5 * sizeof counts[0]);
    for (int i = 0; i < GUESSES; i++)
        fleet_sign_in(fx->fleet, "nina", i < GUESSES - 1 ? "wrong horse" : last, address, on_signed_in,
                      &guesses[i]);
    for (int i = 0; i < GUESSES; i++)
        fleet_run_until(fx, guesses[i].calls);
    for (int i = 0; i < GUESSES; i++) {
        assert_in_range(guesses[i].result, 0, 4);
        counts[guesses[i].result]++;
    }
    *of_last = guesses[GUESSES - 1].result;
}

/* Many guesses at once, all let through before the first was counted: those after the tenth do not count. */
static void test_guesses_at_the_same_time(void **state)
{
    struct fleet_fixture *fx = *state;
    int counts[5];
    enum sign_in last;
    make(fx, "nina", "correct horse");
    guess_at_once(fx, "wrong horse", HOME, counts, &last);
    assert_int_equal(counts[SIGN_IN_WRONG], 10);
    assert_int_equal(counts[SIGN_IN_LOCKED], GUESSES - 10);
}

/* They are counted in any order. Nor does the right one count after the tenth; before it, those after it
 * begin anew. */
static void test_the_right_guess_at_the_same_time(void **state)
{
    struct fleet_fixture *fx = *state;
    int counts[5];
    enum sign_in last;
    make(fx, "nina", "correct horse");
    guess_at_once(fx, "correct horse", HOME, counts, &last);
    if (last == SIGN_IN_LOCKED)
        assert_int_equal(counts[SIGN_IN_WRONG], 10);
    else
        assert_in_range(counts[SIGN_IN_WRONG], 10, 19);
    assert_true(last == SIGN_IN_LOCKED || last == SIGN_IN_OK);
    assert_int_equal(counts[SIGN_IN_OK], last == SIGN_IN_OK);
    assert_int_equal(counts[SIGN_IN_OK] + counts[SIGN_IN_WRONG] + counts[SIGN_IN_LOCKED], GUESSES);
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
        TEST(test_the_right_guess_at_the_same_time),
        TEST(test_yesterdays_failures_are_forgotten),
        TEST(test_away),
        TEST(test_commands),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
