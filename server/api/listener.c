#include "api/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define BACKLOG 1024 /* a fleet list is followed by one request per device, all at once (rest-api 2) */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage storage;
};

static bool address_parse(union address *a, socklen_t *len, const char *bind_text, uint16_t port)
{
    memset(a, 0, sizeof(*a));
    *len = sizeof(a->v4);
    if (uv_ip4_addr(bind_text, port, &a->v4) == 0)
        return true;
    *len = sizeof(a->v6);
    return uv_ip6_addr(bind_text, port, &a->v6) == 0;
}

static bool socket_prepare(int fd, const union address *a, socklen_t len)
{
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return false;
    if (a->any.sa_family == AF_INET6) {
        int only = !IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
        if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) != 0)
            return false;
    }
    return bind(fd, &a->any, len) == 0 && listen(fd, BACKLOG) == 0;
}

int listener_open(const char *bind_text, uint16_t port, uint16_t *chosen, char *why, size_t why_size)
{
    union address a;
    socklen_t len;
    int fd;

    if (!address_parse(&a, &len, bind_text, port)) {
        (void)snprintf(why, why_size, "http.bind: `%s` is not an IP address", bind_text);
        return -1;
    }
    fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || !socket_prepare(fd, &a, len)) {
        (void)snprintf(why, why_size, "http.port: cannot listen on %s port %u: %s", bind_text, (unsigned)port,
                       strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    len = sizeof(a);
    if (getsockname(fd, &a.any, &len) != 0)
        *chosen = port;
    else
        *chosen = ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
    return fd;
}
