/* seal.h: secrets of webhooks as they lie in the database: under a key that follows from the server's own, so
 * that a copy of the database gives nobody's passwords away.
 *
 * AES-256-GCM; each text under a key of its own, made from a random salt that stands before it. */
#ifndef CYAN_HOOK_SEAL_H
#define CYAN_HOOK_SEAL_H

#include <stddef.h>
#include <stdint.h>

#define SEAL_KEY_BYTES 32
#define SEAL_LABEL "cyan webhooks at rest" /* for server_key_derive */
#define SEAL_MORE_BYTES 32                 /* a sealed text is so much longer */

/* From malloc, text_len + SEAL_MORE_BYTES. */
uint8_t *seal_close(const uint8_t key[SEAL_KEY_BYTES], const void *text, size_t text_len);
/* From malloc, NUL-terminated, to be wiped by who asked; NULL when it was not sealed under this key. */
char *seal_open(const uint8_t key[SEAL_KEY_BYTES], const uint8_t *sealed, size_t sealed_len);

/* Hex of HMAC-SHA256 over `T.BODY`, what the signature of a request is; key: the secret as it was shown. */
#define SEAL_SIGNATURE_SIZE 65
void seal_sign(const char *secret, int64_t at_s, const void *body, size_t body_len,
               char out[SEAL_SIGNATURE_SIZE]);

#endif
