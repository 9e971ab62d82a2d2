/* hmac.h: HMAC-SHA-256 (RFC 2104) from hash states: what a key contributes is hashed once, not for every
 * message.
 *
 * mbedTLS hashes a key's two pads anew for each message; the PRF of one handshake is some thirty messages
 * under three keys. The linker turns its calls of mbedtls_md_hmac_starts, _reset and _finish into ours
 * (`--wrap`, CMakeLists.txt), which halves that work. No allocation. Any thread. */
#ifndef CYAN_HANDSHAKE_HMAC_H
#define CYAN_HANDSHAKE_HMAC_H

#include <stddef.h>
#include <stdint.h>

#define HMAC_BYTES 32

struct hmac_key { /* a secret, as the key itself is */
    uint32_t inner[8], outer[8];
};
void hmac_key_init(struct hmac_key *k, const uint8_t *key, size_t key_len);
void hmac_make(const struct hmac_key *k, const uint8_t *text, size_t text_len, uint8_t out[HMAC_BYTES]);

#endif
