/* udp.h: the UDP endpoint: several sockets, batched receive and send, replies from the local address a
 * datagram came to.
 *
 * Sockets are read with recvmmsg in batches, with a bound per turn of the loop so that timers and HTTP get
 * theirs. What is sent leaves before the loop waits (outbox.h). Ownership:
 * struct udp is ours until udp_close's callback. Loop thread only; receive comes from the loop. */
#ifndef CYAN_NET_UDP_H
#define CYAN_NET_UDP_H

#include <uv.h>

#include "base/metrics.h"
#include "base/must.h"
#include "net/path.h"

#define UDP_SOCKETS_MAX 16
#define UDP_DATAGRAM_MAX 2048 /* bytes; longer ones are dropped and counted */

struct udp;

/* data: writable, valid during the call. */
typedef void udp_receive_fn(void *ctx, const struct net_path *path, uint8_t *data, size_t data_len,
                            uint64_t now_ms);

struct udp *udp_new(uv_loop_t *loop, struct metrics *metrics, udp_receive_fn *receive, void *ctx);
/* Of a batch, before the first of it is received: what will be needed can be fetched from memory meanwhile.
 */
typedef void udp_ahead_fn(void *ctx, const struct net_path *path, const uint8_t *data, size_t data_len);
void udp_set_ahead(struct udp *udp, udp_ahead_fn *ahead); /* ctx as receive's */
/* Sockets opened from here on share their port with other processes of this user; the kernel gives each peer
 * to one of them (SO_REUSEPORT). */
void udp_share_ports(struct udp *udp);
/* False when this machine has no such address family at all (IPv6 switched off). */
bool udp_has_family(const char *address);
/* Calls work once a turn of the loop, after all that was received then. True: it has more to do, and the loop
 * does not wait. */
typedef bool udp_work_fn(void *ctx);
void udp_set_work(struct udp *udp, udp_work_fn *work, void *ctx);
/* Opens one socket. address: numeric IPv4 or IPv6. port: host order, 0 = any free one. Returns the port
 * bound, or 0 with a one-line reason in why. */
must_check uint16_t udp_listen(struct udp *udp, const char *address, uint16_t port, char *why,
                               size_t why_size);
/* A path of an earlier process: finds it a socket of ours. False: there is none of its address family. */
must_check bool udp_fit_path(const struct udp *udp, struct net_path *path);
/* Sends along path, from its local address and socket, before the loop waits. False: too long. What the
 * kernel does not take then (socket full, no route) is counted. */
bool udp_send(struct udp *udp, const struct net_path *path, const uint8_t *data, size_t data_len);
/* Stops reading and working; sending still works until closed. */
void udp_stop(struct udp *udp);
void udp_close(struct udp *udp, void (*closed)(void *arg), void *arg);

#endif
