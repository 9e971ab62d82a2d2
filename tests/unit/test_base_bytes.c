/* test_base_bytes.c: bounded reading and writing, hex, comparing secrets, device ids, quoting for the log. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/device_id.h"
#include "base/log.h"

static void reads_integers_in_both_orders(void **state)
{
    const uint8_t data[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c,
                            0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
                            0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0xff, 0x80, 0xff, 0x80, 0x00, 0x81};
    struct bytes_reader r;
    (void)state;

    bytes_reader_init(&r, data, sizeof(data));
    assert_int_equal(bytes_left(&r), 36);
    assert_int_equal(bytes_get_u8(&r), 0x01);
    assert_int_equal(bytes_get_be16(&r), 0x0203);
    assert_int_equal(bytes_get_be24(&r), 0x040506);
    assert_int_equal(bytes_get_be32(&r), 0x0708090a);
    assert_true(bytes_get_be48(&r) == 0x0b0c0d0e0f10ULL);
    assert_true(bytes_get_be64(&r) == 0x1112131415161718ULL);
    assert_int_equal(bytes_get_le16(&r), 0x1a19);
    assert_int_equal(bytes_get_le32(&r), 0x1e1d1c1b);
    assert_int_equal(bytes_get_le16(&r), 0x80ff);
    assert_true(bytes_get_le32(&r) == 0x810080ffU); /* the top bit makes no negative number */
    assert_int_equal(bytes_left(&r), 0);
    assert_false(r.bad);
}

static void a_reader_never_passes_its_end(void **state)
{
    const uint8_t data[] = {1, 2, 3};
    struct bytes_reader r, sub;
    (void)state;

    bytes_reader_init(&r, data, sizeof(data));
    assert_int_equal(bytes_get_be32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(bytes_get_u8(&r), 0); /* stays bad, though one byte would be there */
    assert_int_equal(bytes_left(&r), 0);
    assert_null(bytes_get(&r, 0));

    bytes_reader_init(&r, data, sizeof(data));
    assert_null(bytes_get(&r, SIZE_MAX));
    assert_true(r.bad);

    bytes_reader_init(&r, data, sizeof(data));
    sub = bytes_sub(&r, 2);
    assert_int_equal(bytes_get_be16(&sub), 0x0102);
    assert_int_equal(bytes_get_u8(&sub), 0);
    assert_true(sub.bad);
    assert_false(r.bad);
    assert_int_equal(bytes_get_u8(&r), 3);
    sub = bytes_sub(&r, 1);
    assert_true(sub.bad && r.bad);

    bytes_reader_init(&r, NULL, 0);
    assert_int_equal(bytes_left(&r), 0);
    (void)bytes_get(&r, 0);
    assert_false(r.bad);
}

static void a_writer_never_passes_its_end(void **state)
{
    uint8_t out[26] = {0}, small[3] = {9, 9, 9};
    const uint8_t want[] = {1,    2,    3,    4,    5,    6,    7,    8,    9,    0x0a, 0x0b, 0x0c, 0x0d,
                            0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a};
    struct bytes_writer w;
    (void)state;

    bytes_writer_init(&w, out, sizeof(out));
    bytes_put_u8(&w, 1);
    bytes_put_be16(&w, 0x0203);
    bytes_put_be24(&w, 0x040506);
    bytes_put_be32(&w, 0x0708090a);
    bytes_put_be48(&w, 0x0b0c0d0e0f10ULL);
    bytes_put_be64(&w, 0x1112131415161718ULL);
    bytes_put(&w, "\x19\x1a", 2);
    assert_false(w.bad);
    assert_int_equal(bytes_written(&w), 26);
    assert_memory_equal(out, want, 26);
    bytes_put_u8(&w, 1);
    assert_true(w.bad);

    bytes_writer_init(&w, small, 2);
    bytes_put_be24(&w, 0xffffff);
    assert_true(w.bad);
    bytes_put_u8(&w, 1); /* would fit, but a gap would be worse */
    assert_int_equal(bytes_written(&w), 0);
    assert_memory_equal(small, "\x09\x09\x09", 3);
}

static void hex_goes_both_ways_and_refuses_the_rest(void **state)
{
    uint8_t out[4];
    char text[9];
    (void)state;

    assert_true(hex_decode(out, 4, "00fFaB9c", 8));
    assert_memory_equal(out, "\x00\xff\xab\x9c", 4);
    hex_encode(text, out, 4);
    assert_string_equal(text, "00ffab9c");
    hex_encode(text, out, 0);
    assert_string_equal(text, "");
    assert_false(hex_decode(out, 4, "00ffab9", 7));
    assert_false(hex_decode(out, 4, "00ffab9c1", 9));
    assert_false(hex_decode(out, 4, "00ffab9c11", 10));
    assert_false(hex_decode(out, 4, "00ffag9c", 8));
    assert_false(hex_decode(out, 4, "00ff 9c0", 8));
    assert_false(hex_decode(out, 4, "00ff\0009c0", 8));
    assert_true(hex_decode(out, 0, "", 0));
}

static void secrets_compare_and_vanish(void **state)
{
    uint8_t a[16], b[16];
    (void)state;

    memset(a, 7, sizeof(a));
    memset(b, 7, sizeof(b));
    assert_true(bytes_equal_secret(a, b, sizeof(a)));
    for (size_t i = 0; i < sizeof(b); i++) {
        b[i] ^= 0x80;
        assert_false(bytes_equal_secret(a, b, sizeof(a)));
        b[i] ^= 0x80;
    }
    assert_true(bytes_equal_secret(a, b, 0));
    bytes_wipe(a, sizeof(a));
    memset(b, 0, sizeof(b));
    assert_memory_equal(a, b, sizeof(a));
}

static void device_ids_are_24_digits(void **state)
{
    struct device_id id, same;
    char text[DEVICE_ID_TEXT_SIZE];
    (void)state;

    assert_true(device_id_parse(&id, "51FF69065067545755380687", 24));
    device_id_format(text, &id);
    assert_string_equal(text, "51ff69065067545755380687");
    assert_true(device_id_parse(&same, text, 24));
    assert_true(device_id_equal(&id, &same));
    same.bytes[11] ^= 1;
    assert_false(device_id_equal(&id, &same));
    assert_false(device_id_parse(&id, text, 23));
    assert_false(device_id_parse(&id, "51ff6906506754575538068700", 26));
    assert_false(device_id_parse(&id, "51ff6906506754575538068x", 24));
}

static void quoted_text_is_one_harmless_word(void **state)
{
    char out[16];
    (void)state;

    assert_string_equal(log_quote(out, sizeof(out), "a b", 3), "\"a b\"");
    assert_string_equal(log_quote(out, sizeof(out), "\n\"\\", 3), "\"\\x0a\\x22\\x5c\"");
    assert_string_equal(log_quote(out, sizeof(out), "abcdefghijklmnop", 16), "\"abcdefghijklm\"");
    assert_string_equal(log_quote(out, sizeof(out), "abcdefghijk\xff", 12),
                        "\"abcdefghijk\""); /* never half */
    assert_string_equal(log_quote(out, sizeof(out), NULL, 0), "\"\"");
    assert_string_equal(log_quote(out, 3, "abc", 3), "\"\"");
    assert_string_equal(log_quote(out, 2, "abc", 3), "");
    assert_string_equal(log_quote(out, 1, "abc", 3), "");
}

static void level_names_are_exact(void **state)
{
    enum log_level level;
    (void)state;

    assert_true(log_level_parse(&level, "warn"));
    assert_int_equal(level, LOG_WARN);
    assert_false(log_level_parse(&level, "Warn"));
    assert_false(log_level_parse(&level, ""));
    log_set_level(LOG_ERROR);
    assert_true(log_enabled(LOG_ERROR));
    assert_false(log_enabled(LOG_WARN));
    log_set_level(LOG_INFO);
}

static void decimals_are_as_printf_writes_them(void **state)
{
    static const int64_t values[] = {0,         1,        -1, 9, 10, 65535, 1404342900409, -1404342900409,
                                     INT64_MAX, INT64_MIN};
    char text[DECIMAL_TEXT_SIZE], want[32];
    (void)state;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        snprintf(want, sizeof(want), "%" PRId64, values[i]);
        assert_int_equal(decimal_encode(text, values[i]), strlen(want));
        assert_string_equal(text, want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_integers_in_both_orders),
        cmocka_unit_test(a_reader_never_passes_its_end),
        cmocka_unit_test(a_writer_never_passes_its_end),
        cmocka_unit_test(hex_goes_both_ways_and_refuses_the_rest),
        cmocka_unit_test(decimals_are_as_printf_writes_them),
        cmocka_unit_test(secrets_compare_and_vanish),
        cmocka_unit_test(device_ids_are_24_digits),
        cmocka_unit_test(quoted_text_is_one_harmless_word),
        cmocka_unit_test(level_names_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
