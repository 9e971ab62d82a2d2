/* test_swarm_firmware.c: what simulated devices share: the files sent to them, and the defects they have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "module_builder.h"
#include "swarm_update.h"

static void shares_a_file_until_it_differs(void **state)
{
    struct swarm_images images = {NULL};
    struct swarm_image_key key = {.file_bytes = 8};
    struct swarm_image *one = swarm_image_get(&images, &key), *two = swarm_image_get(&images, &key);

    (void)state;
    assert_ptr_equal(one, two);
    assert_true(swarm_image_write(&one, 0, (const uint8_t *)"abcd", 4));
    assert_true(swarm_image_write(&two, 4, (const uint8_t *)"efgh", 4));
    assert_true(swarm_image_write(&two, 0, (const uint8_t *)"abcd", 4));
    assert_false(swarm_image_write(&one, 4, (const uint8_t *)"efgX", 4));
    assert_ptr_not_equal(one, two);
    assert_memory_equal(one->data, "abcdefgX", 8);
    assert_memory_equal(two->data, "abcdefgh", 8);
    swarm_image_release(one);
    swarm_image_release(two);
    assert_null(images.by_key);
}

static void looks_into_both_modules_of_a_file(void **state)
{
    struct module_recipe radio = {
        .body_len = 900, .function = 8, .platform_id = 12, .version = 202, .flags = 1};
    struct module_recipe boot = {
        .header_at = 0x200, .body_len = 700, .function = 2, .platform_id = 12, .version = 3100};
    struct built first = module_build(&radio), second = module_build(&boot),
                 both = module_combine(&first, &second);
    struct swarm_binary binary;

    (void)state;
    assert_int_equal(swarm_binary_parse(&binary, both.data, both.len), SWARM_CODE_OK);
    assert_int_equal(binary.part_count, 2);
    assert_int_equal(binary.parts[0].f, 'a');
    assert_int_equal(binary.parts[0].version, 202);
    assert_int_equal(binary.parts[1].f, 'b');
    assert_int_equal(binary.parts[1].version, 3100);
    for (size_t len = 1; len < both.len;
         len++) { /* however much is missing; nothing beyond the end is read */
        uint8_t *part = mem_copy(both.data, len);
        enum swarm_code code = swarm_binary_parse(&binary, part, len);

        free(part);
        if (len != first.len)
            assert_int_not_equal(code, SWARM_CODE_OK);
    }
    free(first.data);
    free(second.data);
    free(both.data);
}

static void gives_a_share_of_the_fleet_its_defects(void **state)
{
    const struct swarm_defect_shares shares = {.lie = 10, .never_back = 50};
    size_t liars = 0, lost = 0, both = 0;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        struct swarm_defects one, again;
        char id[16];
        bool any, any_again;

        (void)snprintf(id, sizeof(id), "%d", i);
        any = swarm_defects_draw(&one, &shares, "seed", id);
        any_again = swarm_defects_draw(&again, &shares, "seed", id);
        assert_int_equal(any, any_again);
        assert_int_equal(any, one.lie || one.never_back);
        assert_memory_equal(&one, &again, sizeof(one));
        liars += one.lie == SWARM_ALWAYS;
        lost += one.never_back == SWARM_ALWAYS;
        both += one.lie && one.never_back;
    }
    assert_in_range(liars, 140, 260);
    assert_in_range(lost, 900, 1100);
    assert_in_range(both, 60, 140);
}

static void refuses_defects_there_are_none_of(void **state)
{
    static const char *const bad[] = {"{\"lies\":1}",
                                      "{\"lie\":1.5}",
                                      "{\"window\":257}",
                                      "{\"finish_code\":1}",
                                      "{\"collateral\":{\"f\":\"b\"}}",
                                      "[]"};
    struct swarm_defects defects = {0};
    json_t *good = json_loads("{\"lie\":true,\"updates_disabled\":true,\"window\":4,"
                              "\"collateral\":{\"f\":\"b\",\"n\":\"0\",\"v\":1200}}",
                              0, NULL);
    char why[128];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *object = json_loads(bad[i], 0, NULL);

        assert_non_null(object);
        assert_false(swarm_defects_read(&defects, object, why, sizeof(why)));
        json_decref(object);
    }
    assert_true(swarm_defects_read(&defects, good, why, sizeof(why)));
    assert_int_equal(defects.lie, SWARM_ALWAYS);
    assert_int_equal(defects.updates_disabled, 1);
    assert_int_equal(defects.collateral.v, 1200);
    json_decref(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_a_file_until_it_differs),
        cmocka_unit_test(looks_into_both_modules_of_a_file),
        cmocka_unit_test(gives_a_share_of_the_fleet_its_defects),
        cmocka_unit_test(refuses_defects_there_are_none_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
