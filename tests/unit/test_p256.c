/* test_p256.c: P-256 and SHA-256 as mbedTLS calls them, in both builds, against published vectors. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <cmocka.h>

#include <mbedtls/ecdh.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/sha256.h>

struct fixture {
    mbedtls_ecp_group grp;
    mbedtls_mpi d, r, s, z;
    mbedtls_ecp_point q;
};

static int on_random(void *arg, unsigned char *out, size_t out_size)
{
    (void)arg;
    return getrandom(out, out_size, 0) == (ssize_t)out_size ? 0 : -1;
}

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    mbedtls_ecp_group_init(&f->grp);
    mbedtls_mpi_init(&f->d);
    mbedtls_mpi_init(&f->r);
    mbedtls_mpi_init(&f->s);
    mbedtls_mpi_init(&f->z);
    mbedtls_ecp_point_init(&f->q);
    assert_int_equal(mbedtls_ecp_group_load(&f->grp, MBEDTLS_ECP_DP_SECP256R1), 0);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    mbedtls_ecp_point_free(&f->q);
    mbedtls_mpi_free(&f->z);
    mbedtls_mpi_free(&f->s);
    mbedtls_mpi_free(&f->r);
    mbedtls_mpi_free(&f->d);
    mbedtls_ecp_group_free(&f->grp);
    free(f);
    return 0;
}

static void set_point(struct fixture *f, const char *x, const char *y)
{
    assert_int_equal(mbedtls_mpi_read_string(&f->q.X, 16, x), 0);
    assert_int_equal(mbedtls_mpi_read_string(&f->q.Y, 16, y), 0);
    assert_int_equal(mbedtls_mpi_lset(&f->q.Z, 1), 0);
}

static void assert_mpi(const mbedtls_mpi *got, const char *want_hex)
{
    mbedtls_mpi want;

    mbedtls_mpi_init(&want);
    assert_int_equal(mbedtls_mpi_read_string(&want, 16, want_hex), 0);
    assert_int_equal(mbedtls_mpi_cmp_mpi(got, &want), 0);
    mbedtls_mpi_free(&want);
}

/* RFC 5903 8.1 */
static void shared_secret_is_that_of_rfc_5903(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mbedtls_mpi_read_string(
                         &f->d, 16, "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433"),
                     0);
    set_point(f, "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63",
              "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB");
    assert_int_equal(mbedtls_ecdh_compute_shared(&f->grp, &f->z, &f->q, &f->d, on_random, NULL), 0);
    assert_mpi(&f->z, "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE");
}

static void generated_keys_agree(void **state)
{
    struct fixture *f = *state;
    struct fixture *g;
    void *other = NULL;

    begin(&other);
    g = other;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(mbedtls_ecdh_gen_public(&f->grp, &f->d, &f->q, on_random, NULL), 0);
        assert_int_equal(mbedtls_ecdh_gen_public(&g->grp, &g->d, &g->q, on_random, NULL), 0);
        assert_int_equal(mbedtls_ecp_check_pub_priv(&(mbedtls_ecp_keypair){f->grp, f->d, f->q},
                                                    &(mbedtls_ecp_keypair){f->grp, f->d, f->q}, on_random,
                                                    NULL),
                         0);
        assert_int_equal(mbedtls_ecdh_compute_shared(&f->grp, &f->z, &g->q, &f->d, on_random, NULL), 0);
        assert_int_equal(mbedtls_ecdh_compute_shared(&g->grp, &g->z, &f->q, &g->d, on_random, NULL), 0);
        assert_int_equal(mbedtls_mpi_cmp_mpi(&f->z, &g->z), 0);
    }
    end(&other);
}

/* RFC 6979 A.2.5, SHA-256 of "sample" */
static const char sample_x[] = "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6";
static const char sample_y[] = "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299";
static const char sample_r[] = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716";
static const char sample_s[] = "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8";

static void sample_hash(uint8_t hash[32])
{
    assert_int_equal(mbedtls_sha256((const unsigned char *)"sample", 6, hash, 0), 0);
}

static void verifies_the_signature_of_rfc_6979_and_no_other(void **state)
{
    struct fixture *f = *state;
    uint8_t hash[64] = {0};

    sample_hash(hash);
    set_point(f, sample_x, sample_y);
    assert_int_equal(mbedtls_mpi_read_string(&f->r, 16, sample_r), 0);
    assert_int_equal(mbedtls_mpi_read_string(&f->s, 16, sample_s), 0);
    assert_int_equal(mbedtls_ecdsa_verify(&f->grp, hash, 32, &f->q, &f->r, &f->s), 0);
    assert_int_equal(mbedtls_ecdsa_verify(&f->grp, hash, 64, &f->q, &f->r, &f->s),
                     0); /* cut to 32: SEC 1 4.1.4 */
    hash[31] ^= 1;
    assert_int_equal(mbedtls_ecdsa_verify(&f->grp, hash, 32, &f->q, &f->r, &f->s),
                     MBEDTLS_ERR_ECP_VERIFY_FAILED);
    hash[31] ^= 1;

    /* r and s out of range, of any size: a bad signature, never a crash */
    assert_int_equal(mbedtls_mpi_lset(&f->r, 0), 0);
    assert_int_equal(mbedtls_ecdsa_verify(&f->grp, hash, 32, &f->q, &f->r, &f->s),
                     MBEDTLS_ERR_ECP_VERIFY_FAILED);
    assert_int_equal(mbedtls_mpi_read_string(&f->r, 16, sample_r), 0);
    assert_int_equal(mbedtls_mpi_add_mpi(&f->r, &f->r, &f->grp.N), 0);
    assert_int_equal(mbedtls_ecdsa_verify(&f->grp, hash, 32, &f->q, &f->r, &f->s),
                     MBEDTLS_ERR_ECP_VERIFY_FAILED);
    assert_int_equal(mbedtls_mpi_shift_l(&f->r, 2000), 0);
    assert_int_equal(mbedtls_ecdsa_verify(&f->grp, hash, 32, &f->q, &f->r, &f->s),
                     MBEDTLS_ERR_ECP_VERIFY_FAILED);
}

static void signs_what_it_verifies(void **state)
{
    struct fixture *f = *state;
    uint8_t hash[32];

    sample_hash(hash);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(mbedtls_ecdh_gen_public(&f->grp, &f->d, &f->q, on_random, NULL), 0);
        assert_int_equal(mbedtls_ecdsa_sign(&f->grp, &f->r, &f->s, &f->d, hash, 32, on_random, NULL), 0);
        assert_int_equal(mbedtls_ecdsa_verify(&f->grp, hash, 32, &f->q, &f->r, &f->s), 0);
        hash[i] ^= 0x10;
        assert_int_equal(mbedtls_ecdsa_verify(&f->grp, hash, 32, &f->q, &f->r, &f->s),
                         MBEDTLS_ERR_ECP_VERIFY_FAILED);
    }
    assert_int_equal(mbedtls_mpi_lset(&f->d, 0), 0);
    assert_int_not_equal(mbedtls_ecdsa_sign(&f->grp, &f->r, &f->s, &f->d, hash, 32, on_random, NULL), 0);
}

static void points_beside_the_curve_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mbedtls_mpi_lset(&f->d, 5), 0);
    set_point(f, sample_x, sample_x);
    assert_int_not_equal(mbedtls_ecp_check_pubkey(&f->grp, &f->q), 0);
#ifdef CYAN_LIBCRYPTO_ALT /* mbedTLS's own leaves the check to its callers */
    uint8_t hash[32] = {1};
    assert_int_equal(mbedtls_ecdh_compute_shared(&f->grp, &f->z, &f->q, &f->d, on_random, NULL),
                     MBEDTLS_ERR_ECP_INVALID_KEY);
    assert_int_equal(mbedtls_mpi_lset(&f->r, 1), 0);
    assert_int_equal(mbedtls_mpi_lset(&f->s, 1), 0);
    assert_int_equal(mbedtls_ecdsa_verify(&f->grp, hash, 32, &f->q, &f->r, &f->s),
                     MBEDTLS_ERR_ECP_INVALID_KEY);
    assert_int_equal(mbedtls_ecp_set_zero(&f->q), 0);
    assert_int_equal(mbedtls_ecdh_compute_shared(&f->grp, &f->z, &f->q, &f->d, on_random, NULL),
                     MBEDTLS_ERR_ECP_INVALID_KEY);
#endif
}

/* FIPS 180-2 B.3: a million times 'a', in pieces that split blocks */
static void sha256_of_a_million_letters(void **state)
{
    static const uint8_t want[32] = {0xcd, 0xc7, 0x6e, 0x5c, 0x99, 0x14, 0xfb, 0x92, 0x81, 0xa1, 0xc7,
                                     0xe2, 0x84, 0xd7, 0x3e, 0x67, 0xf1, 0x80, 0x9a, 0x48, 0xa4, 0x97,
                                     0x20, 0x0e, 0x04, 0x6d, 0x39, 0xcc, 0xc7, 0x11, 0x2c, 0xd0};
    mbedtls_sha256_context ctx;
    uint8_t piece[1000], hash[32];
    (void)state;

    memset(piece, 'a', sizeof(piece));
    mbedtls_sha256_init(&ctx);
    assert_int_equal(mbedtls_sha256_starts(&ctx, 0), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(mbedtls_sha256_update(&ctx, piece, sizeof(piece)), 0);
    assert_int_equal(mbedtls_sha256_finish(&ctx, hash), 0);
    mbedtls_sha256_free(&ctx);
    assert_memory_equal(hash, want, sizeof(want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shared_secret_is_that_of_rfc_5903, begin, end),
        cmocka_unit_test_setup_teardown(generated_keys_agree, begin, end),
        cmocka_unit_test_setup_teardown(verifies_the_signature_of_rfc_6979_and_no_other, begin, end),
        cmocka_unit_test_setup_teardown(signs_what_it_verifies, begin, end),
        cmocka_unit_test_setup_teardown(points_beside_the_curve_are_refused, begin, end),
        cmocka_unit_test(sha256_of_a_million_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
