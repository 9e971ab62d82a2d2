/* sign_in.h: name and password become an actor; wrong ones in a row lock the account and the address.
 *
 *   LOOKING UP --row, no lock--> VERIFYING on a thread --> ENDING, counted in Postgres --> answered
 *
 * An unknown name takes the same way as a known one. The counts are in Postgres, so every node sees them. */
#ifndef CYAN_FLEET_SIGN_IN_H
#define CYAN_FLEET_SIGN_IN_H

#include "fleet/fleet.h"

enum sign_in {
    SIGN_IN_OK,
    SIGN_IN_WRONG,  /* no such person, or not the password */
    SIGN_IN_LOCKED, /* for wait_ms; the password was not looked at, or does not count */
    SIGN_IN_BUSY,   /* too many passwords wait already */
    SIGN_IN_AWAY,   /* Postgres cannot be asked, or the server stops */
    SIGN_IN_FAULT,
};
/* actor: of SIGN_IN_OK, with all that the role may; borrowed. From the loop, exactly once. */
typedef void sign_in_fn(void *arg, enum sign_in result, const struct fleet_actor *actor, uint64_t wait_ms);
/* address: of the client, as text. All copied; the password is wiped afterwards. */
void fleet_sign_in(struct fleet *f, const char *name, const char *password, const char *address,
                   sign_in_fn *done, void *arg);

#endif
