#include "net/path.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"

_Static_assert(offsetof(struct net_path, local_ip) == NET_PEER_BYTES, "the peer is a hash key of its own");

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool net_path_set_peer(struct net_path *path, const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        memcpy(path->peer_ip, v4_mapped, sizeof v4_mapped);
        memcpy(path->peer_ip + 12, &v4->sin_addr, 4);
        path->peer_port = ntohs(v4->sin_port);
        path->scope = 0;
        return true;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        memcpy(path->peer_ip, &v6->sin6_addr, 16);
        path->peer_port = ntohs(v6->sin6_port);
        path->scope = IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) ? v6->sin6_scope_id : 0;
        return true;
    }
    return false;
}

bool net_path_is_v4(const struct net_path *path)
{
    return memcmp(path->peer_ip, v4_mapped, sizeof v4_mapped) == 0;
}

bool net_path_same_peer(const struct net_path *a, const struct net_path *b)
{
    return memcmp(a, b, NET_PEER_BYTES) == 0;
}

const char *net_path_format_ip(char out[NET_ADDRESS_TEXT_SIZE], const struct net_path *path)
{
    if (!net_path_is_v4(path)) {
        const char *text = inet_ntop(AF_INET6, path->peer_ip, out, NET_ADDRESS_TEXT_SIZE);
        return text ? text : "?";
    }
    size_t len = 0; /* inet_ntop takes a microsecond for these, several times a handshake */
    for (int i = 12; i < 16; i++) {
        len += decimal_encode(out + len, path->peer_ip[i]);
        out[len++] = '.';
    }
    out[len - 1] = '\0';
    return out;
}

const char *net_path_format(char out[NET_ADDRESS_TEXT_SIZE], const struct net_path *path)
{
    if (!net_path_is_v4(path)) {
        char ip[NET_ADDRESS_TEXT_SIZE];
        net_path_format_ip(ip, path);
        (void)snprintf(out, NET_ADDRESS_TEXT_SIZE, "[%.45s]:%u", ip, (unsigned)path->peer_port);
        return out;
    }
    net_path_format_ip(out, path);
    size_t len = strlen(out);
    out[len++] = ':';
    (void)decimal_encode(out + len, path->peer_port);
    return out;
}

uint64_t net_path_network(const struct net_path *path)
{
    if (net_path_is_v4(path)) /* the zero first half of a mapped address is no /64 anybody has */
        return (uint64_t)be32_load(path->peer_ip + 12) >> 8;
    return be64_load(path->peer_ip);
}
