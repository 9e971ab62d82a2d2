/* test_prf.c: the PRF of TLS 1.2 beside mbedTLS's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <mbedtls/ssl.h>

#include "handshake/prf.h"

static void fill(uint8_t *data, size_t data_len, unsigned char first)
{
    for (size_t i = 0; i < data_len; i++)
        data[i] = (uint8_t)(first + 7 * i);
}

/* Of every length, so that blocks end in all places. */
static void it_is_what_mbedtls_makes(void **state)
{
    uint8_t secret[80], seed[64], ours[200], theirs[200];

    (void)state;
    fill(secret, sizeof(secret), 3);
    fill(seed, sizeof(seed), 100);
    for (size_t len = 1; len <= sizeof(ours); len++) {
        size_t secret_len = len % sizeof(secret) + 1, seed_len = len % sizeof(seed) + 1;
        assert_int_equal(prf_tls12(secret, secret_len, "test label", seed, seed_len, ours, len), 0);
        assert_int_equal(mbedtls_ssl_tls_prf(MBEDTLS_SSL_TLS_PRF_SHA256, secret, secret_len, "test label",
                                             seed, seed_len, theirs, len),
                         0);
        assert_memory_equal(ours, theirs, len);
    }
}

static void of_a_key_block_it_makes_what_is_used(void **state)
{
    static const uint8_t zeros[256 - PRF_KEY_BLOCK_BYTES];
    uint8_t secret[48], seed[64], ours[256], theirs[256];

    (void)state;
    fill(secret, sizeof(secret), 1);
    fill(seed, sizeof(seed), 2);
    assert_int_equal(
        prf_tls12(secret, sizeof(secret), "key expansion", seed, sizeof(seed), ours, sizeof(ours)), 0);
    assert_int_equal(mbedtls_ssl_tls_prf(MBEDTLS_SSL_TLS_PRF_SHA256, secret, sizeof(secret), "key expansion",
                                         seed, sizeof(seed), theirs, sizeof(theirs)),
                     0);
    assert_memory_equal(ours, theirs, PRF_KEY_BLOCK_BYTES);
    assert_memory_equal(ours + PRF_KEY_BLOCK_BYTES, zeros, sizeof(zeros));
}

static void a_seed_that_is_too_long_is_refused(void **state)
{
    uint8_t secret[48] = {0}, seed[PRF_SEED_MAX + 1] = {0}, out[32];

    (void)state;
    assert_int_not_equal(prf_tls12(secret, sizeof(secret), "", seed, PRF_SEED_MAX + 1, out, sizeof(out)), 0);
    assert_int_equal(prf_tls12(secret, sizeof(secret), "", seed, PRF_SEED_MAX, out, sizeof(out)), 0);
    assert_int_not_equal(prf_tls12(secret, sizeof(secret), "a", seed, PRF_SEED_MAX, out, sizeof(out)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_mbedtls_makes),
        cmocka_unit_test(of_a_key_block_it_makes_what_is_used),
        cmocka_unit_test(a_seed_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
