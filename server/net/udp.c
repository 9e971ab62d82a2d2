#include "net/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/outbox.h"

#define UDP_BATCH 32      /* datagrams per recvmmsg */
#define UDP_BATCHES_MAX 8 /* per turn of the loop and socket */
#define UDP_BUFFER_BYTES (8 << 20)
#define UDP_CONTROL_BYTES (CMSG_SPACE(sizeof(struct in6_pktinfo)))

struct udp_socket {
    uv_poll_t poll;
    struct udp *udp; /* borrowed: outlives this */
    int fd;
    uint8_t index;
    bool v6;
};

struct udp {
    uv_loop_t *loop;
    udp_receive_fn *receive;
    udp_ahead_fn *ahead; /* NULL when nobody wants to know */
    void *ctx;           /* borrowed: outlives this */
    struct udp_socket *sockets[UDP_SOCKETS_MAX];
    size_t socket_count, open_count;
    bool shares_ports;
    void (*closed)(void *arg);
    void *closed_arg;
    struct outbox *outbox;
    uv_prepare_t prepare; /* sends what was pushed in this turn */
    uv_check_t check;     /* after all sockets were read: work */
    uv_idle_t idle;       /* while there is more work: keeps the loop from waiting */
    udp_work_fn *work;
    void *work_ctx; /* borrowed: outlives this */
    struct metric *received, *oversized;
    struct mmsghdr messages[UDP_BATCH];
    struct iovec vectors[UDP_BATCH];
    struct sockaddr_in6 peers[UDP_BATCH];
    struct net_path paths[UDP_BATCH]; /* of those that are fit to be handed on */
    bool fit[UDP_BATCH];
    union {
        struct cmsghdr align;
        uint8_t bytes[UDP_CONTROL_BYTES];
    } controls[UDP_BATCH];
    uint8_t buffers[UDP_BATCH][UDP_DATAGRAM_MAX];
};

static void on_prepare(uv_prepare_t *prepare)
{
    struct udp *udp = prepare->data;
    outbox_flush(udp->outbox);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void on_check(uv_check_t *check)
{
    struct udp *udp = check->data;
    if (uv_is_active(
            (uv_handle_t *)&udp->idle)) /* much to do: answers to what was received do not wait for it */
        outbox_flush(udp->outbox);
    if (udp->work && udp->work(udp->work_ctx))
        (void)uv_idle_start(&udp->idle, on_idle);
    else
        (void)uv_idle_stop(&udp->idle);
}

void udp_set_ahead(struct udp *udp, udp_ahead_fn *ahead)
{
    udp->ahead = ahead;
}

void udp_set_work(struct udp *udp, udp_work_fn *work, void *ctx)
{
    udp->work = work;
    udp->work_ctx = ctx;
}

struct udp *udp_new(uv_loop_t *loop, struct metrics *metrics, udp_receive_fn *receive, void *ctx)
{
    struct udp *udp = mem_alloc(sizeof *udp);
    udp->loop = loop;
    udp->receive = receive;
    udp->ctx = ctx;
    udp->received =
        metrics_add(metrics, METRIC_COUNTER, "cyan_udp_received_total", NULL, "Datagrams received");
    udp->oversized = metrics_add(metrics, METRIC_COUNTER, "cyan_udp_refused_total", "reason=\"oversized\"",
                                 "Datagrams refused by the endpoint before DTLS");
    udp->outbox =
        outbox_new(metrics_add(metrics, METRIC_COUNTER, "cyan_udp_sent_total", NULL, "Datagrams sent"),
                   metrics_add(metrics, METRIC_COUNTER, "cyan_udp_send_failed_total", NULL,
                               "Datagrams the kernel did not take"));
    must(uv_prepare_init(loop, &udp->prepare) == 0);
    must(uv_check_init(loop, &udp->check) == 0);
    must(uv_idle_init(loop, &udp->idle) == 0);
    udp->prepare.data = udp->check.data = udp->idle.data = udp;
    must(uv_prepare_start(&udp->prepare, on_prepare) == 0);
    must(uv_check_start(&udp->check, on_check) == 0);
    udp->open_count = 3;
    return udp;
}

static void take_local_address(struct net_path *path, struct msghdr *header)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            path->local_ip[10] = path->local_ip[11] = 0xff;
            memcpy(path->local_ip + 12, &info.ipi_spec_dst, 4);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            memcpy(path->local_ip, &info.ipi6_addr, 16);
        }
    }
}

static bool look_at(struct udp_socket *s, int slot)
{
    struct udp *udp = s->udp;
    struct msghdr *header = &udp->messages[slot].msg_hdr;
    struct net_path *path = &udp->paths[slot];
    udp->received->value++;
    if (header->msg_flags & MSG_TRUNC) {
        udp->oversized->value++;
        return false;
    }
    *path = (struct net_path){.socket = s->index};
    if (!net_path_set_peer(path, (const struct sockaddr *)&udp->peers[slot]))
        return false;
    take_local_address(path, header);
    if (udp->ahead)
        udp->ahead(udp->ctx, path, udp->buffers[slot], udp->messages[slot].msg_len);
    return true;
}

static int receive_batch(struct udp_socket *s)
{
    struct udp *udp = s->udp;
    for (int i = 0; i < UDP_BATCH; i++) {
        udp->vectors[i] = (struct iovec){udp->buffers[i], UDP_DATAGRAM_MAX};
        udp->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &udp->peers[i],
            .msg_namelen = sizeof udp->peers[i],
            .msg_iov = &udp->vectors[i],
            .msg_iovlen = 1,
            .msg_control = udp->controls[i].bytes,
            .msg_controllen = sizeof udp->controls[i].bytes,
        };
    }
    return recvmmsg(s->fd, udp->messages, UDP_BATCH, MSG_DONTWAIT, NULL);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct udp_socket *s = poll->data;
    struct udp *udp = s->udp;
    (void)status; /* a pending socket error is fetched and cleared by recvmmsg */
    (void)events;
    uint64_t now_ms = clock_ms();
    for (int batch = 0, count = UDP_BATCH; batch < UDP_BATCHES_MAX && count == UDP_BATCH; batch++) {
        count = receive_batch(s);
        for (int i = 0; i < count; i++)
            udp->fit[i] = look_at(s, i);
        for (int i = 0; i < count; i++)
            if (udp->fit[i])
                udp->receive(udp->ctx, &udp->paths[i], udp->buffers[i], udp->messages[i].msg_len, now_ms);
    }
}

static bool parse_address(struct sockaddr_in6 *out, socklen_t *out_len, const char *address, uint16_t port)
{
    memset(out, 0, sizeof *out);
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *out_len = sizeof *v4;
        return true;
    }
    if (inet_pton(AF_INET6, address, &out->sin6_addr) == 1) {
        out->sin6_family = AF_INET6;
        out->sin6_port = htons(port);
        *out_len = sizeof *out;
        return true;
    }
    return false;
}

static void set_buffer(int fd, int option)
{
    int bytes = UDP_BUFFER_BYTES;
    int forced = option == SO_RCVBUF ? SO_RCVBUFFORCE : SO_SNDBUFFORCE;
    if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes); /* the kernel caps it: fine */
}

/* No datagram of ours is longer than what RFC 7252 4.6 lets one assume of a path, so none need be cut (RFC
 * 8900 says what comes of it) and no ICMP message, which anybody can forge, has a say in it. Linux then
 * chooses no identification for it either, which it would look up in a table by destination. */
static int never_fragment(int fd, bool v6)
{
    int probe = v6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE;
    return v6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe, sizeof probe)
              : setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe);
}

static int open_socket(const struct sockaddr_in6 *address, socklen_t address_len, bool shares_port)
{
    int one = 1;
    bool v6 = address->sin6_family == AF_INET6;
    int fd = socket(address->sin6_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int failed = v6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) |
                          setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one)
                    : setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one);
    failed |= never_fragment(fd, v6);
    if (shares_port)
        failed |= setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (failed || bind(fd, (const struct sockaddr *)address, address_len) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    set_buffer(fd, SO_RCVBUF);
    set_buffer(fd, SO_SNDBUF);
    return fd;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_in6 address;
    socklen_t address_len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &address_len) != 0)
        return 0;
    return ntohs(address.sin6_port); /* same place in both families */
}

bool udp_has_family(const char *address)
{
    struct sockaddr_in6 local;
    socklen_t local_len;
    if (!parse_address(&local, &local_len, address, 0))
        return true; /* udp_listen says what is wrong */
    int fd = socket(local.sin6_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno != EAFNOSUPPORT;
    close(fd);
    return true;
}

void udp_share_ports(struct udp *udp)
{
    udp->shares_ports = true;
}

uint16_t udp_listen(struct udp *udp, const char *address, uint16_t port, char *why, size_t why_size)
{
    struct sockaddr_in6 local;
    socklen_t local_len;
    if (udp->socket_count == UDP_SOCKETS_MAX) {
        (void)snprintf(why, why_size, "more than %d UDP sockets", UDP_SOCKETS_MAX);
        return 0;
    }
    if (!parse_address(&local, &local_len, address, port)) {
        (void)snprintf(why, why_size, "'%.64s' is not a numeric IPv4 or IPv6 address", address);
        return 0;
    }
    int fd = open_socket(&local, local_len, udp->shares_ports);
    if (fd < 0) {
        (void)snprintf(why, why_size, "cannot listen on UDP %.64s port %u: %s", address, (unsigned)port,
                       strerror(errno));
        return 0;
    }
    struct udp_socket *s = mem_alloc(sizeof *s);
    s->udp = udp;
    s->fd = fd;
    s->index = (uint8_t)udp->socket_count;
    s->v6 = local.sin6_family == AF_INET6;
    s->poll.data = s;
    must(uv_poll_init(udp->loop, &s->poll, fd) == 0);
    must(uv_poll_start(&s->poll, UV_READABLE, on_readable) == 0);
    udp->sockets[udp->socket_count++] = s;
    udp->open_count++;
    return bound_port(fd);
}

bool udp_fit_path(const struct udp *udp, struct net_path *path)
{
    bool v6 = !net_path_is_v4(path);
    if (path->socket < udp->socket_count && udp->sockets[path->socket]->v6 == v6)
        return true;
    for (size_t i = 0; i < udp->socket_count; i++)
        if (udp->sockets[i]->v6 == v6) {
            path->socket = (uint32_t)i;
            return true;
        }
    return false;
}

bool udp_send(struct udp *udp, const struct net_path *path, const uint8_t *data, size_t data_len)
{
    must(path->socket < udp->socket_count);
    struct udp_socket *s = udp->sockets[path->socket];
    return outbox_push(udp->outbox, s->fd, s->v6, path, data, data_len);
}

void udp_stop(struct udp *udp)
{
    udp->work = NULL;
    for (size_t i = 0; i < udp->socket_count; i++)
        (void)uv_poll_stop(&udp->sockets[i]->poll);
}

static void finish_close(struct udp *udp)
{
    void (*closed)(void *) = udp->closed;
    void *arg = udp->closed_arg;
    outbox_free(udp->outbox);
    free(udp);
    closed(arg);
}

static void on_handle_closed(struct udp *udp)
{
    if (--udp->open_count == 0)
        finish_close(udp);
}

static void on_phase_closed(uv_handle_t *handle)
{
    on_handle_closed(handle->data);
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct udp_socket *s = handle->data;
    struct udp *udp = s->udp;
    close(s->fd);
    free(s);
    on_handle_closed(udp);
}

void udp_close(struct udp *udp, void (*closed)(void *arg), void *arg)
{
    udp->closed = closed;
    udp->closed_arg = arg;
    outbox_flush(udp->outbox);
    uv_close((uv_handle_t *)&udp->prepare, on_phase_closed);
    uv_close((uv_handle_t *)&udp->check, on_phase_closed);
    uv_close((uv_handle_t *)&udp->idle, on_phase_closed);
    for (size_t i = 0; i < udp->socket_count; i++)
        uv_close((uv_handle_t *)&udp->sockets[i]->poll, on_socket_closed);
}
