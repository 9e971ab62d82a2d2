/* test_device_filter.c: filters of devices as people write them. */
#include "fleet/device_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct fleet_actor owner = {.role = FLEET_OWNER, .user_id = 7},
                                operator_ = {.role = FLEET_OPERATOR};

static json_t *json_of(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    return value;
}

static void read_text(struct fleet_filter *filter, json_t *values)
{
    char why[DEVICE_FILTER_WHY_SIZE];
    fleet_filter_init(filter);
    if (!device_filter_read(filter, values, why))
        fail_msg("%s", why);
}

static void test_both_spellings(void **state)
{
    struct fleet_filter f;
    json_t *values =
        json_of("{\"online\":\"true\",\"platformId\":\"12\",\"firmwareVersion\":\"3\",\"deviceId\":\"ab\","
                "\"deviceName\":\"n\",\"serialNumber\":\"s\",\"groups\":\"a,b\",\"nonce\":\"1\","
                "\"lastHeardBefore\":\"2014-07-02T23:15:00.409Z\",\"development\":\"0\"}");
    (void)state;
    read_text(&f, values);
    assert_int_equal(f.connected, FLEET_YES);
    assert_int_equal(f.development, FLEET_NO);
    assert_int_equal(f.quarantined, FLEET_ANY);
    assert_int_equal(f.platform_id, 12);
    assert_int_equal(f.firmware_version, 3);
    assert_string_equal(f.id_part, "ab");
    assert_string_equal(f.name_part, "n");
    assert_string_equal(f.serial_part, "s");
    assert_string_equal(f.groups, "a,b");
    assert_true(f.heard_before_ms == 1404342900409);
    json_decref(values);
}

static const char *text_of(const struct device_filter_params *p, size_t i)
{
    return p->params[i].value ? p->params[i].value : "(null)";
}

static void test_parameters(void **state)
{
    struct device_filter_params p;
    struct fleet_filter f;
    (void)state;
    fleet_filter_init(&f);
    f.name = "a_%\\b*";
    f.name_part = "K_1";
    f.id_part = "E00FCE68AABBCCDDEEFF0011";
    assert_true(device_filter_fill(&p, &owner, &f));
    assert_string_equal(text_of(&p, 0), "7");
    assert_string_equal(text_of(&p, 6), "(null)");
    assert_string_equal(text_of(&p, 7), "a\\_\\%\\\\b%");
    assert_string_equal(text_of(&p, 11), "(null)"); /* a whole id is no part */
    assert_true(p.params[17].binary && p.params[17].value_len == DEVICE_ID_BYTES);
    assert_string_equal(text_of(&p, 12), "%k\\_1%");
    f.id_part = "E0%";
    assert_true(device_filter_fill(&p, &operator_, &f));
    assert_string_equal(text_of(&p, 0), "(null)");
    assert_string_equal(text_of(&p, 11), "%e0\\%%");
    device_filter_of_product(&f, 1000);
    assert_true(device_filter_fill(&p, &owner, &f)); /* a team sees all of its product, whoever owns them */
    assert_string_equal(text_of(&p, 0), "(null)");
    assert_string_equal(text_of(&p, 10), "1000");
    f.quarantined = FLEET_YES;
    device_filter_of_product(&f, 1000);
    assert_true(device_filter_fill(&p, &owner, &f));
    assert_string_equal(text_of(&p, 0), "(null)");
    assert_string_equal(text_of(&p, 10), "(null)");
    assert_string_equal(text_of(&p, 18), "1000");
}

static void test_texts_that_no_device_has(void **state)
{
    struct device_filter_params p;
    struct fleet_filter f;
    char long_text[DEVICE_FILTER_GROUPS_MAX + 2];
    (void)state;
    memset(long_text, 'a', sizeof long_text);
    long_text[sizeof long_text - 1] = 0;
    const char *const bad[] = {"k\xfc", "k\n", long_text, long_text + DEVICE_FILTER_GROUPS_MAX - 70};
    for (size_t i = 0; i < 4; i++) {
        fleet_filter_init(&f);
        f.name = bad[i];
        assert_false(device_filter_fill(&p, &operator_, &f));
        f.name = NULL;
        f.serial_part = bad[i];
        assert_false(device_filter_fill(&p, &operator_, &f));
    }
    fleet_filter_init(&f);
    f.groups = long_text;
    assert_false(device_filter_fill(&p, &operator_, &f));
    f.groups = long_text + 1;
    assert_true(device_filter_fill(&p, &operator_, &f));
    /* the longest that can be, all of it escaped */
    memset(long_text, '_', DEVICE_FILTER_TEXT_MAX);
    long_text[DEVICE_FILTER_TEXT_MAX] = 0;
    f.groups = NULL;
    f.name_part = f.id_part = f.serial_part = long_text;
    assert_true(device_filter_fill(&p, &operator_, &f));
    assert_int_equal(strlen(text_of(&p, 12)), 2 * DEVICE_FILTER_TEXT_MAX + 2);
}

static void test_canonical(void **state)
{
    static const struct {
        const char *given, *made; /* NULL: refused */
    } cases[] = {
        {"{\"all\":true}", "{}"},
        {"{\"online\":true,\"deviceName\":\"x\",\"groups\":[\"a\",\"b\"],\"platformId\":13}",
         "{\"connected\":\"true\",\"device_name\":\"x\",\"groups\":\"a,b\",\"platform_id\":\"13\"}"},
        {"{\"connected\":\"0\"}", "{\"connected\":\"0\"}"},
        {"{}", NULL},
        {"[]", NULL},
        {"\"all\"", NULL},
        {"null", NULL},
        {"{\"all\":false}", NULL},
        {"{\"colour\":\"red\"}", NULL},
        {"{\"connected\":\"perhaps\"}", NULL},
        {"{\"connected\":null}", NULL},
        {"{\"platform_id\":{}}", NULL},
        {"{\"platform_id\":-1}", NULL},
        {"{\"platform_id\":65536}", NULL},
        {"{\"groups\":[1]}", NULL},
        {"{\"groups\":[]}", NULL},
        {"{\"name\":\"\"}", NULL},
        {"{\"per_page\":5}", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[DEVICE_FILTER_WHY_SIZE] = "";
        json_t *given = json_of(cases[i].given), *made = device_filter_canonical(given, why);
        char *text = made ? json_dumps(made, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
        if (cases[i].made)
            assert_string_equal(text, cases[i].made);
        else
            assert_null(text);
        assert_true((*why != 0) == (cases[i].made == NULL));
        free(text);
        json_decref(made);
        json_decref(given);
    }
    /* what is canonical stays as it is: it is read again after a restart */
    char why[DEVICE_FILTER_WHY_SIZE];
    json_t *given = json_of(cases[1].given), *made = device_filter_canonical(given, why);
    json_t *again = device_filter_canonical(made, why);
    assert_true(json_equal(made, again));
    json_decref(again);
    json_decref(made);
    json_decref(given);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_spellings),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_texts_that_no_device_has),
        cmocka_unit_test(test_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
