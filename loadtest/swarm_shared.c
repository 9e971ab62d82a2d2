#include "swarm_shared.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "net/outbox.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64
#define DATAGRAM_SIZE 2048
#define HOSTS 254
#define FIRST_NETWORK 0x1000U /* 127.16.0.0: clear of what others bind */
#define BUFFER_BYTES (4 << 20)

struct swarm_shared {
    struct swarm_shared_options options;
    struct swarm_place *places; /* borrowed: uthash head */
    struct net_path path;       /* of what is sent: the server, and from where the device sends */
    struct outbox *outbox;      /* ours */
    struct metric sent, failed;
    uint64_t entered, unclaimed;
    uint32_t socket_count;
    int fds[SWARM_SHARED_SOCKETS_MAX];
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_in from[BATCH];
    uint8_t control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
    uint8_t datagrams[BATCH][DATAGRAM_SIZE];
};

static uint32_t address_of(uint32_t key)
{
    return 127U << 24 | (key & 0xffffff);
}

static int socket_open(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, bytes = BUFFER_BYTES;

    if (fd < 0)
        return -1;
    /* What the system does not grant of the buffer is loss under load, and counted by the protocols above. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) == 0 &&
        bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0)
        return fd;
    close(fd);
    return -1;
}

struct swarm_shared *swarm_shared_new(const struct swarm_shared_options *options)
{
    struct swarm_shared *s = mem_alloc(sizeof(*s));

    must(options->sockets > 0 && options->sockets <= SWARM_SHARED_SOCKETS_MAX && options->networks > 0);
    s->options = *options;
    must(net_path_set_peer(&s->path, (const struct sockaddr *)&options->server));
    s->path.local_ip[10] = s->path.local_ip[11] = 0xff;
    s->outbox = outbox_new(&s->sent, &s->failed);
    for (; s->socket_count < options->sockets; s->socket_count++) {
        s->fds[s->socket_count] = socket_open();
        if (s->fds[s->socket_count] < 0) {
            swarm_shared_free(s);
            return NULL;
        }
    }
    return s;
}

void swarm_shared_free(struct swarm_shared *shared)
{
    if (!shared)
        return;
    must(!shared->places);
    for (uint32_t i = 0; i < shared->socket_count; i++)
        close(shared->fds[i]);
    outbox_free(shared->outbox);
    free(shared);
}

int swarm_shared_fd(const struct swarm_shared *shared, uint32_t i)
{
    return i < shared->socket_count ? shared->fds[i] : -1;
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the hash macros */
static struct swarm_place *find(const struct swarm_shared *s, uint32_t key)
{
    struct swarm_place *place;

    HASH_FIND(hh, s->places, &key, sizeof(key), place);
    return place;
}

/* Networks in turn first, so that limits for one network see all alike; then hosts, then sockets. */
static uint32_t next_key(struct swarm_shared *s)
{
    uint64_t n = s->entered++;
    uint32_t network = FIRST_NETWORK + (uint32_t)(n % s->options.networks), host, socket;

    n /= s->options.networks;
    host = 1 + (uint32_t)(n % HOSTS);
    socket = (uint32_t)(n / HOSTS % s->socket_count);
    return socket << 24 | network << 8 | host;
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the hash macros */
bool swarm_shared_enter(struct swarm_shared *shared, struct swarm_place *place)
{
    uint64_t all = (uint64_t)shared->options.networks * HOSTS * shared->socket_count;

    if (HASH_COUNT(shared->places) >= all)
        return false;
    do
        place->key = next_key(shared);
    while (find(shared, place->key));
    HASH_ADD(hh, shared->places, key, sizeof(place->key), place);
    return true;
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the hash macros */
void swarm_shared_leave(struct swarm_shared *shared, struct swarm_place *place)
{
    HASH_DELETE(hh, shared->places, place);
}

void swarm_shared_send(struct swarm_shared *shared, const struct swarm_place *place, const uint8_t *datagram,
                       size_t datagram_len)
{
    be32_store(shared->path.local_ip + 12, address_of(place->key));
    (void)outbox_push(shared->outbox, shared->fds[place->key >> 24], false, &shared->path, datagram,
                      datagram_len);
}

void swarm_shared_flush(struct swarm_shared *shared)
{
    outbox_flush(shared->outbox);
}

uint64_t swarm_shared_sent(const struct swarm_shared *shared)
{
    return shared->sent.value;
}

/* The key of who a datagram is for, 0 when it is for nobody. */
static uint32_t key_of(const struct swarm_shared *s, uint32_t socket, struct msghdr *message)
{
    const struct sockaddr_in *from = message->msg_name;
    struct in_pktinfo info;

    if (from->sin_addr.s_addr != s->options.server.sin_addr.s_addr ||
        from->sin_port != s->options.server.sin_port)
        return 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
            continue;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        return socket << 24 | (ntohl(info.ipi_addr.s_addr) & 0xffffff);
    }
    return 0;
}

uint64_t swarm_shared_unclaimed(const struct swarm_shared *shared)
{
    return shared->unclaimed;
}

void swarm_shared_read(struct swarm_shared *shared, uint32_t i)
{
    int count;

    for (int n = 0; n < BATCH; n++) {
        shared->parts[n] = (struct iovec){shared->datagrams[n], DATAGRAM_SIZE};
        shared->messages[n].msg_hdr = (struct msghdr){.msg_name = &shared->from[n],
                                                      .msg_namelen = sizeof(shared->from[n]),
                                                      .msg_iov = &shared->parts[n],
                                                      .msg_iovlen = 1,
                                                      .msg_control = shared->control[n],
                                                      .msg_controllen = sizeof(shared->control[n])};
    }
    count = recvmmsg(shared->fds[i], shared->messages, BATCH, MSG_DONTWAIT, NULL);
    for (int n = 0; n < count; n++) {
        struct swarm_place *place = find(shared, key_of(shared, i, &shared->messages[n].msg_hdr));

        if (place)
            shared->options.receive(place, shared->datagrams[n], shared->messages[n].msg_len);
        else
            shared->unclaimed++;
    }
}
