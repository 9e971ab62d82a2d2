/* Which kind of client a ClientHello comes from, with the real ones of Device OS 6.2.0 and 2.3.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/bytes.h"
#include "handshake/client_hello.h"
#include "handshake/cookie.h"

/* Device OS 6.2.0, first and second ClientHello as captured */
#define HELLO_6_2_0                                                                                          \
    "16fefd000000000000000000670100005b000000000000005bfefd25acc00535233046ed3b7ff6fd69e1d9c0537860da2d621a" \
    "8f1b5f"                                                                                                 \
    "026decb44300000004c0ae00ff0100002d000d000a00080403040103030301000a000400020017000b0002010000fe00010000" \
    "130002"                                                                                                 \
    "0102001400020102"
#define HELLO_6_2_0_COOKIE                                                                                   \
    "16fefd000000000000000100870100007b000100000000007bfefd25acc00535233046ed3b7ff6fd69e1d9c0537860da2d621a" \
    "8f1b5f"                                                                                                 \
    "026decb44300206b0161e3a9b95e5416987509eb3220c6014890e15bbb5ad5677066a632dfd1940004c0ae00ff0100002d000d" \
    "000a00"                                                                                                 \
    "080403040103030301000a000400020017000b0002010000fe000100001300020102001400020102"
/* Device OS 2.3.1: no connection ID */
#define HELLO_2_3_1                                                                                          \
    "16fefd00000000000000000062010000560000000000000056fefd25acc00535233046ed3b7ff6fd69e1d9c0537860da2d621a" \
    "8f1b5f"                                                                                                 \
    "026decb44300000004c0ae00ff01000028000d000a00080403040103030301000a000400020017000b00020100001300020102" \
    "00140002"                                                                                               \
    "0102"

static size_t from_hex(uint8_t *out, const char *text)
{
    size_t len = strlen(text) / 2;
    assert_true(hex_decode(out, len, text, strlen(text)));
    return len;
}

static struct client_hello parse(const char *text, uint8_t *storage)
{
    struct client_hello hello;
    size_t len = from_hex(storage, text);
    assert_true(client_hello_parse(&hello, storage, len));
    return hello;
}

static void test_device_os_with_connection_id(void **state)
{
    (void)state;
    uint8_t storage[512];
    enum session_profile profile;
    struct client_hello hello = parse(HELLO_6_2_0, storage);
    assert_int_equal(hello.suites, SUITE_ECDSA_CCM8);
    assert_false(hello.other_suites);
    assert_true(hello.draft_cid && hello.draft_cid_empty && !hello.rfc9146_cid);
    assert_true(hello.client_rpk_only && hello.server_rpk_only && hello.has_p256);
    assert_false(hello.extended_master_secret);
    assert_int_equal(hello.cookie_len, 0);
    assert_int_equal(client_hello_profile(&hello, &profile), HANDSHAKE_OK);
    assert_int_equal(profile, SESSION_DEVICE_OS);
    hello = parse(HELLO_6_2_0_COOKIE, storage);
    assert_int_equal(hello.cookie_len, 32);
    assert_int_equal(hello.message_seq, 1);
    assert_int_equal(hello.cookie[31], 0x94);
}

static void test_device_os_without_connection_id(void **state)
{
    (void)state;
    uint8_t storage[512];
    enum session_profile profile;
    struct client_hello hello = parse(HELLO_2_3_1, storage);
    assert_false(hello.draft_cid);
    assert_int_equal(client_hello_profile(&hello, &profile), HANDSHAKE_OK);
    assert_int_equal(profile, SESSION_DEVICE_OS);
}

static void test_other_clients_by_what_they_offer(void **state)
{
    (void)state;
    static const struct {
        struct client_hello hello;
        enum handshake_outcome outcome;
        enum session_profile profile;
    } cases[] = {
        {{.version = 0xfefd, .suites = SUITE_PSK_CCM8}, HANDSHAKE_OK, SESSION_PSK},
        {{.version = 0xfefd, .suites = SUITE_PSK_GCM, .other_suites = true, .rfc9146_cid = true},
         HANDSHAKE_OK,
         SESSION_PSK},
        {{.version = 0xfefd, .suites = SUITE_ECDSA_GCM, .has_groups = true, .has_p256 = true},
         HANDSHAKE_OK,
         SESSION_X509},
        {{.version = 0xfefd, .suites = SUITE_ECDSA_CCM8, .client_rpk = true, .server_rpk = true},
         HANDSHAKE_OK,
         SESSION_RPK},
        /* type 2 alone, but with what Device OS never sends */
        {{.version = 0xfefd,
          .suites = SUITE_ECDSA_CCM8,
          .client_rpk = true,
          .server_rpk = true,
          .client_rpk_only = true,
          .server_rpk_only = true,
          .extended_master_secret = true},
         HANDSHAKE_OK,
         SESSION_RPK},
        {{.version = 0xfefd, .suites = 0, .other_suites = true}, HANDSHAKE_NO_COMMON_SUITE, 0},
        {{.version = 0xfefd, .suites = SUITE_ECDSA_GCM, .has_groups = true}, HANDSHAKE_NO_COMMON_CURVE, 0},
        {{.version = 0xfefd, .suites = SUITE_ECDSA_GCM | SUITE_PSK_GCM, .has_groups = true},
         HANDSHAKE_OK,
         SESSION_PSK},
        {{.version = 0xfeff, .suites = SUITE_PSK_CCM8}, HANDSHAKE_UNSUPPORTED_VERSION, 0},
        {{.version = 0x0303, .suites = SUITE_PSK_CCM8}, HANDSHAKE_UNSUPPORTED_VERSION, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum session_profile profile = SESSION_DEVICE_OS;
        assert_int_equal(client_hello_profile(&cases[i].hello, &profile), cases[i].outcome);
        if (cases[i].outcome == HANDSHAKE_OK)
            assert_int_equal(profile, cases[i].profile);
    }
}

static void test_every_cut_and_every_wrong_length_is_refused(void **state)
{
    (void)state;
    uint8_t whole[512], cut[512];
    struct client_hello hello;
    size_t len = from_hex(whole, HELLO_6_2_0_COOKIE);
    for (size_t i = 0; i < len; i++)
        assert_false(client_hello_parse(&hello, whole, i));
    static const size_t lengths_at[] = {12, 16, 21, 24, 59, 60, 93, 94, 99, 101, 102, 105, 106};
    for (size_t i = 0; i < sizeof lengths_at / sizeof *lengths_at; i++) {
        memcpy(cut, whole, len);
        cut[lengths_at[i]] = 0xff;
        assert_false(client_hello_parse(&hello, cut, len));
    }
}

static void test_cookie_is_bound_to_address_random_and_time(void **state)
{
    (void)state;
    struct cookie_secrets secrets;
    struct net_path path = {.peer_port = 5};
    uint8_t random[32] = {1}, cookie[COOKIE_BYTES];
    const uint8_t seed[COOKIE_SEED_BYTES] = {7}, other_seed[COOKIE_SEED_BYTES] = {8};
    struct cookie_secrets other;
    cookie_init(&secrets, seed);
    cookie_make(&secrets, &path, random, 70000, cookie);
    assert_true(cookie_check(&secrets, &path, random, 70000, cookie, sizeof cookie));
    assert_true(
        cookie_check(&secrets, &path, random, 121500, cookie, sizeof cookie)); /* the secret changed once */
    assert_false(cookie_check(&secrets, &path, random, 190000, cookie, sizeof cookie));
    cookie_init(&other, seed); /* another node, whose clock is behind */
    assert_true(cookie_check(&other, &path, random, 59999, cookie, sizeof cookie));
    assert_false(cookie_check(&other, &path, random, 190000, cookie, sizeof cookie));
    cookie_init(&other, other_seed);
    assert_false(cookie_check(&other, &path, random, 70000, cookie, sizeof cookie));
    cookie_make(&secrets, &path, random, 130000, cookie);
    path.peer_port = 6;
    assert_false(cookie_check(&secrets, &path, random, 130000, cookie, sizeof cookie));
    path.peer_port = 5;
    path.peer_ip[3] = 1;
    assert_false(cookie_check(&secrets, &path, random, 130000, cookie, sizeof cookie));
    path.peer_ip[3] = 0;
    random[31] = 9;
    assert_false(cookie_check(&secrets, &path, random, 130000, cookie, sizeof cookie));
    random[31] = 0;
    assert_false(cookie_check(&secrets, &path, random, 130000, cookie, sizeof cookie - 1));
    assert_true(cookie_check(&secrets, &path, random, 400000, cookie, sizeof cookie) ==
                false); /* both are old */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_os_with_connection_id),
        cmocka_unit_test(test_device_os_without_connection_id),
        cmocka_unit_test(test_other_clients_by_what_they_offer),
        cmocka_unit_test(test_every_cut_and_every_wrong_length_is_refused),
        cmocka_unit_test(test_cookie_is_bound_to_address_random_and_time),
    };
    return cmocka_run_group_tests_name("client_hello", tests, NULL, NULL);
}
