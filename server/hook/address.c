#include "hook/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

struct net4 {
    uint32_t address;
    unsigned bits;
};

static const struct net4 closed4[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* shared, CGNAT; some clouds keep their metadata there */
    {0x7f000000, 8},  /* loopback */
    {0xa83f8110, 32}, /* the inner services of one cloud, on an address that is public by the registry */
    {0xa9fe0000, 16}, /* link-local; metadata of most clouds */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relays */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarks */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 4},  /* multicast */
    {0xf0000000, 4},  /* reserved, broadcast */
};

static bool is_public4(uint32_t address)
{
    for (size_t i = 0; i < sizeof closed4 / sizeof *closed4; i++) {
        uint32_t mask = UINT32_MAX << (32 - closed4[i].bits);
        if ((address & mask) == closed4[i].address)
            return false;
    }
    return true;
}

struct net6 {
    uint8_t prefix[6];
    unsigned bits;
};

/* Of global unicast, 2000::/3; nothing outside that is public. */
static const struct net6 closed6[] = {
    {{0x20, 0x01, 0x00}, 23},       /* protocol assignments, Teredo and ORCHID among them */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x02}, 16},             /* 6to4 */
    {{0x3f, 0xff, 0x00}, 20},       /* documentation */
};

static bool begins_with(const uint8_t address[16], const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(address, prefix, whole) != 0)
        return false;
    return rest == 0 || ((address[whole] ^ prefix[whole]) >> (8 - rest)) == 0;
}

static bool is_public6(const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (!memcmp(address, mapped, sizeof mapped) || !memcmp(address, nat64, sizeof nat64))
        return is_public4(be32_load(address + 12));
    if ((address[0] & 0xe0) != 0x20)
        return false;
    for (size_t i = 0; i < sizeof closed6 / sizeof *closed6; i++)
        if (begins_with(address, closed6[i].prefix, closed6[i].bits))
            return false;
    return true;
}

bool address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in4;
        memcpy(&in4, address, sizeof in4);
        return is_public4(ntohl(in4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        return is_public6(in6.sin6_addr.s6_addr);
    }
    return false;
}

bool address_ip_is_public(const char *ip)
{
    struct in_addr in4;
    struct in6_addr in6;
    if (inet_pton(AF_INET, ip, &in4) == 1)
        return is_public4(ntohl(in4.s_addr));
    return inet_pton(AF_INET6, ip, &in6) == 1 && is_public6(in6.s6_addr);
}

bool address_text_is_public(const char *host)
{
    struct in_addr in4;
    char text[INET6_ADDRSTRLEN];
    size_t text_len = strcspn(host + (*host == '['), "]%"); /* a scope says nothing of the address */
    if (*host != '[')
        return inet_pton(AF_INET, host, &in4) != 1 || address_ip_is_public(host);
    if (text_len >= sizeof text)
        return false;
    memcpy(text, host + 1, text_len);
    text[text_len] = '\0';
    return address_ip_is_public(text);
}
