/* test_hmac.c: HMAC-SHA-256 by ourselves and as mbedTLS gets it, against RFC 4231. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <mbedtls/md.h>

#include "base/bytes.h"
#include "handshake/hmac.h"

struct vector {
    const char *key_hex, *text_hex, *mac_hex;
};

/* RFC 4231 4.2, 4.3, 4.4, 4.7: a short key, a word, a text of one block, a key longer than a block */
static const struct vector vectors[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "a"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "a"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669"
     "727374",
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
};

struct bytes_of {
    uint8_t data[256];
    size_t len;
};

static struct bytes_of unhex(const char *hex)
{
    struct bytes_of out = {.len = strlen(hex) / 2};

    assert_true(hex_decode(out.data, out.len, hex, 2 * out.len));
    return out;
}

static void the_vectors_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct bytes_of key = unhex(vectors[i].key_hex), text = unhex(vectors[i].text_hex);
        struct hmac_key k;
        uint8_t mac[HMAC_BYTES];

        hmac_key_init(&k, key.data, key.len);
        hmac_make(&k, text.data, text.len, mac);
        assert_memory_equal(mac, unhex(vectors[i].mac_hex).data, HMAC_BYTES);
        hmac_make(&k, text.data, text.len, mac); /* a key serves any number of messages */
        assert_memory_equal(mac, unhex(vectors[i].mac_hex).data, HMAC_BYTES);
    }
}

/* In pieces, and again after reset, as the PRF does it. */
static void mbedtls_gets_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct bytes_of key = unhex(vectors[i].key_hex), text = unhex(vectors[i].text_hex);
        mbedtls_md_context_t ctx;
        uint8_t mac[HMAC_BYTES];

        mbedtls_md_init(&ctx);
        assert_int_equal(mbedtls_md_setup(&ctx, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1), 0);
        assert_int_equal(mbedtls_md_hmac_starts(&ctx, key.data, key.len), 0);
        for (int times = 0; times < 3; times++) {
            assert_int_equal(mbedtls_md_hmac_update(&ctx, text.data, 3), 0);
            assert_int_equal(mbedtls_md_hmac_update(&ctx, text.data + 3, text.len - 3), 0);
            assert_int_equal(mbedtls_md_hmac_finish(&ctx, mac), 0);
            assert_memory_equal(mac, unhex(vectors[i].mac_hex).data, HMAC_BYTES);
            assert_int_equal(mbedtls_md_hmac_reset(&ctx), 0);
        }
        mbedtls_md_free(&ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_hold),
        cmocka_unit_test(mbedtls_gets_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
