#include "fleet/account.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fleet/password_queue.h"
#include "fleet/room.h"
#include "fleet/token_news.h"
#include "fleet/utf8.h"

static const struct pg_statement create_account = {
    .name = "account_create",
    .sql = "SELECT account_create($1::text, $2::text, $3::text, $4::text)",
    .params = 4,
};
static const struct pg_statement set_password = {
    .name = "account_set_password",
    .sql = "SELECT account_set_password($1::text, $2::bigint, $3::text, $4::bigint)",
    .params = 4,
};

struct account_wait {
    struct fleet *f;
    account_fn *done;
    void *arg;
    bool has_actor, creates;
    struct fleet_actor actor;
    enum fleet_role role;
    char name[sizeof(((struct fleet_actor *)0)->user_name)];
    enum account_err err; /* of answer_now */
    const char *why;
};

struct password_cost account_cost(const struct fleet *f)
{
    return (struct password_cost){.memory_kib = f->settings.argon2_memory_kib,
                                  .iterations = f->settings.argon2_iterations};
}

/* Frees wait. */
static void answer(struct account_wait *wait, enum account_err err, const char *why)
{
    account_fn *done = wait->done;
    void *arg = wait->arg;
    free(wait);
    done(arg, err, why);
}

static void answer_now(void *ctx)
{
    struct account_wait *wait = ctx;
    answer(wait, wait->err, wait->why);
}

static void answer_later(struct account_wait *wait, enum account_err err, const char *why)
{
    wait->err = err;
    wait->why = why;
    later_push(&wait->f->later, answer_now, wait);
}

static void on_written(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct account_wait *wait = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "account");
    const char *code = ferr ? "" : pg_value(result, 0, 0);
    if (!wait->creates)
        token_news_all(wait->f);
    if (ferr)
        answer(wait, ferr == FLEET_AWAY ? ACCOUNT_AWAY : ACCOUNT_FAULT, "");
    else if (!strcmp(code, "taken"))
        answer(wait, ACCOUNT_TAKEN, "That username is taken.");
    else if (!strcmp(code, "not found"))
        answer(wait, ACCOUNT_INVALID, "An API user has no password.");
    else
        answer(wait, ACCOUNT_OK, "");
}

static void on_hashed(void *arg, enum password_answer verdict, const char *phc)
{
    struct account_wait *wait = arg;
    struct fleet_number user, token;
    if (verdict != PASSWORD_RIGHT) {
        answer(wait, verdict == PASSWORD_AWAY ? ACCOUNT_AWAY : ACCOUNT_FAULT, "");
        return;
    }
    if (wait->creates) {
        struct pg_param params[] = {pg_text(wait->has_actor ? wait->actor.user_name : NULL),
                                    pg_text(wait->name), pg_text(phc), pg_text(fleet_role_name(wait->role))};
        pg_exec(wait->f->pg, &create_account, params, fleet_patience_ms(wait->f), PG_AGAIN, on_written, wait);
        return;
    }
    struct pg_param params[] = {pg_text(wait->actor.user_name), fleet_int(&user, wait->actor.user_id),
                                pg_text(phc), fleet_int(&token, wait->actor.token_id)};
    pg_exec(wait->f->pg, &set_password, params, fleet_patience_ms(wait->f), PG_AGAIN, on_written, wait);
}

static struct account_wait *wait_new(struct fleet *f, const struct fleet_actor *actor, account_fn *done,
                                     void *arg)
{
    struct account_wait *wait = mem_alloc(sizeof *wait);
    wait->f = f;
    wait->done = done;
    wait->arg = arg;
    wait->has_actor = actor != NULL;
    if (actor)
        wait->actor = *actor;
    return wait;
}

static void hash(struct account_wait *wait, const char *password)
{
    struct password_cost cost = account_cost(wait->f);
    const char *flaw = password_flaw(password);
    if (flaw)
        answer_later(wait, ACCOUNT_INVALID, flaw);
    else if (!password_queue_hash(wait->f->passwords, password, &cost, on_hashed, wait))
        answer_later(wait, ACCOUNT_BUSY, "");
}

void fleet_create_account(struct fleet *f, const struct fleet_actor *actor, const char *name,
                          const char *password, enum fleet_role role, account_fn *done, void *arg)
{
    struct account_wait *wait = wait_new(f, actor, done, arg);
    const char *flaw = password_name_flaw(name);
    wait->creates = true;
    wait->role = role;
    if (flaw) {
        answer_later(wait, ACCOUNT_INVALID, flaw);
        return;
    }
    utf8_clean(wait->name, sizeof wait->name, name, strlen(name));
    hash(wait, password);
}

void fleet_change_password(struct fleet *f, const struct fleet_actor *actor, const char *password,
                           account_fn *done, void *arg)
{
    hash(wait_new(f, actor, done, arg), password);
}

/* --- before the loop runs --- */

static int refuse(char *why, size_t why_size, const char *sentence)
{
    snprintf(why, why_size, "%s", sentence);
    return -1;
}

static int make(char phc[PASSWORD_PHC_SIZE], const char *name, const char *password,
                const struct password_cost *cost, char *why, size_t why_size)
{
    const char *flaw = password_name_flaw(name);
    if (!flaw)
        flaw = password_flaw(password);
    if (flaw)
        return refuse(why, why_size, flaw);
    if (!password_hash(phc, password, cost))
        return refuse(why, why_size, "argon2 does not take auth.argon2_memory_kib or auth.argon2_iterations");
    return 0;
}

/* 0 when the statement's answer is this one, else -1. */
static int expect(struct pg_sync *s, const char *sql, const struct pg_param *params, int param_count,
                  const char *wanted, char *why, size_t why_size)
{
    struct pg_result *result;
    if (pg_sync_exec(s, sql, params, param_count, &result, why, why_size) != 0)
        return -1;
    int err = pg_rows(result) == 1 && strcmp(pg_value(result, 0, 0), wanted) == 0 ? 0 : 1;
    pg_sync_free(result);
    return err;
}

int fleet_add_user_sync(struct pg_sync *s, const char *name, enum fleet_role role, const char *password,
                        const struct password_cost *cost, char *why, size_t why_size)
{
    char phc[PASSWORD_PHC_SIZE];
    if (make(phc, name, password, cost, why, why_size) != 0)
        return -1;
    struct pg_param params[] = {pg_text(name), pg_text(phc), pg_text(fleet_role_name(role))};
    int err = expect(s, "SELECT account_create('command', $1::text, $2::text, $3::text)", params, 3, "ok",
                     why, why_size);
    if (err > 0)
        snprintf(why, why_size, "there is a user %s already; cyand user password %s gives it a password",
                 name, name);
    return err == 0 ? 0 : -1;
}

int fleet_set_password_sync(struct pg_sync *s, const char *name, const char *password,
                            const struct password_cost *cost, char *why, size_t why_size)
{
    char phc[PASSWORD_PHC_SIZE];
    if (make(phc, name, password, cost, why, why_size) != 0)
        return -1;
    struct pg_param params[] = {pg_text(name), pg_text(phc)};
    int err = expect(s,
                     "SELECT account_set_password('command', u.id, $2::text, 0) FROM (SELECT id FROM users"
                     " WHERE api_user_of IS NULL AND lower(name) = lower($1::text)"
                     " ORDER BY password IS NULL, name = $1::text DESC LIMIT 1) u",
                     params, 2, "ok", why, why_size);
    if (err > 0)
        snprintf(why, why_size, "there is no user %s", name);
    return err == 0 ? 0 : -1;
}
