/* test_vitals_tree.c: the numbered values of a device in their places, in their units. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/vitals_tree.h"

static void is_tree(const char *vitals, const char *service, const char *expected)
{
    json_t *said = json_loads(vitals, 0, NULL), *known = json_loads(service, 0, NULL);
    json_t *tree = vitals_tree(said, known), *wanted = json_loads(expected, 0, NULL);
    assert_non_null(wanted);
    if (!json_equal(tree, wanted))
        fail_msg("%s", json_dumps(tree, JSON_SORT_KEYS));
    json_decref(said);
    json_decref(known);
    json_decref(tree);
    json_decref(wanted);
}

static void test_forms(void **state)
{
    (void)state;
    is_tree("{}", "{}", "{\"device\":{},\"service\":{}}");
    is_tree("{\"6\":-1,\"15\":16909060}", "{\"cloud\":{\"uptime\":5}}",
            "{\"device\":{\"system\":{\"uptime\":4294967295},\"network\":{\"ip\":{\"address\":\"1.2.3.4\"}}},"
            "\"service\":{\"cloud\":{\"uptime\":5}}}");
    is_tree("{\"33\":25600,\"37\":-3538944}", "{}",
            "{\"device\":{\"network\":{\"signal\":{\"strength\":100.0,\"strength_units\":\"%\",\"strengthv\":"
            "-54.0,"
            "\"strengthv_units\":\"dBm\"}}},\"service\":{}}");
    is_tree("{\"41\":4}", "{}",
            "{\"device\":{\"network\":{\"cellular\":{\"cell_global_identity\":{\"mobile_network_code\":"
            "\"004\"}}}},"
            "\"service\":{}}");
    is_tree("{\"41\":-4}", "{}",
            "{\"device\":{\"network\":{\"cellular\":{\"cell_global_identity\":{\"mobile_network_code\":"
            "\"04\"}}}},"
            "\"service\":{}}");
    is_tree("{\"8\":4,\"28\":-3,\"24\":5}", "{}",
            "{\"device\":{\"network\":{\"connection\":{\"status\":\"connected\",\"disconnect_reason\":-3}},"
            "\"power\":{\"source\":\"battery\"}},\"service\":{}}");
}

static void test_errors_and_strangers(void **state)
{
    (void)state;
    is_tree("{\"21\":{\"err\":-210},\"40000\":7,\"0\":1,\"61\":{\"err\":1}}", "{}",
            "{\"device\":{\"cloud\":{\"coap\":{\"retransmit\":{\"err\":-210}}},"
            "\"other\":{\"40000\":7,\"0\":1,\"61\":{\"err\":1}}},\"service\":{}}");
}

/* No place is another's, and none is inside another. */
static void test_places(void **state)
{
    const char *place, *other, *units;
    unsigned id, other_id;
    (void)state;
    for (size_t i = 0; (place = vitals_tree_place(i, &id, &units)) != NULL; i++)
        for (size_t j = i + 1; (other = vitals_tree_place(j, &other_id, &units)) != NULL; j++) {
            size_t shorter = strlen(place) < strlen(other) ? strlen(place) : strlen(other);
            const char *longer = strlen(place) < strlen(other) ? other : place;
            assert_false(id != 0 && id == other_id);
            assert_false(!strncmp(place, other, shorter) &&
                         (longer[shorter] == '.' || longer[shorter] == '\0'));
        }
    assert_null(vitals_tree_place(100000, &id, &units));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_errors_and_strangers),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
