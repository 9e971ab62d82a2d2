/* ccm.h: AES-128-CCM (RFC 3610) of one message, by the processor's AES instructions.
 *
 * libcrypto spends two thirds of a short record on finding its own parameters. Here a key lives for one
 * call and on the stack alone, so that no session keeps a key schedule. Constant time, as the instructions
 * are. Where they are missing the caller uses libcrypto. Pure functions; any thread. */
#ifndef CYAN_HANDSHAKE_CCM_H
#define CYAN_HANDSHAKE_CCM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CCM_KEY_BYTES 16
#define CCM_NONCE_BYTES 12
#define CCM_AAD_MAX 64 /* bytes; ours are at most 33 */

bool ccm_is_available(void);
void ccm_allow(bool allowed); /* for tests: false behaves as a processor without the instructions */

/* text is encrypted in place. tag_len: 8 or 16. */
void ccm_seal(const uint8_t key[CCM_KEY_BYTES], const uint8_t nonce[CCM_NONCE_BYTES], const uint8_t *aad,
              size_t aad_len, uint8_t *text, size_t text_len, uint8_t *tag, size_t tag_len);
/* text is decrypted in place, and overwritten with zeros when the tag is wrong (false). */
bool ccm_open(const uint8_t key[CCM_KEY_BYTES], const uint8_t nonce[CCM_NONCE_BYTES], const uint8_t *aad,
              size_t aad_len, uint8_t *text, size_t text_len, const uint8_t *tag, size_t tag_len);

#endif
