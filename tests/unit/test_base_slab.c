/* test_base_slab.c: items do not overlap, come zeroed, and their memory goes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/slab.h"

struct item {
    uint32_t owner;
    uint8_t rest[301];
};

static void items_are_apart_through_a_random_walk(void **state)
{
    enum { ITEMS = 3000, STEPS = 60000 };
    static struct item *items[ITEMS];
    struct slab slab;
    size_t in_use = 0;
    (void)state;
    slab_init(&slab, sizeof(struct item));
    srand(3);
    for (int step = 0; step < STEPS; step++) {
        uint32_t i = (uint32_t)rand() % ITEMS;
        if (items[i]) {
            assert_int_equal(items[i]->owner, i);
            assert_int_equal(items[i]->rest[300], (uint8_t)i);
            slab_free(&slab, items[i]);
            items[i] = NULL;
            in_use--;
        } else {
            items[i] = slab_new(&slab);
            assert_int_equal((uintptr_t)items[i] % 8, 0);
            assert_int_equal(items[i]->owner, 0);
            assert_int_equal(items[i]->rest[300], 0);
            memset(items[i]->rest, (int)(uint8_t)i, sizeof items[i]->rest);
            items[i]->owner = i;
            in_use++;
        }
        assert_int_equal(slab.count, in_use);
    }
    for (uint32_t i = 0; i < ITEMS; i++)
        slab_free(&slab, items[i]);
    slab_deinit(&slab);
    assert_null(slab.partial);
}

static void nothing_is_fine_to_free(void **state)
{
    struct slab slab;
    (void)state;
    slab_init(&slab, sizeof(struct item));
    slab_free(&slab, NULL);
    slab_deinit(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_apart_through_a_random_walk),
        cmocka_unit_test(nothing_is_fine_to_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
