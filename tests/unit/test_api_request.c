/* The parts of a request: its path, its route, its body, its token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/authenticate.h"
#include "api/body.h"
#include "api/route.h"
#include "api/target.h"

static void test_path_is_decoded_after_splitting(void **state)
{
    struct target t;

    (void)state;
    assert_int_equal(target_parse(&t, "/v1/events/a%20b%2Fc/"), TARGET_OK);
    assert_int_equal(t.count, 3);
    assert_string_equal(t.segments[0], "v1");
    assert_string_equal(t.segments[2], "a b/c");
    target_deinit(&t);
    assert_int_equal(target_parse(&t, "/%C3%A4+"), TARGET_OK); /* in a path, plus is plus */
    assert_string_equal(t.segments[0], "\xc3\xa4+");
    target_deinit(&t);
}

static void test_paths_that_are_refused(void **state)
{
    static const struct {
        const char *path;
        enum target_err err;
    } cases[] = {{"", TARGET_NOWHERE},
                 {"*", TARGET_NOWHERE},
                 {"/", TARGET_NOWHERE},
                 {"//", TARGET_NOWHERE},
                 {"/v1//devices", TARGET_NOWHERE},
                 {"/v1/devices//", TARGET_NOWHERE},
                 {"/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1",
                  TARGET_NOWHERE},
                 {"/%", TARGET_BAD_ESCAPE},
                 {"/a%2", TARGET_BAD_ESCAPE},
                 {"/%zz", TARGET_BAD_ESCAPE},
                 {"/a%00b", TARGET_BAD_ESCAPE},
                 {"/%ff", TARGET_BAD_ESCAPE}};
    struct target t;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(target_parse(&t, cases[i].path), cases[i].err);
}

static enum route_match match(const char *method, const char *path, const char **pattern, char *allow)
{
    const struct route *route = NULL;
    struct target t;
    enum route_match found;

    assert_int_equal(target_parse(&t, path), TARGET_OK);
    found = route_find(&route, method, &t, allow);
    *pattern = route != NULL ? route->pattern : "";
    target_deinit(&t);
    return found;
}

static void test_routes(void **state)
{
    char allow[ROUTE_ALLOW_SIZE];
    const char *pattern;

    (void)state;
    assert_int_equal(match("GET", "/v1/devices", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/devices");
    assert_int_equal(match("HEAD", "/v1/devices/kitchen/", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/devices/:device");
    assert_int_equal(match("DELETE", "/v1/access_tokens/current", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/access_tokens/current");
    assert_int_equal(match("DELETE", "/v1/access_tokens/currently", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/access_tokens/:token");
    assert_int_equal(match("GET", "/v1", &pattern, allow), ROUTE_UNKNOWN_PATH);
    assert_int_equal(match("GET", "/v1/device", &pattern, allow), ROUTE_UNKNOWN_PATH);
    assert_int_equal(match("GET", "/v1/devices/x/modules/y", &pattern, allow), ROUTE_UNKNOWN_PATH);
    assert_int_equal(match("OPTIONS", "/anything", &pattern, allow), ROUTE_OPTIONS);
    assert_int_equal(match("DELETE", "/v1/devices/x/ping", &pattern, allow), ROUTE_WRONG_METHOD);
    assert_string_equal(allow, "POST, PUT, GET, HEAD, OPTIONS");
    assert_int_equal(match("GET", "/v1/devices/x/modules", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/devices/:device/modules");
    assert_int_equal(match("GET", "/v1/devices/x/temp", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/devices/:device/:variable");
    assert_int_equal(match("BREW", "/v1/access_tokens/current", &pattern, allow), ROUTE_WRONG_METHOD);
    assert_string_equal(allow, "GET, HEAD, DELETE, OPTIONS");
}

static void assert_rest(const struct route *route, const char *path, const char *expected)
{
    struct target t;
    char *rest;

    assert_int_equal(target_parse(&t, path), TARGET_OK);
    rest = route_rest(route, &t);
    if (expected == NULL)
        assert_null(rest);
    else
        assert_string_equal(rest, expected);
    free(rest);
    target_deinit(&t);
}

static void test_routes_with_a_rest(void **state)
{
    static const struct route row = {"GET", "/a/:b/c/*rest", ROUTE_PUBLIC, NULL, NULL};
    static const struct route plain = {"GET", "/a/:b", ROUTE_PUBLIC, NULL, NULL};
    char allow[ROUTE_ALLOW_SIZE];
    const char *pattern;

    (void)state;
    assert_rest(&row, "/a/x/c/temp", "temp");
    assert_rest(&row, "/a/x/c/temp/kitchen%2Fa%20b/c", "temp/kitchen/a b/c");
    assert_rest(&row, "/a/x/c/temp/", "temp/");
    assert_rest(&plain, "/a/x", NULL);
    assert_int_equal(match("GET", "/v1/devices/events", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/devices/events");
    assert_int_equal(match("GET", "/v1/devices/events/modules", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/devices/events/*prefix");
    assert_int_equal(match("GET", "/v1/devices/events/a/b/c/d/e/f/g", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/devices/events/*prefix");
    assert_int_equal(match("GET", "/v1/devices/x/events", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/devices/:device/events");
    assert_int_equal(match("GET", "/v1/devices/x/events/a/b", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/devices/:device/events/*prefix");
    assert_int_equal(match("GET", "/v1/events", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/events");
    assert_int_equal(match("POST", "/v1/devices/events/x", &pattern, allow), ROUTE_FOUND);
    assert_string_equal(pattern, "/v1/devices/:device/:function");
}

static void test_route_parameters(void **state)
{
    static const struct route route = {"GET", "/a/:b/c/:dd", ROUTE_PUBLIC, NULL, NULL};
    struct target t;

    (void)state;
    assert_int_equal(target_parse(&t, "/a/one/c/two%2F"), TARGET_OK);
    assert_string_equal(route_param(&route, &t, "b"), "one");
    assert_string_equal(route_param(&route, &t, "dd"), "two/");
    assert_null(route_param(&route, &t, "d"));
    target_deinit(&t);
}

static void test_json_bodies(void **state)
{
    static const char text[] =
        "{\"s\":\"x\",\"n\":null,\"i\":5,\"d\":\"6\",\"t\":true,\"one\":1,\"z\":\"0\",\"o\":{}}";
    const char *string = NULL;
    struct body b;
    int64_t number = 0;
    bool flag = false;

    (void)state;
    assert_null(body_parse(&b, NULL, "Application/JSON; charset=utf-8", text, sizeof(text) - 1));
    assert_int_equal(body_get_string(&b, "s", &string), FIELD_OK);
    assert_string_equal(string, "x");
    assert_int_equal(body_get_string(&b, "n", &string), FIELD_NULL);
    assert_int_equal(body_get_string(&b, "absent", &string), FIELD_ABSENT);
    assert_int_equal(body_get_string(&b, "i", &string), FIELD_WRONG);
    assert_int_equal(body_get_int(&b, "i", &number), FIELD_OK);
    assert_int_equal(number, 5);
    assert_int_equal(body_get_int(&b, "d", &number), FIELD_OK);
    assert_int_equal(number, 6);
    assert_int_equal(body_get_int(&b, "s", &number), FIELD_WRONG);
    assert_int_equal(body_get_int(&b, "o", &number), FIELD_WRONG);
    assert_int_equal(body_get_bool(&b, "t", &flag), FIELD_OK);
    assert_true(flag);
    assert_int_equal(body_get_bool(&b, "z", &flag), FIELD_OK);
    assert_false(flag);
    assert_int_equal(body_get_bool(&b, "one", &flag), FIELD_OK);
    assert_true(flag);
    assert_int_equal(body_get_bool(&b, "i", &flag), FIELD_WRONG);
    body_deinit(&b);
}

static void test_empty_and_odd_bodies(void **state)
{
    struct body b;

    (void)state;
    assert_null(body_parse(&b, NULL, NULL, "", 0));
    assert_int_equal(json_object_size(b.fields), 0);
    body_deinit(&b);
    assert_null(body_parse(&b, NULL, "multipart/form-data; boundary=x", "", 0));
    body_deinit(&b);
    assert_null(body_parse(&b, NULL, NULL, " {} ", 4));
    body_deinit(&b);
    assert_non_null(body_parse(&b, NULL, "application/jsonp", "1", 1));
    assert_non_null(body_parse(&b, NULL, "application/json", "1", 1));
    assert_non_null(body_parse(&b, NULL, "application/json", "{}\0", 3));
    assert_non_null(body_parse(&b, NULL, "application/json", "{\"a\":1}{", 8));
}

static void test_token_order(void **state)
{
    char token[HTTP_REQUEST_TOKEN_MAX + 1], header[200];
    json_t *query = json_pack("{ssss}", "access_token", "from-query", "page", "1");
    json_t *body = json_pack("{ssss}", "access_token", "from-body", "name", "x");

    (void)state;
    assert_int_equal(authenticate_extract(token, "bEARER  from-header", query, body), TOKEN_FOUND);
    assert_string_equal(token, "from-header");
    assert_int_equal(json_object_size(query), 1); /* taken out wherever it was found */
    assert_int_equal(json_object_size(body), 1);
    json_object_set_new(query, "access_token", json_string("from-query"));
    json_object_set_new(body, "access_token", json_string("from-body"));
    assert_int_equal(authenticate_extract(token, "Basic Zm9v", query, body), TOKEN_FOUND);
    assert_string_equal(token, "from-query");
    json_object_set_new(body, "access_token", json_string("from-body"));
    assert_int_equal(authenticate_extract(token, "Bearer ", query, body), TOKEN_FOUND);
    assert_string_equal(token, "from-body");
    assert_int_equal(authenticate_extract(token, "Bearerx y", query, body), TOKEN_NONE);
    assert_int_equal(authenticate_extract(token, NULL, NULL, NULL), TOKEN_NONE);
    snprintf(header, sizeof(header), "Bearer %0128d", 1);
    assert_int_equal(authenticate_extract(token, header, NULL, NULL), TOKEN_FOUND);
    assert_int_equal(strlen(token), 128);
    snprintf(header, sizeof(header), "Bearer %0129d", 1);
    assert_int_equal(authenticate_extract(token, header, NULL, NULL), TOKEN_TOO_LONG);
    json_decref(query);
    json_decref(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_is_decoded_after_splitting),
        cmocka_unit_test(test_paths_that_are_refused),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_route_parameters),
        cmocka_unit_test(test_routes_with_a_rest),
        cmocka_unit_test(test_json_bodies),
        cmocka_unit_test(test_empty_and_odd_bodies),
        cmocka_unit_test(test_token_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
