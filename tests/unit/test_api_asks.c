/* test_api_asks.c: requests that ask the device itself: functions, variables, its light, its vitals; and
 * which nodes there are. */
#include "api_bench.h"

/* What the device answers from now on. */
static void will_answer(struct device_answer answer)
{
    server.fleet.answer = answer;
    atomic_store(&server.fleet.device_online, true);
}

static void test_functions(void **state)
{
    static const struct {
        const char *type, *body, *argument;
    } bodies[] = {
        {JSON, "{\"args\":\"D7\",\"arg\":\"no\"}", "D7"},
        {FORM, "arg=D7%2CHIGH", "D7,HIGH"},
        {FORM, "params=x", "x"},
        {JSON, "{}", ""},
        {JSON, "{\"args\":null}", ""},
        {JSON, "", ""},
    };
    struct answer a;

    (void)state;
    will_answer((struct device_answer){.ask = DEVICE_ANSWERED, .result = -7});
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        ask_with(&a, "POST /v1/devices/" CORE_ID "/digitalread", bodies[i].type, bodies[i].body);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "{\"id\":\"" CORE_ID "\",\"name\":\"joe_prod_core2\",\"last_app\":null,"
                                    "\"connected\":true,\"return_value\":-7}");
        assert_int_equal(server.fleet.asked.kind, REACH_CALL);
        assert_int_equal(server.fleet.asked.timeout_ms, 30000);
        assert_string_equal(server.fleet.asked_name, "digitalread");
        assert_string_equal(server.fleet.asked_argument, bodies[i].argument);
        forget(&a);
    }
    ask_with(&a, "POST /v1/devices/joe_prod_core2/digitalread?format=raw", FORM, "arg=1");
    assert_string_equal(a.body, "-7");
    assert_non_null(strstr(a.head, "Content-Type: text/plain"));
    forget(&a);
    ask_with(&a, "POST /v1/devices/joe_prod_core2/digitalread", FORM, "arg=1&format=raw");
    assert_string_equal(a.body, "-7");
    forget(&a);
}

static void assert_call_error(const char *path, const char *body, int status, const char *error)
{
    char *line = mem_printf("POST /v1/devices/%s", path);
    struct answer a;

    ask_with(&a, line, FORM, body);
    assert_int_equal(a.status, status);
    assert_string_equal(text_of(&a, "error"), error);
    forget(&a);
    free(line);
}

static void test_functions_that_come_to_nothing(void **state)
{
    static const struct {
        struct device_answer answer;
        int status;
        const char *error;
    } answers[] = {
        {{.ask = DEVICE_NO_ANSWER}, 408, "Timed out."},
        {{.ask = DEVICE_SAID_ERROR, .code = 0x80}, 409, "The device answered with the error 4.00."},
        {{.ask = DEVICE_SAID_ERROR, .code = 0xa3}, 409, "The device answered with the error 5.03."},
        {{.ask = DEVICE_ASK_BUSY}, 429, "Too many requests wait for this device already."},
        {{.ask = DEVICE_ASK_TOO_LONG}, 400, "That is longer than what this device takes."},
    };
    char argument[70] = "arg=";

    (void)state;
    assert_call_error(CORE_ID "/digitalread", "", 408, "Timed out."); /* offline is not 404 (rest-api 0.4) */
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        will_answer(answers[i].answer);
        assert_call_error(CORE_ID "/digitalread", "", answers[i].status, answers[i].error);
    }
    will_answer((struct device_answer){.ask = DEVICE_ANSWERED});
    assert_call_error(CORE_ID "/nosuch", "", 404, "Function nosuch not found");
    assert_call_error(CORE_ID "/unprotect", "", 404, "There is nothing at this path.");
    assert_call_error("missing/digitalread", "", 404, "Device not found.");
    assert_call_error("foreign/digitalread", "", 403, "Permission Denied");
    memset(argument + 4, 'a', 64); /* a Core takes 63 */
    assert_call_error(CORE_ID "/digitalread", argument, 400,
                      "args must be at most 63 bytes for this device.");
    struct answer a;
    ask_with(&a, "POST /v1/devices/" CORE_ID "/digitalread", JSON, "{\"args\":5}");
    assert_string_equal(text_of(&a, "error"), "args must be text of at most 1024 bytes.");
    forget(&a);
}

static void test_variables(void **state)
{
    static const struct {
        const char *name, *data;
        size_t data_len;
        const char *result;
    } variables[] = {
        {"temperature", "\x00\x00\x00\x00\x00\x80\x35\x40", 8, "21.5"},
        {"temperature", "\xcd\xcc\xcc\xcc\xcc\x4c\x35\x40", 8, "21.3"},
        {"temperature", "\x33\x33\x33\x33\x33\x33\xd3\x3f", 8, "0.3"},
        {"temperature", "\x34\x33\x33\x33\x33\x33\xd3\x3f", 8, "0.30000000000000004"},
        {"temperature", "\x00\x00\x00\x00\x00\x00\xf0\x7f", 8, "null"},
        {"count", "\xff\xff\xff\xfe", 4, "-2"},
        {"on", "\x01", 1, "true"},
        {"on", "", 1, "false"},
        {"text", "a\"b\xff", 4, "\"a\\\"b?\""},
        {"text", "", 0, "\"\""},
    };
    struct answer a;

    (void)state;
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        will_answer((struct device_answer){.ask = DEVICE_ANSWERED,
                                           .data = (const uint8_t *)variables[i].data,
                                           .data_len = variables[i].data_len});
        char *request =
            mem_printf("GET /v1/devices/joe_prod_core2/%s HTTP/1.1\r\n" AS_ADMIN "\r\n", variables[i].name);
        ask(&a, request);
        char *expected = mem_printf(
            "{\"cmd\":\"VarReturn\",\"name\":\"%s\",\"result\":%s,\"coreInfo\":{\"name\":\"joe_prod_core2\","
            "\"deviceID\":\"" CORE_ID "\",\"connected\":true,\"last_handshake_at\":null,"
            "\"last_heard\":\"2014-07-02T23:15:00.409Z\",\"last_app\":null,\"product_id\":0}}",
            variables[i].name, variables[i].result);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, expected);
        assert_int_equal(server.fleet.asked.kind, REACH_READ);
        assert_string_equal(server.fleet.asked_name, variables[i].name);
        forget(&a);
        free(expected);
        free(request);
    }
    ask(&a, "GET /v1/devices/" CORE_ID "/text?format=raw HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_string_equal(a.body, "");
    forget(&a);
    ask(&a,
        "GET /v1/devices/" CORE_ID "/count HTTP/1.1\r\n" AS_ADMIN "\r\n"); /* an empty answer is no int32 */
    assert_int_equal(a.status, 502);
    forget(&a);
    will_answer(
        (struct device_answer){.ask = DEVICE_ANSWERED, .data = (const uint8_t *)"\0\0\0\7", .data_len = 4});
    ask(&a, "GET /v1/devices/" CORE_ID "/count?format=raw HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_string_equal(a.body, "7");
    forget(&a);
}

static void test_variables_that_come_to_nothing(void **state)
{
    (void)state;
    assert_error("GET /v1/devices/" CORE_ID "/count HTTP/1.1\r\n" AS_ADMIN "\r\n", 408, "Timed out.");
    assert_error("GET /v1/devices/" CORE_ID "/none HTTP/1.1\r\n" AS_ADMIN "\r\n", 404, "Variable not found");
    assert_error("GET /v1/devices/" CORE_ID "/owner HTTP/1.1\r\n" AS_ADMIN "\r\n", 404,
                 "There is nothing at this path.");
    will_answer((struct device_answer){.ask = DEVICE_SAID_ERROR, .code = 0x84});
    assert_error("GET /v1/devices/" CORE_ID "/count HTTP/1.1\r\n" AS_ADMIN "\r\n", 404, "Variable not found");
}

static void test_signal_and_vitals(void **state)
{
    struct answer a;

    (void)state;
    ask_with(&a, "PUT /v1/devices/" CORE_ID, JSON, "{\"signal\":\"1\"}");
    assert_int_equal(a.status, 408);
    forget(&a);
    will_answer((struct device_answer){.ask = DEVICE_ANSWERED});
    ask_with(&a, "PUT /v1/devices/" CORE_ID, JSON, "{\"signal\":\"1\"}");
    assert_string_equal(a.body, "{\"id\":\"" CORE_ID "\",\"connected\":true,\"signaling\":true}");
    assert_int_equal(server.fleet.asked.kind, REACH_SIGNAL);
    assert_true(server.fleet.asked.on);
    forget(&a);
    ask_with(&a, "PUT /v1/devices/" CORE_ID, FORM, "signal=0&name=lamp");
    assert_string_equal(text_of(&a, "name"), "lamp");
    assert_true(json_is_false(json_object_get(a.json, "signaling")));
    assert_false(server.fleet.asked.on);
    forget(&a);
    ask_with(&a, "PUT /v1/devices/" CORE_ID, FORM, "signal=perhaps");
    assert_int_equal(a.status, 400);
    forget(&a);
    ask_with(&a, "POST /v1/diagnostics/" CORE_ID "/update", FORM, "");
    assert_int_equal(a.status, 202);
    assert_string_equal(a.body, "{\"ok\":true}");
    forget(&a);
}

static void test_publishing(void **state)
{
    struct answer a;

    (void)state;
    ask_with(&a, "POST /v1/devices/events", JSON, "{\"name\":\"all/go\",\"data\":\"now\"}");
    assert_string_equal(a.body, "{\"ok\":true}");
    assert_string_equal(server.fleet.event, "private all/go=now");
    forget(&a);
    ask_with(&a, "POST /v1/devices/events", FORM, "name=go&private=false&ttl=60");
    assert_int_equal(a.status, 200);
    assert_string_equal(server.fleet.event, "public go=");
    forget(&a);
    server.fleet.change_err = FLEET_INVALID;
    ask_with(&a, "POST /v1/devices/events", FORM, "name=go");
    assert_int_equal(a.status, 400);
    assert_string_equal(text_of(&a, "error"), "name is not acceptable.");
    forget(&a);
    ask_with(&a, "POST /v1/devices/events", JSON, "{\"data\":\"x\"}");
    assert_string_equal(text_of(&a, "error"), "name must be text that is not empty.");
    forget(&a);
    ask_with(&a, "POST /v1/devices/events", JSON, "{\"name\":\"go\",\"private\":\"perhaps\"}");
    assert_int_equal(a.status, 400);
    forget(&a);
    ask_with(&a, "POST /v1/devices/events", JSON, "{\"name\":\"go\",\"ttl\":-1}");
    assert_int_equal(a.status, 400);
    forget(&a);
    ask_with(&a, "POST /v1/devices/events", FORM, "name=go&ttl=16777216");
    assert_int_equal(a.status, 400);
    forget(&a);
}

static void test_nodes(void **state)
{
    struct answer a;
    const json_t *node;

    (void)state;
    ask(&a, "GET /v1/nodes HTTP/1.1\r\n" AS_ADMIN "\r\n");
    node = json_array_get(json_object_get(a.json, "nodes"), 0);
    assert_int_equal(json_array_size(json_object_get(a.json, "nodes")), 1);
    assert_int_equal(json_integer_value(json_object_get(node, "id")), 3);
    assert_int_equal(json_integer_value(json_object_get(node, "pid")), getpid());
    assert_int_equal(json_integer_value(json_object_get(node, "sessions")), 3);
    assert_int_equal(json_integer_value(json_object_get(node, "uptime_s")), 5);
    assert_true(json_is_true(json_object_get(node, "alive")));
    forget(&a);
    ask(&a, "GET /v1/nodes?access_token=" OWNER_TOKEN " HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(a.status, 403);
    forget(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(test_functions),         SERVED(test_functions_that_come_to_nothing),
        SERVED(test_variables),         SERVED(test_variables_that_come_to_nothing),
        SERVED(test_signal_and_vitals), SERVED(test_nodes),
        SERVED(test_publishing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
