/* test_api_devices.c: devices and tokens in the REST interface: lists, pages and filters, one device and what
 * may be changed of it. */
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
        SERVED(test_rename_and_notes),
        SERVED(test_claim_and_unclaim),
        SERVED(test_provisioning),
        SERVED(test_ping),
        SERVED(test_modules),
        SERVED(test_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
