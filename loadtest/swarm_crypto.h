/* swarm_crypto.h: the few primitives a DTLS 1.2 client needs, on libcrypto and on nothing of the server.
 *
 * P-256 keys, ECDH and ECDSA, SHA-256, the TLS 1.2 PRF, AES-128-CCM-8 and AES-128-GCM. A swarm shares one
 * struct swarm_crypto: the cipher contexts are re-keyed for each record, so that a session holds only its
 * keys.
 *
 * Ownership: swarm_crypto_new gives, swarm_crypto_free takes. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_CRYPTO_H
#define CYAN_LOADTEST_SWARM_CRYPTO_H

#include "base/must.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SWARM_POINT_BYTES 65 /* 04 || X || Y */
#define SWARM_SPKI_BYTES 91  /* device-protocol 1.2 */
#define SWARM_SIGNATURE_MAX_BYTES 80
#define SWARM_HASH_BYTES 32
#define SWARM_AEAD_NONCE_BYTES 12

struct swarm_crypto;
struct swarm_verifier; /* a public key kept ready to check signatures */

struct swarm_key {
    uint8_t secret[32]; /* big-endian scalar */
    uint8_t point[SWARM_POINT_BYTES];
};

enum swarm_suite { SWARM_SUITE_CCM8, SWARM_SUITE_GCM };

struct swarm_crypto *swarm_crypto_new(void);
void swarm_crypto_free(struct swarm_crypto *c);

void swarm_random(void *out, size_t out_len);
bool swarm_key_generate(struct swarm_crypto *c, struct swarm_key *key) must_check;
/* Fills in key->point from key->secret; false when the scalar is not of this curve. */
bool swarm_key_complete(struct swarm_crypto *c, struct swarm_key *key) must_check;
/* The X coordinate of secret * peer; false when peer is not a point of the curve. */
bool swarm_key_agree(struct swarm_crypto *c, uint8_t out[32], const struct swarm_key *own,
                     const uint8_t peer[SWARM_POINT_BYTES]) must_check;
/* ECDSA over a SHA-256 hash, DER. Returns the length, 0 on failure. */
size_t swarm_key_sign(struct swarm_crypto *c, uint8_t out[SWARM_SIGNATURE_MAX_BYTES],
                      const struct swarm_key *key, const uint8_t hash[SWARM_HASH_BYTES]) must_check;
void swarm_spki_encode(uint8_t out[SWARM_SPKI_BYTES], const uint8_t point[SWARM_POINT_BYTES]);
/* Accepts padding after the key, as devices do. False when it is no P-256 SubjectPublicKeyInfo. */
bool swarm_spki_decode(uint8_t point[SWARM_POINT_BYTES], const uint8_t *der, size_t der_len) must_check;
/* PEM of the public or the private key, NUL-terminated; the caller frees. */
char *swarm_key_public_pem(const struct swarm_key *key);
char *swarm_key_private_pem(struct swarm_crypto *c, const struct swarm_key *key);

/* NULL when point is not of the curve. */
struct swarm_verifier *swarm_verifier_new(struct swarm_crypto *c, const uint8_t point[SWARM_POINT_BYTES]);
void swarm_verifier_free(struct swarm_verifier *v);
bool swarm_verifier_check(const struct swarm_verifier *v, const uint8_t hash[SWARM_HASH_BYTES],
                          const uint8_t *sig, size_t sig_len) must_check;

void swarm_sha256(uint8_t out[SWARM_HASH_BYTES], const void *data, size_t data_len);
/* RFC 5246 5: P_SHA256(secret, label || seed). */
struct swarm_bytes {
    const uint8_t *data; /* borrowed */
    size_t len;
};
void swarm_prf(struct swarm_bytes secret, const char *label, struct swarm_bytes seed, uint8_t *out,
               size_t out_len);

static inline size_t swarm_suite_tag_bytes(enum swarm_suite suite)
{
    return suite == SWARM_SUITE_CCM8 ? 8 : 16;
}

struct swarm_aead {
    const uint8_t *key; /* 16 bytes, borrowed */
    uint8_t nonce[SWARM_AEAD_NONCE_BYTES];
    const uint8_t *aad; /* borrowed */
    size_t aad_len;
    enum swarm_suite suite;
};
/* out: in_len bytes and the tag after them; in and out may be the same place. */
bool swarm_aead_seal(struct swarm_crypto *c, const struct swarm_aead *a, const uint8_t *in, size_t in_len,
                     uint8_t *out) must_check;
/* in_len is with the tag; out: in_len less the tag. False when the tag does not fit; out is then undefined.
 */
bool swarm_aead_open(struct swarm_crypto *c, const struct swarm_aead *a, const uint8_t *in, size_t in_len,
                     uint8_t *out) must_check;

#endif
