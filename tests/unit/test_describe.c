/* test_describe.c: what devices say they run: JSON, protobuf, metrics (device-protocol 4.4, device-trace 3).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "device/describe.h"

#define NO_FORMAT UINT16_MAX
#define OCTET_STREAM 42

static bool parse(struct describe *d, uint16_t format, const void *body, size_t body_len)
{
    uint8_t *copy = mem_alloc(body_len);
    const char *why = NULL;

    if (body_len > 0)
        memcpy(copy, body, body_len);
    bool parsed = describe_parse(d, format, copy, body_len, &why);
    free(copy);
    assert_non_null(why);
    if (!parsed) {
        assert_true(strlen(why) > 0);
        assert_null(d->modules);
        assert_null(d->functions);
        assert_null(d->variables);
        assert_null(d->metrics);
    }
    return parsed;
}

static bool parse_hex(struct describe *d, uint16_t format, const char *hex)
{
    size_t len = strlen(hex) / 2;
    uint8_t *data = mem_alloc(len);

    assert_true(hex_decode(data, len, hex, strlen(hex)));
    bool parsed = parse(d, format, data, len);
    free(data);
    return parsed;
}

static bool parse_json(struct describe *d, const char *json)
{
    return parse(d, NO_FORMAT, json, strlen(json));
}

static void assert_refused(const char *json)
{
    struct describe d;

    if (parse_json(&d, json))
        fail_msg("accepted: %s", json);
}

static void reads_the_application_of_the_trace(void **state)
{
    struct describe d;
    (void)state;

    assert_true(parse_hex(
        &d, NO_FORMAT,
        "7b2266223a5b22736574436f756e746572222c227075626c697368222c227265736574225d2c2276223a7b22636f"
        "756e746572223a322c2274656d70223a392c22666c6167223a312c2274657874223a342c2263616c63223a347d7d"));
    assert_int_equal(d.parts, DESCRIBE_APPLICATION);
    assert_int_equal(d.function_count, 3);
    assert_string_equal(d.functions[0], "setCounter");
    assert_string_equal(d.functions[2], "reset");
    assert_int_equal(d.variable_count, 5);
    assert_string_equal(d.variables[1].name, "temp");
    assert_int_equal(d.variables[1].type, VARIABLE_DOUBLE);
    assert_int_equal(d.variables[2].type, VARIABLE_BOOL);
    assert_int_equal(d.platform_id, -1);
    describe_free(&d);
}

static void reads_the_system_of_2_3_1(void **state)
{
    struct describe d;
    (void)state;

    assert_true(parse_json(&d, "{\"p\":3,\"m\":[]}"));
    assert_int_equal(d.parts, DESCRIBE_SYSTEM);
    assert_int_equal(d.platform_id, 3);
    assert_int_equal(d.module_count, 0);
    describe_free(&d);
}

static void reads_modules_of_json(void **state)
{
    struct describe d;
    (void)state;

    assert_true(parse_json(
        &d, "{\"p\":13,\"imei\":\"352753090000001\",\"iccid\":\"89014103211118510720\",\"cellfw\":\"L0.0.00."
            "00.05.06\","
            "\"sn\":\"B40HAB\",\"ms\":\"secret\",\"m\":["
            "{\"s\":49152,\"l\":\"m\",\"vc\":30,\"vv\":30,\"f\":\"b\",\"n\":\"0\",\"v\":501,\"d\":[]},"
            "{\"s\":131072,\"l\":\"f\",\"vc\":30,\"vv\":0,\"d\":[]},"
            "{\"s\":131072,\"l\":\"m\",\"vc\":30,\"vv\":26,\"u\":"
            "\"00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\",\"f\":\"u\",\"n\":\"1\","
            "\"v\":6,"
            "\"d\":[{\"f\":\"s\",\"n\":\"1\",\"v\":2302,\"_\":\"\"}]},"
            "{\"s\":1500000,\"l\":\"m\",\"vc\":30,\"vv\":30,\"u\":\"\",\"f\":\"c\",\"n\":\"0\",\"v\":5,\"d\":"
            "[]}]}"));
    assert_int_equal(d.parts, DESCRIBE_SYSTEM);
    assert_int_equal(d.platform_id, 13);
    assert_string_equal(d.imei, "352753090000001");
    assert_string_equal(d.iccid, "89014103211118510720");
    assert_string_equal(d.modem_version, "L0.0.00.00.05.06");
    assert_string_equal(d.serial_number, "B40HAB");
    assert_int_equal(d.module_count, 3); /* the empty factory slot is none */
    assert_int_equal(d.modules[0].function, MODULE_BOOTLOADER);
    assert_int_equal(d.modules[0].version, 501);
    assert_int_equal(d.modules[0].max_size_bytes, 49152);
    assert_false(d.modules[0].has_hash);
    assert_int_equal(d.modules[1].function, MODULE_USER);
    assert_int_equal(d.modules[1].index, 1);
    assert_int_equal(d.modules[1].checked_flags, 30);
    assert_int_equal(d.modules[1].passed_flags, 26);
    assert_true(d.modules[1].has_hash);
    assert_int_equal(d.modules[1].hash[31], 0xff);
    assert_int_equal(d.modules[1].store, MODULE_STORE_MAIN);
    assert_int_equal(d.modules[1].dependency_count, 1);
    assert_int_equal(d.modules[1].dependencies[0].function, MODULE_SYSTEM);
    assert_int_equal(d.modules[1].dependencies[0].index, 1);
    assert_int_equal(d.modules[1].dependencies[0].version, 2302);
    assert_int_equal(d.modules[2].function, MODULE_NCP);
    assert_int_equal(d.modules[2].dependency_count, 0);
    assert_false(d.modules[2].has_hash);
    describe_free(&d);
}

static void reads_both_parts_in_one(void **state)
{
    struct describe d;
    (void)state;

    assert_true(parse_json(
        &d, "{\"f\":[],\"v\":{},\"p\":6,\"m\":[{\"f\":\"s\",\"n\":\"2\",\"v\":207,\"l\":\"t\"}]}"));
    assert_int_equal(d.parts, DESCRIBE_SYSTEM | DESCRIBE_APPLICATION);
    assert_int_equal(d.modules[0].store, MODULE_STORE_SCRATCHPAD);
    describe_free(&d);
}

static void refuses_json_that_is_not_a_describe(void **state)
{
    static const char *const bad[] = {
        "{",
        "{}",
        "{\"x\":1}",
        "{\"p\":\"13\"}",
        "{\"p\":-1}",
        "{\"p\":65536}",
        "{\"p\":1.5}",
        "{\"p\":1,\"p\":2}",
        "{\"p\":1}trailing",
        "{\"imei\":5,\"p\":1}",
        "{\"imei\":\"1234567890123456789012345\",\"p\":1}",
        "{\"imei\":\"12\\u000134\",\"p\":1}",
        "{\"imei\":\"12\\u000034\",\"p\":1}",
        "{\"imei\":\"\xff\",\"p\":1}",
        "{\"m\":{}}",
        "{\"m\":[1]}",
        "{\"m\":[{\"f\":\"sy\"}]}",
        "{\"m\":[{\"f\":\"\"}]}",
        "{\"m\":[{\"f\":5}]}",
        "{\"m\":[{\"f\":\"s\",\"n\":1}]}",
        "{\"m\":[{\"f\":\"s\",\"n\":\"\"}]}",
        "{\"m\":[{\"f\":\"s\",\"n\":\"256\"}]}",
        "{\"m\":[{\"f\":\"s\",\"n\":\"1x\"}]}",
        "{\"m\":[{\"f\":\"s\",\"n\":\"1000\"}]}",
        "{\"m\":[{\"f\":\"s\",\"v\":65536}]}",
        "{\"m\":[{\"f\":\"s\",\"v\":-1}]}",
        "{\"m\":[{\"f\":\"s\",\"s\":4294967296}]}",
        "{\"m\":[{\"f\":\"s\",\"vc\":true}]}",
        "{\"m\":[{\"f\":\"s\",\"l\":\"z\"}]}",
        "{\"m\":[{\"f\":\"u\",\"u\":\"0011\"}]}",
        "{\"m\":[{\"f\":\"u\",\"u\":7}]}",
        "{\"m\":[{\"f\":\"s\",\"d\":{}}]}",
        "{\"m\":[{\"f\":\"s\",\"d\":[1]}]}",
        "{\"m\":[{\"f\":\"s\",\"d\":[{},{},{},{},{}]}]}",
        "{\"m\":[{\"f\":\"s\",\"d\":[{\"f\":\"s\",\"n\":\"1\",\"v\":70000}]}]}",
        "{\"f\":{}}",
        "{\"f\":[1]}",
        "{\"f\":[\"\"]}",
        "{\"v\":[]}",
        "{\"v\":{\"a\":\"2\"}}",
        "{\"v\":{\"a\":3}}",
        "{\"v\":{\"\":2}}",
        "{\"v\":{\"a\":2,\"a\":2}}",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(bad[i]);
}

/* {"<key>":<open>item,item,...<close>} with count items; `#` in item becomes its number. */
static char *make_list(const char *key, char open, const char *item, size_t count, char close)
{
    size_t size = 64 + count * (strlen(item) + 8);
    char *json = mem_alloc(size);
    size_t len = (size_t)snprintf(json, size, "{\"%s\":%c", key, open);

    for (size_t i = 0; i < count; i++) {
        for (const char *c = item; *c != '\0'; c++) {
            if (*c == '#')
                len += (size_t)snprintf(json + len, size - len, "%zu", i);
            else
                json[len++] = *c;
        }
        json[len++] = i + 1 < count ? ',' : ' ';
    }
    snprintf(json + len, size - len, "%c}", close);
    return json;
}

static void counts_and_lengths_are_bounded(void **state)
{
    static const struct {
        const char *key;
        char open;
        const char *item;
        size_t max;
        char close;
    } lists[] = {
        {"m", '[', "{\"f\":\"s\"}", DESCRIBE_MODULES_MAX, ']'},
        {"f", '[', "\"f#\"", DESCRIBE_FUNCTIONS_MAX, ']'},
        {"v", '{', "\"v#\":2", DESCRIBE_VARIABLES_MAX, '}'},
    };
    struct describe d;
    (void)state;

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        char *full = make_list(lists[i].key, lists[i].open, lists[i].item, lists[i].max, lists[i].close);
        char *over = make_list(lists[i].key, lists[i].open, lists[i].item, lists[i].max + 1, lists[i].close);
        assert_true(parse_json(&d, full));
        assert_int_equal(d.module_count + d.function_count + d.variable_count, lists[i].max);
        describe_free(&d);
        assert_refused(over);
        free(full);
        free(over);
    }

    char json[128];
    snprintf(json, sizeof(json), "{\"f\":[\"%064d\"]}", 0);
    assert_true(parse_json(&d, json));
    assert_int_equal(strlen(d.functions[0]), DESCRIBE_NAME_MAX);
    describe_free(&d);
    snprintf(json, sizeof(json), "{\"f\":[\"%065d\"]}", 0);
    assert_refused(json);
    snprintf(json, sizeof(json), "{\"v\":{\"%065d\":2}}", 0);
    assert_refused(json);
}

static void depth_is_bounded(void **state)
{
    static char deep[40000];
    struct describe d;
    (void)state;

    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"m\":", 5);
    assert_false(parse(&d, NO_FORMAT, deep, sizeof(deep)));
}

static void reads_the_protobuf_of_the_trace(void **state)
{
    struct describe d;
    (void)state;

    assert_true(parse_hex(
        &d, OCTET_STREAM,
        "0a19080218e8072880808005351e0000003d1e00000058848080050a20080318b8302880808005351e0000003d1e"
        "0000004a05080218e8075884808005"));
    assert_int_equal(d.parts, DESCRIBE_SYSTEM);
    assert_int_equal(d.platform_id, -1);
    assert_int_equal(d.module_count, 2);
    assert_int_equal(d.modules[0].function, MODULE_BOOTLOADER);
    assert_int_equal(d.modules[0].version, 1000);
    assert_int_equal(d.modules[0].max_size_bytes, 10485760);
    assert_int_equal(d.modules[0].checked_flags, 0x1e);
    assert_int_equal(d.modules[0].passed_flags, 0x1e);
    assert_int_equal(d.modules[1].function, MODULE_MONOLITHIC);
    assert_int_equal(d.modules[1].version, 6200);
    assert_int_equal(d.modules[1].dependency_count, 1);
    assert_int_equal(d.modules[1].dependencies[0].function, MODULE_BOOTLOADER);
    assert_int_equal(d.modules[1].dependencies[0].version, 1000);
    assert_false(d.modules[1].has_hash);
    describe_free(&d);
}

static void protobuf_with_texts(void **state)
{
    struct describe d;
    (void)state;

    /* user part 1 version 6 in factory store with hash; imei, iccid, modem version; assets and later fields
     * skipped */
    assert_true(parse_hex(&d, OCTET_STREAM,
                          "0a2a"
                          "0805"
                          "1001"
                          "1806"
                          "2001"
                          "42201111111111111111111111111111111111111111111111111111111111111122"
                          "1203313233"
                          "1a023839"
                          "22024c30"
                          "2a020801"
                          "3001"));
    assert_int_equal(d.module_count, 1);
    assert_int_equal(d.modules[0].function, MODULE_USER);
    assert_int_equal(d.modules[0].index, 1);
    assert_int_equal(d.modules[0].version, 6);
    assert_int_equal(d.modules[0].store, MODULE_STORE_FACTORY);
    assert_true(d.modules[0].has_hash);
    assert_int_equal(d.modules[0].hash[31], 0x22);
    assert_string_equal(d.imei, "123");
    assert_string_equal(d.iccid, "89");
    assert_string_equal(d.modem_version, "L0");
    describe_free(&d);
}

static void refuses_protobuf_that_is_not_a_describe(void **state)
{
    static const char *const bad[] = {
        "0a",                                                     /* cut */
        "0a05080218",                                             /* cut inside */
        "0a0308ff03",                                             /* type 511 */
        "0a03108002",                                             /* index 256 */
        "0a0418808004",                                           /* version 65536 */
        "0a022004",                                               /* store 4 */
        "0a0442021111",                                           /* hash of 2 bytes */
        "0a0a4a004a004a004a004a00",                               /* five dependencies */
        "0a074a05188080041801",                                   /* dependency version, cut */
        "120101",                                                 /* IMEI with a control character */
        "1201ff",                                                 /* and not UTF-8 */
        "121931323334353637383930313233343536373839303132333435", /* 25 digits */
    };
    struct describe d;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse_hex(&d, OCTET_STREAM, bad[i]))
            fail_msg("accepted: %s", bad[i]);
    }
}

/* 32,768 empty modules in 64 KiB: refused before each of them has become an object. */
static void a_small_message_does_not_become_a_large_one(void **state)
{
    static uint8_t many[65536], few[2 * (DESCRIBE_MODULES_MAX + 1)];
    struct describe d;
    (void)state;

    for (size_t i = 0; i < sizeof(many); i += 2)
        many[i] = 0x0a;
    assert_false(parse(&d, OCTET_STREAM, many, sizeof(many)));
    memcpy(few, many, sizeof(few));
    assert_false(parse(&d, OCTET_STREAM, few, sizeof(few)));
    assert_true(parse(&d, OCTET_STREAM, few, sizeof(few) - 2));
    assert_int_equal(d.module_count, DESCRIBE_MODULES_MAX);
    describe_free(&d);
}

static void reads_metrics(void **state)
{
    struct describe d;
    (void)state;

    /* rssi -70, an application's own 33000, signal quality failed with -160 */
    assert_true(parse_hex(&d, NO_FORMAT,
                          "00040002000400"
                          "1300baffffff"
                          "e88001000000"
                          "228060ffffff"));
    assert_int_equal(d.parts, DESCRIBE_METRICS);
    assert_int_equal(d.metric_count, 3);
    assert_int_equal(d.metrics[0].id, 19);
    assert_int_equal(d.metrics[0].value, -70);
    assert_false(d.metrics[0].is_error);
    assert_int_equal(d.metrics[1].id, 33000);
    assert_false(d.metrics[1].is_error);
    assert_int_equal(d.metrics[2].id, 34);
    assert_int_equal(d.metrics[2].value, -160);
    assert_true(d.metrics[2].is_error);
    describe_free(&d);
    assert_true(parse_hex(&d, OCTET_STREAM, "00040002000400")); /* whatever the Content-Format says */
    assert_int_equal(d.parts, DESCRIBE_METRICS);
    describe_free(&d);
}

static void refuses_metrics_of_another_make(void **state)
{
    static const char *const bad[] = {"00",
                                      "000400020004",
                                      "00030002000400",
                                      "00040004000400",
                                      "00040002000800",
                                      "0004000200040013",
                                      "000400020004001300baffff"};
    static uint8_t many[7 + 6 * (DESCRIBE_METRICS_MAX + 1)] = {0, 4, 0, 2, 0, 4, 0};
    struct describe d;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(parse_hex(&d, NO_FORMAT, bad[i]));
    assert_false(parse(&d, NO_FORMAT, many, sizeof(many)));
    assert_true(parse(&d, NO_FORMAT, many, sizeof(many) - 6));
    assert_int_equal(d.metric_count, DESCRIBE_METRICS_MAX);
    describe_free(&d);
}

static void refuses_what_has_no_known_encoding(void **state)
{
    struct describe d;
    (void)state;

    assert_false(parse(&d, NO_FORMAT, NULL, 0));
    assert_false(parse(&d, NO_FORMAT, "[]", 2));
    assert_false(parse(&d, 50, "hello", 5));
}

static void letters_and_functions_agree(void **state)
{
    (void)state;
    assert_int_equal(module_function_letter(MODULE_NONE), 'n');
    assert_int_equal(module_function_letter(MODULE_MONOLITHIC), 'm');
    assert_int_equal(module_function_letter(MODULE_SETTINGS), '_');
    assert_int_equal(module_function_letter(MODULE_NCP), 'c');
    assert_int_equal(module_function_letter(MODULE_RADIO), 'a');
    assert_int_equal(module_function_letter(MODULE_ASSET), 't');
    assert_int_equal(module_function_letter(200), '?');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_application_of_the_trace),
        cmocka_unit_test(reads_the_system_of_2_3_1),
        cmocka_unit_test(reads_modules_of_json),
        cmocka_unit_test(reads_both_parts_in_one),
        cmocka_unit_test(refuses_json_that_is_not_a_describe),
        cmocka_unit_test(counts_and_lengths_are_bounded),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(reads_the_protobuf_of_the_trace),
        cmocka_unit_test(protobuf_with_texts),
        cmocka_unit_test(refuses_protobuf_that_is_not_a_describe),
        cmocka_unit_test(a_small_message_does_not_become_a_large_one),
        cmocka_unit_test(reads_metrics),
        cmocka_unit_test(refuses_metrics_of_another_make),
        cmocka_unit_test(refuses_what_has_no_known_encoding),
        cmocka_unit_test(letters_and_functions_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
