/* test_api_upload.c: files on their way through the REST interface: who asks comes first, nothing is kept of
 * what is refused, and what is taken is handed on byte by byte as it came. */
#include "api_bench.h"

#define BOUNDARY "frontier"
#define MULTIPART "Content-Type: multipart/form-data; boundary=" BOUNDARY "\r\n"
#define PART "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.bin\"\r\n\r\n"
#define VALUE "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"notes\"\r\n\r\nfine\r\n"
#define END "\r\n--" BOUNDARY "--\r\n"
#define AS_OWNER "Host: x\r\nAuthorization: Bearer " OWNER_TOKEN "\r\n"

static int start_with_firmware(void **state)
{
    free(fake_firmware.data);
    memset(&fake_firmware, 0, sizeof(fake_firmware));
    return start(state);
}

/* data_len bytes that no text and no boundary could be, as the body of an upload. */
static char *body_of(size_t data_len, size_t *body_len)
{
    char *body = mem_alloc(sizeof(VALUE PART END) + data_len), *at = body;

    memcpy(at, VALUE PART, sizeof(VALUE PART) - 1);
    at += sizeof(VALUE PART) - 1;
    for (size_t i = 0; i < data_len; i++)
        *at++ = (char)(i * 7 + i / 255);
    memcpy(at, END, sizeof(END) - 1);
    *body_len = (size_t)(at - body) + sizeof(END) - 1;
    return body;
}

static void assert_uploaded(size_t data_len)
{
    assert_int_equal(fake_firmware.uploads, 1);
    assert_int_equal(fake_firmware.data_len, data_len);
    for (size_t i = 0; i < data_len; i++)
        assert_int_equal(fake_firmware.data[i], (uint8_t)(i * 7 + i / 255));
    assert_string_equal(fake_firmware.file_name, "a b.bin");
}

static void upload(struct client *c, const char *headers, size_t data_len, size_t piece_len)
{
    size_t body_len, sent = 0;
    char *body = body_of(data_len, &body_len);
    char *head = mem_printf("POST /v1/firmware HTTP/1.1\r\n%s" MULTIPART "Content-Length: %zu\r\n\r\n",
                            headers, body_len);

    say(c, head);
    while (sent < body_len) {
        size_t n = body_len - sent < piece_len ? body_len - sent : piece_len;
        say_n(c, body + sent, n);
        sent += n;
    }
    free(head);
    free(body);
}

static void upload_and_hear(struct answer *a, const char *headers, size_t data_len, size_t piece_len)
{
    struct client *c = dial();

    upload(c, headers, data_len, piece_len);
    hear(c, a);
    hang_up(c);
}

static void test_a_file_comes_through_in_any_pieces(void **state)
{
    static const size_t pieces[] = {1, 7, 4096, 1u << 20};
    struct answer a;

    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        size_t data_len = pieces[i] < 100 ? 900 : 700000;
        fake_firmware.uploads = 0;
        upload_and_hear(&a, AS_ADMIN, data_len, pieces[i]);
        assert_int_equal(a.status, 201);
        assert_non_null(strstr(a.body, "\"version\":6200"));
        assert_uploaded(data_len);
        forget(&a);
    }
}

static void test_a_chunked_file_comes_through(void **state)
{
    struct client *c = dial();
    struct answer a;
    size_t body_len, sent = 0;
    char *body = body_of(50000, &body_len), size[24];

    (void)state;
    say(c, "POST /v1/firmware HTTP/1.1\r\n" AS_ADMIN MULTIPART "Transfer-Encoding: chunked\r\n\r\n");
    while (sent < body_len) {
        size_t n = body_len - sent < 3001 ? body_len - sent : 3001;
        snprintf(size, sizeof(size), "%zx\r\n", n);
        say(c, size);
        say_n(c, body + sent, n);
        say(c, "\r\n");
        sent += n;
    }
    say(c, "0\r\n\r\n");
    hear(c, &a);
    assert_int_equal(a.status, 201);
    assert_uploaded(50000);
    forget(&a);
    free(body);
    hang_up(c);
}

static void test_a_largest_file_and_one_byte_more(void **state)
{
    struct answer a;

    (void)state;
    upload_and_hear(&a, AS_ADMIN, 2u << 20, 1u << 20);
    assert_int_equal(a.status, 201);
    assert_uploaded(2u << 20);
    forget(&a);
    upload_and_hear(&a, AS_ADMIN, (2u << 20) + 1, 1u << 20);
    assert_int_equal(a.status, 413);
    assert_string_equal(text_of(&a, "error"), "The file is too large: at most 2097152 bytes are taken.");
    assert_int_equal(fake_firmware.uploads, 1);
    forget(&a);
}

/* The whole body is read past, on the same connection, and the words arrive. */
static void test_who_may_not_is_told_although_the_file_was_sent(void **state)
{
    struct client *c = dial();
    struct answer a;

    (void)state;
    upload(c, AS_OWNER, 900000, 1u << 20);
    hear(c, &a);
    assert_int_equal(a.status, 403);
    forget(&a);
    upload(c, "Host: x\r\n", 900000, 1u << 20);
    hear(c, &a);
    assert_int_equal(a.status, 400);
    assert_string_equal(text_of(&a, "error_description"), "The access token was not found");
    forget(&a);
    upload(c, "Host: x\r\nAuthorization: Bearer wrong\r\n", 90, 1u << 20);
    hear(c, &a);
    assert_int_equal(a.status, 401);
    forget(&a);
    upload(c, AS_ADMIN, 90, 1u << 20);
    hear(c, &a);
    assert_int_equal(a.status, 201);
    forget(&a);
    hang_up(c);
    assert_uploaded(90);
}

static void test_a_client_that_waits_is_told_to_go_on_only_when_it_may(void **state)
{
    static const char expecting[] =
        "POST /v1/firmware HTTP/1.1\r\n%s" MULTIPART "Expect: 100-continue\r\nContent-Length: %zu\r\n\r\n";
    struct client *c = dial();
    struct answer a;
    size_t body_len;
    char *body = body_of(5000, &body_len), *head = mem_printf(expecting, AS_OWNER, body_len);

    (void)state;
    say(c, head);
    hear(c, &a); /* without a byte of the body */
    assert_int_equal(a.status, 403);
    forget(&a);
    hang_up(c);
    free(head);

    c = dial();
    head = mem_printf(expecting, AS_ADMIN, body_len);
    say(c, head);
    hear_of(c, &a, false);
    assert_int_equal(a.status, 100);
    forget(&a);
    say_n(c, body, body_len);
    hear(c, &a);
    assert_int_equal(a.status, 201);
    assert_uploaded(5000);
    forget(&a);
    hang_up(c);
    free(head);
    free(body);
}

static void test_the_reason_of_a_refusal_is_passed_on(void **state)
{
    struct answer a;

    (void)state;
    server.fleet.change_err = FLEET_INVALID;
    upload_and_hear(&a, AS_ADMIN, 100, 1000);
    assert_int_equal(a.status, 400);
    assert_string_equal(text_of(&a, "error"), "The file is refused: it has 3 wheels.");
    forget(&a);
}

static void test_forms_that_are_wrong(void **state)
{
    static const struct {
        const char *body, *error;
    } cases[] = {
        {VALUE "--" BOUNDARY "--\r\n",
         "Send the module binary as part `file` of multipart/form-data, with a file name."},
        {PART "x\r\n" PART "y" END, "The form has more than one file."},
        {PART "x", "The form is malformed or cut off (are its values percent-encoded?)."},
        {"--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\nx" END,
         "A name of the form is not text in UTF-8."},
        {"--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\xff\"\r\n\r\nx" END,
         "A name of the form is not text in UTF-8."},
    };
    struct answer a;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask_with(&a, "POST /v1/firmware", "multipart/form-data; boundary=" BOUNDARY, cases[i].body);
        assert_int_equal(a.status, 400);
        assert_string_equal(text_of(&a, "error"), cases[i].error);
        forget(&a);
    }
    ask_with(&a, "POST /v1/firmware", "multipart/form-data", PART "x" END);
    assert_string_equal(text_of(&a, "error"),
                        "The Content-Type of the form is malformed (is the boundary missing?).");
    forget(&a);
    assert_int_equal(fake_firmware.uploads, 0);
    /* an empty file is one, for those who look at it to refuse */
    ask_with(&a, "POST /v1/firmware", "multipart/form-data; boundary=" BOUNDARY, PART END);
    assert_int_equal(a.status, 201);
    assert_uploaded(0);
    forget(&a);
}

/* A multipart body without a file is a form as before, also where a file may come. */
static void test_values_beside_or_instead_of_a_file(void **state)
{
    struct answer a;

    (void)state;
    ask_with(&a, "PUT /v1/devices/" CORE_ID, "multipart/form-data; boundary=" BOUNDARY,
             VALUE "--" BOUNDARY "--\r\n");
    assert_int_equal(a.status, 200);
    assert_string_equal(server.fleet.notes, "fine");
    forget(&a);
}

/* Each is being received when the next begins. */
static void test_files_at_a_time_are_bounded(void **state)
{
    static const char head[] = "POST /v1/firmware HTTP/1.1\r\n" AS_ADMIN MULTIPART
                               "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n";
    struct client *clients[16], *last = dial();
    struct answer a;

    (void)state;
    for (size_t i = 0; i < 16; i++) {
        clients[i] = dial();
        say(clients[i], head);
        hear_of(clients[i], &a, false);
        assert_int_equal(a.status, 100);
        forget(&a);
    }
    say(last, head);
    hear(last, &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.head, "Retry-After: 1\r\n"));
    forget(&a);
    hang_up(last);
    hang_up(clients[0]);
    for (a.status = 503; a.status == 503; forget(&a)) { /* until the server has seen that one go */
        last = dial();
        say(last, head);
        hear_of(last, &a, false);
        hang_up(last);
    }
    assert_int_equal(a.status, 100);
    for (size_t i = 1; i < 16; i++)
        hang_up(clients[i]);
}

static void test_a_binary_is_fetched_as_it_is(void **state)
{
    struct answer a;

    (void)state;
    upload_and_hear(&a, AS_ADMIN, 50000, 1u << 20);
    forget(&a);
    ask(&a, "GET /v1/firmware/7/binary HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.head, "Content-Type: application/octet-stream\r\n"));
    assert_non_null(strstr(a.head, "Content-Disposition: attachment; filename=\"a_b.bin\"\r\n"));
    assert_non_null(strstr(a.head, "Content-Length: 50000\r\n"));
    assert_memory_equal(a.body, fake_firmware.data, 50000);
    forget(&a);
    ask(&a, "GET /v1/firmware/x/binary HTTP/1.1\r\n" AS_ADMIN "\r\n");
    assert_int_equal(a.status, 404);
    forget(&a);
}

/* While the token is looked at, while the file comes, and while it is stored. */
static void test_clients_that_vanish(void **state)
{
    struct client *c;
    struct answer a;

    (void)state;
    atomic_store(&server.fleet.hold, true);
    c = dial();
    upload(c, AS_ADMIN, 1000, 1000);
    while (atomic_load(&server.fleet.held) == 0)
        uv_sleep(1);
    hang_up(c);
    atomic_store(&server.fleet.hold, false);
    uv_async_send(&server.fleet.wake);
    c = dial();
    say(c, "POST /v1/firmware HTTP/1.1\r\n" AS_ADMIN MULTIPART "Content-Length: 100000\r\n\r\n" PART "xyz");
    hang_up(c);
    upload_and_hear(&a, AS_ADMIN, 77, 1000);
    assert_int_equal(a.status, 201);
    forget(&a);
}

static int stop_with_held(void **state)
{
    int code = stop(state);

    assert_int_equal(fake_firmware.held, 0);
    free(fake_firmware.data);
    fake_firmware.data = NULL;
    return code;
}

/* The server closes while a token is looked at. */
static void test_closing_answers_who_waits_to_be_admitted(void **state)
{
    struct client *c = dial();
    struct answer a;

    (void)state;
    atomic_store(&server.fleet.hold, true);
    upload(c, AS_ADMIN, 1000, 100000);
    while (atomic_load(&server.fleet.held) == 0)
        uv_sleep(1);
    uv_async_send(&server.stop);
    hear(c, &a);
    assert_int_equal(a.status, 503);
    assert_string_equal(text_of(&a, "error"), "The server is shutting down.");
    forget(&a);
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

#define UPLOADED(test) cmocka_unit_test_setup_teardown(test, start_with_firmware, stop_with_held)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPLOADED(test_a_file_comes_through_in_any_pieces),
        UPLOADED(test_a_chunked_file_comes_through),
        UPLOADED(test_a_largest_file_and_one_byte_more),
        UPLOADED(test_who_may_not_is_told_although_the_file_was_sent),
        UPLOADED(test_a_client_that_waits_is_told_to_go_on_only_when_it_may),
        UPLOADED(test_the_reason_of_a_refusal_is_passed_on),
        UPLOADED(test_forms_that_are_wrong),
        UPLOADED(test_values_beside_or_instead_of_a_file),
        UPLOADED(test_files_at_a_time_are_bounded),
        UPLOADED(test_a_binary_is_fetched_as_it_is),
        UPLOADED(test_clients_that_vanish),
        cmocka_unit_test_setup_teardown(test_closing_answers_who_waits_to_be_admitted, start_with_firmware,
                                        stop_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
