/* client_address.h: where a request comes from: the peer of its connection, or, when that is a proxy of ours,
 * whom it says it speaks for.
 *
 * Only proxies that are configured are believed, and of `X-Forwarded-For` only what they themselves wrote:
 * from its end back to the first address that is none of them. */
#ifndef CYAN_API_CLIENT_ADDRESS_H
#define CYAN_API_CLIENT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/must.h"

#define CLIENT_ADDRESS_PROXIES_MAX 16

struct client_address {
    char text[INET6_ADDRSTRLEN];
    /* Whom limits count: the address, or of IPv6 its /64, which is one customer's. */
    uint8_t network[16];
    char network_text[INET6_ADDRSTRLEN];
};
struct trusted_proxies {
    struct {
        uint8_t address[16];
        unsigned prefix_bits;
    } networks[CLIENT_ADDRESS_PROXIES_MAX];
    size_t count;
};
/* text: `ADDRESS` or `ADDRESS/BITS`, separated by commas; "" = none. False: why is a sentence about it. */
must_check bool trusted_proxies_parse(struct trusted_proxies *proxies, const char *text, char *why,
                                      size_t why_size);
/* forwarded_for: the header's value, NULL when there is none. */
void client_address_read(struct client_address *address, const struct trusted_proxies *proxies,
                         const struct sockaddr *peer, const char *forwarded_for);

#endif
