/* Paths of products over real sockets: the gate before every handler, and which device a path means. */
#include "api_bench.h"

#define AS_OWNER "Host: x\r\nAuthorization: Bearer " OWNER_TOKEN "\r\n"

static void test_gate(void **state)
{
    struct answer a;

    (void)state;
    assert_error("GET /v1/products/none/devices/" CORE_ID " HTTP/1.1\r\n" AS_ADMIN "\r\n", 404,
                 "Product not found");
    assert_error("POST /v1/products/1000/devices/" CORE_ID "/digitalread HTTP/1.1\r\n" AS_OWNER
                 "Content-Length: 0\r\n\r\n",
                 403, "Permission Denied");
    assert_error("GET /v1/products/1000/devices/" CORE_ID " HTTP/1.1\r\nHost: x\r\n\r\n", 400,
                 "invalid_request");
    ask(&a, "GET /v1/products/kitchen/devices/" CORE_ID " HTTP/1.1\r\n" AS_OWNER "\r\n");
    assert_int_equal(a.status, 200);
    assert_string_equal(text_of(&a, "id"), CORE_ID);
    forget(&a);
    struct client *c = dial();
    say(c, "HEAD /v1/products/1000/devices/joe_prod_core2/modules HTTP/1.1\r\n" AS_OWNER "\r\n");
    hear_of(c, &a, false);
    assert_int_equal(a.status, 200);
    forget(&a);
    hang_up(c);
}

static void test_gate_while_the_database_is_away(void **state)
{
    (void)state;
    atomic_store(&server.fleet.away, true);
    assert_error("GET /v1/products/1000/devices/x HTTP/1.1\r\n" AS_ADMIN "\r\n", 503,
                 "The database cannot be reached at the moment. Please try again.");
}

static void test_a_path_means_one_device(void **state)
{
    static const char *const nowhere[] = {
        "/v1/devices/1000%2F" CORE_ID,                 /* a product is named by the path alone */
        "/v1/products/1000/devices/1000%2F" CORE_ID,   /* nor twice */
        "/v1/products/1000/devices/kitchen%2Fanother", /* nor by another name */
        "/v1/products/1000/devices/foreign_one",
        "/v1/products/1000/devices/"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        char *request = mem_printf("GET %s HTTP/1.1\r\n" AS_ADMIN "\r\n", nowhere[i]);
        assert_error(request, 404, "Device not found.");
        free(request);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(test_gate),
        SERVED(test_gate_while_the_database_is_away),
        SERVED(test_a_path_means_one_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
