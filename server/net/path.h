/* path.h: where a datagram came from and which of our addresses it came to; 44 bytes, comparable with memcmp.
 *
 * IPv4 addresses are kept IPv4-mapped (::ffff:a.b.c.d), so one form serves both families. */
#ifndef CYAN_NET_PATH_H
#define CYAN_NET_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

struct net_path {
    uint8_t peer_ip[16]; /* the first NET_PEER_BYTES name the peer: a hash key */
    uint16_t peer_port;  /* host order */
    uint8_t pad[2];      /* zero */
    uint32_t scope;      /* interface of a link-local peer, else 0 */
    uint8_t local_ip[16];
    uint32_t socket; /* index of our socket in the endpoint */
};
#define NET_PEER_BYTES 24

#define NET_ADDRESS_TEXT_SIZE 56 /* [ipv6]:port and NUL */

bool net_path_set_peer(struct net_path *path, const struct sockaddr *address);
bool net_path_is_v4(const struct net_path *path);
bool net_path_same_peer(const struct net_path *a, const struct net_path *b); /* address and port */
/* `127.0.0.1:5683` or `[::1]:5683`. Returns out. */
const char *net_path_format(char out[NET_ADDRESS_TEXT_SIZE], const struct net_path *path);
/* Address alone, without port. */
const char *net_path_format_ip(char out[NET_ADDRESS_TEXT_SIZE], const struct net_path *path);
/* The network a fair share is counted for: the /24 of an IPv4 peer, the /64 of an IPv6 peer. */
uint64_t net_path_network(const struct net_path *path);

#endif
