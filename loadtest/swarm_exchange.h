/* swarm_exchange.h: the device's end of CoAP reliability: message ids, retransmission, de-duplication.
 *
 * A confirmable message goes out at once and again after 4 s x (1..1.5), doubling, three times; then the link
 * is dead (device-protocol 3.4). A confirmable request of the server is answered the same way for 45 s (3.3).
 *
 * Ownership: embedded in its device; swarm_exchange_reset forgets everything but the counters, without
 * callbacks. Callbacks are the last thing done with the exchange; they may reset it. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_EXCHANGE_H
#define CYAN_LOADTEST_SWARM_EXCHANGE_H

#include "base/deadline.h"
#include "swarm_coap.h"
#include "swarm_tally.h"

#define SWARM_SEEN_MAX 32
#define SWARM_REPLY_SHORT_BYTES 12

struct swarm_exchange;

/* A confirmable message on its way. */
struct swarm_con {
    struct deadline retransmit; /* must stay first */
    struct swarm_exchange *exchange;
    struct swarm_con *prev, *next;
    uint64_t sent_ms; /* first time */
    void *arg;        /* the sender's, freed with free() when the message ends */
    uint32_t wait_ms;
    uint16_t mid, len;
    uint8_t kind; /* the sender's */
    uint8_t transmissions;
    uint8_t token; /* of requests that have one */
    uint8_t bytes[];
};

struct swarm_exchange_ops {
    void (*send)(void *owner, const uint8_t *data, size_t data_len);
    /* An acknowledgement (or a reset, in->type) for con; con is freed after the call. */
    void (*answered)(void *owner, const struct swarm_con *con, const struct swarm_coap_in *in);
    /* A request or a separate response of the server, not seen before. */
    void (*request)(void *owner, const struct swarm_coap_in *in);
    /* A reset that belongs to nothing: the server disowns the session. */
    void (*disowned)(void *owner);
    /* con was never acknowledged; it is freed after the call. */
    void (*timed_out)(void *owner, const struct swarm_con *con);
    void (*malformed)(void *owner);
    /* An acknowledgement more than there were transmissions, or of what was never sent: the server acted on a
     * record twice, or on one that somebody else sent again. */
    void (*overanswered)(void *owner, uint16_t mid);
};

struct swarm_seen {
    uint64_t at_ms;
    uint16_t mid;
    uint16_t reply_len;
    uint8_t reply[SWARM_REPLY_SHORT_BYTES];
    uint8_t *long_reply; /* ours, in place of reply; NULL when that is enough */
};

struct swarm_exchange {
    const struct swarm_exchange_ops *ops;
    void *owner;                 /* borrowed: outlives this */
    struct deadlines *deadlines; /* borrowed: outlives this */
    struct swarm_con *cons;      /* ours */
    struct swarm_seen *seen;     /* ours: ring of SWARM_SEEN_MAX, made when first needed */
    struct swarm_tallies tallies;
    uint32_t ack_timeout_ms; /* 4000, scaled in tests */
    uint32_t con_count;
    uint16_t mid; /* last used */
    uint8_t token;
    uint8_t seen_next;
};

void swarm_exchange_init(struct swarm_exchange *e, struct deadlines *deadlines, uint32_t ack_timeout_ms);
void swarm_exchange_deinit(struct swarm_exchange *e);
/* Forgets messages on their way and what was seen; ids and tokens count on. */
void swarm_exchange_reset(struct swarm_exchange *e);
uint16_t swarm_exchange_mid(struct swarm_exchange *e);                  /* for the next message */
struct swarm_coap_token swarm_exchange_token(struct swarm_exchange *e); /* one byte, counting */
/* Sends a confirmable message made with swarm_exchange_mid. arg: NULL or from malloc, freed with the message.
 */
void swarm_exchange_confirm(struct swarm_exchange *e, const struct swarm_coap_out *out, uint8_t kind,
                            void *arg);
/* Sends an acknowledgement and keeps it for duplicates of in. */
void swarm_exchange_reply(struct swarm_exchange *e, const struct swarm_coap_in *in,
                          const struct swarm_coap_out *out);
/* Sends a message that nobody acknowledges: NON or RST. */
void swarm_exchange_tell(struct swarm_exchange *e, const struct swarm_coap_out *out);
void swarm_exchange_receive(struct swarm_exchange *e, const uint8_t *data, size_t data_len);

#endif
