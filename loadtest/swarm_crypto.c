/* The low-level calls of libcrypto are used on purpose where they are several times faster than EVP for small
 * inputs: a load generator must not be the slower end. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "swarm_crypto.h"
#include "base/bytes.h"
#include "base/mem.h"
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

struct swarm_crypto {
    EC_GROUP *group;
    BN_CTX *bn;
    EVP_CIPHER_CTX *seal[2], *open[2]; /* by enum swarm_suite */
};
struct swarm_verifier {
    EC_KEY *key;
};

static const uint8_t spki_head[SWARM_SPKI_BYTES - SWARM_POINT_BYTES] = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

static EVP_CIPHER_CTX *cipher_new(enum swarm_suite suite, int encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const EVP_CIPHER *cipher = suite == SWARM_SUITE_CCM8 ? EVP_aes_128_ccm() : EVP_aes_128_gcm();
    int ok;

    must(ctx != NULL);
    ok = EVP_CipherInit_ex(ctx, cipher, NULL, NULL, NULL, encrypt);
    must(ok == 1);
    ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, SWARM_AEAD_NONCE_BYTES, NULL);
    must(ok == 1);
    if (suite == SWARM_SUITE_CCM8) {
        ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 8, NULL);
        must(ok == 1);
    }
    return ctx;
}

struct swarm_crypto *swarm_crypto_new(void)
{
    struct swarm_crypto *c = mem_alloc(sizeof(*c));

    c->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    c->bn = BN_CTX_new();
    must(c->group && c->bn);
    for (int suite = 0; suite < 2; suite++) {
        c->seal[suite] = cipher_new((enum swarm_suite)suite, 1);
        c->open[suite] = cipher_new((enum swarm_suite)suite, 0);
    }
    return c;
}

void swarm_crypto_free(struct swarm_crypto *c)
{
    if (!c)
        return;
    for (int suite = 0; suite < 2; suite++) {
        EVP_CIPHER_CTX_free(c->seal[suite]);
        EVP_CIPHER_CTX_free(c->open[suite]);
    }
    BN_CTX_free(c->bn);
    EC_GROUP_free(c->group);
    free(c);
}

void swarm_random(void *out, size_t out_len)
{
    int ok = RAND_bytes(out, (int)out_len);

    must(ok == 1);
}

bool swarm_key_complete(struct swarm_crypto *c, struct swarm_key *key)
{
    BIGNUM *secret = BN_secure_new();
    EC_POINT *point = EC_POINT_new(c->group);
    bool ok = secret && point && BN_bin2bn(key->secret, sizeof(key->secret), secret) && !BN_is_zero(secret) &&
              BN_cmp(secret, EC_GROUP_get0_order(c->group)) < 0 &&
              EC_POINT_mul(c->group, point, secret, NULL, NULL, c->bn) == 1 &&
              EC_POINT_point2oct(c->group, point, POINT_CONVERSION_UNCOMPRESSED, key->point,
                                 sizeof(key->point), c->bn) == SWARM_POINT_BYTES;

    EC_POINT_free(point);
    BN_clear_free(secret);
    return ok;
}

bool swarm_key_generate(struct swarm_crypto *c, struct swarm_key *key)
{
    BIGNUM *secret = BN_secure_new();
    bool ok = false;

    /* Zero comes out with probability 2^-256; swarm_key_complete refuses it. */
    if (secret && BN_priv_rand_range(secret, EC_GROUP_get0_order(c->group)) == 1 &&
        BN_bn2binpad(secret, key->secret, sizeof(key->secret)) == (int)sizeof(key->secret))
        ok = swarm_key_complete(c, key);
    BN_clear_free(secret);
    return ok;
}

bool swarm_key_agree(struct swarm_crypto *c, uint8_t out[32], const struct swarm_key *own,
                     const uint8_t peer[SWARM_POINT_BYTES])
{
    BIGNUM *secret = BN_secure_new();
    BIGNUM *x = BN_secure_new();
    EC_POINT *point = EC_POINT_new(c->group);
    /* oct2point checks that the point lies on the curve. */
    bool ok = secret && x && point && BN_bin2bn(own->secret, sizeof(own->secret), secret) &&
              EC_POINT_oct2point(c->group, point, peer, SWARM_POINT_BYTES, c->bn) == 1 &&
              EC_POINT_mul(c->group, point, NULL, point, secret, c->bn) == 1 &&
              !EC_POINT_is_at_infinity(c->group, point) &&
              EC_POINT_get_affine_coordinates(c->group, point, x, NULL, c->bn) == 1 &&
              BN_bn2binpad(x, out, 32) == 32;

    EC_POINT_free(point);
    BN_clear_free(x);
    BN_clear_free(secret);
    return ok;
}

static EC_KEY *ec_key_new(struct swarm_crypto *c, const uint8_t *secret, const uint8_t *point)
{
    EC_KEY *key = EC_KEY_new();
    BIGNUM *scalar = secret ? BN_bin2bn(secret, 32, NULL) : NULL;
    bool ok = key && EC_KEY_set_group(key, c->group) == 1 &&
              (!secret || (scalar && EC_KEY_set_private_key(key, scalar) == 1)) &&
              EC_KEY_oct2key(key, point, SWARM_POINT_BYTES, c->bn) == 1;

    BN_clear_free(scalar);
    if (ok)
        return key;
    EC_KEY_free(key);
    return NULL;
}

size_t swarm_key_sign(struct swarm_crypto *c, uint8_t out[SWARM_SIGNATURE_MAX_BYTES],
                      const struct swarm_key *key, const uint8_t hash[SWARM_HASH_BYTES])
{
    EC_KEY *ec = ec_key_new(c, key->secret, key->point);
    unsigned int out_len = 0;
    bool ok = ec && ECDSA_size(ec) <= SWARM_SIGNATURE_MAX_BYTES &&
              ECDSA_sign(0, hash, SWARM_HASH_BYTES, out, &out_len, ec) == 1;

    EC_KEY_free(ec);
    return ok ? out_len : 0;
}

void swarm_spki_encode(uint8_t out[SWARM_SPKI_BYTES], const uint8_t point[SWARM_POINT_BYTES])
{
    memcpy(out, spki_head, sizeof(spki_head));
    memcpy(out + sizeof(spki_head), point, SWARM_POINT_BYTES);
}

bool swarm_spki_decode(uint8_t point[SWARM_POINT_BYTES], const uint8_t *der, size_t der_len)
{
    if (der_len < SWARM_SPKI_BYTES || memcmp(der, spki_head, sizeof(spki_head)) != 0 ||
        der[sizeof(spki_head)] != 4)
        return false;
    memcpy(point, der + sizeof(spki_head), SWARM_POINT_BYTES);
    return true;
}

static char *bio_text(BIO *bio)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);

    return mem_string_n(data, (size_t)len);
}

char *swarm_key_public_pem(const struct swarm_key *key)
{
    uint8_t spki[SWARM_SPKI_BYTES];
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    int ok;

    swarm_spki_encode(spki, key->point);
    must(bio != NULL);
    ok = PEM_write_bio(bio, "PUBLIC KEY", "", spki, sizeof(spki));
    must(ok > 0);
    text = bio_text(bio);
    BIO_free(bio);
    return text;
}

char *swarm_key_private_pem(struct swarm_crypto *c, const struct swarm_key *key)
{
    EC_KEY *ec = ec_key_new(c, key->secret, key->point);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    int ok;

    must(ec && bio);
    EC_KEY_set_asn1_flag(ec, OPENSSL_EC_NAMED_CURVE);
    ok = PEM_write_bio_ECPrivateKey(bio, ec, NULL, NULL, 0, NULL, NULL);
    must(ok == 1);
    text = bio_text(bio);
    BIO_free(bio);
    EC_KEY_free(ec);
    return text;
}

struct swarm_verifier *swarm_verifier_new(struct swarm_crypto *c, const uint8_t point[SWARM_POINT_BYTES])
{
    EC_KEY *key = ec_key_new(c, NULL, point);
    struct swarm_verifier *v;

    if (!key)
        return NULL;
    v = mem_alloc(sizeof(*v));
    v->key = key;
    return v;
}

void swarm_verifier_free(struct swarm_verifier *v)
{
    if (!v)
        return;
    EC_KEY_free(v->key);
    free(v);
}

bool swarm_verifier_check(const struct swarm_verifier *v, const uint8_t hash[SWARM_HASH_BYTES],
                          const uint8_t *sig, size_t sig_len)
{
    return sig_len <= SWARM_SIGNATURE_MAX_BYTES &&
           ECDSA_verify(0, hash, SWARM_HASH_BYTES, sig, (int)sig_len, v->key) == 1;
}

void swarm_sha256(uint8_t out[SWARM_HASH_BYTES], const void *data, size_t data_len)
{
    SHA256(data, data_len, out);
}

/* HMAC-SHA256 with the key's two blocks hashed once (RFC 2104 4). */
struct hmac {
    SHA256_CTX inner, outer;
};

static void hmac_init(struct hmac *h, const uint8_t *key, size_t key_len)
{
    uint8_t block[64] = {0};

    if (key_len > sizeof(block))
        SHA256(key, key_len, block);
    else
        memcpy(block, key, key_len);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36;
    SHA256_Init(&h->inner);
    SHA256_Update(&h->inner, block, sizeof(block));
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36 ^ 0x5c;
    SHA256_Init(&h->outer);
    SHA256_Update(&h->outer, block, sizeof(block));
    bytes_wipe(block, sizeof(block));
}

static void hmac_finish(const struct hmac *h, SHA256_CTX *inner, uint8_t out[SWARM_HASH_BYTES])
{
    SHA256_CTX outer = h->outer;
    uint8_t digest[SWARM_HASH_BYTES];

    SHA256_Final(digest, inner);
    SHA256_Update(&outer, digest, sizeof(digest));
    SHA256_Final(out, &outer);
}

void swarm_prf(struct swarm_bytes secret, const char *label, struct swarm_bytes seed, uint8_t *out,
               size_t out_len)
{
    uint8_t a[SWARM_HASH_BYTES], block[SWARM_HASH_BYTES];
    struct hmac h;
    SHA256_CTX inner;

    hmac_init(&h, secret.data, secret.len);
    inner = h.inner;
    SHA256_Update(&inner, label, strlen(label));
    SHA256_Update(&inner, seed.data, seed.len);
    hmac_finish(&h, &inner, a);
    while (out_len > 0) {
        size_t part = out_len < sizeof(block) ? out_len : sizeof(block);

        inner = h.inner;
        SHA256_Update(&inner, a, sizeof(a));
        SHA256_Update(&inner, label, strlen(label));
        SHA256_Update(&inner, seed.data, seed.len);
        hmac_finish(&h, &inner, block);
        memcpy(out, block, part);
        out += part;
        out_len -= part;
        inner = h.inner;
        SHA256_Update(&inner, a, sizeof(a));
        hmac_finish(&h, &inner, a);
    }
    bytes_wipe(&h, sizeof(h));
    bytes_wipe(a, sizeof(a));
    bytes_wipe(block, sizeof(block));
}

bool swarm_aead_seal(struct swarm_crypto *c, const struct swarm_aead *a, const uint8_t *in, size_t in_len,
                     uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = c->seal[a->suite];
    int tag_len = (int)swarm_suite_tag_bytes(a->suite);
    int n = 0;

    if (a->suite == SWARM_SUITE_CCM8 && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, tag_len, NULL) != 1)
        return false;
    if (EVP_EncryptInit_ex(ctx, NULL, NULL, a->key, a->nonce) != 1)
        return false;
    if (a->suite == SWARM_SUITE_CCM8 && EVP_EncryptUpdate(ctx, NULL, &n, NULL, (int)in_len) != 1)
        return false;
    return EVP_EncryptUpdate(ctx, NULL, &n, a->aad, (int)a->aad_len) == 1 &&
           EVP_EncryptUpdate(ctx, out, &n, in, (int)in_len) == 1 &&
           EVP_EncryptFinal_ex(ctx, out + n, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, tag_len, out + in_len) == 1;
}

bool swarm_aead_open(struct swarm_crypto *c, const struct swarm_aead *a, const uint8_t *in, size_t in_len,
                     uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = c->open[a->suite];
    size_t tag_len = swarm_suite_tag_bytes(a->suite);
    uint8_t tag[16];
    size_t text_len;
    int n = 0;

    if (in_len < tag_len)
        return false;
    text_len = in_len - tag_len;
    memcpy(tag, in + text_len, tag_len);
    if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)tag_len, tag) != 1 ||
        EVP_DecryptInit_ex(ctx, NULL, NULL, a->key, a->nonce) != 1)
        return false;
    if (a->suite == SWARM_SUITE_CCM8) /* the update is the check: CCM has no final */
        return EVP_DecryptUpdate(ctx, NULL, &n, NULL, (int)text_len) == 1 &&
               EVP_DecryptUpdate(ctx, NULL, &n, a->aad, (int)a->aad_len) == 1 &&
               EVP_DecryptUpdate(ctx, out, &n, in, (int)text_len) == 1;
    return EVP_DecryptUpdate(ctx, NULL, &n, a->aad, (int)a->aad_len) == 1 &&
           EVP_DecryptUpdate(ctx, out, &n, in, (int)text_len) == 1 &&
           EVP_DecryptFinal_ex(ctx, out + n, &n) == 1;
}
