#include "net/outbox.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/must.h"

#define CONTROL_BYTES (CMSG_SPACE(sizeof(struct in6_pktinfo)))

struct outbox {
    struct metric *sent, *failed; /* borrowed */
    unsigned count;
    int fds[OUTBOX_SLOTS];
    struct mmsghdr messages[OUTBOX_SLOTS];
    struct iovec vectors[OUTBOX_SLOTS];
    struct sockaddr_in6 peers[OUTBOX_SLOTS];
    union {
        struct cmsghdr align;
        uint8_t bytes[CONTROL_BYTES];
    } controls[OUTBOX_SLOTS];
    uint8_t data[OUTBOX_SLOTS][OUTBOX_DATAGRAM_MAX];
};

struct outbox *outbox_new(struct metric *sent, struct metric *failed)
{
    struct outbox *o = mem_alloc(sizeof *o);
    o->sent = sent;
    o->failed = failed;
    for (int i = 0; i < OUTBOX_SLOTS; i++) {
        o->vectors[i].iov_base = o->data[i];
        o->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &o->peers[i],
            .msg_iov = &o->vectors[i],
            .msg_iovlen = 1,
            .msg_control = o->controls[i].bytes,
        };
    }
    return o;
}

void outbox_free(struct outbox *o)
{
    free(o);
}

/* The address to send from. Returns the control message's length. */
static size_t put_source(struct msghdr *header, const struct net_path *path, bool v6)
{
    header->msg_controllen = CONTROL_BYTES;
    struct cmsghdr *c = CMSG_FIRSTHDR(header);
    if (v6) {
        struct in6_pktinfo info = {.ipi6_ifindex = path->scope};
        memcpy(&info.ipi6_addr, path->local_ip, 16);
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
        return CMSG_SPACE(sizeof info);
    }
    struct in_pktinfo info = {0};
    memcpy(&info.ipi_spec_dst, path->local_ip + 12, 4);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(c), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
}

static socklen_t put_peer(struct sockaddr_in6 *out, const struct net_path *path, bool v6)
{
    memset(out, 0, sizeof *out);
    if (v6) {
        out->sin6_family = AF_INET6;
        out->sin6_port = htons(path->peer_port);
        out->sin6_scope_id = path->scope;
        memcpy(&out->sin6_addr, path->peer_ip, 16);
        return sizeof *out;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(path->peer_port);
    memcpy(&v4->sin_addr, path->peer_ip + 12, 4);
    return sizeof *v4;
}

bool outbox_push(struct outbox *o, int fd, bool v6, const struct net_path *path, const uint8_t *data,
                 size_t data_len)
{
    if (data_len > OUTBOX_DATAGRAM_MAX) {
        o->failed->value++;
        return false;
    }
    if (o->count == OUTBOX_SLOTS)
        outbox_flush(o);
    unsigned slot = o->count++;
    struct msghdr *header = &o->messages[slot].msg_hdr;
    o->fds[slot] = fd;
    memcpy(o->data[slot], data, data_len);
    o->vectors[slot].iov_len = data_len;
    header->msg_namelen = put_peer(&o->peers[slot], path, v6);
    header->msg_controllen = put_source(header, path, v6);
    return true;
}

/* sendmmsg stops at the first message that fails and tells of it only when that is the first one. A full
 * socket takes the rest neither; any other error is this message's own: no route, a peer that has sent an
 * ICMP error. */
static void send_run(struct outbox *o, unsigned first, unsigned end)
{
    while (first < end) {
        int count = sendmmsg(o->fds[first], &o->messages[first], end - first, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0) {
            o->sent->value += (unsigned)count;
            first += (unsigned)count;
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            o->failed->value += end - first;
            return;
        } else if (errno != EINTR) {
            o->failed->value++;
            first++;
        }
    }
}

void outbox_flush(struct outbox *o)
{
    unsigned count = o->count, end;
    o->count = 0;
    for (unsigned first = 0; first < count; first = end) {
        for (end = first + 1; end < count && o->fds[end] == o->fds[first];)
            end++;
        send_run(o, first, end);
    }
}
