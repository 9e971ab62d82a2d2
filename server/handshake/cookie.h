/* cookie.h: the stateless proof of address: HMAC-SHA-256 over the peer's address, port and client random
 * under a secret that changes every minute; a cookie is good for one to two minutes (RFC 6347 4.2.1).
 *
 * The secrets follow from a seed and the time: nodes with the same seed, and the next process after a
 * restart, take each other's cookies. Their clocks may be a minute apart. */
#ifndef CYAN_HANDSHAKE_COOKIE_H
#define CYAN_HANDSHAKE_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handshake/hmac.h"
#include "net/path.h"

#define COOKIE_BYTES 32
#define COOKIE_SEED_BYTES 32
#define COOKIE_RANDOM_BYTES 32 /* of the ClientHello */

struct cookie_secrets {
    struct hmac_key seed;
    struct hmac_key minutes[3]; /* the one before, this, the one after */
    uint64_t minute;            /* of Unix time: which this is; 0 = none yet */
};
void cookie_init(struct cookie_secrets *c, const uint8_t seed[COOKIE_SEED_BYTES]);
/* wall_ms: Unix time. */
void cookie_make(struct cookie_secrets *c, const struct net_path *path, const uint8_t *client_random,
                 uint64_t wall_ms, uint8_t out[COOKIE_BYTES]);
bool cookie_check(struct cookie_secrets *c, const struct net_path *path, const uint8_t *client_random,
                  uint64_t wall_ms, const uint8_t *cookie, size_t cookie_len);

#endif
