#include "api/openapi.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "api/room.h"
#include "api/route.h"

#define METHOD_SIZE 12

static void set(json_t *object, const char *key, json_t *value)
{
    must(json_object_set_new(object, key, value) == 0);
}

static void set_if_absent(json_t *object, const char *key, json_t *value)
{
    if (json_object_get(object, key) == NULL)
        set(object, key, value);
    else
        json_decref(value);
}

static json_t *reference(const char *kind, const char *name, size_t name_len)
{
    return json_pack("{so}", "$ref", json_sprintf("#/components/%s/%.*s", kind, (int)name_len, name));
}

/* --- paths --- */

/* The next part of a pattern, and its length; NULL at the end. */
static const char *next_part(const char **rest, size_t *len)
{
    const char *part = *rest;

    if (*part != '/')
        return NULL;
    *len = strcspn(++part, "/");
    *rest = part + *len;
    return part;
}

static bool is_named(const char *part) /* and not the word that it is */
{
    return *part == ':' || *part == '*';
}

/* OpenAPI forbids two templates that fit the same paths: what only the method tells apart has one name. */
static void name_part(const char **part, size_t *len)
{
    static const char *const names[][2] = {{":function", ":name"}, {":variable", ":name"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i][0]) == *len && memcmp(names[i][0], *part, *len) == 0) {
            *part = names[i][1];
            *len = strlen(*part);
            return;
        }
    }
}

void openapi_path(char path[OPENAPI_PATH_SIZE], const char *pattern)
{
    const char *part;
    size_t len, used = 0;

    path[0] = '\0';
    while ((part = next_part(&pattern, &len)) != NULL) {
        bool is_template = is_named(part);
        name_part(&part, &len);
        used += (size_t)snprintf(path + used, OPENAPI_PATH_SIZE - used, is_template ? "/{%.*s}" : "/%.*s",
                                 (int)(len - is_template), part + is_template);
        must(used < OPENAPI_PATH_SIZE);
    }
}

static void method_key(char key[METHOD_SIZE], const char *method)
{
    size_t len = strlen(method);

    must(len < METHOD_SIZE);
    for (size_t i = 0; i <= len; i++)
        key[i] = (char)tolower((unsigned char)method[i]);
}

/* --- what is written --- */

static void tag_operations(json_t *piece, const char *name)
{
    const char *path, *method;
    json_t *operations, *operation;

    json_object_foreach (json_object_get(piece, "paths"), path, operations) {
        json_object_foreach (operations, method, operation)
            set_if_absent(operation, "tags", json_pack("[s]", name));
    }
}

static json_t *pieces_merge(void)
{
    json_t *merged = json_pack("{sss{}s{}}", "openapi", "3.1.0", "info", "paths");

    for (size_t i = 0; i < openapi_piece_count; i++) {
        json_t *piece = json_loads(openapi_pieces[i].text, JSON_REJECT_DUPLICATES, NULL);
        must(piece != NULL);
        tag_operations(piece, openapi_pieces[i].name);
        must(json_object_update_recursive(merged, piece) == 0);
        json_decref(piece);
    }
    return merged;
}

static const json_t *written_at(const json_t *written, const struct route *route)
{
    char path[OPENAPI_PATH_SIZE], method[METHOD_SIZE];

    openapi_path(path, route->pattern);
    method_key(method, route->method);
    return json_object_get(json_object_get(written, path), method);
}

/* Of this row, or of another one with its handler: a device of a product is asked like any other. */
static const json_t *written_for(const json_t *written, const struct route *route)
{
    const json_t *found = written_at(written, route);
    const struct route *other;

    for (size_t i = 0; found == NULL && (other = route_at(i)) != NULL; i++) {
        if (other->handle == route->handle)
            found = written_at(written, other);
    }
    return found;
}

/* --- what the table knows --- */

static void set_id(json_t *operation, const struct route *route)
{
    char id[OPENAPI_PATH_SIZE];
    const char *rest = route->pattern, *part;
    size_t len, used;

    method_key(id, route->method);
    used = strlen(id);
    while ((part = next_part(&rest, &len)) != NULL) {
        if (len == 2 && memcmp(part, "v1", 2) == 0)
            continue;
        used += (size_t)snprintf(id + used, sizeof(id) - used, "_%.*s", (int)(len - is_named(part)),
                                 part + is_named(part));
        must(used < sizeof(id));
    }
    for (char *c = id; *c != '\0'; c++)
        *c = *c == '.' ? '_' : *c;
    set(operation, "operationId", json_string(id));
}

static bool set_parameters(json_t *operation, const struct route *route)
{
    json_t *parameters = json_array();
    const char *rest = route->pattern, *part;
    size_t len;

    while ((part = next_part(&rest, &len)) != NULL) {
        if (!is_named(part))
            continue;
        name_part(&part, &len);
        (void)json_array_append_new(parameters, reference("parameters", part + 1, len - 1));
    }
    bool has_any = json_array_size(parameters) > 0;
    (void)json_array_extend(parameters, json_object_get(operation, "parameters"));
    if (json_array_size(parameters) > 0)
        set(operation, "parameters", parameters);
    else
        json_decref(parameters);
    return has_any;
}

static void set_security(json_t *operation, const struct route *route)
{
    set(operation, "x-access", json_string(route_access_name(route->access)));
    if (strstr(route->pattern, "/:product") != NULL)
        set(operation, "x-team", json_string(strcmp(route->method, "GET") == 0 ? "view" : "manage"));
    if (route->access == ROUTE_PUBLIC)
        set(operation, "security", json_array());
    else
        set(operation, "security",
            json_pack("[{s[s]}{s[s]}]", "bearer", route->scope, "query", route->scope));
}

static void set_answers(json_t *operation, const struct route *route, bool has_parameters)
{
    static const struct {
        const char *status, *name;
        bool of_parameters; /* only where the path names something */
    } answers[] = {
        {"400", "BadRequest", false}, {"401", "BadToken", false},        {"403", "Forbidden", false},
        {"404", "NotFound", true},    {"429", "TooManyRequests", false}, {"503", "Away", false},
    };
    json_t *responses = json_object_get(operation, "responses");

    for (size_t i = 0; route->access != ROUTE_PUBLIC && i < sizeof(answers) / sizeof(answers[0]); i++) {
        if (has_parameters || !answers[i].of_parameters)
            set_if_absent(responses, answers[i].status,
                          reference("responses", answers[i].name, strlen(answers[i].name)));
    }
    set_if_absent(responses, "default", reference("responses", "Error", strlen("Error")));
}

static void complete(json_t *operation, const struct route *route)
{
    set_id(operation, route);
    bool has_parameters = set_parameters(operation, route);
    set_security(operation, route);
    set_answers(operation, route, has_parameters);
}

json_t *openapi_document(void)
{
    json_t *document = pieces_merge(), *written = json_incref(json_object_get(document, "paths"));
    json_t *paths = json_object();
    const struct route *route;

    set(json_object_get(document, "info"), "version", json_string(CYAN_VERSION));
    set(document, "paths", paths);
    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        const json_t *found = written_for(written, route);
        char path[OPENAPI_PATH_SIZE], method[METHOD_SIZE];
        if (found == NULL)
            continue; /* tests/unit/test_openapi.c does not let this happen */
        json_t *operation = json_deep_copy(found);
        complete(operation, route);
        openapi_path(path, route->pattern);
        method_key(method, route->method);
        set_if_absent(paths, path, json_object());
        set(json_object_get(paths, path), method, operation);
    }
    json_decref(written);
    return document;
}

char *openapi_text(void)
{
    json_t *document = openapi_document();
    char *text = json_dumps(document, JSON_COMPACT);

    must(text != NULL);
    json_decref(document);
    return text;
}

/* GET /v1/openapi.json */
void openapi_read(struct http_request *r)
{
    const char *text = r->api->openapi; /* outlives every answer */

    http_request_answer_content(r, 200, "application/json; charset=utf-8",
                                &(struct http_content){.data = text, .data_len = strlen(text)});
}
