/* token.h: access tokens: 40 hex digits shown once, kept as SHA-256; users with one of three roles. */
#ifndef CYAN_FLEET_TOKEN_H
#define CYAN_FLEET_TOKEN_H

#include "fleet/fleet.h"

#define FLEET_TOKEN_TEXT_SIZE 41

typedef void fleet_actor_fn(void *arg, enum fleet_err err, const struct fleet_actor *actor);
/* token: as presented, any text up to 128 bytes. FLEET_NOT_FOUND when unknown, expired or revoked; of one
 * that was valid once actor then tells whose it was, else it is NULL. Answers of the last few seconds are
 * cached by hash, bounded; a revocation empties the entry of it at once, and on other nodes when they hear of
 * it (token_news.h). */
void fleet_check_token(struct fleet *f, const char *token, fleet_actor_fn *done, void *arg);

struct fleet_token_row {
    int64_t id;
    const char *prefix; /* first 6 digits, to tell tokens apart */
    const char *user, *client;
    const char *scopes; /* separated by spaces; NULL: all that the role may */
    enum fleet_role role;
    uint64_t created_ms, expires_ms, last_used_ms; /* Unix ms, 0 = never */
};
typedef void fleet_tokens_fn(void *arg, enum fleet_err err, const struct fleet_token_row *rows, size_t count);
/* The actor's own tokens; of everybody for an admin. At most 10,000, the one it came with first. */
void fleet_list_tokens(struct fleet *f, const struct fleet_actor *actor, fleet_tokens_fn *done, void *arg);

typedef void fleet_revoke_fn(void *arg, enum fleet_err err, uint64_t revoked);
/* Holding the token is the authority to revoke it (rest-api 0.3). */
void fleet_revoke_token(struct fleet *f, const char *token, fleet_revoke_fn *done, void *arg);
void fleet_revoke_all_tokens(struct fleet *f, const struct fleet_actor *actor, fleet_revoke_fn *done,
                             void *arg);

/* A new token, what is kept of it, and how it begins. */
#define TOKEN_PREFIX_SIZE 7
void token_make(char text[FLEET_TOKEN_TEXT_SIZE], uint8_t sha256[32], char prefix[TOKEN_PREFIX_SIZE]);
void token_sum(uint8_t sha256[32], const char *token);

/* cyand token create: makes the user when new (its role is set to role), prints nothing; text gets the token.
 * expires_s 0 = never. Returns 0, or -1 with a one-line reason. */
must_check int fleet_create_token_sync(struct pg_sync *s, const char *user, enum fleet_role role,
                                       uint64_t expires_s, char text[FLEET_TOKEN_TEXT_SIZE], char *why,
                                       size_t why_size);

#endif
