#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "net/path.h"

static struct net_path path_of(const char *ip, uint16_t port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct net_path path = {0};

    if (inet_pton(AF_INET, ip, &v4.sin_addr) == 1)
        assert_true(net_path_set_peer(&path, (struct sockaddr *)&v4));
    else if (inet_pton(AF_INET6, ip, &v6.sin6_addr) == 1)
        assert_true(net_path_set_peer(&path, (struct sockaddr *)&v6));
    else
        fail();
    return path;
}

static void addresses_are_written_as_people_do(void **state)
{
    static const struct {
        const char *ip, *with_port;
    } cases[] = {
        {"0.0.0.0", "0.0.0.0:5683"},
        {"127.0.0.1", "127.0.0.1:5683"},
        {"203.0.113.10", "203.0.113.10:5683"},
        {"255.255.255.255", "255.255.255.255:5683"},
        {"::1", "[::1]:5683"},
        {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:5683"},
    };
    char text[NET_ADDRESS_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct net_path path = path_of(cases[i].ip, 5683);
        assert_string_equal(net_path_format_ip(text, &path), cases[i].ip);
        assert_string_equal(net_path_format(text, &path), cases[i].with_port);
    }
    struct net_path last = path_of("10.0.0.1", 65535);
    assert_string_equal(net_path_format(text, &last), "10.0.0.1:65535");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_written_as_people_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
