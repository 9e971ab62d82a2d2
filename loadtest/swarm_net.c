#include "swarm_net.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_shared.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BATCH 256
#define DATAGRAM_SIZE 2048
#define NETWORKS_SHARED 1000
#define HOLD_MIN_MS 10
#define HOLD_SPREAD_MS 40

struct swarm_port {
    struct swarm_place place;       /* must stay first: on_shared finds us by it; unused with an own socket */
    struct swarm_port *prev, *next; /* all ports of the net */
    struct swarm_net *net;          /* borrowed: outlives this */
    swarm_port_receive_fn *receive; /* NULL once closed */
    void *owner;
    uint32_t refs; /* the owner, and each datagram held back */
    int fd;        /* -1 on shared sockets */
};

/* A datagram held back: to be overtaken by others, or on its way. */
struct held {
    struct deadline due; /* must stay first; unused on its way */
    struct held *prev, *next;
    struct swarm_port *port; /* referenced */
    uint64_t at_ms;          /* on its way: when it arrives */
    size_t len;
    bool outgoing;
    uint8_t bytes[];
};

struct swarm_net {
    uv_poll_t poll;
    uv_prepare_t prepare;        /* what a turn of the loop sent on shared sockets goes out together */
    struct deadlines *deadlines; /* borrowed: outlives this */
    struct swarm_net_options options;
    struct swarm_net_counts counts;
    struct swarm_port *ports, *graveyard;
    struct held *held;
    struct held *first, *last;   /* on their way, in order of arrival */
    struct deadline arrival;     /* of first */
    struct swarm_shared *shared; /* ours, NULL with own sockets */
    uint64_t random, opened;
    int epoll;
    bool in_batch;
};

bool swarm_net_parse_server(struct sockaddr_storage *out, const char *text)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    char *end;
    unsigned long port;
    size_t host_len;

    if (!colon)
        return false;
    host_len = (size_t)(colon - text);
    port = strtoul(colon + 1, &end, 10);
    if (host_len == 0 || host_len >= sizeof(host) || *end || colon[1] == 0 || port == 0 || port > 65535)
        return false;
    memcpy(host, text, host_len);
    host[host_len] = 0;
    memset(out, 0, sizeof(*out));
    if (host[0] == '[' && host[host_len - 1] == ']') {
        host[host_len - 1] = 0;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4->sin_addr) == 1 &&
           ntohl(v4->sin_addr.s_addr) >> 24 == 127;
}

/* xorshift64*: repeatable for a seed; faults need no better. */
static double random_percent(struct swarm_net *net)
{
    net->random ^= net->random >> 12;
    net->random ^= net->random << 25;
    net->random ^= net->random >> 27;
    return (double)((net->random * 0x2545f4914f6cdd1dULL) >> 40) / (double)(1 << 24) * 100.0;
}

static void port_unref(struct swarm_port *port)
{
    struct swarm_net *net = port->net;

    if (--port->refs > 0)
        return;
    if (port->fd < 0)
        swarm_shared_leave(net->shared, &port->place);
    else
        close(port->fd); /* leaves the epoll set by this */
    if (port->prev)
        port->prev->next = port->next;
    else
        net->ports = port->next;
    if (port->next)
        port->next->prev = port->prev;
    port->next = NULL;
    if (!net->in_batch || port->fd < 0) {
        free(port);
        return;
    }
    port->fd = -1; /* a later event of this batch may still name it */
    port->next = net->graveyard;
    net->graveyard = port;
}

static void held_free(struct swarm_net *net, struct held *h)
{
    if (h->prev)
        h->prev->next = h->next;
    else
        net->held = h->next;
    if (h->next)
        h->next->prev = h->prev;
    deadline_cancel(net->deadlines, &h->due);
    port_unref(h->port);
    free(h);
}

/* A full buffer or an unreachable server is loss, which the protocols above are made for. */
static void transmit(struct swarm_port *port, const uint8_t *datagram, size_t len)
{
    if (port->fd < 0)
        swarm_shared_send(port->net->shared, &port->place, datagram, len);
    else
        port->net->counts.sent += send(port->fd, datagram, len, 0) == (ssize_t)len;
}

static void deliver(struct swarm_port *port, const uint8_t *datagram, size_t len)
{
    if (!port->receive)
        return;
    port->net->counts.received++;
    port->receive(port->owner, datagram, len);
}

static struct held *held_new(struct swarm_port *port, const uint8_t *datagram, size_t len, bool outgoing)
{
    struct held *h = mem_alloc(sizeof(*h) + len);

    memcpy(h->bytes, datagram, len);
    h->len = len;
    h->outgoing = outgoing;
    h->port = port;
    port->refs++;
    return h;
}

static void arrive(struct swarm_port *port, const uint8_t *datagram, size_t len, bool outgoing)
{
    if (outgoing)
        transmit(port, datagram, len);
    else
        deliver(port, datagram, len);
}

static void on_arrival(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_net *net =
        (struct swarm_net *)(void *)((char *)deadline - offsetof(struct swarm_net, arrival));

    while (net->first && net->first->at_ms <= now_ms) {
        struct held *h = net->first;

        net->first = h->next;
        arrive(h->port, h->bytes, h->len, h->outgoing);
        port_unref(h->port);
        free(h);
    }
    if (net->first)
        deadline_set(net->deadlines, &net->arrival, net->first->at_ms, on_arrival);
}

/* All take equally long, so that a queue keeps them in order. */
static void forward(struct swarm_port *port, const uint8_t *datagram, size_t len, bool outgoing)
{
    struct swarm_net *net = port->net;
    struct held *h;

    if (net->options.faults.delay_ms == 0) {
        arrive(port, datagram, len, outgoing);
        return;
    }
    h = held_new(port, datagram, len, outgoing);
    h->at_ms = clock_ms() + net->options.faults.delay_ms;
    if (net->first)
        net->last->next = h;
    else
        net->first = h;
    net->last = h;
    if (net->first == h)
        deadline_set(net->deadlines, &net->arrival, h->at_ms, on_arrival);
}

static void on_held_due(struct deadline *due, uint64_t now_ms)
{
    struct held *h = (struct held *)(void *)due;
    struct swarm_port *port = h->port;

    (void)now_ms;
    port->refs++;
    forward(port, h->bytes, h->len, h->outgoing);
    held_free(port->net, h);
    port_unref(port);
}

static void hold(struct swarm_port *port, const uint8_t *datagram, size_t len, bool outgoing)
{
    struct swarm_net *net = port->net;
    struct held *h = held_new(port, datagram, len, outgoing);
    uint64_t delay_ms = HOLD_MIN_MS + (uint64_t)(random_percent(net) / 100.0 * HOLD_SPREAD_MS);

    h->next = net->held;
    if (h->next)
        h->next->prev = h;
    net->held = h;
    deadline_set(net->deadlines, &h->due, clock_ms() + delay_ms, on_held_due);
}

/* Passes one datagram through the faults. */
static void pass(struct swarm_port *port, const uint8_t *datagram, size_t len, bool outgoing)
{
    struct swarm_net *net = port->net;
    const struct swarm_faults *f = &net->options.faults;
    bool twice = f->dup > 0 && random_percent(net) < f->dup;

    if (f->loss > 0 && random_percent(net) < f->loss) {
        net->counts.lost++;
        return;
    }
    if (twice) {
        net->counts.duplicated++;
        hold(port, datagram, len, outgoing);
    }
    if (f->reorder > 0 && random_percent(net) < f->reorder) {
        net->counts.reordered++;
        hold(port, datagram, len, outgoing);
        return;
    }
    forward(port, datagram, len, outgoing);
}

/* The place is not looked at again after the call: the port may go in it. */
static void on_shared(struct swarm_place *place, const uint8_t *datagram, size_t datagram_len)
{
    pass((struct swarm_port *)(void *)place, datagram, datagram_len, false);
}

static void read_own(struct swarm_port *port)
{
    uint8_t datagram[DATAGRAM_SIZE];
    ssize_t len = port->fd < 0 ? -1 : recv(port->fd, datagram, sizeof(datagram), 0);

    if (len > 0) /* an error is an ICMP refusal: the server is away */
        pass(port, datagram, (size_t)len, false);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct swarm_net *net = poll->data;
    struct epoll_event ready[BATCH];
    int count;

    (void)status;
    (void)events;
    count = epoll_wait(net->epoll, ready, BATCH, 0);
    net->in_batch = true;
    for (int i = 0; i < count; i++) {
        if (net->shared)
            swarm_shared_read(net->shared, ready[i].data.u32);
        else
            read_own(ready[i].data.ptr);
    }
    net->in_batch = false;
    while (net->graveyard) {
        struct swarm_port *port = net->graveyard;

        net->graveyard = port->next;
        free(port);
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct swarm_net *net = prepare->data;

    if (net->shared)
        swarm_shared_flush(net->shared);
}

static void share_sockets(struct swarm_net *net)
{
    const struct swarm_net_options *o = &net->options;
    struct swarm_shared_options options = {.sockets = o->shared,
                                           .networks = o->sources > 1 ? o->sources : NETWORKS_SHARED,
                                           .receive = on_shared};
    int fd;

    memcpy(&options.server, &o->server, sizeof(options.server));
    net->shared = swarm_shared_new(&options);
    for (uint32_t i = 0; net->shared && (fd = swarm_shared_fd(net->shared, i)) >= 0; i++) {
        struct epoll_event interest = {.events = EPOLLIN, .data.u32 = i};
        int err = epoll_ctl(net->epoll, EPOLL_CTL_ADD, fd, &interest);

        must(err == 0);
    }
}

struct swarm_net *swarm_net_new(uv_loop_t *loop, struct deadlines *deadlines,
                                const struct swarm_net_options *options)
{
    struct swarm_net *net = mem_alloc(sizeof(*net));
    int err;

    net->options = *options;
    net->deadlines = deadlines;
    net->random = options->faults.seed * 0x9e3779b97f4a7c15ULL | 1;
    net->epoll = epoll_create1(EPOLL_CLOEXEC);
    must(net->epoll >= 0);
    if (options->shared > 0 && options->server.ss_family == AF_INET)
        share_sockets(net);
    err = uv_poll_init(loop, &net->poll, net->epoll);
    must(err == 0);
    net->poll.data = net;
    err = uv_poll_start(&net->poll, UV_READABLE, on_readable);
    must(err == 0);
    err = uv_prepare_init(loop, &net->prepare);
    must(err == 0);
    net->prepare.data = net;
    err = uv_prepare_start(&net->prepare, on_prepare);
    must(err == 0);
    return net;
}

void swarm_net_set_faults(struct swarm_net *net, const struct swarm_faults *faults)
{
    net->options.faults = *faults;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct swarm_net *net = handle->data;

    swarm_shared_free(net->shared);
    close(net->epoll);
    free(net);
}

static void on_prepare_closed(uv_handle_t *handle)
{
    struct swarm_net *net = handle->data;

    uv_close((uv_handle_t *)&net->poll, on_poll_closed);
}

void swarm_net_close(struct swarm_net *net)
{
    struct held *next_held;
    struct swarm_port *next_port;

    for (struct held *h = net->held; h; h = next_held) {
        next_held = h->next;
        deadline_cancel(net->deadlines, &h->due);
        free(h);
    }
    for (struct held *h = net->first; h; h = next_held) {
        next_held = h->next;
        free(h);
    }
    deadline_cancel(net->deadlines, &net->arrival);
    for (struct swarm_port *port = net->ports; port; port = next_port) {
        next_port = port->next;
        if (port->fd < 0)
            swarm_shared_leave(net->shared, &port->place);
        else
            close(port->fd);
        free(port);
    }
    net->held = net->first = NULL;
    net->ports = NULL;
    if (net->shared)
        swarm_shared_flush(net->shared);
    uv_close((uv_handle_t *)&net->prepare, on_prepare_closed);
}

const struct swarm_net_counts *swarm_net_count(struct swarm_net *net)
{
    if (net->shared) {
        net->counts.sent = swarm_shared_sent(net->shared);
        net->counts.unclaimed = swarm_shared_unclaimed(net->shared);
    }
    return &net->counts;
}

static bool bind_source(struct swarm_net *net, int fd)
{
    uint32_t network = (uint32_t)(net->opened++ % (net->options.sources ? net->options.sources : 1));
    struct sockaddr_in source = {.sin_family = AF_INET};
    int on = 1;

    if (net->options.sources < 2 || net->options.server.ss_family != AF_INET)
        return true;
    source.sin_addr.s_addr = htonl(127U << 24 | (1 + network) << 8 | 1); /* 127.<network>.1 */
    return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) == 0 &&
           bind(fd, (struct sockaddr *)&source, sizeof(source)) == 0;
}

/* A connected socket of this port alone. Negative when the system gives none. */
static int own_socket(struct swarm_net *net)
{
    const struct sockaddr_storage *server = &net->options.server;
    socklen_t server_len =
        server->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int fd = socket(server->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || (bind_source(net, fd) && connect(fd, (const struct sockaddr *)server, server_len) == 0))
        return fd;
    close(fd);
    return -1;
}

static bool port_connect(struct swarm_net *net, struct swarm_port *port)
{
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = port};

    if (net->options.shared > 0 && net->options.server.ss_family == AF_INET)
        return net->shared && swarm_shared_enter(net->shared, &port->place);
    port->fd = own_socket(net);
    if (port->fd < 0)
        return false;
    if (epoll_ctl(net->epoll, EPOLL_CTL_ADD, port->fd, &interest) == 0)
        return true;
    close(port->fd);
    return false;
}

struct swarm_port *swarm_port_open(struct swarm_net *net, swarm_port_receive_fn *receive, void *owner)
{
    struct swarm_port *port = mem_alloc(sizeof(*port));

    *port = (struct swarm_port){
        .next = net->ports, .net = net, .receive = receive, .owner = owner, .refs = 1, .fd = -1};
    if (!port_connect(net, port)) {
        free(port);
        return NULL;
    }
    if (net->ports)
        net->ports->prev = port;
    net->ports = port;
    return port;
}

void swarm_port_send(struct swarm_port *port, const uint8_t *datagram, size_t datagram_len)
{
    pass(port, datagram, datagram_len, true);
}

void swarm_port_close(struct swarm_port *port)
{
    if (!port)
        return;
    port->receive = NULL;
    port_unref(port);
}
