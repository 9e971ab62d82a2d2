/* peer.h: the CoAP message layer toward one peer: confirmable and non-confirmable messages, retransmission,
 * de-duplication that replays the same answer, separate responses, block-wise bodies both ways
 * (RFC 7252 4 and 5, RFC 7959; device-protocol 3 for Device OS peers and their departures from them).
 *
 * One peer per DTLS session. Requests from the peer reach ops->request once, with the whole body (Block1
 * assembled), as a struct coap_inbound that must be answered exactly once, now or later, by coap_answer.
 * Requests to the peer are started by coap_request and end in exactly one callback, never from inside
 * coap_request.
 *
 * Ownership: struct coap_peer is embedded in the owner; coap_peer_deinit ends every exchange: outbound
 * callbacks come with COAP_PEER_GONE during deinit; unanswered inbounds are released and coap_answer on them
 * is then forbidden (the owner is told by ops->inbound_dropped for each). Everything a quiet peer allocated
 * is released, so that a dormant session holds only the struct itself. Loop thread only. Time comes in as
 * now_ms; deadlines live in the shared heap.
 *
 * Bounds per peer: COAP_DEDUP_MAX remembered exchanges, COAP_INBOUND_MAX unanswered requests (more: not
 * acknowledged, counted, the peer sends again), COAP_OUTBOUND_MAX unacknowledged messages of ours (more wait
 * in order, COAP_QUEUE_MAX with those awaiting their response), one Block1 body of at most COAP_BODY_MAX
 * bytes per (method, path, query, Request-Tag) and four of them. Over all peers that share a struct
 * coap_metrics these bodies take COAP_GATHERED_MAX bytes; what exceeds it gets 5.03, and Device OS, which
 * takes an error for an acknowledgement (device-protocol 3.8), nothing: it sends the block again. */
#ifndef CYAN_COAP_PEER_H
#define CYAN_COAP_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/deadline.h"
#include "base/metrics.h"
#include "coap/message.h"

/* Device OS: a ping is answered by an empty ACK, RST is never sent, 2.05 only for time, one-byte tokens,
 * requests accepted by an empty ACK. RFC 7252: a ping is answered by RST, unknown messages are rejected as
 * the RFC says. */
enum coap_dialect { COAP_RFC7252, COAP_DEVICE_OS };

#define COAP_DEDUP_MAX 512 /* two a second for the time they are remembered; five of Device OS */
#define COAP_INBOUND_MAX 32
#define COAP_OUTBOUND_MAX 4
#define COAP_QUEUE_MAX 64
#define COAP_BODY_MAX 65536
#define COAP_GATHERED_MAX (64u << 20) /* a thousand of the largest bodies at once */
#define COAP_DEDUP_MS 247000          /* EXCHANGE_LIFETIME, RFC 7252 4.8.2 */
#define COAP_DEDUP_DEVICE_OS_MS                                                                              \
    100000 /* its last retransmission comes after 42 s (device-protocol 3.3, 3.4) */

struct coap_peer;

/* A request of the peer, waiting for our answer. Owned by the peer until coap_answer. The decoded message is
 * valid only during ops->request; what is needed later is copied by the handler. */
struct coap_inbound;

enum coap_outcome {
    COAP_RESPONDED, /* message holds the response; for Block2 the body is whole */
    COAP_TIMED_OUT, /* acknowledged or not, no response before the deadline; of what was not
                     * acknowledged one is still sent again until it is lost (ops->unreachable) */
    COAP_RESET,     /* the peer answered RST */
    COAP_PEER_GONE, /* deinit */
};
/* response: borrowed, during the call, NULL unless COAP_RESPONDED. body is the whole payload. rtt_ms: from
 * first sending to the first ACK or response. For a ping, COAP_RESPONDED with response NULL. With
 * ack_is_enough the response is the ACK, whose code is COAP_EMPTY as a rule. A Block2 body that cannot be put
 * together ends as COAP_RESPONDED with code 4.08, one above COAP_BODY_MAX with 4.13, whatever the peer sent.
 * The callback may end the peer (coap_peer_deinit). */
typedef void coap_done_fn(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                          const uint8_t *body, size_t body_len, uint32_t rtt_ms);

struct coap_peer_ops {
    /* One encoded message to the peer. May be dropped; reliability is ours. */
    void (*send)(struct coap_peer *peer, const uint8_t *data, size_t data_len);
    /* A new request (never a duplicate). path is the Uri-Path joined with '/', body the whole payload. */
    void (*request)(struct coap_peer *peer, struct coap_inbound *in, const struct coap_message *m,
                    const char *path, const uint8_t *body, size_t body_len);
    /* Asked before a block of m's body is kept: the code to refuse it with, or COAP_EMPTY. The last block is
     * not asked for but handed on. NULL: all are kept. May not end the peer. */
    uint8_t (*admits)(struct coap_peer *peer, const struct coap_message *m, const char *path);
    /* An inbound ended without our answer (deinit): drop what points to it. */
    void (*inbound_dropped)(struct coap_peer *peer, struct coap_inbound *in);
    /* A confirmable message of ours ran out of retransmissions: the peer is not there. */
    void (*unreachable)(struct coap_peer *peer);
    /* An RST or a non-confirmable response that belongs to nothing that awaits one: as a rule to what
     * coap_send_non sent. NULL: ignored. May end the peer. */
    void (*stray)(struct coap_peer *peer, const struct coap_message *m);
};

struct coap_metrics { /* registered by coap_metrics_init; shared by all peers */
    struct metric *received, *sent, *duplicates, *retransmits, *timeouts, *malformed, *resets_received,
        *overflow;
    struct metric *gathered; /* bytes held by Block1 bodies; what COAP_GATHERED_MAX is held against */
};
void coap_metrics_init(struct coap_metrics *cm, struct metrics *m);

struct coap_room {                   /* what all peers of an owner have in common */
    const struct coap_peer_ops *ops; /* borrowed, as all: outlives the peers */
    struct deadlines *deadlines;
    struct coap_metrics *metrics;
};

struct coap_peer {
    const struct coap_room *room;   /* borrowed: outlives this */
    struct coap_dedup *dedup;       /* ours, NULL when quiet */
    struct coap_inbound *inbound;   /* ours: unanswered */
    struct coap_outbound *outbound; /* ours: in flight and waiting */
    struct coap_body *bodies;       /* ours: Block1 in progress */
    struct deadline expiry;         /* of the oldest remembered exchange or body */
    uint16_t next_mid;              /* random start; never reused within a 65536 cycle */
    uint16_t max_message_bytes;     /* the largest the peer takes (Hello), default COAP_MESSAGE_MAX */
    uint8_t next_token;             /* unique among requests in flight */
    uint8_t dialect : 1;            /* enum coap_dialect */
    uint8_t inbound_count : 7;
    uint16_t dedup_count;
};

_Static_assert(COAP_INBOUND_MAX < 128, "inbound_count");

void coap_peer_init(struct coap_peer *peer, const struct coap_room *room, enum coap_dialect dialect,
                    uint16_t first_mid, uint8_t first_token);
void coap_peer_deinit(struct coap_peer *peer);

/* One decrypted application record. Hostile: anything may be in it. May call ops; may not be called from
 * them. ops->request, ops->unreachable and outbound callbacks may end the peer (coap_peer_deinit): they come
 * last. */
void coap_peer_receive(struct coap_peer *peer, const uint8_t *data, size_t data_len, uint64_t now_ms);

/* Answers a request. Piggybacked on the ACK for CON (a NON for NON). code COAP_EMPTY = plain acknowledgement
 * without response (Device OS events and the like; to an RFC 7252 peer 2.04 is sent instead). If the body is
 * larger than the peer's Block2 size or maximum, the block asked for is cut out (RFC 7959 2.4) with ETag and
 * Size2 left out. content_format: UINT16_MAX = none. The encoded answer is remembered for duplicates until
 * COAP_DEDUP_MS, but for a GET of an RFC 7252 peer: its duplicate is a new request (4.5). in is released. An
 * inbound CON that has waited 1 s is, for RFC 7252 peers, acknowledged empty and then answered by a separate
 * CON response (RFC 7252 5.2.2); for Device OS peers the ACK is the promise of durability and simply waits.
 */
void coap_answer(struct coap_peer *peer, struct coap_inbound *in, uint8_t code, uint16_t content_format,
                 const void *body, size_t body_len, uint64_t now_ms);
/* The request could not be handled and must be taken again when the peer retransmits: forgets it, sends
 * nothing. */
void coap_forget(struct coap_peer *peer, struct coap_inbound *in);

/* A request to the peer, Device OS form: CON, one-byte token, Uri-Path segments (NUL-terminated strings, in
 * order), then [Uri-Query raw bytes], [further options], payload. */
struct coap_request {
    uint8_t method;
    const char *path[4]; /* NULL-terminated unless all four are used; "" is not allowed */
    const uint8_t
        *query; /* NULL: no Uri-Query; query_len may be 0 with query non-NULL (device-protocol 4.5) */
    size_t query_len;
    uint16_t content_format;           /* UINT16_MAX: none */
    uint32_t max_age_s;                /* UINT32_MAX: none */
    const struct coap_option *options; /* further ones, ascending, from Uri-Query on; borrowed */
    size_t option_count;
    const uint8_t *payload;
    size_t payload_len;
    bool ack_is_enough;  /* done at the ACK; no response is awaited (events, signal, key change) */
    uint32_t timeout_ms; /* whole wait */
};
/* False (and no callback) when it does not fit the peer's maximum or COAP_QUEUE_MAX requests are open.
 * Cancelled by coap_cancel. */
must_check bool coap_request(struct coap_peer *peer, const struct coap_request *r, coap_done_fn *done,
                             void *arg, uint64_t now_ms);
/* The same, non-confirmable: sent once, nothing is awaited, nothing kept. With a token or without. False when
 * it does not fit; else *mid is its message ID. What it is answered with goes to ops->stray. */
must_check bool coap_send_non(struct coap_peer *peer, const struct coap_request *r, bool with_token,
                              uint16_t *mid);
/* CoAP ping: empty CON; done with COAP_RESPONDED on ACK (Device OS) or RST (RFC 7252 4.3). */
void coap_ping(struct coap_peer *peer, uint32_t timeout_ms, coap_done_fn *done, void *arg, uint64_t now_ms);
/* Ends every outbound request with this arg, without callback. */
void coap_cancel(struct coap_peer *peer, void *arg);

#endif
