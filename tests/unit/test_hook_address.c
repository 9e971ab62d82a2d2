/* test_hook_address.c: where webhooks may send to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "hook/address.h"

static bool judge(const char *text)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &in4.sin_addr) == 1)
        return address_is_public((struct sockaddr *)&in4);
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return address_is_public((struct sockaddr *)&in6);
}

/* The first and the last address of each closed network, and their neighbours. */
static void test_closed(void **state)
{
    static const char *const closed[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.0",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "fc00::1",
        "fdff::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "2001::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "1fff::1",
    };
    static const char *const open[] = {
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "168.63.129.15",
        "8.8.8.8",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2600::1",
        "3fff:1000::1",
        "2003::1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        if (judge(closed[i]))
            fail_msg("%s is not closed", closed[i]);
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (!judge(open[i]))
            fail_msg("%s is not open", open[i]);
}

static void test_other_families(void **state)
{
    const struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
    (void)state;
    assert_false(address_is_public((const struct sockaddr *)&un));
}

static void test_texts(void **state)
{
    (void)state;
    assert_true(address_text_is_public("example.com"));
    assert_true(address_text_is_public("10.example.com"));
    assert_true(address_text_is_public("8.8.8.8"));
    assert_true(address_text_is_public("[2600::1]"));
    assert_false(address_text_is_public("10.0.0.1"));
    assert_false(address_text_is_public("[::ffff:10.0.0.1]"));
    assert_false(address_text_is_public("[fe80::1%25eth0]"));
    assert_false(address_text_is_public("[what]"));
    assert_false(address_text_is_public("[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_other_families),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
