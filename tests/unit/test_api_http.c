/* test_api_http.c: HTTP as the REST interface speaks it: errors, bodies, what is refused before it is read,
 * clients that vanish, starting and closing. */
#include "api_bench.h"

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
        SERVED(test_errors_have_the_clients_words),
        SERVED(test_token_comes_from_query_or_body_too),
        SERVED(test_database_away_is_503),
        SERVED(test_options_head_and_metrics),
        SERVED(test_pipelined_requests_are_answered_in_order),
        SERVED(test_bodies_that_cannot_be_read),
        SERVED(test_chunked_body),
        SERVED(test_too_large_bodies_are_413),
        SERVED(test_long_headers_are_431),
        SERVED(test_what_is_not_http_is_refused_in_json),
        SERVED(test_a_body_of_unclear_length_is_refused),
        SERVED(test_client_that_vanishes_in_mid_query),
        SERVED(test_client_that_vanishes_in_mid_body),
        SERVED(test_five_hundred_details_at_once),
        SERVED(test_refusals_to_start),
        cmocka_unit_test_setup_teardown(test_close_answers_who_still_waits, start, stop_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
