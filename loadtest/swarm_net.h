/* swarm_net.h: where datagrams go out and come in, with faults on demand: a small UDP socket for each device,
 * or a few that all share (swarm_shared.h), on one epoll descriptor that the loop polls.
 *
 * A device hears only the server it talks to: its own socket is connected, shared ones look at the source.
 * Closing a port lets datagrams that are held back (reordering) still leave from it; what comes in for it
 * afterwards is dropped.
 *
 * Ownership: swarm_net_new gives; swarm_net_close stops everything, closes the ports left and frees when the
 * loop has let go. receive() never comes from inside swarm_port_open or swarm_port_send. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_NET_H
#define CYAN_LOADTEST_SWARM_NET_H

#include "base/deadline.h"
#include "base/must.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

struct swarm_faults {
    double loss, dup, reorder; /* percent of datagrams, each direction */
    uint32_t delay_ms;         /* of every datagram, each direction; in order */
    uint64_t seed;
};

struct swarm_net_options {
    struct sockaddr_storage server;
    struct swarm_faults faults;
    uint32_t sources; /* spread over this many /24 networks of 127.0.0.0/8; 0 or 1 = the kernel's choice */
    uint32_t shared;  /* sockets that all devices share, each with an address of its own; 0 = one each */
};

struct swarm_net_counts {
    uint64_t sent, received, lost, duplicated, reordered;
    uint64_t unclaimed; /* shared sockets: came for an address nobody has */
};

struct swarm_net;
struct swarm_port;
typedef void swarm_port_receive_fn(void *owner, const uint8_t *datagram, size_t datagram_len);

/* HOST:PORT or [HOST]:PORT of a loopback address given in digits; false otherwise. */
bool swarm_net_parse_server(struct sockaddr_storage *out, const char *text) must_check;
/* Changes the faults from now on; the seed stays. */
void swarm_net_set_faults(struct swarm_net *net, const struct swarm_faults *faults);
/* Shared sockets that the system does not give are no error here: swarm_port_open will fail. */
struct swarm_net *swarm_net_new(uv_loop_t *loop, struct deadlines *deadlines,
                                const struct swarm_net_options *options);
void swarm_net_close(struct swarm_net *net);
const struct swarm_net_counts *swarm_net_count(struct swarm_net *net);

/* NULL when the system gives no socket (errno says why). */
struct swarm_port *swarm_port_open(struct swarm_net *net, swarm_port_receive_fn *receive, void *owner);
void swarm_port_send(struct swarm_port *port, const uint8_t *datagram, size_t datagram_len);
void swarm_port_close(struct swarm_port *port); /* NULL is fine */

#endif
