/* cookie.h: the stateless proof of address: HMAC-SHA-256 over the peer's address, port and client random
 * under a secret that changes every minute; a cookie is good for one to two minutes (RFC 6347 4.2.1). */
#ifndef CYAN_HANDSHAKE_COOKIE_H
#define CYAN_HANDSHAKE_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/path.h"

#define COOKIE_BYTES 32
#define COOKIE_RANDOM_BYTES 32 /* of the ClientHello */

struct cookie_secrets {
    uint8_t current[32], previous[32];
    uint64_t rotated_ms;
};
void cookie_init(struct cookie_secrets *c, uint64_t now_ms);
void cookie_make(struct cookie_secrets *c, const struct net_path *path, const uint8_t *client_random,
                 uint64_t now_ms, uint8_t out[COOKIE_BYTES]);
bool cookie_check(struct cookie_secrets *c, const struct net_path *path, const uint8_t *client_random,
                  uint64_t now_ms, const uint8_t *cookie, size_t cookie_len);

#endif
