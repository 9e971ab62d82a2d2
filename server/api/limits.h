/* limits.h: how often a token and an address may ask: a token bucket for each, of the node it asks.
 *
 * A bucket holds ten seconds' worth, that of logins a minute's. At most LIMITS_MAX of a kind are remembered;
 * the one not seen for the longest is forgotten for a new one. Rate 0: no limit. Ownership: made and freed by
 * api.c. Loop thread only. */
#ifndef CYAN_API_LIMITS_H
#define CYAN_API_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "base/must.h"

#define LIMITS_MAX 10000

struct limits_settings {
    uint32_t per_token, per_address; /* requests a second */
    uint32_t logins;                 /* of one address a minute */
};
struct limits;
struct limits *limits_new(struct metrics *metrics, const struct limits_settings *settings);
void limits_reload(struct limits *l, const struct limits_settings *settings);
void limits_free(struct limits *l);

/* Each counts one. False: too many; *wait_ms until the next may come. network: of client_address.h. */
must_check bool limits_take_address(struct limits *l, const uint8_t network[16], uint64_t *wait_ms);
must_check bool limits_take_login(struct limits *l, const uint8_t network[16], uint64_t *wait_ms);
must_check bool limits_take_token(struct limits *l, int64_t token_id, uint64_t *wait_ms);

#endif
