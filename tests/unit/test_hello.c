/* test_hello.c: the Hello of every generation, by length (device-protocol 4.1, device-trace 2.2 and 3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "device/hello.h"

static bool parse(struct hello *hello, const char *hex)
{
    size_t len = strlen(hex) / 2;
    uint8_t *data = mem_alloc(len);

    assert_true(hex_decode(data, len, hex, strlen(hex)));
    bool parsed = hello_parse(hello, data, len);
    free(data);
    return parsed;
}

static void assert_id(const struct hello *hello, const char *text)
{
    char out[DEVICE_ID_TEXT_SIZE];

    assert_true(hello->has_id);
    device_id_format(out, &hello->id);
    assert_string_equal(out, text);
}

static void reads_the_boron_of_the_specification(void **state)
{
    struct hello hello;
    (void)state;

    assert_true(parse(&hello, "000d000300f6000d000ce00fce68ffffffff0000000118380480001770000200"));
    assert_id(&hello, "e00fce68ffffffff00000001");
    assert_int_equal(hello.product_id, 13);
    assert_int_equal(hello.product_version, 3);
    assert_int_equal(hello.flags, 0xf6);
    assert_int_equal(hello.platform_id, 13);
    assert_int_equal(hello.system_version, 6200);
    assert_int_equal(hello.max_message_bytes, 1152);
    assert_int_equal(hello.max_binary_bytes, 1536000);
    assert_int_equal(hello.chunk_bytes, 512);
    assert_false(hello.flags & HELLO_UPDATE_APPLIED);
    assert_true(hello.flags & HELLO_UPDATE_V3);
}

static void reads_the_trace_of_6_2_0(void **state)
{
    struct hello hello;
    (void)state;

    assert_true(parse(&hello, "0003ffff00360003000c0123456789abcdef012345671838048000a000000200"));
    assert_id(&hello, "0123456789abcdef01234567");
    assert_int_equal(hello.product_version, 0xffff);
    assert_int_equal(hello.platform_id, 3);
    assert_int_equal(hello.max_binary_bytes, 0x00a00000);
    assert_true(hello.flags & HELLO_PUSHES_DESCRIBE);
    assert_false(hello.flags & HELLO_UPDATE_V3);
}

static void reads_22_bytes_of_2_x(void **state)
{
    struct hello hello;
    (void)state;

    assert_true(parse(&hello, "0003ffff00160003000c0123456789abcdef01234567"));
    assert_id(&hello, "0123456789abcdef01234567");
    assert_int_equal(hello.system_version, 0);
    assert_int_equal(hello.max_message_bytes, 0);
    assert_int_equal(hello.max_binary_bytes, 0);
    assert_int_equal(hello.chunk_bytes, 0);
}

static void reads_8_bytes_of_a_core(void **state)
{
    struct hello hello;
    (void)state;

    assert_true(parse(&hello, "0000000500000000"));
    assert_false(hello.has_id);
    assert_int_equal(hello.product_version, 5);
    assert_int_equal(hello.platform_id, 0);
}

static void reads_tcp_without_id(void **state)
{
    struct hello hello;
    (void)state;

    assert_true(parse(&hello, "0003ffff0036000300001838048000a000000200"));
    assert_false(hello.has_id);
    assert_int_equal(hello.system_version, 6200);
    assert_int_equal(hello.chunk_bytes, 512);
}

static void accepts_trailing_bytes_and_missing_fields(void **state)
{
    struct hello hello;
    (void)state;

    assert_true(parse(&hello, "000d000300f6000d000ce00fce68ffffffff0000000118380480001770000200ffeedd"));
    assert_int_equal(hello.chunk_bytes, 512);
    assert_true(parse(&hello, "000d000300f6000d000ce00fce68ffffffff000000011838"));
    assert_int_equal(hello.system_version, 6200);
    assert_int_equal(hello.max_message_bytes, 0);
    assert_true(parse(&hello, "000d000300f6000d000ce00fce68ffffffff00000001183804800017"));
    assert_int_equal(hello.max_message_bytes, 1152);
    assert_int_equal(hello.max_binary_bytes, 0);
    assert_int_equal(hello.chunk_bytes, 0); /* not the two bytes that are left of the field before */
}

static void refuses_what_contradicts_itself(void **state)
{
    static const char *const bad[] = {
        "",                                             /* nothing */
        "00030005000000",                               /* 7 bytes */
        "000300050000000300",                           /* half a length */
        "0003000500000003000c0123456789abcdef012345",   /* 11 of 12 bytes */
        "0003000500000003000b0123456789abcdef01234567", /* no ID has 11 */
        "0003000500000003ffff0123456789abcdef01234567",
        "0003000500000003000d0123456789abcdef0123456789",
    };
    struct hello hello;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(parse(&hello, bad[i]));
}

static void names_releases(void **state)
{
    static const struct {
        uint16_t version;
        const char *name;
    } known[] = {
        {0, ""},        {6200, "6.2.0"}, {6101, "6.1.1"}, {5501, "5.5.0"}, {2302, "2.3.1"}, {1512, "1.5.x"},
        {207, "0.7.0"}, {205, "0.7.x"},  {5, "0.4.x"},    {24, "v24"},     {6300, "v6300"}, {65535, "v65535"},
    };
    char out[16];
    (void)state;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_string_equal(hello_system_release(known[i].version, out), known[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_boron_of_the_specification),
        cmocka_unit_test(reads_the_trace_of_6_2_0),
        cmocka_unit_test(reads_22_bytes_of_2_x),
        cmocka_unit_test(reads_8_bytes_of_a_core),
        cmocka_unit_test(reads_tcp_without_id),
        cmocka_unit_test(accepts_trailing_bytes_and_missing_fields),
        cmocka_unit_test(refuses_what_contradicts_itself),
        cmocka_unit_test(names_releases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
