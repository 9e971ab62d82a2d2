/* test_record.c: the two ways records are protected, by the processor's AES instructions and by libcrypto,
 * give and take the same bytes; CCM against a published vector. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/random.h"
#include "handshake/ccm.h"
#include "handshake/record.h"

#define CONTENT_MAX 1400
#define ROOM (CONTENT_MAX + RECORD_OVERHEAD_MAX + 16)

/* NIST SP 800-38C, example 3: the only one with a nonce of 12 bytes */
static void ccm_is_that_of_sp_800_38c(void **state)
{
    static const uint8_t want[] = {0xe3, 0xb2, 0x01, 0xa9, 0xf5, 0xb7, 0x1a, 0x7a, 0x9b, 0x1c, 0xea,
                                   0xec, 0xcd, 0x97, 0xe7, 0x0b, 0x61, 0x76, 0xaa, 0xd9, 0xa4, 0x42,
                                   0x8a, 0xa5, 0x48, 0x43, 0x92, 0xfb, 0xc1, 0xb0, 0x99, 0x51};
    uint8_t key[16], nonce[12], aad[20], text[24], tag[8];

    (void)state;
    if (!ccm_is_available())
        skip();
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(0x40 + i);
    for (size_t i = 0; i < sizeof(nonce); i++)
        nonce[i] = (uint8_t)(0x10 + i);
    for (size_t i = 0; i < sizeof(aad); i++)
        aad[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(0x20 + i);
    ccm_seal(key, nonce, aad, sizeof(aad), text, sizeof(text), tag, sizeof(tag));
    assert_memory_equal(text, want, sizeof(text));
    assert_memory_equal(tag, want + sizeof(text), sizeof(tag));
    assert_true(ccm_open(key, nonce, aad, sizeof(aad), text, sizeof(text), tag, sizeof(tag)));
    assert_int_equal(text[23], 0x37);
    tag[7] ^= 1;
    assert_false(ccm_open(key, nonce, aad, sizeof(aad), text, sizeof(text), tag, sizeof(tag)));
    for (size_t i = 0; i < sizeof(text); i++)
        assert_int_equal(text[i], 0); /* nothing of what was not proved is left */
}

static struct record_state sender_of(unsigned kind)
{
    struct record_state s = {.cipher = (uint8_t)(kind % 3), .flavour = (uint8_t)(kind / 3 % 3)};

    random_bytes(s.write_key, sizeof(s.write_key));
    random_bytes(s.write_iv, sizeof(s.write_iv));
    random_bytes(s.peer_cid, sizeof(s.peer_cid));
    s.peer_cid_len = s.flavour == RECORD_PLAIN ? 0 : 8;
    s.send_seq = 0x010203040506;
    return s;
}

static struct record_state receiver_of(const struct record_state *sender)
{
    struct record_state s = {
        .cipher = sender->cipher, .flavour = sender->flavour, .own_cid_len = sender->peer_cid_len};

    memcpy(s.read_key, sender->write_key, sizeof(s.read_key));
    memcpy(s.read_iv, sender->write_iv, sizeof(s.read_iv));
    memcpy(s.own_cid, sender->peer_cid, sizeof(s.own_cid));
    return s;
}

static void assert_opens(const struct record_state *sender, const uint8_t *record, size_t record_len,
                         const uint8_t *content, size_t content_len)
{
    struct record_state receiver = receiver_of(sender);
    uint8_t copy[ROOM], *got, type;
    size_t got_len;
    uint64_t seq;
    bool newest;

    memcpy(copy, record, record_len);
    copy[record_len - 1] ^= 0x80;
    assert_int_equal(record_open(&receiver, copy, record_len, &got, &got_len, &type, &seq, &newest),
                     RECORD_BAD_TAG);
    memcpy(copy, record, record_len);
    assert_int_equal(record_open(&receiver, copy, record_len, &got, &got_len, &type, &seq, &newest),
                     RECORD_OPENED);
    assert_int_equal(type, RECORD_APPLICATION);
    assert_int_equal(seq, 0x010203040506);
    assert_int_equal(got_len, content_len);
    assert_memory_equal(got, content, content_len);
}

static void both_ways_are_one(void **state)
{
    uint8_t content[CONTENT_MAX], first[ROOM], second[ROOM];

    (void)state;
    random_bytes(content, sizeof(content));
    for (unsigned kind = 0; kind < 9; kind++) {
        for (size_t len = 0; len <= CONTENT_MAX; len += len < 100 ? 1 : 325) {
            struct record_state sender = sender_of(kind), again = sender, before = sender;
            ccm_allow(true);
            size_t first_len = record_seal(&sender, RECORD_APPLICATION, content, len, first, sizeof(first));
            ccm_allow(false);
            size_t second_len = record_seal(&again, RECORD_APPLICATION, content, len, second, sizeof(second));
            assert_true(first_len > 0);
            assert_int_equal(first_len, second_len);
            assert_memory_equal(first, second, first_len);
            assert_opens(&before, first, first_len, content, len);
            ccm_allow(true);
            assert_opens(&before, first, first_len, content, len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ccm_is_that_of_sp_800_38c),
        cmocka_unit_test(both_ways_are_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
