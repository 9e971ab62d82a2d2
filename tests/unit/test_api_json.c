/* What a device looks like to clients: which keys, in which order, and which are absent. */
#include "api/device_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fleet_device blank(void)
{
    struct fleet_device d = {.platform_id = -1,
                             .product_id = -1,
                             .product_version = -1,
                             .updates_enabled = -1,
                             .updates_forced = -1};

    assert_true(device_id_parse(&d.id, "51FF69065067545755380687", 24));
    return d;
}

static void assert_text(json_t *json, const char *expected)
{
    char *text = json_dumps(json, JSON_COMPACT);

    assert_string_equal(text, expected);
    free(text);
    json_decref(json);
}

static void test_device_of_which_nothing_is_known(void **state)
{
    struct fleet_device d = blank();

    (void)state;
    assert_text(
        device_json_row(&d),
        "{\"id\":\"51ff69065067545755380687\",\"name\":null,\"last_app\":null,\"last_heard\":null,"
        "\"connected\":false,\"online\":false,\"platform_id\":null,\"product_id\":null,"
        "\"last_ip_address\":null,\"last_handshake_at\":null,\"status\":\"normal\",\"cellular\":false,"
        "\"notes\":null}");
}

static void test_list_keeps_the_order_of_2014(void **state)
{
    static const char expected[] =
        "{\"id\":\"51ff69065067545755380687\",\"name\":\"joe_prod_core2\",\"last_app\":null,"
        "\"last_heard\":\"2014-07-02T23:15:00.409Z\",\"connected\":true,\"requires_deep_update\":true,";
    struct fleet_device d = blank();
    char *text;

    (void)state;
    d.name = "joe_prod_core2";
    d.last_heard_ms = 1404342900409;
    d.connected = true;
    d.requires_deep_update = true;
    d.cc3000_patch_version = "1.23";
    json_t *row = device_json_row(&d);
    text = json_dumps(row, JSON_COMPACT);
    assert_memory_equal(text, expected, sizeof(expected) - 1);
    assert_null(json_object_get(row, "cc3000_patch_version"));
    assert_null(json_object_get(row, "functions"));
    free(text);
    json_decref(row);
}

static void test_deep_update_is_true_or_absent(void **state)
{
    struct fleet_device d = blank();
    json_t *detail;

    (void)state;
    d.requires_deep_update = true;
    d.cc3000_patch_version = "1.23";
    d.deep_update_reason = "The CC3000 needs patch 1.28.";
    detail = device_json_detail(&d);
    assert_true(json_is_true(json_object_get(detail, "requires_deep_update")));
    assert_string_equal(json_string_value(json_object_get(detail, "cc3000_patch_version")), "1.23");
    assert_non_null(json_object_get(detail, "deep_update_reason"));
    json_decref(detail);

    d.requires_deep_update = false;
    d.cc3000_patch_version = "1.28";
    detail = device_json_detail(&d);
    assert_null(json_object_get(detail, "requires_deep_update"));
    assert_null(json_object_get(detail, "deep_update_reason"));
    assert_string_equal(json_string_value(json_object_get(detail, "cc3000_patch_version")), "1.28");
    json_decref(detail);
}

static void test_detail_tells_functions_and_variables(void **state)
{
    static const char *const functions[] = {"digitalread", "digitalwrite"};
    static const struct fleet_name_type variables[] = {{"t", "double"}, {"n", "int32"}};
    struct fleet_device d = blank();
    json_t *detail;

    (void)state;
    d.functions = functions;
    d.function_count = 2;
    d.variables = variables;
    d.variable_count = 2;
    detail = device_json_detail(&d);
    assert_text(json_incref(json_object_get(detail, "functions")), "[\"digitalread\",\"digitalwrite\"]");
    assert_text(json_incref(json_object_get(detail, "variables")), "{\"t\":\"double\",\"n\":\"int32\"}");
    json_decref(detail);

    d = blank(); /* it never described itself: empty, not absent */
    detail = device_json_detail(&d);
    assert_text(json_incref(json_object_get(detail, "functions")), "[]");
    assert_text(json_incref(json_object_get(detail, "variables")), "{}");
    json_decref(detail);
}

static void test_numbers_and_known_extras(void **state)
{
    struct fleet_device d = blank();
    json_t *row;

    (void)state;
    d.platform_id = 13;
    d.product_version = 4;
    d.system_release = "6.2.0";
    d.iccid = "8934076500002586576";
    d.updates_enabled = 0;
    d.quarantined = true;
    row = device_json_row(&d);
    assert_int_equal(json_integer_value(json_object_get(row, "product_id")), 13); /* outside any product */
    assert_int_equal(json_integer_value(json_object_get(row, "firmware_version")), 4);
    assert_true(json_is_true(json_object_get(row, "cellular")));
    assert_true(json_is_true(json_object_get(row, "quarantined")));
    assert_true(json_is_false(json_object_get(row, "firmware_updates_enabled")));
    assert_null(json_object_get(row, "firmware_updates_forced"));
    assert_string_equal(json_string_value(json_object_get(row, "system_firmware_version")), "6.2.0");
    assert_string_equal(json_string_value(json_object_get(row, "current_build_target")), "6.2.0");
    json_decref(row);
    d.product_id = 31000;
    row = device_json_row(&d);
    assert_int_equal(json_integer_value(json_object_get(row, "product_id")), 31000);
    json_decref(row);
}

static void test_text_that_is_not_utf8_is_null(void **state)
{
    struct fleet_device d = blank();
    json_t *row;

    (void)state;
    d.name = "\xff\xfe";
    row = device_json_row(&d);
    assert_true(json_is_null(json_object_get(row, "name")));
    json_decref(row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_of_which_nothing_is_known),
        cmocka_unit_test(test_list_keeps_the_order_of_2014),
        cmocka_unit_test(test_deep_update_is_true_or_absent),
        cmocka_unit_test(test_detail_tells_functions_and_variables),
        cmocka_unit_test(test_numbers_and_known_extras),
        cmocka_unit_test(test_text_that_is_not_utf8_is_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
