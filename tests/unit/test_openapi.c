/* test_openapi.c: the document says of every row of the route table what it does, and of nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/openapi.h"
#include "api/route.h"
#include "base/mem.h"

static void lower(char *to, const char *from)
{
    for (; *from != '\0'; from++)
        *to++ = (char)(*from | 0x20);
    *to = '\0';
}

static const json_t *operation_of(const json_t *document, const struct route *route)
{
    char path[OPENAPI_PATH_SIZE], method[16];

    openapi_path(path, route->pattern);
    lower(method, route->method);
    return json_object_get(json_object_get(json_object_get(document, "paths"), path), method);
}

static void every_row_is_documented(void **state)
{
    json_t *document = openapi_document();
    const struct route *route;
    int missing = 0;

    (void)state;
    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        if (operation_of(document, route) != NULL)
            continue;
        print_error("not in docs/openapi: %s %s\n", route->method, route->pattern);
        missing++;
    }
    assert_int_equal(missing, 0);
    json_decref(document);
}

static bool is_a_row(const char *path, const char *method)
{
    char row_path[OPENAPI_PATH_SIZE], row_method[16];
    const struct route *route;

    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        openapi_path(row_path, route->pattern);
        lower(row_method, route->method);
        if (strcmp(row_path, path) == 0 && strcmp(row_method, method) == 0)
            return true;
    }
    return false;
}

static void nothing_else_is_documented(void **state)
{
    int extra = 0;

    (void)state;
    for (size_t i = 0; i < openapi_piece_count; i++) {
        json_t *piece = json_loads(openapi_pieces[i].text, JSON_REJECT_DUPLICATES, NULL), *operations,
               *operation;
        const char *path, *method;
        assert_non_null(piece);
        json_object_foreach (json_object_get(piece, "paths"), path, operations) {
            json_object_foreach (operations, method, operation) {
                if (is_a_row(path, method))
                    continue;
                print_error("%s.json: no such route: %s %s\n", openapi_pieces[i].name, method, path);
                extra++;
            }
        }
        json_decref(piece);
    }
    assert_int_equal(extra, 0);
}

/* Merging would let the later one win in silence. */
static void two_pieces_never_say_the_same(void **state)
{
    json_t *seen = json_object();

    (void)state;
    for (size_t i = 0; i < openapi_piece_count; i++) {
        json_t *piece = json_loads(openapi_pieces[i].text, 0, NULL), *group, *one;
        const char *kind, *name;
        json_object_foreach (json_object_get(piece, "components"), kind, group) {
            json_object_foreach (group, name, one) {
                char *what = mem_printf("%s/%s", kind, name);
                if (json_object_get(seen, what) != NULL)
                    fail_msg("%s is in two pieces, one is %s.json", what, openapi_pieces[i].name);
                assert_int_equal(json_object_set_new(seen, what, json_true()), 0);
                free(what);
            }
        }
        json_object_foreach (json_object_get(piece, "paths"), name, group) {
            json_object_foreach (group, kind, one) {
                char *what = mem_printf("%s %s", kind, name);
                if (json_object_get(seen, what) != NULL)
                    fail_msg("%s is in two pieces, one is %s.json", what, openapi_pieces[i].name);
                assert_int_equal(json_object_set_new(seen, what, json_true()), 0);
                free(what);
            }
        }
        json_decref(piece);
    }
    json_decref(seen);
}

static const json_t *resolve(const json_t *document, const char *pointer)
{
    char *path = mem_string(pointer), *rest = path, *part;
    const json_t *at = document;

    assert_string_equal(strsep(&rest, "/"), "#");
    while (at != NULL && (part = strsep(&rest, "/")) != NULL)
        at = json_object_get(at, part);
    free(path);
    return at;
}

static size_t check_references(const json_t *document, const json_t *value, json_t *used)
{
    const char *key;
    json_t *inner;
    size_t i, count = 0;

    if (json_is_object(value)) {
        json_object_foreach ((json_t *)value, key, inner) {
            if (strcmp(key, "$ref") != 0) {
                count += check_references(document, inner, used);
                continue;
            }
            if (resolve(document, json_string_value(inner)) == NULL)
                fail_msg("nothing at %s", json_string_value(inner));
            assert_int_equal(json_object_set(used, json_string_value(inner), json_true()), 0);
            count++;
        }
    }
    json_array_foreach (value, i, inner)
        count += check_references(document, inner, used);
    return count;
}

static void references_lead_somewhere_and_components_are_used(void **state)
{
    json_t *document = openapi_document(), *used = json_object(), *group, *one;
    const char *kind, *name;
    int unused = 0;

    (void)state;
    assert_true(check_references(document, document, used) > 100);
    json_object_foreach (json_object_get(document, "components"), kind, group) {
        if (strcmp(kind, "securitySchemes") == 0)
            continue;
        json_object_foreach (group, name, one) {
            char *pointer = mem_printf("#/components/%s/%s", kind, name);
            if (json_object_get(used, pointer) == NULL) {
                print_error("nobody refers to %s\n", pointer);
                unused++;
            }
            free(pointer);
        }
    }
    assert_int_equal(unused, 0);
    json_decref(used);
    json_decref(document);
}

static bool has_own_answer(const json_t *operation)
{
    const char *status;
    json_t *answer;

    json_object_foreach (json_object_get(operation, "responses"), status, answer) {
        if (json_object_get(answer, "$ref") == NULL || status[0] == '2' || status[0] == '5')
            return true;
    }
    return false;
}

static bool declares_tag(const json_t *document, const char *tag)
{
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(document, "tags"), i, one) {
        if (strcmp(json_string_value(json_object_get(one, "name")), tag) == 0)
            return true;
    }
    return false;
}

static void operations_are_complete(void **state)
{
    json_t *document = openapi_document(), *ids = json_object();
    const struct route *route;

    (void)state;
    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        const json_t *operation = operation_of(document, route);
        const char *id = json_string_value(json_object_get(operation, "operationId"));
        const char *tag = json_string_value(json_array_get(json_object_get(operation, "tags"), 0));
        if (operation == NULL)
            continue;
        assert_non_null(id);
        if (json_object_get(ids, id) != NULL)
            fail_msg("two operations are called %s", id);
        assert_int_equal(json_object_set_new(ids, id, json_true()), 0);
        if (json_object_get(operation, "summary") == NULL || !has_own_answer(operation) || tag == NULL ||
            !declares_tag(document, tag))
            fail_msg("%s lacks a summary, an answer of its own, or a tag that openapi.json has", id);
        assert_string_equal(json_string_value(json_object_get(operation, "x-access")),
                            route_access_name(route->access));
        if ((route->scope == NULL) != (route->access == ROUTE_PUBLIC))
            fail_msg("%s %s: every row that is not public has a scope", route->method, route->pattern);
    }
    json_decref(ids);
    json_decref(document);
}

static void the_table_says_who_may(void **state)
{
    json_t *document = openapi_document();
    const json_t *paths = json_object_get(document, "paths");
    const json_t *call = json_object_get(json_object_get(paths, "/v1/devices/{device}/{name}"), "post");
    const json_t *read = json_object_get(json_object_get(paths, "/v1/devices/{device}/{name}"), "get");
    const json_t *health = json_object_get(json_object_get(paths, "/health"), "get");
    const char *scope, *bearer, *reference;

    (void)state;
    assert_int_equal(json_unpack((json_t *)call, "{s[{s[s]}]}", "security", "bearer", &scope), 0);
    assert_string_equal(scope, "devices.function:call");
    assert_int_equal(json_unpack((json_t *)read, "{s[{s[s]}],s[{ss}]}", "security", "bearer", &bearer,
                                 "parameters", "$ref", &reference),
                     0);
    assert_string_equal(bearer, "devices.variable:get");
    assert_string_equal(reference, "#/components/parameters/device");
    assert_int_equal(json_array_size(json_object_get(health, "security")), 0);
    assert_non_null(json_object_get(health, "security"));
    assert_null(json_object_get(json_object_get(health, "responses"), "401"));
    /* POST /ping has the handler of PUT /ping, and so its words */
    const json_t *ping = json_object_get(paths, "/v1/devices/{device}/ping");
    assert_true(json_equal(json_object_get(json_object_get(ping, "post"), "summary"),
                           json_object_get(json_object_get(ping, "put"), "summary")));
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_documented),
        cmocka_unit_test(nothing_else_is_documented),
        cmocka_unit_test(two_pieces_never_say_the_same),
        cmocka_unit_test(references_lead_somewhere_and_components_are_used),
        cmocka_unit_test(operations_are_complete),
        cmocka_unit_test(the_table_says_who_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
