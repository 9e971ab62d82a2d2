#include "api/client_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED_BITS 96 /* ::ffff:0:0/96: IPv4 */

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool is_v4(const uint8_t address[16])
{
    return memcmp(address, mapped, sizeof(mapped)) == 0;
}

static bool parse(uint8_t address[16], const char *text)
{
    if (inet_pton(AF_INET6, text, address) == 1)
        return true;
    memcpy(address, mapped, sizeof(mapped));
    return inet_pton(AF_INET, text, address + sizeof(mapped)) == 1;
}

static void format(char out[INET6_ADDRSTRLEN], const uint8_t address[16])
{
    if (is_v4(address))
        (void)inet_ntop(AF_INET, address + sizeof(mapped), out, INET6_ADDRSTRLEN);
    else
        (void)inet_ntop(AF_INET6, address, out, INET6_ADDRSTRLEN);
}

/* The next of a list, without the blanks around it; false: too long for an address. */
static bool copy_part(char *out, size_t out_size, const char *from, size_t len)
{
    while (len > 0 && (*from == ' ' || *from == '\t')) {
        from++;
        len--;
    }
    while (len > 0 && (from[len - 1] == ' ' || from[len - 1] == '\t'))
        len--;
    if (len >= out_size)
        return false;
    memcpy(out, from, len);
    out[len] = '\0';
    return true;
}

static bool parse_network(struct trusted_proxies *proxies, char *text)
{
    char *slash = strchr(text, '/'), *end;
    uint8_t *address = proxies->networks[proxies->count].address;
    unsigned long bits = 0, most;

    if (slash != NULL)
        *slash = '\0';
    if (!parse(address, text))
        return false;
    most = is_v4(address) ? 32 : 128;
    bits = most;
    if (slash != NULL) {
        bits = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > most)
            return false;
    }
    proxies->networks[proxies->count++].prefix_bits = (unsigned)(is_v4(address) ? bits + MAPPED_BITS : bits);
    return true;
}

bool trusted_proxies_parse(struct trusted_proxies *proxies, const char *text, char *why, size_t why_size)
{
    char part[INET6_ADDRSTRLEN + 4];

    *proxies = (struct trusted_proxies){.count = 0};
    while (*text != '\0') {
        size_t len = strcspn(text, ",");
        if (proxies->count == CLIENT_ADDRESS_PROXIES_MAX) {
            (void)snprintf(why, why_size, "http.trusted_proxy: at most %d addresses",
                           CLIENT_ADDRESS_PROXIES_MAX);
            return false;
        }
        if (!copy_part(part, sizeof(part), text, len) || !parse_network(proxies, part)) {
            (void)snprintf(why, why_size, "http.trusted_proxy: %.*s is not ADDRESS or ADDRESS/BITS",
                           len > 60 ? 60 : (int)len, text);
            return false;
        }
        text += len;
        text += *text == ',';
    }
    return true;
}

static bool is_in(const uint8_t address[16], const uint8_t network[16], unsigned prefix_bits)
{
    size_t bytes = prefix_bits / 8;
    unsigned rest = prefix_bits % 8;

    return memcmp(address, network, bytes) == 0 &&
           (rest == 0 || ((address[bytes] ^ network[bytes]) >> (8 - rest)) == 0);
}

static bool is_trusted(const struct trusted_proxies *proxies, const uint8_t address[16])
{
    for (size_t i = 0; i < proxies->count; i++) {
        if (is_in(address, proxies->networks[i].address, proxies->networks[i].prefix_bits))
            return true;
    }
    return false;
}

static void follow(uint8_t address[16], const struct trusted_proxies *proxies, const char *forwarded_for)
{
    size_t left = strlen(forwarded_for);
    char part[INET6_ADDRSTRLEN];
    uint8_t before[16];

    while (left > 0 && is_trusted(proxies, address)) {
        size_t start = left;
        while (start > 0 && forwarded_for[start - 1] != ',')
            start--;
        if (!copy_part(part, sizeof(part), forwarded_for + start, left - start) || !parse(before, part))
            return;
        memcpy(address, before, sizeof(before));
        left = start > 0 ? start - 1 : 0;
    }
}

void client_address_read(struct client_address *address, const struct trusted_proxies *proxies,
                         const struct sockaddr *peer, const char *forwarded_for)
{
    uint8_t ip[16] = {0};

    if (peer->sa_family == AF_INET6) {
        memcpy(ip, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, sizeof(ip));
    } else if (peer->sa_family == AF_INET) {
        memcpy(ip, mapped, sizeof(mapped));
        memcpy(ip + sizeof(mapped), &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
    }
    if (forwarded_for != NULL && proxies->count > 0)
        follow(ip, proxies, forwarded_for);
    format(address->text, ip);
    memcpy(address->network, ip, sizeof(ip));
    if (!is_v4(ip))
        memset(address->network + 8, 0, 8);
    format(address->network_text, address->network);
}
