/* swarm_replay.h: an eavesdropper who has kept what a device sent and sends it again, byte for byte: from the
 * device's own address and from another.
 *
 * From the device's address the answers come to the device, which counts them (swarm_exchange.h). To the
 * other address only records go out of which the server has certainly had a newer one, so that it must not
 * follow there. All it may send there is a ping: after an unclean end it asks whether somebody is alive.
 * Anything else that opens under the session's keys was an answer to a replay.
 *
 * Ownership: a struct swarm_past is made by the first swarm_past_keep and freed by swarm_past_free. What
 * comes in is told to opened() of the keeper until swarm_past_free or swarm_past_quiet. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_REPLAY_H
#define CYAN_LOADTEST_SWARM_REPLAY_H

#include "swarm_audit.h"
#include "swarm_net.h"
#include "swarm_record.h"

#define SWARM_PAST_MAX 16

struct swarm_truths {
    uint64_t nonce_reuse; /* records that opened under a sequence number another had already */
    uint64_t sent;        /* replayed, either way */
    uint64_t answered;    /* what should not have come to the other address */
    uint64_t challenged;  /* pings that came there */
    uint64_t unexplained; /* acknowledgements to the device that none of its transmissions explains */
};

/* What all of a swarm share. The counts are since the start; all but sent and challenged must stay 0. */
struct swarm_replay_env {
    struct swarm_net *net;       /* borrowed: outlives all */
    struct swarm_crypto *crypto; /* borrowed: outlives all */
    struct deadlines *deadlines; /* borrowed: outlives all */
    struct swarm_truths counts;
    double percent; /* of sent datagrams after which one is replayed; 0 = nothing is kept */
};

struct swarm_past;

/* Keeps a datagram that was sent; plain is what is in it. *past may be NULL. */
void swarm_past_keep(struct swarm_past **past, struct swarm_replay_env *env, const uint8_t *datagram,
                     size_t datagram_len, const uint8_t *plain, size_t plain_len);
/* The server has acknowledged mid: it has had a record at least as new as the first that carried it. */
void swarm_past_acknowledged(struct swarm_past *past, uint16_t mid); /* NULL is fine */
/* One at random, by chance from port (NULL: never) or from another address. record: keys, copied. */
void swarm_past_replay(struct swarm_past *past, struct swarm_port *port, const struct swarm_record *record,
                       struct swarm_audit *audit);
/* All of them that may go there, to another address. */
void swarm_past_replay_all(struct swarm_past *past, const struct swarm_record *record,
                           struct swarm_audit *audit);
void swarm_past_quiet(struct swarm_past *past); /* stops listening at the other address; NULL is fine */
void swarm_past_free(struct swarm_past *past);  /* NULL is fine */

#endif
