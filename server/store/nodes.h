/* nodes.h: the nodes that share one Redis: which of them live, and messages between them.
 *
 *   OUT --lease taken--> IN --not renewed in time--> LAPSED --renewed--> IN     IN --nodes_leave--> OUT
 *
 * Each node holds a lease, `PREFIX node:ID`, which it renews three times in its length; it expires by itself
 * when the node dies. Each start of a node has an incarnation, a number no other start has. A node that
 * stopped cleanly, with everything written, leaves the mark `PREFIX clean:ID:INCARNATION`; what any other
 * wrote may be behind what it did.
 *
 * Messages are at most once, in order between two nodes, and lost while Redis is away: whoever needs an
 * answer has a deadline of his own. Ownership: struct nodes borrows redis and deadlines; the latter outlives
 * it. Once redis is closed nothing is sent and nothing comes, but what was asked of redis has ended.
 * Loop thread only. */
#ifndef CYAN_STORE_NODES_H
#define CYAN_STORE_NODES_H

#include "base/deadline.h"
#include "store/redis.h"

#define NODES_MAX 256           /* ids from 0 to 255 */
#define NODES_MESSAGE_MAX 65536 /* bytes */
#define NODES_PREFIX_MAX 32

struct nodes;

struct nodes_settings {
    uint32_t id;
    uint32_t lease_ms;
    const char *prefix; /* of all keys and channels, copied; at most NODES_PREFIX_MAX bytes */
};

struct nodes_ops {
    void *ctx;
    /* The lease is ours: for the first time, or again after it had lapsed (others may have taken what was
     * ours meanwhile). */
    void (*joined)(void *ctx, bool again);
    /* A node's lease ran out without its leaving. Comes from every node and again and again until
     * nodes_forget. */
    void (*lost)(void *ctx, uint32_t id);
    /* The id is another process's: it runs on this host and had it first, or it took the lease after ours had
     * run out. The log says which. This process must stop; nothing more comes from here. Once. */
    void (*usurped)(void *ctx);
    /* What others and people are told of this node: one JSON object without secrets, at most 1,000 bytes. */
    void (*describe)(void *ctx, char *out, size_t out_size);
};

/* Takes the lease as soon as Redis is there. That of a dead process of this host is replaced at once; that of
 * another host is waited for until it runs out. */
struct nodes *nodes_new(struct redis *redis, struct deadlines *deadlines, struct metrics *metrics,
                        const struct nodes_settings *settings, const struct nodes_ops *ops);
/* From any callback but describe. Lists under way end from inside; the lease stays, unless
 * nodes_leave was first. */
void nodes_free(struct nodes *n); /* NULL is fine */
uint32_t nodes_id(const struct nodes *n);
uint64_t nodes_incarnation(const struct nodes *n); /* 0 before the first joined */
const char *nodes_prefix(const struct nodes *n);
bool nodes_is_in(const struct nodes *n); /* the lease is ours now, as far as we know */
/* As last seen, at most a third of a lease ago; true for ourselves. */
bool nodes_is_alive(const struct nodes *n, uint32_t id);
/* Everything has been written: gives the lease back, leaves the mark when clean (unless Redis is lost
 * meanwhile), then calls done, at the latest after 2 s; from the loop, and not after nodes_free. */
void nodes_leave(struct nodes *n, bool clean, void (*done)(void *arg), void *arg);
/* What was to be done for a lost node is done. */
void nodes_forget(struct nodes *n, uint32_t id);

/* Every node with a lease, this one included, sorted by id; text is what its describe said. */
struct node_seen {
    uint32_t id;
    uint64_t incarnation;
    uint64_t lease_left_ms;
    const char *text;
};
/* From the loop, or from nodes_free; exactly once, at the latest after 2 s. ok false: Redis cannot be asked.
 */
typedef void nodes_list_fn(void *arg, bool ok, const struct node_seen *seen, size_t count);
void nodes_list(struct nodes *n, nodes_list_fn *done, void *arg);

/* One topic has one receiver. */
enum nodes_topic {
    NODES_SESSIONS = 's', /* handshake: who lets go of which session */
    NODES_ASK = 'a',      /* fleet: a question to a device on that node */
    NODES_ANSWER = 'r',   /* fleet: its answer */
    NODES_EVENT = 'e',    /* fleet: an event for devices on any node */
    NODES_REVOKE = 'x',   /* fleet: sessions of a device end */
    NODES_TOKENS = 't',   /* fleet: tokens that ended */
};
typedef void nodes_receive_fn(void *ctx, uint32_t from, const uint8_t *data, size_t data_len);
void nodes_on(struct nodes *n, enum nodes_topic topic, nodes_receive_fn *fn, void *ctx);
/* False: Redis is away, or the message is too long. True promises nothing. To ourselves is fine. */
bool nodes_send(struct nodes *n, uint32_t to, enum nodes_topic topic, const void *data, size_t data_len);
bool nodes_send_all(struct nodes *n, enum nodes_topic topic, const void *data, size_t data_len); /* but us */

#endif
