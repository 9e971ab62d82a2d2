/* test_api_http.c: requests and answers of the REST interface, from the socket to the fleet and back. */
#include "api_bench.h"

static void test_list_is_a_bare_array_in_the_old_order(void **state)
{
    static const char start_of_row[] =
        "[{\"id\":\"" CORE_ID
        "\",\"name\":\"joe_prod_core2\",\"last_app\":null,\"last_heard\":\"2014-07-02T23:15:00.409Z\","
        "\"connected\":true,\"requires_deep_update\":true,\"online\":true,";
    struct answer a;

    (void)state;
    ask(&a, "GET /v1/devices HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_int_equal(a.status, 200);
    assert_memory_equal(a.body, start_of_row, sizeof(start_of_row) - 1);
    assert_non_null(strstr(a.head, "X-Total-Count: 1\r\n"));
    assert_non_null(strstr(a.head, "Access-Control-Allow-Origin: *\r\n"));
    assert_null(strstr(a.body, "cc3000_patch_version"));
    forget(&a);
}

static void test_filters_reach_the_fleet(void **state)
{
    struct answer a;

    (void)state;
    ask(&a,
        "GET "
        "/v1/devices/?requires_deep_update=true&connected=0&platform_id=13&product_id=99&name=joe%2a&page=3"
        "&per_page=50&last_heard_before=2014-07-02T23:15:00.409Z&nonce=1 HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_int_equal(a.status, 200);
    assert_int_equal(server.fleet.filter.requires_deep_update, FLEET_YES);
    assert_int_equal(server.fleet.filter.connected, FLEET_NO);
    assert_int_equal(server.fleet.filter.quarantined, FLEET_ANY);
    assert_int_equal(server.fleet.filter.platform_id, 13);
    assert_int_equal(server.fleet.filter.product_id, 99);
    assert_string_equal(server.fleet.filter_name, "joe*");
    assert_int_equal(server.fleet.filter.page, 3);
    assert_int_equal(server.fleet.filter.per_page, 50);
    assert_true(server.fleet.filter.heard_before_ms == 1404342900409);
    assert_true(server.fleet.filter.heard_after_ms == 0);
    forget(&a);
}

/* Everything until the server hangs up; the caller frees. */
static char *hear_all(const char *request)
{
    struct client *c = dial();
    size_t size = 4u << 20, len = 0;
    char *text = mem_alloc(size);
    ssize_t n;

    say(c, request);
    while ((n = recv(c->fd, text + len, size - len - 1, 0)) > 0)
        len += (size_t)n;
    hang_up(c);
    return text;
}

/* The body of a chunked answer, in place; whole: it has its end. */
static char *unchunk(char *text, bool *whole)
{
    char *body = strstr(text, "\r\n\r\n") + 4, *at = body, *out = body, *end;
    unsigned long len;

    while ((len = strtoul(at, &end, 16)) > 0 && strlen(end + 2) >= len) {
        memmove(out, end + 2, len);
        out += len;
        at = end + 2 + len + 2;
    }
    *whole = len == 0 && end != at;
    *out = 0;
    return body;
}

#define CLOSING "Connection: close\r\n" AS_ADMIN "\r\n"

static void test_a_long_list_comes_in_pieces(void **state)
{
    bool whole;

    (void)state;
    server.fleet.total = 3000;
    char *text = hear_all("GET /v1/devices HTTP/1.1\r\n" CLOSING);
    assert_memory_equal(text, "HTTP/1.1 200 ", 13);
    assert_non_null(strstr(text, "Transfer-Encoding: chunked\r\n"));
    json_t *list = json_loads(unchunk(text, &whole), 0, NULL);
    assert_true(whole);
    assert_int_equal(json_array_size(list), 3000);
    json_decref(list);
    free(text);
    assert_int_equal(server.fleet.exports_freed, 1);
    server.fleet.total = 0;
}

static void test_a_list_as_csv(void **state)
{
    bool whole;
    size_t lines = 0;

    (void)state;
    server.fleet.total = 3000;
    char *text = hear_all("GET /v1/devices HTTP/1.1\r\nAccept: text/csv\r\n" CLOSING);
    assert_non_null(strstr(text, "Content-Type: text/csv; charset=utf-8\r\n"));
    char *body = unchunk(text, &whole);
    assert_true(whole);
    assert_memory_equal(body, "id,name,", 8);
    for (const char *c = body; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 3001);
    assert_non_null(strstr(body, "\r\n" CORE_ID ",joe_prod_core2,true,2014-07-02T23:15:00.409Z,"));
    free(text);
    server.fleet.total = 0;
}

static void test_a_list_that_breaks_off_has_no_end(void **state)
{
    bool whole;

    (void)state;
    server.fleet.total = 3000;
    server.fleet.slices_away = 1000;
    char *text = hear_all("GET /v1/devices HTTP/1.1\r\n" CLOSING);
    assert_memory_equal(text, "HTTP/1.1 200 ", 13);
    (void)unchunk(text, &whole);
    assert_false(whole);
    free(text);
    assert_int_equal(server.fleet.exports_freed, 1);
    server.fleet.slices_away = 0;
    server.fleet.total = 0;
}

static void test_a_reader_that_leaves_ends_the_list(void **state)
{
    struct client *c = dial();

    (void)state;
    server.fleet.total = 1000000;
    say(c, "GET /v1/devices HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_true(more(c));
    hang_up(c);
    uint64_t limit = clock_ms() + 20000; /* only a hang meets it */
    while (server.fleet.exports_freed == 0 && clock_ms() < limit)
        usleep(1000);
    assert_int_equal(server.fleet.exports_freed, 1);
    assert_true(server.fleet.slices > 900000);
    server.fleet.total = 0;
}

/* The daemon stops in the middle of it. */
static void test_a_stop_ends_the_list(void **state)
{
    struct client *c = dial();

    (void)state;
    server.fleet.total = 1000000;
    say(c, "GET /v1/devices HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_true(more(c));
    free(c); /* the connection stays open, and nobody reads it: the teardown ends it */
}

static void test_a_page_says_how_many_there_are(void **state)
{
    struct answer a;

    (void)state;
    ask(&a, "GET /v1/devices?per_page=100 HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_non_null(strstr(a.head, "X-Total-Count: 1\r\n"));
    assert_null(strstr(a.head, "X-Total-Count-At: "));
    assert_null(strstr(a.head, "X-Next-Cursor: "));
    assert_non_null(strstr(a.head, "Server-Timing: list;dur="));
    forget(&a);
    server.fleet.total = 50000;
    ask(&a, "GET /v1/devices?page=7 HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_int_equal(server.fleet.filter.page, 7);
    assert_int_equal(server.fleet.filter.per_page, 25);
    assert_non_null(strstr(a.head, "X-Total-Count: 50000\r\n"));
    assert_non_null(strstr(a.head, "X-Total-Count-At: 2014-07-02T23:15:00.409Z\r\n"));
    assert_non_null(strstr(a.head, "X-Next-Cursor: " CORE_ID "31\r\n"));
    forget(&a);
    server.fleet.total = 0;
}

static void test_bad_filters_are_named(void **state)
{
    static const struct {
        const char *query, *field;
    } cases[] = {{"connected=maybe", "connected"},
                 {"platform_id=x", "platform_id"},
                 {"page=0", "page"},
                 {"per_page=1001", "per_page"},
                 {"per_page=-1", "per_page"},
                 {"product_id=", "product_id"},
                 {"last_heard_after=soon", "last_heard_after"},
                 {"name=", "name"},
                 {"requires_deep_update=2", "requires_deep_update"},
                 {"page=99999999999999999999", "page"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *request = mem_printf("GET /v1/devices?%s HTTP/1.1\r\n" AS_ADMIN "\r\n", cases[i].query);
        struct answer a;
        ask(&a, request);
        assert_int_equal(a.status, 400);
        assert_memory_equal(text_of(&a, "error"), cases[i].field, strlen(cases[i].field));
        forget(&a);
        free(request);
    }
}

static void test_detail_by_id_and_name(void **state)
{
    static const char *const paths[] = {CORE_ID, "51FF69065067545755380687", "joe_prod_core2",
                                        "joe%5Fprod_core2/"};

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char *request = mem_printf("GET /v1/devices/%s HTTP/1.1\r\n" AS_ADMIN "\r\n", paths[i]);
        struct answer a;
        ask(&a, request);
        assert_int_equal(a.status, 200);
        assert_string_equal(text_of(&a, "cc3000_patch_version"), "1.23");
        assert_string_equal(
            json_string_value(json_object_get(json_object_get(a.json, "variables"), "temperature")),
            "double");
        assert_int_equal(json_array_size(json_object_get(a.json, "functions")), 1);
        forget(&a);
        free(request);
    }
}

static void test_errors_have_the_clients_words(void **state)
{
    struct answer a;

    (void)state;
    assert_error("GET /v1/devices HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request");
    assert_error("GET /v1/devices?access_token=nonsense HTTP/1.1\r\nHost: x\r\n\r\n", 401, "invalid_token");
    assert_error("GET /v1/devices/missing HTTP/1.1\r\n" AS_ADMIN "\r\n", 404, "Device not found.");
    assert_error("GET /v1/devices/foreign HTTP/1.1\r\n" AS_ADMIN "\r\n", 403, "Permission Denied");
    assert_error("GET /v1/nothing HTTP/1.1\r\n" AS_ADMIN "\r\n", 404, "There is nothing at this path.");
    assert_error("GET /v1/devices/%zz HTTP/1.1\r\n" AS_ADMIN "\r\n", 400,
                 "The path is not valid percent-encoded UTF-8.");
    assert_error("GET /v1/devices/%00 HTTP/1.1\r\n" AS_ADMIN "\r\n", 400,
                 "The path is not valid percent-encoded UTF-8.");
    assert_error("GET /v1/devices?name=%ff HTTP/1.1\r\n" AS_ADMIN "\r\n", 400,
                 "The query is not valid percent-encoded UTF-8.");
    ask(&a, "GET /v1/devices/foreign HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_non_null(strstr(text_of(&a, "info"), "I didn't recognize that device name or ID"));
    assert_null(json_object_get(a.json, "error_description"));
    forget(&a);
    ask(&a, "PATCH /v1/devices/" CORE_ID " HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_int_equal(a.status, 405);
    assert_non_null(strstr(a.head, "Allow: GET, HEAD, PUT, DELETE, OPTIONS\r\n"));
    forget(&a);
}

static void test_token_comes_from_query_or_body_too(void **state)
{
    struct answer a;

    (void)state;
    ask(&a, "GET /v1/devices?access_token=" ADMIN_TOKEN
            " HTTP/1.1\r\nHost: x\r\nAuthorization: Basic Zm9v\r\n\r\n");
    assert_int_equal(a.status, 200);
    forget(&a);
    ask(&a, "PUT /v1/devices/joe_prod_core2 HTTP/1.1\r\nHost: x\r\nContent-Type: " FORM
            "\r\nContent-Length: 65\r\n\r\n"
            "name=spare&access_token=" ADMIN_TOKEN "&");
    assert_int_equal(a.status, 200);
    assert_string_equal(server.fleet.name, "spare");
    forget(&a);
}

static void test_database_away_is_503(void **state)
{
    struct answer a;

    (void)state;
    atomic_store(&server.fleet.away, true);
    ask(&a, "GET /v1/devices HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.head, "Retry-After: 1\r\n"));
    assert_true(json_is_false(json_object_get(a.json, "ok")));
    forget(&a);
    ask(&a, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(a.status, 503);
    assert_true(json_is_false(json_object_get(a.json, "ok")) &&
                json_is_false(json_object_get(a.json, "postgres")));
    forget(&a);
    atomic_store(&server.fleet.away, false);
    ask(&a, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_string_equal(a.body, "{\"ok\":true,\"postgres\":true,\"devices_online\":0,\"sessions\":3,"
                                "\"handshakes_in_flight\":2,\"uptime_s\":5}");
    forget(&a);
}

static void test_options_head_and_metrics(void **state)
{
    struct client *c = dial();
    struct answer a;

    (void)state;
    say(c, "OPTIONS /v1/devices/x/y/z HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(c, &a);
    assert_int_equal(a.status, 204);
    assert_non_null(
        strstr(a.head, "Access-Control-Allow-Methods: GET, POST, PUT, PATCH, DELETE, OPTIONS\r\n"));
    assert_non_null(strstr(a.head, "Access-Control-Max-Age: 300\r\n"));
    forget(&a);
    say(c, "HEAD /v1/devices HTTP/1.1\r\n" AS_ADMIN "\r\n");
    hear_of(c, &a, false);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.head, "Content-Length: "));
    forget(&a);
    say(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); /* had the HEAD a body, this answer would not parse */
    hear(c, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.head, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(a.body, "cyan_http_answers_total{status=\"2xx\"} 2\n"));
    forget(&a);
    hang_up(c);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    struct client *c = dial();
    struct answer a;

    (void)state;
    say(c, "GET /v1/devices/missing HTTP/1.1\r\n" AS_ADMIN "\r\nGET /v1/devices/" CORE_ID
           " HTTP/1.1\r\n" AS_ADMIN "\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(c, &a);
    assert_int_equal(a.status, 404);
    forget(&a);
    hear(c, &a);
    assert_string_equal(text_of(&a, "id"), CORE_ID);
    forget(&a);
    hear(c, &a);
    assert_true(json_is_true(json_object_get(a.json, "postgres")));
    forget(&a);
    hang_up(c);
}

static void test_rename_and_notes(void **state)
{
    struct answer a;

    (void)state;
    ask_with(&a, "PUT /v1/devices/" CORE_ID, JSON, "{\"name\":\"kitchen\",\"notes\":null,\"nonce\":\"1\"}");
    assert_int_equal(a.status, 200);
    assert_string_equal(text_of(&a, "name"), "kitchen");
    assert_string_equal(text_of(&a, "notes"), "");
    assert_string_equal(text_of(&a, "id"), CORE_ID);
    assert_int_equal(strlen(text_of(&a, "updated_at")), 24);
    assert_string_equal(server.fleet.name, "kitchen");
    assert_string_equal(server.fleet.notes, "");
    forget(&a);
    ask_with(&a, "PUT /v1/devices/" CORE_ID, FORM, "notes=two+words%21&tracking=1");
    assert_int_equal(a.status, 200);
    assert_string_equal(server.fleet.notes, "two words!");
    assert_string_equal(server.fleet.name, "(left)");
    forget(&a);
    ask_with(&a, "PUT /v1/devices/" CORE_ID, "multipart/form-data; boundary=XX",
             "--XX\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\ngarage\r\n--XX--\r\n");
    assert_int_equal(a.status, 200);
    assert_string_equal(server.fleet.name, "garage");
    forget(&a);
    ask_with(&a, "PUT /v1/devices/" CORE_ID, JSON, "");
    assert_int_equal(a.status, 400);
    assert_string_equal(text_of(&a, "error"), "Nothing to do?");
    forget(&a);
    server.fleet.change_err = FLEET_CONFLICT;
    ask_with(&a, "PUT /v1/devices/" CORE_ID, JSON, "{\"name\":\"kitchen\"}");
    assert_int_equal(a.status, 400);
    assert_string_equal(text_of(&a, "error"), "That is taken.");
    forget(&a);
}

static void test_bodies_that_cannot_be_read(void **state)
{
    static const struct {
        const char *type, *body;
    } cases[] = {{JSON, "{\"name\":"},
                 {JSON, "[1,2]"},
                 {JSON, "{\"name\":5}"},
                 {JSON, "{\"name\":\"\"}"},
                 {JSON, "{\"name\":\"a\\u0000b\"}"},
                 {JSON, "{\"name\":\"\xff\"}"},
                 {JSON, "nonsense"},
                 {FORM, "=nonsense"},
                 {FORM, "name=%ff"},
                 {FORM, "%ff[]=a"},
                 {FORM, "name=null"},
                 {"multipart/form-data", "--XX"},
                 {"multipart/form-data; boundary=\"", "--XX"},
                 {"multipart/form-data; boundary=XX",
                  "--XX\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\ncut"},
                 {"text/plain", "name=x"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct answer a;
        ask_with(&a, "PUT /v1/devices/" CORE_ID, cases[i].type, cases[i].body);
        assert_int_equal(a.status, 400);
        assert_true(strlen(text_of(&a, "error")) > 10);
        forget(&a);
    }
}

static void test_chunked_body(void **state)
{
    struct client *c = dial();
    struct answer a;

    (void)state;
    say(c, "PUT /v1/devices/" CORE_ID " HTTP/1.1\r\n" AS_ADMIN "Content-Type: " JSON
           "\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"name\": \r\n");
    say(c, "7\r\n\"shed\"}\r\n0\r\n\r\n");
    hear(c, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(server.fleet.name, "shed");
    forget(&a);
    hang_up(c);
}

static void test_too_large_bodies_are_413(void **state)
{
    size_t big_len = 200000;
    char *big = mem_alloc(big_len + 1);
    struct client *c = dial();
    struct answer a;

    (void)state;
    memset(big, 'x', big_len);
    say(c, "PUT /v1/devices/" CORE_ID " HTTP/1.1\r\n" AS_ADMIN "Content-Length: 200000\r\n\r\n");
    say_n(c, big, big_len);
    hear(c, &a);
    assert_int_equal(a.status, 413);
    assert_string_equal(text_of(&a, "error"), "The body is too large.");
    forget(&a);
    say(c, "PUT /v1/devices/" CORE_ID " HTTP/1.1\r\n" AS_ADMIN "Transfer-Encoding: chunked\r\n\r\n30d40\r\n");
    say_n(c, big, big_len); /* the connection is still good */
    say(c, "\r\n0\r\n\r\n");
    hear(c, &a);
    assert_int_equal(a.status, 413);
    forget(&a);
    hang_up(c);
    free(big);
    assert_error("PUT /v1/devices/x HTTP/1.1\r\n" AS_ADMIN "Content-Length: 99000000000\r\n\r\n", 413,
                 "The body is too large.");
    assert_error("PUT /v1/devices/x HTTP/1.1\r\n" AS_ADMIN
                 "Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n",
                 413, "The body is too large.");
}

/* What libmicrohttpd refuses by itself, with pages in HTML of which none gets out, also not twice. */
static void test_what_is_not_http_is_refused_in_json(void **state)
{
    static const struct {
        const char *request, *error;
        int status;
    } bad[] = {
        {"GET /health HTTP/9.9\r\nHost: x\r\n\r\n", "This version of HTTP is not supported.", 505},
        {"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", "The request is not valid HTTP.",
         400},
        {"POST /v1/devices HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n",
         "The request is not valid HTTP.", 400},
        {"POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
         "The body is too large.", 413},
    };
    struct answer a;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct client *c = dial();
        say(c, bad[i].request);
        hear(c, &a);
        assert_int_equal(a.status, bad[i].status);
        assert_non_null(strstr(a.head, "Content-Type: application/json; charset=utf-8\r\n"));
        assert_string_equal(text_of(&a, "error"), bad[i].error);
        forget(&a);
        assert_int_equal(c->text_len, 0);
        assert_false(more(c));
        hang_up(c);
    }
    ask(&a, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(a.body, "\ncyan_http_unreadable_total 4\n"));
    forget(&a);
}

static void test_a_body_of_unclear_length_is_refused(void **state)
{
    static const char *const bad[] = {"Content-Length: 2\r\nContent-Length: 60", "Transfer-Encoding: gzip",
                                      "Transfer-Encoding: chunked\r\nContent-Length: 2"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *request = mem_printf("POST /v1/devices HTTP/1.1\r\n" AS_ADMIN "%s\r\n\r\n{}", bad[i]);
        assert_error(request, 400, "The headers do not say clearly how long the body is.");
        free(request);
    }
}

static void test_long_headers_are_431(void **state)
{
    char *filler = mem_alloc(40001), *request;

    (void)state;
    memset(filler, 'h', 40000);
    request = mem_printf("GET /health HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", filler);
    assert_error(request, 431, "The headers of the request are too long.");
    free(request);
    free(filler);
}

static void test_claim_and_unclaim(void **state)
{
    struct answer a;

    (void)state;
    ask_with(&a, "POST /v1/devices", JSON,
             "{\"id\":\"51FF69065067545755380687\",\"request_transfer\":false}");
    assert_string_equal(a.body, "{\"ok\":true,\"id\":\"" CORE_ID "\",\"user_id\":\"7\",\"connected\":true}");
    forget(&a);
    ask_with(&a, "POST /v1/devices", FORM, "id=000000000000000000000000");
    assert_int_equal(a.status, 404);
    assert_string_equal(text_of(&a, "error"), "device does not exist");
    assert_int_equal(json_array_size(json_object_get(a.json, "errors")), 1);
    forget(&a);
    server.fleet.change_err = FLEET_FORBIDDEN;
    ask_with(&a, "POST /v1/devices", FORM, "id=" CORE_ID);
    assert_int_equal(a.status, 403);
    assert_non_null(strstr(text_of(&a, "error"), "belongs to someone else"));
    forget(&a);
    ask_with(&a, "POST /v1/devices", FORM, "id=kitchen");
    assert_int_equal(a.status, 400);
    forget(&a);
    ask_with(&a, "DELETE /v1/devices/" CORE_ID, JSON, "{}");
    assert_string_equal(a.body, "{\"ok\":true}");
    forget(&a);
}

static void test_provisioning(void **state)
{
    struct answer a;

    (void)state;
    ask_with(&a, "POST /v1/provisioning/" CORE_ID, FORM,
             "deviceID=" CORE_ID
             "&publicKey=-----BEGIN+PUBLIC+KEY-----%0AMFkw%3D%3D%0A-----END+PUBLIC+KEY-----&order="
             "manual_1&filename=cli&algorithm=ecc");
    assert_int_equal(a.status, 200);
    assert_string_equal(text_of(&a, "id"), CORE_ID);
    assert_null(json_object_get(a.json, "error"));
    assert_int_equal(server.fleet.key.kind, FLEET_KEY_P256);
    assert_memory_equal(server.fleet.key.data, "-----BEGIN PUBLIC KEY-----\nMFkw==\n", 34);
    assert_int_equal(server.fleet.product_id, -1);
    forget(&a);
    ask_with(&a, "POST /v1/provisioning/" CORE_ID, JSON,
             "{\"algorithm\":\"psk\",\"psk\":\"00112233445566778899aabbccddeeff\",\"product_id\":\"12\"}");
    assert_int_equal(a.status, 200);
    assert_int_equal(server.fleet.key.kind, FLEET_KEY_PSK);
    assert_int_equal(server.fleet.key.data_len, 16);
    assert_int_equal(server.fleet.product_id, 12);
    forget(&a);
    ask_with(&a, "POST /v1/provisioning/" CORE_ID, JSON, "{\"publicKey\":\"garbage\"}");
    assert_int_equal(a.status, 400);
    assert_string_equal(text_of(&a, "error"), "That is not a public key.");
    forget(&a);
    ask_with(&a, "POST /v1/provisioning/" CORE_ID, JSON, "{\"algorithm\":\"dsa\",\"publicKey\":\"x\"}");
    assert_int_equal(a.status, 400);
    forget(&a);
    ask_with(&a, "POST /v1/provisioning/kitchen", JSON, "{\"algorithm\":\"psk\",\"psk\":\"00\"}");
    assert_int_equal(a.status, 400);
    forget(&a);
}

static void test_ping(void **state)
{
    struct answer a;

    (void)state;
    ask_with(&a, "PUT /v1/devices/joe_prod_core2/ping", JSON, "");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{\"online\":false,\"ok\":true}");
    forget(&a);
    atomic_store(&server.fleet.device_online, true);
    server.fleet.answer = (struct device_answer){.ask = DEVICE_ANSWERED, .rtt_ms = 42};
    ask_with(&a, "POST /v1/devices/" CORE_ID "/ping", JSON, "{}");
    assert_string_equal(a.body, "{\"online\":true,\"ok\":true,\"rtt_ms\":42}");
    forget(&a);
    ask_with(&a, "POST /v1/devices/missing/ping", JSON, "{}");
    assert_int_equal(a.status, 404);
    forget(&a);
}

static void test_modules(void **state)
{
    struct answer a;

    (void)state;
    ask(&a, "GET /v1/devices/" CORE_ID "/modules HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_string_equal(
        a.body,
        "{\"id\":\"" CORE_ID "\",\"modules\":[{\"f\":\"s\",\"function\":\"system-part\",\"index\":1,"
        "\"version\":2302,\"store\":\"main\",\"valid\":true,\"hash\":null,\"dependencies\":[{\"f\":\"b\","
        "\"n\":\"0\",\"v\":501}],\"seen_at\":\"2014-07-02T23:15:00.409Z\"}]}");
    forget(&a);
    ask(&a, "GET /v1/devices/" CORE_ID "/modules?history=1 HTTP/1.1\r\n" AS_ADMIN "\r\n");
    json_t *change_json = json_array_get(json_object_get(a.json, "history"), 0);
    assert_int_equal(json_integer_value(json_object_get(change_json, "old_version")), 3);
    assert_int_equal(json_integer_value(json_object_get(change_json, "new_version")), 5);
    assert_string_equal(json_string_value(json_object_get(change_json, "function")), "ncp-firmware");
    forget(&a);
}

static void test_tokens(void **state)
{
    struct answer a;

    (void)state;
    ask(&a, "GET /v1/access_tokens HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_int_equal(json_array_size(a.json), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(a.json, 0), "token")), "abcdef...");
    forget(&a);
    ask(&a, "GET /v1/access_tokens/current HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_string_equal(
        a.body, "{\"expires_at\":\"2014-07-02T23:15:00.409Z\",\"client\":null,\"scopes\":[],\"orgs\":[],"
                "\"username\":\"joe\",\"role\":\"admin\"}");
    forget(&a);
    ask(&a, "DELETE /v1/access_tokens/current HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_string_equal(a.body, "{\"ok\":true}");
    assert_string_equal(server.fleet.revoked, ADMIN_TOKEN);
    forget(&a);
    ask(&a, "DELETE /v1/access_tokens/beef HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(a.status, 200);
    assert_string_equal(server.fleet.revoked, "beef");
    forget(&a);
    assert_error("DELETE /v1/access_tokens/nosuchtoken HTTP/1.1\r\nHost: x\r\n\r\n", 404, "token not found");
    ask(&a, "DELETE /v1/access_tokens HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_string_equal(server.fleet.revoked, "all");
    forget(&a);
}

static void wait_held(int count)
{
    uint64_t deadline_ms = clock_ms() + ANSWER_TIMEOUT_S * 1000;

    while (atomic_load(&server.fleet.held) != count) {
        assert_true(clock_ms() < deadline_ms);
        poll(NULL, 0, 1);
    }
}

static void let_go(void)
{
    atomic_store(&server.fleet.hold, false);
    uv_async_send(&server.fleet.wake);
}

/* Asks /metrics until it says so. */
static void wait_metric(const char *line)
{
    uint64_t deadline_ms = clock_ms() + ANSWER_TIMEOUT_S * 1000;
    bool said = false;
    struct answer a;

    while (!said) {
        assert_true(clock_ms() < deadline_ms);
        ask(&a, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        said = strstr(a.body, line) != NULL;
        forget(&a);
    }
}

static void test_client_that_vanishes_in_mid_query(void **state)
{
    struct client *c[20];
    struct answer a;

    (void)state;
    atomic_store(&server.fleet.hold, true);
    for (int i = 0; i < 20; i++) {
        struct linger at_once = {.l_onoff = i % 2, .l_linger = 0}; /* half of them with a reset */
        c[i] = dial();
        setsockopt(c[i]->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        say(c[i], "GET /v1/devices HTTP/1.1\r\n" AS_ADMIN "\r\n");
    }
    wait_held(20);
    for (int i = 0; i < 20; i++)
        hang_up(c[i]);
    let_go();
    wait_held(0);
    ask(&a, "GET /v1/devices HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_int_equal(a.status, 200);
    forget(&a);
}

static void test_client_that_vanishes_in_mid_body(void **state)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    struct client *c = dial();

    (void)state;
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    say(c, "PUT /v1/devices/" CORE_ID " HTTP/1.1\r\n" AS_ADMIN
           "Expect: 100-continue\r\nContent-Length: 100\r\n\r\n");
    while (strstr(c->text, "\r\n\r\n") == NULL)
        assert_true(more(c));
    assert_memory_equal(c->text, "HTTP/1.1 100", 12); /* the server waits for the body now */
    say(c, "{\"name\":\"half");
    hang_up(c);
    wait_metric("cyan_http_vanished_total 1\n");
    assert_string_equal(server.fleet.name, "");
}

#define PARALLEL 500

static void test_five_hundred_details_at_once(void **state)
{
    static struct client *c[PARALLEL];
    struct answer a;

    (void)state;
    atomic_store(&server.fleet.hold, true);
    for (int i = 0; i < PARALLEL; i++) {
        c[i] = dial();
        say(c[i], "GET /v1/devices/" CORE_ID " HTTP/1.1\r\n" AS_ADMIN "\r\n");
    }
    wait_held(PARALLEL);
    let_go();
    for (int i = 0; i < PARALLEL; i++) {
        hear(c[i], &a);
        assert_int_equal(a.status, 200);
        assert_string_equal(text_of(&a, "id"), CORE_ID);
        forget(&a);
        hang_up(c[i]);
    }
}

/* Runs last in its server: stop() closes the API while a query is held. */
static void test_close_answers_who_still_waits(void **state)
{
    struct client *c = dial();
    struct answer a;

    (void)state;
    atomic_store(&server.fleet.hold, true);
    say(c, "GET /v1/devices HTTP/1.1\r\n" AS_ADMIN "\r\n");
    wait_held(1);
    uv_async_send(&server.stop);
    hear(c, &a);
    assert_int_equal(a.status, 503);
    assert_string_equal(text_of(&a, "error"), "The server is shutting down.");
    forget(&a);
    assert_false(more(c));
    hang_up(c);
}

static int stop_closed(void **state)
{
    (void)state;
    uv_thread_join(&server.thread);
    assert_true(server.closed);
    uv_close((uv_handle_t *)&server.fleet.idle, NULL);
    uv_run(&server.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&server.loop), 0);
    metrics_free(server.metrics);
    return 0;
}

static void test_refusals_to_start(void **state)
{
    struct api_settings settings = {.bind = "127.0.0.1", .port = server.port};
    struct api_view view = {.fill = fill_view};
    uv_loop_t loop;
    char why[200];

    (void)state;
    uv_loop_init(&loop);
    assert_null(api_new(&loop, &settings, NULL, NULL, server.metrics, &view, why, sizeof(why)));
    assert_non_null(strstr(why, "Address already in use"));
    settings = (struct api_settings){.bind = "localhost"};
    assert_null(api_new(&loop, &settings, NULL, NULL, server.metrics, &view, why, sizeof(why)));
    assert_non_null(strstr(why, "not an IP address"));
    settings =
        (struct api_settings){.bind = "::1", .tls_cert = "/nonexistent.pem", .tls_key = "/nonexistent.key"};
    assert_null(api_new(&loop, &settings, NULL, NULL, server.metrics, &view, why, sizeof(why)));
    assert_non_null(strstr(why, "/nonexistent.pem"));
    settings = (struct api_settings){.bind = "::1", .tls_cert = "/etc/passwd", .tls_key = "/etc/passwd"};
    assert_null(api_new(&loop, &settings, NULL, NULL, server.metrics, &view, why, sizeof(why)));
    assert_true(strlen(why) > 6);
    uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(test_list_is_a_bare_array_in_the_old_order),
        SERVED(test_filters_reach_the_fleet),
        SERVED(test_a_long_list_comes_in_pieces),
        SERVED(test_a_list_as_csv),
        SERVED(test_a_list_that_breaks_off_has_no_end),
        SERVED(test_a_reader_that_leaves_ends_the_list),
        SERVED(test_a_stop_ends_the_list),
        SERVED(test_a_page_says_how_many_there_are),

        SERVED(test_bad_filters_are_named),
        SERVED(test_detail_by_id_and_name),
        SERVED(test_errors_have_the_clients_words),
        SERVED(test_token_comes_from_query_or_body_too),
        SERVED(test_database_away_is_503),
        SERVED(test_options_head_and_metrics),
        SERVED(test_pipelined_requests_are_answered_in_order),
        SERVED(test_rename_and_notes),
        SERVED(test_bodies_that_cannot_be_read),
        SERVED(test_chunked_body),
        SERVED(test_too_large_bodies_are_413),
        SERVED(test_long_headers_are_431),
        SERVED(test_what_is_not_http_is_refused_in_json),
        SERVED(test_a_body_of_unclear_length_is_refused),
        SERVED(test_claim_and_unclaim),
        SERVED(test_provisioning),
        SERVED(test_ping),
        SERVED(test_modules),
        SERVED(test_tokens),
        SERVED(test_client_that_vanishes_in_mid_query),
        SERVED(test_client_that_vanishes_in_mid_body),
        SERVED(test_five_hundred_details_at_once),
        SERVED(test_refusals_to_start),
        cmocka_unit_test_setup_teardown(test_close_answers_who_still_waits, start, stop_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
