/* handshake_queue.h: what handshakes have to do, waiting until devices that are connected have been served.
 *
 * A handshake is tens to hundreds of microseconds of public-key work, a record of a session is one or two.
 * Datagrams of handshakes are kept here and worked off for a few milliseconds a turn of the loop, after
 * everything that was received has been looked at. Whoever has begun is finished first; of those who wait to
 * begin, every HANDSHAKE_QUEUE_EVERY th datagram is one, so that nobody can keep them out.
 *
 * Bounds: a ClientHello waits only with a place of its network's fair share, one for each peer; a handshake
 * has HANDSHAKE_QUEUE_FLIGHT datagrams waiting, all together HANDSHAKE_QUEUE_BYTES. What does not fit is
 * dropped: the peer sends it again. Ownership: datagrams are copied, handshakes are the owner's, who tells
 * when one goes. For this room only. */
#ifndef CYAN_HANDSHAKE_HANDSHAKE_QUEUE_H
#define CYAN_HANDSHAKE_HANDSHAKE_QUEUE_H

#include <uthash.h>

#include "base/metrics.h"
#include "handshake/handshake.h"

#define HANDSHAKE_QUEUE_FLIGHT 8 /* datagrams; a client's longest flight takes four */
#define HANDSHAKE_QUEUE_BYTES (16u << 20)
#define HANDSHAKE_QUEUE_EVERY 8

struct handshake_datagram {
    struct net_path path;
    uint64_t at_ms; /* when it came */
    struct handshake_datagram *prev, *next;
    UT_hash_handle by_peer;    /* of a ClientHello */
    uint8_t client_random[32]; /* likewise */
    size_t data_len;
    uint8_t data[];
};

struct handshake_queue {
    struct handshake *ready;                     /* borrowed: those with datagrams, longest waiting first */
    struct handshake_datagram *hellos, *by_peer; /* ours: in order, and as a hash */
    size_t bytes;
    unsigned turn;
    struct metric *length, *wait_ms, *full, *repeated;
};

void handshake_queue_init(struct handshake_queue *q, struct metrics *m);
void handshake_queue_deinit(struct handshake_queue *q); /* handshakes have been forgotten before */

/* A ClientHello from this peer is waiting: NULL when there is none. */
struct handshake_datagram *handshake_queue_find_hello(const struct handshake_queue *q,
                                                      const struct net_path *path);
/* False: the queue is full. There is none of this peer. */
must_check bool handshake_queue_push_hello(struct handshake_queue *q, const struct net_path *path,
                                           const uint8_t client_random[32], const uint8_t *data,
                                           size_t data_len, uint64_t now_ms);
/* For h, when it is its turn; one that waits for its key is not ready until handshake_queue_wake. */
void handshake_queue_push(struct handshake_queue *q, struct handshake *h, const struct net_path *path,
                          const uint8_t *data, size_t data_len, uint64_t now_ms);
void handshake_queue_wake(struct handshake_queue *q, struct handshake *h);
/* h goes; what waits for it is dropped. */
void handshake_queue_forget(struct handshake_queue *q, struct handshake *h);

/* The next to be dealt with, the caller's to free; NULL when there is none. *h: whose it is, NULL for a
 * ClientHello. */
struct handshake_datagram *handshake_queue_pop(struct handshake_queue *q, struct handshake **h);
void handshake_queue_drop_hello(struct handshake_queue *q, struct handshake_datagram *hello);
bool handshake_queue_is_empty(const struct handshake_queue *q);
/* Says in /metrics how long the oldest has waited. */
void handshake_queue_observe(struct handshake_queue *q, uint64_t now_ms);

#endif
