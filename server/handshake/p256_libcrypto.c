/* p256_libcrypto.c: the P-256 and SHA-256 work of mbedTLS, done by libcrypto.
 *
 * mbedTLS calls these in place of its own functions of the same names (MBEDTLS_..._ALT in
 * cmake/mbedtls_config.h). Measured server time a handshake, with its own code and with these: PSK 37 and 13
 * microseconds, mutual P-256 3120 and 260. libcrypto's curve code runs in constant time by itself, so the
 * blinding generators are not used. State: one read-only curve, made at first use. Any thread. */
#include <pthread.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>
#include <openssl/sha.h>

#include <mbedtls/build_info.h>

#include <mbedtls/ecdh.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/sha256.h>

#if !defined(MBEDTLS_ECDSA_SIGN_ALT) || !defined(MBEDTLS_SHA256_PROCESS_ALT)
#error "built without its hooks: another configuration file was found before cmake/mbedtls_config.h"
#endif

#define SCALAR_BYTES 32
#define POINT_BYTES 65    /* SEC 1 2.3.3, uncompressed */
#define HASH_MAX_BYTES 64 /* more than the 32 that count is cut by ECDSA itself */

static EC_GROUP *curve; /* written once, before anyone reads it */

static void make_curve(void)
{
    curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
}

static const EC_GROUP *p256(const mbedtls_ecp_group *grp)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_curve);
    return grp->id == MBEDTLS_ECP_DP_SECP256R1 ? curve : NULL;
}

/* NULL when it is negative, too long, or memory is out. */
static BIGNUM *scalar_out(const mbedtls_mpi *x)
{
    uint8_t raw[SCALAR_BYTES];

    if (mbedtls_mpi_cmp_int(x, 0) < 0 || mbedtls_mpi_write_binary(x, raw, sizeof(raw)) != 0)
        return NULL;
    BIGNUM *bn = BN_bin2bn(raw, sizeof(raw), NULL);
    OPENSSL_cleanse(raw, sizeof(raw));
    if (bn != NULL)
        BN_set_flags(bn, BN_FLG_CONSTTIME);
    return bn;
}

static int scalar_in(mbedtls_mpi *x, const BIGNUM *bn)
{
    uint8_t raw[SCALAR_BYTES];

    if (BN_bn2binpad(bn, raw, sizeof(raw)) != sizeof(raw))
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    int ret = mbedtls_mpi_read_binary(x, raw, sizeof(raw));
    OPENSSL_cleanse(raw, sizeof(raw));
    return ret;
}

/* NULL when it is not a point of the curve, or is infinity: EC_POINT_oct2point checks the equation. */
static EC_POINT *point_out(const EC_GROUP *group, const mbedtls_ecp_group *grp, const mbedtls_ecp_point *q)
{
    uint8_t raw[POINT_BYTES];
    size_t raw_len = 0;

    if (mbedtls_ecp_point_write_binary(grp, q, MBEDTLS_ECP_PF_UNCOMPRESSED, &raw_len, raw, sizeof(raw)) !=
            0 ||
        raw_len != sizeof(raw))
        return NULL;
    EC_POINT *point = EC_POINT_new(group);
    if (point != NULL && EC_POINT_oct2point(group, point, raw, raw_len, NULL) != 1) {
        EC_POINT_free(point);
        return NULL;
    }
    return point;
}

/* A key of the two halves, either NULL; NULL when one of them does not fit the curve. */
static EC_KEY *key_of(const EC_GROUP *group, const BIGNUM *secret, const EC_POINT *point)
{
    EC_KEY *key = EC_KEY_new();

    if (key == NULL)
        return NULL;
    if (EC_KEY_set_group(key, group) == 1 && (secret == NULL || EC_KEY_set_private_key(key, secret) == 1) &&
        (point == NULL || EC_KEY_set_public_key(key, point) == 1))
        return key;
    EC_KEY_free(key);
    return NULL;
}

int mbedtls_ecdsa_sign(mbedtls_ecp_group *grp, mbedtls_mpi *r, mbedtls_mpi *s, const mbedtls_mpi *d,
                       const unsigned char *buf, size_t blen, int (*f_rng)(void *, unsigned char *, size_t),
                       void *p_rng)
{
    const EC_GROUP *group = p256(grp);
    (void)f_rng;
    (void)p_rng;

    if (group == NULL)
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    if (blen > HASH_MAX_BYTES)
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    if (mbedtls_ecp_check_privkey(grp, d) != 0)
        return MBEDTLS_ERR_ECP_INVALID_KEY;
    BIGNUM *secret = scalar_out(d);
    EC_KEY *key = secret != NULL ? key_of(group, secret, NULL) : NULL;
    ECDSA_SIG *sig = key != NULL ? ECDSA_do_sign(buf, (int)blen, key) : NULL;
    int ret = MBEDTLS_ERR_ECP_ALLOC_FAILED;
    if (sig != NULL) {
        ret = scalar_in(r, ECDSA_SIG_get0_r(sig));
        if (ret == 0)
            ret = scalar_in(s, ECDSA_SIG_get0_s(sig));
    }
    ECDSA_SIG_free(sig);
    EC_KEY_free(key);
    BN_clear_free(secret);
    return ret;
}

int mbedtls_ecdsa_verify(mbedtls_ecp_group *grp, const unsigned char *buf, size_t blen,
                         const mbedtls_ecp_point *Q, const mbedtls_mpi *r, const mbedtls_mpi *s)
{
    const EC_GROUP *group = p256(grp);

    if (group == NULL)
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    if (blen > HASH_MAX_BYTES)
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    EC_POINT *point = point_out(group, grp, Q);
    if (point == NULL)
        return MBEDTLS_ERR_ECP_INVALID_KEY;
    BIGNUM *sig_r = scalar_out(r), *sig_s = scalar_out(s);
    EC_KEY *key = key_of(group, NULL, point);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    int ret = MBEDTLS_ERR_ECP_VERIFY_FAILED; /* also for an r or s of more than 32 bytes */
    if (key == NULL || sig == NULL) {
        ret = MBEDTLS_ERR_ECP_ALLOC_FAILED;
    } else if (sig_r != NULL && sig_s != NULL && ECDSA_SIG_set0(sig, sig_r, sig_s) == 1) {
        sig_r = sig_s = NULL; /* now the signature's */
        if (ECDSA_do_verify(buf, (int)blen, sig, key) == 1)
            ret = 0;
    }
    BN_free(sig_r);
    BN_free(sig_s);
    ECDSA_SIG_free(sig);
    EC_KEY_free(key);
    EC_POINT_free(point);
    return ret;
}

int mbedtls_ecdh_gen_public(mbedtls_ecp_group *grp, mbedtls_mpi *d, mbedtls_ecp_point *Q,
                            int (*f_rng)(void *, unsigned char *, size_t), void *p_rng)
{
    const EC_GROUP *group = p256(grp);
    uint8_t raw[POINT_BYTES];

    if (group == NULL)
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    int ret = mbedtls_ecp_gen_privkey(grp, d, f_rng, p_rng);
    if (ret != 0)
        return ret;
    BIGNUM *secret = scalar_out(d);
    EC_POINT *point = EC_POINT_new(group);
    ret = MBEDTLS_ERR_ECP_ALLOC_FAILED;
    if (secret != NULL && point != NULL && EC_POINT_mul(group, point, secret, NULL, NULL, NULL) == 1 &&
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, raw, sizeof(raw), NULL) ==
            sizeof(raw))
        ret = mbedtls_ecp_point_read_binary(grp, Q, raw, sizeof(raw));
    EC_POINT_free(point);
    BN_clear_free(secret);
    return ret;
}

int mbedtls_ecdh_compute_shared(mbedtls_ecp_group *grp, mbedtls_mpi *z, const mbedtls_ecp_point *Q,
                                const mbedtls_mpi *d, int (*f_rng)(void *, unsigned char *, size_t),
                                void *p_rng)
{
    const EC_GROUP *group = p256(grp);
    (void)f_rng;
    (void)p_rng;

    if (group == NULL)
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    EC_POINT *peer = point_out(group, grp, Q);
    if (peer == NULL)
        return MBEDTLS_ERR_ECP_INVALID_KEY;
    BIGNUM *secret = scalar_out(d), *x = BN_new();
    EC_POINT *shared = EC_POINT_new(group);
    int ret = MBEDTLS_ERR_ECP_ALLOC_FAILED;
    if (secret != NULL && x != NULL && shared != NULL &&
        EC_POINT_mul(group, shared, NULL, peer, secret, NULL) == 1) {
        ret = MBEDTLS_ERR_ECP_BAD_INPUT_DATA; /* infinity has no coordinates */
        if (EC_POINT_get_affine_coordinates(group, shared, x, NULL, NULL) == 1)
            ret = scalar_in(z, x);
    }
    EC_POINT_clear_free(shared);
    EC_POINT_free(peer);
    BN_clear_free(x);
    BN_clear_free(secret);
    return ret;
}

int mbedtls_internal_sha256_process(mbedtls_sha256_context *ctx, const unsigned char data[64])
{
    SHA256_CTX block; /* SHA256_Transform reads and writes h alone */

    memcpy(block.h, ctx->MBEDTLS_PRIVATE(state), sizeof(block.h));
    SHA256_Transform(&block, data);
    memcpy(ctx->MBEDTLS_PRIVATE(state), block.h, sizeof(block.h));
    OPENSSL_cleanse(block.h, sizeof(block.h));
    return 0;
}
