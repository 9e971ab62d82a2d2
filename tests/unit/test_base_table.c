/* The table against a plain array, through many random additions and removals, with hashes that collide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/table.h"

struct thing {
    uint32_t key, hash;
    bool in;
};

static bool is_key(const void *entry, const void *key)
{
    return ((const struct thing *)entry)->key == *(const uint32_t *)key;
}

static void random_walk(uint32_t hash_mask)
{
    enum { THINGS = 500, STEPS = 40000 };
    static struct thing things[THINGS];
    struct table t = {0};
    uint32_t in = 0;
    srand(7);
    for (uint32_t i = 0; i < THINGS; i++)
        things[i] = (struct thing){.key = i, .hash = table_hash(&i, sizeof i) & hash_mask};
    for (int step = 0; step < STEPS; step++) {
        struct thing *one = &things[rand() % THINGS];
        if (one->in)
            table_remove(&t, one->hash, one);
        else
            table_add(&t, one->hash, one);
        in += one->in ? -1u : 1u;
        one->in = !one->in;
        assert_int_equal(t.count, in);
        const struct thing *other = &things[rand() % THINGS];
        assert_ptr_equal(table_find(&t, other->hash, is_key, &other->key), other->in ? other : NULL);
    }
    for (uint32_t i = 0; i < THINGS; i++)
        assert_ptr_equal(table_find(&t, things[i].hash, is_key, &i), things[i].in ? &things[i] : NULL);
    table_deinit(&t);
}

static void finds_what_is_in_it_and_nothing_else(void **state)
{
    (void)state;
    random_walk(UINT32_MAX);
}

static void stands_hashes_that_collide(void **state)
{
    (void)state;
    random_walk(0x3f);
}

static void an_empty_one_finds_nothing(void **state)
{
    (void)state;
    struct table t = {0};
    uint32_t key = 1;
    assert_null(table_find(&t, 1, is_key, &key));
    table_deinit(&t);
}

static void hash_depends_on_every_byte_and_the_length(void **state)
{
    (void)state;
    uint8_t data[20] = {0};
    uint32_t first = table_hash(data, sizeof data);
    assert_int_equal(table_hash(data, sizeof data), first);
    assert_int_not_equal(table_hash(data, sizeof data - 8), first);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = 1;
        assert_int_not_equal(table_hash(data, sizeof data), first);
        data[i] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_in_it_and_nothing_else),
        cmocka_unit_test(stands_hashes_that_collide),
        cmocka_unit_test(an_empty_one_finds_nothing),
        cmocka_unit_test(hash_depends_on_every_byte_and_the_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
