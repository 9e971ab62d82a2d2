#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"

#define PIECES 4096

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static void no_bytes_come_twice(void **state)
{
    static uint8_t pieces[PIECES][16]; /* many pages */

    (void)state;
    for (size_t i = 0; i < PIECES; i++)
        random_bytes(pieces[i], sizeof(pieces[i]));
    qsort(pieces, PIECES, sizeof(pieces[0]), compare);
    for (size_t i = 1; i < PIECES; i++)
        assert_memory_not_equal(pieces[i - 1], pieces[i], sizeof(pieces[i]));
}

/* Sizes that do not divide a page, and more than one: every byte of them is written. */
static void any_length_is_filled(void **state)
{
    static const size_t lengths[] = {0, 1, 3, 28, 1024, 1025, 10000};
    uint8_t *out = calloc(1, 10001);

    (void)state;
    assert_non_null(out);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint8_t seen = 0;
        for (int times = 0; times < 64; times++) {
            memset(out, 0, 10001);
            random_bytes(out, lengths[i]);
            seen |= lengths[i] > 0 ? out[lengths[i] - 1] : 1;
            assert_int_equal(out[lengths[i]], 0);
        }
        assert_int_not_equal(seen, 0);
    }
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_bytes_come_twice),
        cmocka_unit_test(any_length_is_filled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
