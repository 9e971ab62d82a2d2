/* dtls_private.h: the endpoint's own state, shared by dtls.c (records and sessions) and dtls_handshakes.c. */
#ifndef CYAN_HANDSHAKE_DTLS_PRIVATE_H
#define CYAN_HANDSHAKE_DTLS_PRIVATE_H

#include "base/slab.h"
#include "handshake/cookie.h"
#include "handshake/cookie_watch.h"
#include "handshake/dtls.h"
#include "handshake/fair_share.h"
#include "handshake/handshake.h"
#include "handshake/handshake_queue.h"
#include "handshake/hmac.h"
#include "handshake/session_image.h"
#include "handshake/session_table.h"

struct session_store;

/* Why a datagram or record was not taken; each has its counter in /metrics. */
#define DTLS_REFUSAL_MAP(X)                                                                                  \
    X(SHORT, "short")         /* under a record header; some devices send 1 byte as keepalive */             \
    X(NOT_DTLS, "not_dtls")   /* content type or version of no DTLS record */                                \
    X(TRUNCATED, "truncated") /* a record longer than the rest of its datagram */                            \
    X(BAD_CLIENT_HELLO, "bad_client_hello") /* malformed or fragmented */                                    \
    X(NO_COOKIE, "no_cookie")               /* answered with a HelloVerifyRequest */                         \
    X(BAD_COOKIE, "bad_cookie")             /* likewise: expired or forged */                                \
    X(STRAY_HANDSHAKE, "stray_handshake")   /* epoch 0, no handshake in flight at that address */            \
    X(UNKNOWN_CID, "unknown_cid")                                                                            \
    X(UNKNOWN_PEER, "unknown_peer") /* protected record without connection ID from an unknown address */     \
    X(MALFORMED, "malformed")                                                                                \
    X(WRONG_EPOCH, "wrong_epoch")                                                                            \
    X(WRONG_CID, "wrong_cid")                                                                                \
    X(REPLAYED, "replayed")                                                                                  \
    X(BAD_TAG, "bad_tag")                                                                                    \
    X(RATE_LIMITED, "rate_limited")                                                                          \
    X(FORGED_CID, "forged_cid") /* no connection ID this server ever gave */

#define X(id, name) DTLS_REFUSED_##id,
enum dtls_refusal { DTLS_REFUSAL_MAP(X) DTLS_REFUSAL_COUNT };
#undef X

struct dtls {
    struct udp *udp;             /* borrowed */
    struct deadlines *deadlines; /* borrowed */
    const struct dtls_ops *ops;  /* borrowed */
    void *ops_ctx;
    struct dtls_settings settings;
    struct handshake_shared *shared; /* ours */
    struct cookie_secrets cookies;
    struct cookie_watch watch;
    struct fair_share share;
    struct handshake_queue queue;
    uint32_t established_since_trim;
    uint32_t most_in_flight; /* since memory was last given back */
    struct session_table sessions;
    struct slab session_memory;
    struct handshake *handshakes;   /* uthash by peer: in flight, and complete ones that linger */
    struct dtls_psk_query *queries; /* unanswered */
    struct deadline trim;           /* after a storm of handshakes */
    struct deadline expiry;         /* of the oldest session */
    struct metric *refused[DTLS_REFUSAL_COUNT];
    struct metric *outcomes[HANDSHAKE_OUTCOME_COUNT];
    struct metric *records, *session_gauge, *in_flight_gauge, *ended, *moved, *send_exhausted;
    struct session_store *store; /* borrowed; NULL without Redis */
    struct hmac_key cid_key;
};

static inline void dtls_refuse(struct dtls *d, enum dtls_refusal why)
{
    d->refused[why]->value++;
}

/* dtls_handshakes.c */
struct handshake *dtls_find_handshake(const struct dtls *d, const struct net_path *path);
/* A datagram that begins with a record of epoch 0. */
void dtls_receive_plain(struct dtls *d, const struct net_path *path, uint8_t *data, size_t data_len,
                        uint64_t now_ms);
/* A datagram (or the rest of one) for a handshake, when its turn comes. */
void dtls_feed(struct dtls *d, struct handshake *h, const uint8_t *data, size_t data_len, uint64_t now_ms);
void dtls_drop_handshake(struct dtls *d, struct handshake *h);
/* Their answers, when they come, find nothing. */
void dtls_forget_queries(struct dtls *d);

/* dtls.c */
/* The owner has taken s in: whoever was at its address before is gone for good. */
void dtls_settle(struct session *s);
void dtls_watch_expiry(struct dtls *d);
struct session *dtls_add_session(struct dtls *d, struct handshake *h, uint64_t now_ms);
void dtls_receive_protected(struct dtls *d, const struct net_path *path, uint8_t *data, size_t data_len,
                            uint64_t now_ms);
/* Of the record at the start of a datagram, without the trailer of type 254; 0: there is none. */
size_t dtls_record_len(const uint8_t *data, size_t data_len);

/* dtls_sessions.c: sessions that come from elsewhere */

/* NULL: none, any more. */
void dtls_set_store(struct dtls *d, struct session_store *store);
/* The last two bytes of a connection ID follow from the others under a key all nodes have: so that records
 * with made-up ones are not looked for. */
void dtls_cid_mark(const struct dtls *d, uint8_t cid[SESSION_CID_BYTES]);
bool dtls_cid_is_ours(const struct dtls *d, const uint8_t cid[SESSION_CID_BYTES]);

struct dtls_adoption {
    uint64_t id, epoch, send_limit;
    uint64_t heard_ms; /* 0: now */
    bool exact, is_stored;
};
/* NULL: there is no room, or the owner does not want it. */
struct session *dtls_adopt(struct dtls *d, const struct session_image *image,
                           const struct dtls_adoption *adoption);

#endif
