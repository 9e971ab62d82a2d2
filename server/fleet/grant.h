/* grant.h: new tokens for who has proved something: a password, a client's secret, a refresh token (RFC
 * 6749).
 *
 * Refresh tokens are good once: one that comes again ends every token of its family. Callbacks come from the
 * loop, exactly once. */
#ifndef CYAN_FLEET_GRANT_H
#define CYAN_FLEET_GRANT_H

#include "fleet/token.h"

struct granted {
    const char *access_token, *refresh_token; /* shown once; wiped after the callback */
};
/* FLEET_NOT_FOUND: what was presented is not, or no longer, good. granted NULL unless err is FLEET_OK. */
typedef void grant_fn(void *arg, enum fleet_err err, const struct granted *granted);

struct grant_wish {
    const char *client; /* as the client calls itself; NULL: it does not */
    uint64_t expires_s; /* 0: never */
    const char *scopes; /* separated by spaces; NULL: all that the role may */
};
#define GRANT_CLIENT_MAX 64 /* bytes */
#define GRANT_EXPIRES_S_MAX (100ull * 366 * 86400)
/* Texts are copied. */
void fleet_grant_token(struct fleet *f, const struct fleet_actor *actor, const struct grant_wish *wish,
                       grant_fn *done, void *arg);
/* The new token may what the old one might: wish->scopes is not looked at. secret: of wish->client, if it has
 * one (oauth_client.h); else it does not matter, and may be NULL. */
void fleet_refresh_token(struct fleet *f, const char *refresh_token, const char *secret,
                         const struct grant_wish *wish, grant_fn *done, void *arg);
void fleet_grant_client_token(struct fleet *f, const char *client_id, const char *secret,
                              const struct grant_wish *wish, grant_fn *done, void *arg);

#endif
