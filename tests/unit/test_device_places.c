/* test_device_places.c: what is remembered of lists, and that it is bounded. */
#include "fleet/device_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

static struct place place_of(uint32_t n)
{
    struct place place = {.key = ""};
    be32_store(place.id.bytes, n);
    snprintf(place.key, sizeof place.key, "%u", n);
    return place;
}

static uint32_t number_of(const struct place *place)
{
    assert_non_null(place);
    return be32_load(place->id.bytes);
}

static void note(struct device_places *p, const char *walk, uint32_t page, uint32_t n, uint64_t now_ms)
{
    struct place place = place_of(n);
    device_places_note(p, walk, page, &place, now_ms);
}

static void test_walks(void **state)
{
    struct device_places *p = device_places_new();
    char name[20];
    (void)state;
    assert_null(device_places_walked(p, "a", 2, 1000, 0));
    note(p, "a", 2, 100, 0);
    note(p, "a", 3, 200, 500);
    note(p, "b", 3, 300, 500);
    assert_int_equal(number_of(device_places_walked(p, "a", 2, 1000, 1000)), 100);
    assert_int_equal(number_of(device_places_walked(p, "a", 3, 1000, 1000)), 200);
    assert_int_equal(number_of(device_places_walked(p, "b", 3, 1000, 1000)), 300);
    assert_null(device_places_walked(p, "a", 2, 1000, 1001)); /* too long ago */
    assert_null(device_places_walked(p, "a", 4, 1000, 1000));
    note(p, "a", 2, 111, 2000);
    assert_int_equal(number_of(device_places_walked(p, "a", 2, 1000, 2000)), 111);
    note(p, "a", 2 + PLACES_WALK_PAGES, 400, 2000);
    assert_null(device_places_walked(p, "a", 2, 1000, 2000)); /* its place was needed */
    for (unsigned i = 0; i < PLACES_WALKS_MAX - 1; i++) {
        snprintf(name, sizeof name, "w%u", i);
        note(p, name, 2, i, 3000);
        assert_int_equal(number_of(device_places_walked(p, "a", 2 + PLACES_WALK_PAGES, 9000, 3000)), 400);
    }
    assert_null(device_places_walked(p, "b", 3, 9000, 3000)); /* the longest unused */
    assert_int_equal(number_of(device_places_walked(p, "w0", 2, 9000, 3000)), 0);
    device_places_free(p);
}

/* A list of n devices. */
static void measure(struct device_places *p, const char *list, uint32_t n, uint64_t took_ms, uint64_t now_ms)
{
    size_t count = n / PLACES_STRIDE;
    struct place *places = calloc(count + 1, sizeof *places);
    for (size_t i = 0; i < count; i++)
        places[i] = place_of((uint32_t)(i + 1) * PLACES_STRIDE);
    device_places_measured(p, list, n, places, count, PLACES_STRIDE, took_ms, now_ms, 5000 + now_ms);
    free(places);
}

/* Wherever a page begins: the place and what is to be passed over lead there, and little is passed over. */
static void check_jumps(struct device_places *p, const char *list, uint32_t n, uint32_t most_left)
{
    for (uint64_t first = 0; first <= n; first += 97) {
        uint64_t left;
        const struct place *place = device_places_jump(p, list, first, &left);
        assert_int_equal((place ? number_of(place) : 0) + left, first);
        assert_true(left < most_left);
    }
}

static void test_measured_lists(void **state)
{
    struct device_places *p = device_places_new();
    struct measured m;
    char name[20];
    uint64_t left;
    (void)state;
    assert_false(device_places_look(p, "l", &m, 0));
    measure(p, "l", 12345, 500, 1000);
    assert_true(device_places_look(p, "l", &m, 1000));
    assert_int_equal(m.total, 12345);
    assert_int_equal(m.at_wall_ms, 6000);
    assert_true(m.is_fresh);
    check_jumps(p, "l", 12345, 2 * PLACES_STRIDE);
    assert_int_equal(number_of(device_places_jump(p, "l", 50000, &left)), 12200); /* beyond its end */
    assert_int_equal(left, 50000 - 12200);
    device_places_look(p, "l", &m, 1000 + 500 * PLACES_FRESH_TIMES + 1);
    assert_false(m.is_fresh);
    assert_false(m.is_too_old);
    device_places_look(p, "l", &m, 1000 + PLACES_OLD_MS + 1);
    assert_true(m.is_too_old);
    measure(p, "l", 10 * PLACES_PER_LIST * PLACES_STRIDE + 77, 1, 2000);
    check_jumps(p, "l", 10 * PLACES_PER_LIST * PLACES_STRIDE + 77, 11 * PLACES_STRIDE);
    measure(p, "l", 100, 1, 2000);
    check_jumps(p, "l", 100, PLACES_STRIDE);
    for (unsigned i = 0; i < PLACES_LISTS_MAX; i++) {
        snprintf(name, sizeof name, "l%u", i);
        measure(p, name, 10, 1, 0);
    }
    assert_false(device_places_look(p, "l", &m, 0));
    assert_true(device_places_look(p, "l0", &m, 0));
    device_places_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walks),
        cmocka_unit_test(test_measured_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
