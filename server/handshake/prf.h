/* prf.h: the PRF of TLS 1.2 with SHA-256 (RFC 5246 5).
 *
 * mbedTLS asks it for 256 bytes of key block whatever the cipher suite; of those an AEAD suite with AES-128,
 * and we have no other, uses PRF_KEY_BLOCK_BYTES. hooks.c puts ours in its place, which makes no more. No
 * allocation. Any thread. */
#ifndef CYAN_HANDSHAKE_PRF_H
#define CYAN_HANDSHAKE_PRF_H

#include <stddef.h>

#define PRF_KEY_BLOCK_BYTES 40 /* two keys and two IVs (RFC 5288 3, RFC 6655 3) */
#define PRF_SEED_MAX 96        /* label and seed together: bytes */

/* As mbedtls_ssl_tls_prf_cb: out gets out_len bytes; of a key block, the label `key expansion`, those that
 * are used, and zeros. 0, or an error of mbedTLS when label and seed are too long. */
int prf_tls12(const unsigned char *secret, size_t secret_len, const char *label, const unsigned char *seed,
              size_t seed_len, unsigned char *out, size_t out_len);

#endif
