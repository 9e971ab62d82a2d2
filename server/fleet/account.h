/* account.h: people who sign in with a password: made, and given another one.
 *
 * Each change is one transaction with its audit row. Callbacks come from the loop, exactly once; strings are
 * copied, passwords wiped afterwards. why: static sentence, "" when none. */
#ifndef CYAN_FLEET_ACCOUNT_H
#define CYAN_FLEET_ACCOUNT_H

#include "fleet/fleet.h"
#include "fleet/password.h"

enum account_err {
    ACCOUNT_OK,
    ACCOUNT_INVALID, /* why says it */
    ACCOUNT_TAKEN,
    ACCOUNT_BUSY, /* too many passwords wait already */
    ACCOUNT_AWAY,
    ACCOUNT_FAULT,
};
typedef void account_fn(void *arg, enum account_err err, const char *why);

/* actor NULL: the person who signs up. */
void fleet_create_account(struct fleet *f, const struct fleet_actor *actor, const char *name,
                          const char *password, enum fleet_role role, account_fn *done, void *arg);
/* Ends all sign-ins of the actor but the one that asks. Whether the actor knows the current password is
 * asked before (sign_in.h). */
void fleet_change_password(struct fleet *f, const struct fleet_actor *actor, const char *password,
                           account_fn *done, void *arg);
struct password_cost account_cost(const struct fleet *f); /* of new passwords */

/* cyand user add, cyand user password: before the loop runs. 0, or -1 with a one-line reason. */
must_check int fleet_add_user_sync(struct pg_sync *s, const char *name, enum fleet_role role,
                                   const char *password, const struct password_cost *cost, char *why,
                                   size_t why_size);
must_check int fleet_set_password_sync(struct pg_sync *s, const char *name, const char *password,
                                       const struct password_cost *cost, char *why, size_t why_size);

#endif
