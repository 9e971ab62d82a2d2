/* p256_libcrypto.c: the P-256 and SHA-256 work of mbedTLS, done by libcrypto.
 *
 * mbedTLS calls these in place of its own functions of the same names (MBEDTLS_..._ALT in
 * cmake/mbedtls_config.h). Measured server time a handshake, with its own code and with these: PSK 37 and 13
 * microseconds, mutual P-256 3120 and 260. libcrypto's curve code runs in constant time by itself, so the
 * blinding generators are not used.
 *
 * State: each thread keeps the objects that the operations work with, because to make them costs several
 * microseconds an operation. Of secrets they keep one: the signing key used last, which is the server's own.
 * Any thread. */
#include <stdbool.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/crypto.h>
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

/* What one thread works with. Made at its first use, never freed: the process has few threads. */
struct workbench {
    EC_GROUP *curve;
    BN_CTX *ctx;
    BIGNUM *secret, *x;
    EC_POINT *peer, *result;
    EC_KEY *verifier, *signer;
    uint8_t signer_secret[SCALAR_BYTES]; /* of signer, when has_signer */
    bool has_signer;
};

static bool make(struct workbench *b)
{
    b->curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    if (b->curve == NULL)
        return false;
    b->ctx = BN_CTX_secure_new();
    b->secret = BN_new();
    b->x = BN_new();
    b->peer = EC_POINT_new(b->curve);
    b->result = EC_POINT_new(b->curve);
    b->verifier = EC_KEY_new();
    b->signer = EC_KEY_new();
    if (b->ctx == NULL || b->secret == NULL || b->x == NULL || b->peer == NULL || b->result == NULL ||
        b->verifier == NULL || b->signer == NULL || EC_KEY_set_group(b->verifier, b->curve) != 1 ||
        EC_KEY_set_group(b->signer, b->curve) != 1)
        return false;
    BN_set_flags(b->secret, BN_FLG_CONSTTIME);
    return true;
}

static void unmake(struct workbench *b)
{
    EC_KEY_free(b->signer);
    EC_KEY_free(b->verifier);
    EC_POINT_free(b->result);
    EC_POINT_free(b->peer);
    BN_free(b->x);
    BN_free(b->secret);
    BN_CTX_free(b->ctx);
    EC_GROUP_free(b->curve);
    memset(b, 0, sizeof(*b));
}

/* Its curve is NULL when memory is out. */
static struct workbench *workbench(void)
{
    static _Thread_local struct workbench mine;

    if (mine.curve == NULL && !make(&mine))
        unmake(&mine);
    return &mine;
}

static bool is_p256(const mbedtls_ecp_group *grp)
{
    return grp->id == MBEDTLS_ECP_DP_SECP256R1;
}

/* False when it is negative or too long. */
static bool scalar_raw(uint8_t raw[SCALAR_BYTES], const mbedtls_mpi *x)
{
    return mbedtls_mpi_cmp_int(x, 0) >= 0 && mbedtls_mpi_write_binary(x, raw, SCALAR_BYTES) == 0;
}

/* Fills bn; false when x is negative, too long, or memory is out. */
static bool scalar_out(BIGNUM *bn, const mbedtls_mpi *x)
{
    uint8_t raw[SCALAR_BYTES];
    bool is_good = scalar_raw(raw, x) && BN_bin2bn(raw, sizeof(raw), bn) != NULL;

    OPENSSL_cleanse(raw, sizeof(raw));
    return is_good;
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

/* Fills b->peer; false when q is not a point of the curve, or is infinity: EC_POINT_oct2point checks the
 * equation. */
static bool point_out(struct workbench *b, const mbedtls_ecp_group *grp, const mbedtls_ecp_point *q)
{
    uint8_t raw[POINT_BYTES];
    size_t raw_len = 0;

    return mbedtls_ecp_point_write_binary(grp, q, MBEDTLS_ECP_PF_UNCOMPRESSED, &raw_len, raw, sizeof(raw)) ==
               0 &&
           raw_len == sizeof(raw) && EC_POINT_oct2point(b->curve, b->peer, raw, raw_len, b->ctx) == 1;
}

/* Makes d the key of b->signer, unless it is already. */
static int take_signer(struct workbench *b, const mbedtls_ecp_group *grp, const mbedtls_mpi *d)
{
    uint8_t raw[SCALAR_BYTES];
    int ret = 0;

    if (!scalar_raw(raw, d))
        return MBEDTLS_ERR_ECP_INVALID_KEY;
    if (!b->has_signer || CRYPTO_memcmp(raw, b->signer_secret, sizeof(raw)) != 0) {
        b->has_signer = false;
        if (mbedtls_ecp_check_privkey(grp, d) != 0)
            ret = MBEDTLS_ERR_ECP_INVALID_KEY;
        else if (BN_bin2bn(raw, sizeof(raw), b->secret) == NULL ||
                 EC_KEY_set_private_key(b->signer, b->secret) != 1)
            ret = MBEDTLS_ERR_ECP_ALLOC_FAILED;
        else {
            memcpy(b->signer_secret, raw, sizeof(raw));
            b->has_signer = true;
        }
        BN_clear(b->secret);
    }
    OPENSSL_cleanse(raw, sizeof(raw));
    return ret;
}

int mbedtls_ecdsa_sign(mbedtls_ecp_group *grp, mbedtls_mpi *r, mbedtls_mpi *s, const mbedtls_mpi *d,
                       const unsigned char *buf, size_t blen, int (*f_rng)(void *, unsigned char *, size_t),
                       void *p_rng)
{
    struct workbench *b = workbench();
    (void)f_rng;
    (void)p_rng;

    if (!is_p256(grp))
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    if (blen > HASH_MAX_BYTES)
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    if (b->curve == NULL)
        return MBEDTLS_ERR_ECP_ALLOC_FAILED;
    int ret = take_signer(b, grp, d);
    if (ret != 0)
        return ret;
    ECDSA_SIG *sig = ECDSA_do_sign(buf, (int)blen, b->signer);
    if (sig == NULL)
        return MBEDTLS_ERR_ECP_ALLOC_FAILED;
    ret = scalar_in(r, ECDSA_SIG_get0_r(sig));
    if (ret == 0)
        ret = scalar_in(s, ECDSA_SIG_get0_s(sig));
    ECDSA_SIG_free(sig);
    return ret;
}

int mbedtls_ecdsa_verify(mbedtls_ecp_group *grp, const unsigned char *buf, size_t blen,
                         const mbedtls_ecp_point *Q, const mbedtls_mpi *r, const mbedtls_mpi *s)
{
    struct workbench *b = workbench();

    if (!is_p256(grp))
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    if (blen > HASH_MAX_BYTES)
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    if (b->curve == NULL)
        return MBEDTLS_ERR_ECP_ALLOC_FAILED;
    if (!point_out(b, grp, Q))
        return MBEDTLS_ERR_ECP_INVALID_KEY;
    BIGNUM *sig_r = BN_new(), *sig_s = BN_new();
    ECDSA_SIG *sig = ECDSA_SIG_new();
    int ret = MBEDTLS_ERR_ECP_ALLOC_FAILED;
    if (sig_r != NULL && sig_s != NULL && sig != NULL && EC_KEY_set_public_key(b->verifier, b->peer) == 1) {
        ret = MBEDTLS_ERR_ECP_VERIFY_FAILED; /* also for an r or s of more than 32 bytes */
        if (scalar_out(sig_r, r) && scalar_out(sig_s, s) && ECDSA_SIG_set0(sig, sig_r, sig_s) == 1) {
            sig_r = sig_s = NULL; /* now the signature's */
            if (ECDSA_do_verify(buf, (int)blen, sig, b->verifier) == 1)
                ret = 0;
        }
    }
    BN_free(sig_r);
    BN_free(sig_s);
    ECDSA_SIG_free(sig);
    return ret;
}

int mbedtls_ecdh_gen_public(mbedtls_ecp_group *grp, mbedtls_mpi *d, mbedtls_ecp_point *Q,
                            int (*f_rng)(void *, unsigned char *, size_t), void *p_rng)
{
    struct workbench *b = workbench();
    uint8_t raw[POINT_BYTES];

    if (!is_p256(grp))
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    if (b->curve == NULL)
        return MBEDTLS_ERR_ECP_ALLOC_FAILED;
    int ret = mbedtls_ecp_gen_privkey(grp, d, f_rng, p_rng);
    if (ret != 0)
        return ret;
    ret = MBEDTLS_ERR_ECP_ALLOC_FAILED;
    if (scalar_out(b->secret, d) && EC_POINT_mul(b->curve, b->result, b->secret, NULL, NULL, b->ctx) == 1 &&
        EC_POINT_point2oct(b->curve, b->result, POINT_CONVERSION_UNCOMPRESSED, raw, sizeof(raw), b->ctx) ==
            sizeof(raw))
        ret = mbedtls_ecp_point_read_binary(grp, Q, raw, sizeof(raw));
    BN_clear(b->secret);
    return ret;
}

int mbedtls_ecdh_compute_shared(mbedtls_ecp_group *grp, mbedtls_mpi *z, const mbedtls_ecp_point *Q,
                                const mbedtls_mpi *d, int (*f_rng)(void *, unsigned char *, size_t),
                                void *p_rng)
{
    struct workbench *b = workbench();
    (void)f_rng;
    (void)p_rng;

    if (!is_p256(grp))
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    if (b->curve == NULL)
        return MBEDTLS_ERR_ECP_ALLOC_FAILED;
    if (!point_out(b, grp, Q))
        return MBEDTLS_ERR_ECP_INVALID_KEY;
    int ret = MBEDTLS_ERR_ECP_ALLOC_FAILED;
    if (scalar_out(b->secret, d) &&
        EC_POINT_mul(b->curve, b->result, NULL, b->peer, b->secret, b->ctx) == 1) {
        ret = MBEDTLS_ERR_ECP_BAD_INPUT_DATA; /* infinity has no coordinates */
        if (EC_POINT_get_affine_coordinates(b->curve, b->result, b->x, NULL, b->ctx) == 1)
            ret = scalar_in(z, b->x);
    }
    /* Overwrites the secret. */
    (void)EC_POINT_copy(b->result, EC_GROUP_get0_generator(b->curve));
    BN_clear(b->x);
    BN_clear(b->secret);
    return ret;
}

/* SHA256_Transform reads and writes nothing of its context but h, which is its first member and has the same
 * form here. */
_Static_assert(offsetof(SHA256_CTX, h) == 0 &&
                   sizeof(((SHA256_CTX *)NULL)->h) ==
                       sizeof(((mbedtls_sha256_context *)NULL)->MBEDTLS_PRIVATE(state)),
               "the state of SHA-256");

int mbedtls_internal_sha256_process(mbedtls_sha256_context *ctx, const unsigned char data[64])
{
    SHA256_Transform((SHA256_CTX *)(void *)ctx->MBEDTLS_PRIVATE(state), data);
    return 0;
}
