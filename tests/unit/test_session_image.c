/* test_session_image.c: a session as bytes: the same session comes back; nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "handshake/session_image.h"

static const uint8_t key[SESSION_IMAGE_KEY_BYTES] = {1, 2, 3};
static const uint8_t owner[] = "what the device room keeps";

static struct session sample(void)
{
    struct session s = {
        .id = 0x0102030405060708,
        .profile = SESSION_DEVICE_OS,
        .named = true,
        .record = {.send_seq = 77,
                   .recv_max = 99,
                   .recv_window = 0x8000000000000005,
                   .own_cid_len = 8,
                   .peer_cid_len = 3,
                   .flavour = RECORD_DRAFT05,
                   .cipher = RECORD_CCM8},
        .path = {.peer_port = 5683, .scope = 2, .socket = 1},
    };
    be64_store(s.record.own_cid, s.id);
    memset(s.record.read_key, 'r', 16);
    memset(s.record.write_key, 'w', 16);
    memset(s.record.read_iv, 'i', 4);
    memset(s.record.write_iv, 'j', 4);
    memset(s.record.peer_cid, 'c', 3);
    memset(s.name, 'n', sizeof s.name);
    memset(s.path.peer_ip, 'p', 16);
    memset(s.path.local_ip, 'l', 16);
    return s;
}

static void expect_same(const struct session *s, const struct session_image *image)
{
    struct record_state expected = s->record;
    expected.send_seq = 5000;
    assert_memory_equal(&image->record, &expected, sizeof expected);
    assert_memory_equal(&image->path, &s->path, sizeof s->path);
    assert_int_equal(image->profile, s->profile);
    assert_true(image->named);
    assert_memory_equal(image->name, s->name, sizeof s->name);
    assert_int_equal(image->heard_wall_ms, 123456789);
    assert_int_equal(image->owner_len, sizeof owner);
    assert_memory_equal(image->owner, owner, sizeof owner);
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct session s = sample();
    struct session_image image;
    uint8_t out[SESSION_IMAGE_MAX], again[SESSION_IMAGE_MAX];
    size_t len = session_image_seal(key, &s, 5000, 123456789, owner, sizeof owner, out);
    assert_true(session_image_open(key, s.id, out, len, &image));
    expect_same(&s, &image);
    assert_int_equal(session_image_seal(key, &s, 5000, 123456789, owner, sizeof owner, again), len);
    assert_memory_not_equal(out, again, len); /* not even the same one twice */
}

static void nothing_else_is(void **state)
{
    (void)state;
    struct session s = sample();
    struct session_image image;
    uint8_t out[SESSION_IMAGE_MAX], other_key[SESSION_IMAGE_KEY_BYTES] = {9};
    size_t len = session_image_seal(key, &s, 5000, 1, owner, sizeof owner, out);
    assert_false(session_image_open(other_key, s.id, out, len, &image));
    assert_false(session_image_open(key, s.id + 1, out, len, &image));
    for (size_t i = 0; i < len; i++) {
        assert_false(session_image_open(key, s.id, out, i, &image));
        out[i] ^= 1;
        assert_false(session_image_open(key, s.id, out, len, &image));
        out[i] ^= 1;
    }
    assert_true(session_image_open(key, s.id, out, len, &image));
}

/* What a later program adds, and what an earlier one did not write. */
static void other_versions_of_the_program_are_understood(void **state)
{
    (void)state;
    struct session s = sample();
    struct session_image image;
    uint8_t out[SESSION_IMAGE_MAX] = {0};
    size_t len = session_image_write(&s, 5000, 123456789, owner, sizeof owner, out, sizeof out);
    out[len++] = 'z'; /* a section of which we know nothing */
    be16_store(out + len, 4);
    len += 2 + 4;
    assert_true(session_image_read(out, len, &image));
    expect_same(&s, &image);

    /* the record's section grown by two bytes at its end; it is the first, after the version */
    uint8_t grown[SESSION_IMAGE_MAX + 2];
    size_t section_len = be16_load(out + 2), section_end = 4 + section_len;
    memcpy(grown, out, section_end);
    be16_store(grown + 2, (uint16_t)(section_len + 2));
    memset(grown + section_end, 0xee, 2);
    memcpy(grown + section_end + 2, out + section_end, len - section_end);
    assert_true(session_image_read(grown, len + 2, &image));
    expect_same(&s, &image);

    out[0] = 2; /* a version that says: not for you */
    assert_false(session_image_read(out, len, &image));
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct session s = sample();
    struct session_image image;
    uint8_t out[SESSION_IMAGE_MAX];
    size_t len = session_image_write(&s, 5000, 1, owner, sizeof owner, out, sizeof out);
    for (size_t i = 0; i < len; i++)
        assert_false(session_image_read(out, i, &image) && i < len - sizeof owner - 3);
    out[4] = 3; /* no cipher */
    assert_false(session_image_read(out, len, &image));
    out[4] = RECORD_CCM8;
    out[7] = 9; /* a connection ID of nine bytes */
    assert_false(session_image_read(out, len, &image));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(nothing_else_is),
        cmocka_unit_test(other_versions_of_the_program_are_understood),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
