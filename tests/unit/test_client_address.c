/* test_client_address.c: where a request comes from, through proxies that are trusted and others. */
#include "api/client_address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct trusted_proxies proxies(const char *text)
{
    struct trusted_proxies p;
    char why[200] = "";

    if (!trusted_proxies_parse(&p, text, why, sizeof(why)))
        fail_msg("%s", why);
    return p;
}

static struct client_address from(const char *peer, const char *trusted, const char *forwarded_for)
{
    struct trusted_proxies p = proxies(trusted);
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct client_address address;

    if (inet_pton(AF_INET, peer, &v4.sin_addr) == 1) {
        client_address_read(&address, &p, (struct sockaddr *)&v4, forwarded_for);
    } else {
        assert_int_equal(inet_pton(AF_INET6, peer, &v6.sin6_addr), 1);
        client_address_read(&address, &p, (struct sockaddr *)&v6, forwarded_for);
    }
    return address;
}

static void test_without_a_proxy_nobody_is_believed(void **state)
{
    (void)state;
    assert_string_equal(from("192.0.2.7", "", "203.0.113.1").text, "192.0.2.7");
    assert_string_equal(from("192.0.2.7", "127.0.0.1", "203.0.113.1").text, "192.0.2.7");
    assert_string_equal(from("2001:db8::7", "", NULL).text, "2001:db8::7");
}

static void test_a_proxy_speaks_for_its_client(void **state)
{
    (void)state;
    assert_string_equal(from("127.0.0.1", "127.0.0.1", "203.0.113.1").text, "203.0.113.1");
    assert_string_equal(from("127.0.0.1", "127.0.0.1", NULL).text, "127.0.0.1");
    assert_string_equal(from("127.0.0.1", "127.0.0.0/8", "2001:db8::5").text, "2001:db8::5");
    assert_string_equal(from("::1", "::1", "203.0.113.1").text, "203.0.113.1");
    /* what a client wrote itself stands before what the proxy added */
    assert_string_equal(from("127.0.0.1", "127.0.0.1", "198.51.100.1, 203.0.113.1").text, "203.0.113.1");
    /* one proxy behind another */
    assert_string_equal(from("127.0.0.1", "127.0.0.1,10.0.0.0/8", "198.51.100.1, 203.0.113.1,10.1.2.3").text,
                        "203.0.113.1");
    assert_string_equal(from("127.0.0.1", "127.0.0.1", "10.0.0.1,127.0.0.1").text, "10.0.0.1");
    /* IPv4 that comes in as IPv6 is the same */
    assert_string_equal(from("::ffff:127.0.0.1", "127.0.0.1", "203.0.113.1").text, "203.0.113.1");
}

static void test_what_cannot_be_read_ends_the_walk(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "unknown",
                                      "203.0.113.1:80",
                                      "[2001:db8::1]",
                                      "1.2.3",
                                      ",",
                                      "203.0.113.1, ",
                                      "a,b,c",
                                      "12345678901234567890123456789012345678901234567890"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_string_equal(from("127.0.0.1", "127.0.0.1", bad[i]).text, "127.0.0.1");
    assert_string_equal(from("127.0.0.1", "127.0.0.1,203.0.113.1", "junk, 203.0.113.1").text, "203.0.113.1");
}

static void test_limits_count_networks(void **state)
{
    struct client_address a = from("2001:db8:1:2::7", "", NULL), b = from("2001:db8:1:2:ffff::8", "", NULL);
    struct client_address c = from("2001:db8:1:3::7", "", NULL), d = from("192.0.2.7", "", NULL),
                          e = from("192.0.2.8", "", NULL);

    (void)state;
    assert_memory_equal(a.network, b.network, 16);
    assert_string_equal(a.network_text, "2001:db8:1:2::");
    assert_memory_not_equal(a.network, c.network, 16);
    assert_memory_not_equal(d.network, e.network, 16);
    assert_string_equal(d.network_text, "192.0.2.7");
}

static void test_networks_of_proxies(void **state)
{
    static const char *const bad[] = {"localhost",   "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x",
                                      "10.0.0.0/-1", "::/129",      "1.2.3.4,",  "1.2.3.4,,::1"};
    struct trusted_proxies p;
    char why[200];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        bool ends_in_comma = strcmp(bad[i], "1.2.3.4,") == 0;
        assert_int_equal(trusted_proxies_parse(&p, bad[i], why, sizeof(why)), ends_in_comma);
    }
    assert_string_equal(from("10.255.0.1", "10.254.0.0/15", "203.0.113.1").text, "203.0.113.1");
    assert_string_equal(from("10.253.0.1", "10.254.0.0/15", "203.0.113.1").text, "10.253.0.1");
    assert_string_equal(from("10.253.0.1", "0.0.0.0/0", "203.0.113.1").text, "203.0.113.1");
    assert_int_equal(proxies("").count, 0);
    assert_false(
        trusted_proxies_parse(&p,
                              "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
                              "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1",
                              why, sizeof(why)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_proxy_nobody_is_believed),
        cmocka_unit_test(test_a_proxy_speaks_for_its_client),
        cmocka_unit_test(test_what_cannot_be_read_ends_the_walk),
        cmocka_unit_test(test_limits_count_networks),
        cmocka_unit_test(test_networks_of_proxies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
