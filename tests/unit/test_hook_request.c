/* test_hook_request.c: what people write of a webhook, and the request that an event becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "hook/hook_request.h"
#include "hook/hook_spec.h"
#include "hook/seal.h"
#include "hook/template.h"

static const struct hook_event event = {.name = "temp/in",
                                        .value =
                                            "{\"a\":{\"b\":[1,\"<x>\"]},\"c.d\":true,\"e\":null,\"f\":21.5}",
                                        .device_id = "0123456789abcdef01234567",
                                        .published_at = "2026-11-26T16:00:00.000Z",
                                        .delivery = "3-17",
                                        .attempt = 2};

static void is_rendered(const char *template, const char *expected)
{
    json_t *data = json_loads(event.value, 0, NULL);
    const struct template_values values = {.event_name = event.name,
                                           .event_value = event.value,
                                           .device_id = event.device_id,
                                           .published_at = event.published_at,
                                           .data = data};
    assert_null(template_flaw(template));
    char *text = template_render(template, &values);
    assert_string_equal(text, expected);
    free(text);
    json_decref(data);
}

static void test_variables(void **state)
{
    (void)state;
    is_rendered("", "");
    is_rendered("no { braces } here }}", "no { braces } here }}");
    is_rendered("{{PARTICLE_EVENT_NAME}} {{ SPARK_EVENT_NAME }}", "temp/in temp/in");
    is_rendered("{{PARTICLE_DEVICE_ID}}/{{SPARK_CORE_ID}}",
                "0123456789abcdef01234567/0123456789abcdef01234567");
    is_rendered("{{PARTICLE_PUBLISHED_AT}}", "2026-11-26T16:00:00.000Z");
    is_rendered("{{a.b.1}}|{{{a.b.1}}}|{{&a.b.1}}", "&lt;x&gt;|<x>|<x>");
    is_rendered("{{a.b.0}}{{f}}{{c.d}}", "121.5true");
    is_rendered("[{{e}}{{g}}{{a.b.9}}{{a.x}}{{f.f}}]", "[]");
    is_rendered("{{{a}}}", "{\"b\":[1,\"<x>\"]}");
    is_rendered("{{{PARTICLE_EVENT_VALUE}}}", event.value);
}

static void test_templates_that_are_none(void **state)
{
    static const char *const flawed[] = {"{{#a}}x{{/a}}", "{{^a}}", "{{!c}}",  "{{>p}}",      "{{",
                                         "{{}}",          "{{ }}",  "{{a b}}", "{{=<% %>=}}", "{{{a}}",
                                         "{{{{a}}}}"};
    char *many = mem_string("");
    (void)state;
    for (size_t i = 0; i < sizeof flawed / sizeof *flawed; i++)
        if (!template_flaw(flawed[i]))
            fail_msg("%s has no flaw", flawed[i]);
    for (int i = 0; i <= TEMPLATE_VARIABLES_MAX; i++) {
        char *more = mem_printf("%s{{a}}", many);
        free(many);
        many = more;
    }
    assert_non_null(template_flaw(many));
    assert_null(template_flaw(many + 5));
    free(many);
}

static struct hook_spec spec_of(const char *text)
{
    struct hook_spec spec;
    json_t *fields = json_loads(text, 0, NULL);
    assert_non_null(fields);
    const char *flaw = hook_spec_read(&spec, fields, false);
    if (flaw)
        fail_msg("%s: %s", text, flaw);
    spec.event = spec.device = NULL; /* fields go */
    json_decref(fields);
    return spec;
}

static struct hook_request request_of(const char *text)
{
    struct hook_spec spec = spec_of(text);
    struct hook_request r;
    assert_null(hook_request_make(&r, spec.shown, spec.secrets, &event, 1796040000));
    r.username = r.password = NULL; /* the spec's */
    hook_spec_deinit(&spec);
    return r;
}

static const char *header(const struct hook_request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (!strncmp(r->headers[i], name, strlen(name)) && r->headers[i][strlen(name)] == ':')
            return r->headers[i] + strlen(name) + 2;
    return NULL;
}

static void test_defaults(void **state)
{
    (void)state;
    struct hook_request r = request_of("{\"event\":\"t\",\"url\":\"https://example.com/x\"}");
    assert_string_equal(r.method, "POST");
    assert_string_equal(r.url, "https://example.com/x");
    assert_non_null(strstr(r.body, "event=temp%2Fin"));
    assert_non_null(strstr(r.body, "&coreid=0123456789abcdef01234567"));
    assert_true(r.checks_certificate);
    assert_string_equal(header(&r, "Content-Type"), "application/x-www-form-urlencoded");
    assert_string_equal(header(&r, "X-Cyan-Delivery"), "3-17");
    assert_string_equal(header(&r, "X-Cyan-Attempt"), "2");
    hook_request_deinit(&r);
}

static void test_a_get(void **state)
{
    (void)state;
    struct hook_request r =
        request_of("{\"event\":\"t\",\"url\":\"http://example.com/{{a.b.1}}?k=1\",\"requestType\":"
                   "\"get\",\"noDefaults\":true,\"query\":{\"q\":\"{{{a.b.1}}}&\"}}");
    assert_string_equal(r.url, "http://example.com/%3Cx%3E?k=1&q=%3Cx%3E%26");
    assert_null(r.body);
    assert_null(header(&r, "Content-Type"));
    hook_request_deinit(&r);
}

static void test_own_headers(void **state)
{
    (void)state;
    struct hook_request r =
        request_of("{\"event\":\"t\",\"url\":\"http://example.com\",\"body\":\"x\",\"headers\":"
                   "{\"content-type\":\"text/x\",\"X-A\":\"{{{PARTICLE_EVENT_NAME}}}\\r\\nB: c\","
                   "\"X-Empty\":\"{{nothing}}\"}}");
    assert_null(header(&r, "Content-Type"));
    assert_string_equal(header(&r, "content-type"), "text/x");
    assert_string_equal(header(&r, "X-A"), "temp/in  B: c");
    assert_null(header(&r, "X-Empty"));
    hook_request_deinit(&r);
}

static void test_too_long(void **state)
{
    struct hook_spec spec =
        spec_of("{\"event\":\"t\",\"url\":\"http://example.com/{{PARTICLE_EVENT_VALUE}}\"}");
    struct hook_event long_event = event;
    struct hook_request r;
    char *value = mem_alloc(HOOK_REQUEST_URL_MAX + 1);
    (void)state;
    memset(value, 'x', HOOK_REQUEST_URL_MAX);
    long_event.value = value;
    assert_non_null(hook_request_make(&r, spec.shown, spec.secrets, &long_event, 1));
    hook_request_deinit(&r);
    hook_spec_deinit(&spec);
    free(value);
}

/* A webhook of as many variables as it may have and a long event: what would be far too long is not made. */
static void test_no_more_is_rendered_than_could_be_sent(void **state)
{
    static const char *const fields[] = {"json", "headers", "form"};
    struct hook_event long_event = event;
    char value[4097], *texts = mem_string("");
    (void)state;
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    long_event.value = value;
    for (int i = 0; i < TEMPLATE_VARIABLES_MAX; i++) {
        char *more = mem_printf("%s{{SPARK_EVENT_VALUE}}", texts);
        free(texts);
        texts = more;
    }
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
        char *object = mem_string("{\"n\":\"\""), *text;
        struct hook_request r;
        for (int i = 0; i < 3; i++) {
            char *more = mem_printf("%s,\"n%d\":\"%s\"", object, i, texts);
            free(object);
            object = more;
        }
        text = mem_printf("{\"event\":\"t\",\"url\":\"http://example.com\",\"%s\":%s}}", fields[f], object);
        struct hook_spec spec = spec_of(text);
        assert_non_null(hook_request_make(&r, spec.shown, spec.secrets, &long_event, 1));
        size_t made = r.body_len;
        for (size_t i = 0; i < r.header_count; i++)
            made += strlen(r.headers[i]);
        assert_in_range(made, 1, 2 * HOOK_REQUEST_RENDERED_MAX);
        hook_request_deinit(&r);
        hook_spec_deinit(&spec);
        free(text);
        free(object);
    }
    free(texts);
}

static void test_topics_and_answers(void **state)
{
    struct hook_spec plain = spec_of("{\"event\":\"t\",\"url\":\"http://example.com\"}");
    struct hook_spec own = spec_of("{\"event\":\"t\",\"url\":\"http://example.com\",\"responseTopic\":"
                                   "\"{{PARTICLE_DEVICE_ID}}/r\",\"errorResponseTopic\":\"e/{{f}}\","
                                   "\"responseTemplate\":\"{{x.y}}{{f}}\"}");
    char *texts[] = {hook_request_topic(plain.shown, &event, false),
                     hook_request_topic(plain.shown, &event, true),
                     hook_request_answer(plain.shown, &event, "{\"x\":1}"),
                     hook_request_topic(own.shown, &event, false),
                     hook_request_topic(own.shown, &event, true),
                     hook_request_answer(own.shown, &event, "{\"x\":{\"y\":7}}"),
                     hook_request_answer(own.shown, &event, "no JSON")};
    static const char *const expected[] = {"hook-response/temp/in",
                                           "hook-error/temp/in",
                                           "{\"x\":1}",
                                           "0123456789abcdef01234567/r",
                                           "e/21.5",
                                           "7",
                                           ""};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_string_equal(texts[i], expected[i]);
        free(texts[i]);
    }
    hook_spec_deinit(&plain);
    hook_spec_deinit(&own);
}

static void test_secrets_are_parted_from_what_is_shown(void **state)
{
    struct hook_spec spec =
        spec_of("{\"event\":\"t\",\"url\":\"https://Example.com/\",\"headers\":{\"X-Key\":\"s3cret\","
                "\"Accept\":\"text/x\"},\"auth\":{\"username\":\"joe\",\"password\":\"pa55\"}}");
    char *shown = json_dumps(spec.shown, JSON_COMPACT | JSON_SORT_KEYS);
    (void)state;
    assert_null(strstr(shown, "s3cret"));
    assert_null(strstr(shown, "pa55"));
    assert_null(strstr(shown, hook_spec_secret(spec.secrets)));
    assert_non_null(strstr(shown, "\"Accept\":\"text/x\""));
    assert_string_equal(spec.host, "example.com:443");
    assert_int_equal(strlen(hook_spec_secret(spec.secrets)), 64);
    free(shown);
    hook_spec_deinit(&spec);
}

static void test_sealed(void **state)
{
    const uint8_t key[SEAL_KEY_BYTES] = {1}, other[SEAL_KEY_BYTES] = {2};
    static const char text[] = "a secret";
    uint8_t *sealed = seal_close(key, text, strlen(text)), *again = seal_close(key, text, strlen(text));
    size_t sealed_len = strlen(text) + SEAL_MORE_BYTES;
    (void)state;
    assert_memory_not_equal(sealed, again, sealed_len);
    char *opened = seal_open(key, sealed, sealed_len);
    assert_string_equal(opened, text);
    assert_null(seal_open(other, sealed, sealed_len));
    assert_null(seal_open(key, sealed, sealed_len - 1));
    assert_null(seal_open(key, sealed, SEAL_MORE_BYTES - 1));
    for (size_t i = 0; i < sealed_len; i++) {
        sealed[i] ^= 1;
        assert_null(seal_open(key, sealed, sealed_len));
        sealed[i] ^= 1;
    }
    free(opened);
    free(sealed);
    free(again);
}

/* Computed with openssl: printf '1.body' | openssl dgst -sha256 -hmac key */
static void test_signature(void **state)
{
    char signature[SEAL_SIGNATURE_SIZE];
    (void)state;
    seal_sign("key", 1, "body", 4, signature);
    assert_string_equal(signature, "91b5374b153842ad05b2c4eab9349b8321b14703165bd3fb8b034dfb8be98ae5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_templates_that_are_none),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_a_get),
        cmocka_unit_test(test_own_headers),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_no_more_is_rendered_than_could_be_sent),
        cmocka_unit_test(test_topics_and_answers),
        cmocka_unit_test(test_secrets_are_parted_from_what_is_shown),
        cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
