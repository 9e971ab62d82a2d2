/* test_goodbye.c: a device's last word (device-protocol 4.3, Appendix C; device-trace 3.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "device/goodbye.h"

static bool parse(struct device_goodbye *goodbye, const char *hex)
{
    size_t len = strlen(hex) / 2;
    uint8_t *data = mem_alloc(len);

    assert_true(hex_decode(data, len, hex, strlen(hex)));
    bool parsed = goodbye_parse(goodbye, data, len);
    free(data);
    return parsed;
}

static void assert_goodbye(const char *hex, int64_t cloud, int64_t reset, int64_t sleep_s, int64_t network)
{
    struct device_goodbye goodbye;

    assert_true(parse(&goodbye, hex));
    assert_int_equal(goodbye.cloud_reason, cloud);
    assert_int_equal(goodbye.reset_reason, reset);
    assert_int_equal(goodbye.sleep_s, sleep_s);
    assert_int_equal(goodbye.network_reason, network);
}

static void reads_the_vectors(void **state)
{
    (void)state;
    assert_goodbye("030546", 5, 70, -1, -1);     /* system reset for an update */
    assert_goodbye("0506901c", 6, -1, 3600, -1); /* an hour of sleep */
    assert_goodbye("0102", 2, -1, -1, -1);       /* the user */
    assert_goodbye("0f038c0100ffffffff0f", 3, 140, 0, 4294967295);
}

static void an_empty_one_states_nothing(void **state)
{
    (void)state;
    assert_goodbye("", -1, -1, -1, -1);
    assert_goodbye("00", -1, -1, -1, -1);
    assert_goodbye("1102ff", 2, -1, -1, -1); /* a field of a later system */
}

static void refuses_cut_and_oversized_numbers(void **state)
{
    static const char *const bad[] = {"01",           "0301",        "80", "0180", "01808080808001",
                                      "01ffffffff1f", "04ffffffffff"};
    struct device_goodbye goodbye;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(parse(&goodbye, bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_vectors),
        cmocka_unit_test(an_empty_one_states_nothing),
        cmocka_unit_test(refuses_cut_and_oversized_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
