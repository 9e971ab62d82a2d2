/* swarm_shared.h: a few UDP sockets that stand for any number of devices, each with an address of its own in
 * 127.0.0.0/8.
 *
 * A socket bound to 0.0.0.0 gets what is sent to any loopback address, learns which one was meant, and says
 * which one it sends from (IP_PKTINFO). So the server sees a million devices with a million addresses, and
 * none of them costs a file descriptor or kernel memory. IPv4 only. What does not come from the server's
 * address is dropped, as connected sockets do.
 *
 * Ownership: swarm_shared_new gives, swarm_shared_free takes, when all places have been left; places are
 * embedded in their owner. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_SHARED_H
#define CYAN_LOADTEST_SWARM_SHARED_H

#include "base/must.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#define SWARM_SHARED_SOCKETS_MAX 256

struct swarm_shared;

/* Where a device is: an address on one of the sockets. */
struct swarm_place {
    UT_hash_handle hh;
    uint32_t key; /* socket in the first byte, 127.a.b.c in the others */
};
typedef void swarm_shared_receive_fn(struct swarm_place *place, const uint8_t *datagram, size_t datagram_len);

struct swarm_shared_options {
    struct sockaddr_in server;
    uint32_t sockets, networks; /* addresses are spread over so many /24 networks */
    swarm_shared_receive_fn *receive;
};

/* NULL when the system gives no socket (errno says why). */
struct swarm_shared *swarm_shared_new(const struct swarm_shared_options *options);
void swarm_shared_free(struct swarm_shared *shared);
/* Descriptor of socket i, or -1 beyond the last. */
int swarm_shared_fd(const struct swarm_shared *shared, uint32_t i);
/* Takes an address nobody has. False when all are taken. */
bool swarm_shared_enter(struct swarm_shared *shared, struct swarm_place *place) must_check;
void swarm_shared_leave(struct swarm_shared *shared, struct swarm_place *place);
/* Copies it; it goes out with the next flush, or when many wait. */
void swarm_shared_send(struct swarm_shared *shared, const struct swarm_place *place, const uint8_t *datagram,
                       size_t datagram_len);
void swarm_shared_flush(struct swarm_shared *shared);
/* Datagrams the system took. */
uint64_t swarm_shared_sent(const struct swarm_shared *shared);
/* Datagrams that came for an address nobody has. */
uint64_t swarm_shared_unclaimed(const struct swarm_shared *shared);
/* Takes a batch off socket i; receive() comes for each datagram that has an owner, and may take and leave
 * places. */
void swarm_shared_read(struct swarm_shared *shared, uint32_t i);

#endif
