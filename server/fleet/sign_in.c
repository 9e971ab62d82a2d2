#include "fleet/sign_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "fleet/account.h"
#include "fleet/password_queue.h"
#include "fleet/room.h"
#include "fleet/utf8.h"

#define ADDRESS_SIZE 64

static const struct pg_statement look_up = {
    .name = "sign_in_look_up",
    .sql =
        "SELECT sign_in_wait_ms(sign_in_subjects($1::text, $2::text)), u.id, u.name, u.role, u.password"
        " FROM (SELECT) one LEFT JOIN users u ON lower(u.name) = lower($1::text) AND u.password IS NOT NULL",
    .params = 2,
};
static const struct pg_statement end = {
    .name = "sign_in_end",
    .sql = "SELECT sign_in_end($1::text, $2::text, $3::boolean, $4::bigint, $5::text, $6::text)",
    .params = 6,
};

struct sign_in_wait {
    struct fleet *f;
    sign_in_fn *done;
    void *arg;
    struct fleet_actor actor; /* user_id 0: nobody of that name */
    bool is_right;
    char name[sizeof(((struct fleet_actor *)0)->user_name)];
    char address[ADDRESS_SIZE];
    char phc[PASSWORD_PHC_SIZE];
    char password[PASSWORD_MAX + 2]; /* one more than any has: it stays too long */
};

/* Frees wait. */
static void answer(struct sign_in_wait *wait, enum sign_in result, uint64_t wait_ms)
{
    sign_in_fn *done = wait->done;
    void *arg = wait->arg;
    struct fleet_actor actor = wait->actor;
    bytes_wipe(wait, sizeof *wait);
    free(wait);
    done(arg, result, result == SIGN_IN_OK ? &actor : NULL, wait_ms);
}

static void fail(struct sign_in_wait *wait, enum fleet_err err)
{
    answer(wait, err == FLEET_AWAY ? SIGN_IN_AWAY : SIGN_IN_FAULT, 0);
}

static void on_ended(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct sign_in_wait *wait = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "sign_in_end");
    if (ferr)
        fail(wait, ferr);
    else if (pg_int(result, 0, 0) > 0)
        answer(wait, SIGN_IN_LOCKED, (uint64_t)pg_int(result, 0, 0));
    else
        answer(wait, wait->is_right ? SIGN_IN_OK : SIGN_IN_WRONG, 0);
}

static void on_verified(void *arg, enum password_answer verdict, const char *new_phc)
{
    struct sign_in_wait *wait = arg;
    struct fleet_number user;
    if (verdict == PASSWORD_AWAY || verdict == PASSWORD_FAULT) {
        answer(wait, verdict == PASSWORD_AWAY ? SIGN_IN_AWAY : SIGN_IN_FAULT, 0);
        return;
    }
    wait->is_right = verdict == PASSWORD_RIGHT && wait->actor.user_id != 0;
    struct pg_param params[] = {
        pg_text(wait->name),
        pg_text(wait->address),
        fleet_bool(wait->is_right),
        wait->actor.user_id ? fleet_int(&user, wait->actor.user_id) : pg_text(NULL),
        pg_text(wait->phc),
        pg_text(*new_phc ? new_phc : NULL),
    };
    pg_exec(wait->f->pg, &end, params, fleet_patience_ms(wait->f), PG_AGAIN, on_ended, wait);
}

static bool read_actor(struct sign_in_wait *wait, const struct pg_result *result)
{
    const char *phc = pg_value(result, 0, 4);
    if (pg_is_null(result, 0, 1))
        return true;
    if (strlen(phc) >= sizeof wait->phc || !fleet_role_parse(&wait->actor.role, pg_value(result, 0, 3)))
        return false;
    wait->actor.user_id = pg_int(result, 0, 1);
    snprintf(wait->actor.user_name, sizeof wait->actor.user_name, "%s", pg_value(result, 0, 2));
    memcpy(wait->phc, phc, strlen(phc) + 1);
    return true;
}

static void on_found(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct sign_in_wait *wait = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "sign_in_look_up");
    struct password_cost cost = account_cost(wait->f);
    if (!ferr && !read_actor(wait, result))
        ferr = FLEET_FAULT;
    if (ferr) {
        fail(wait, ferr);
        return;
    }
    if (pg_int(result, 0, 0) > 0) {
        answer(wait, SIGN_IN_LOCKED, (uint64_t)pg_int(result, 0, 0));
        return;
    }
    if (!password_queue_verify(wait->f->passwords, *wait->phc ? wait->phc : NULL, wait->password, &cost,
                               on_verified, wait))
        answer(wait, SIGN_IN_BUSY, 0);
}

void fleet_sign_in(struct fleet *f, const char *name, const char *password, const char *address,
                   sign_in_fn *done, void *arg)
{
    struct sign_in_wait *wait = mem_alloc(sizeof *wait);
    wait->f = f;
    wait->done = done;
    wait->arg = arg;
    utf8_clean(wait->name, sizeof wait->name, name, strlen(name));
    utf8_clean(wait->address, sizeof wait->address, address, strlen(address));
    snprintf(wait->password, sizeof wait->password, "%s", password);
    struct pg_param params[] = {pg_text(wait->name), pg_text(wait->address)};
    pg_exec(f->pg, &look_up, params, fleet_patience_ms(f), PG_RETRY, on_found, wait);
}
