/* address.h: whether an address is one of the public internet, where the targets of webhooks have to be.
 *
 * A webhook sends what a person wrote from inside the operator's network: without this it could ask whatever
 * answers there without a password. Pure. */
#ifndef CYAN_HOOK_ADDRESS_H
#define CYAN_HOOK_ADDRESS_H

#include <stdbool.h>

struct sockaddr;

/* False for any other family than IPv4 and IPv6, and for what the IANA registries of special-purpose
 * addresses (RFC 6890) do not call globally reachable: loopback, private, link-local, shared (CGNAT),
 * multicast, reserved; an IPv6 address that stands for an IPv4 one is judged by that. */
bool address_is_public(const struct sockaddr *address);
/* The same of an address as text, without brackets; false when it is none. */
bool address_ip_is_public(const char *ip);
/* The same of a host as a URL has it, when it is an address (IPv6 in brackets); true for names. */
bool address_text_is_public(const char *host);

#endif
