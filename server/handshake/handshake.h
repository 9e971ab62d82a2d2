/* handshake.h: one DTLS 1.2 handshake in flight, done by mbedTLS, and what is taken from it when it is
 * complete.
 *
 *   RUNNING --ClientKeyExchange of a PSK client--> WAIT_PSK --handshake_give_psk--> RUNNING --Finished-->
 * COMPLETE any --error, alert, deadline--> FAILED (handshake_attempt says why)
 *
 * COMPLETE keeps the context, because a lost last flight must be sent again; the owner frees it at the peer's
 * first application record or after HANDSHAKE_LINGER_MS. Ownership: handshake_new to handshake_free, by
 * struct dtls. Loop thread only. Nothing calls back but send and the deadlines. */
#ifndef CYAN_HANDSHAKE_HANDSHAKE_H
#define CYAN_HANDSHAKE_HANDSHAKE_H

#include <mbedtls/ssl.h>
#include <uthash.h>

#include "base/deadline.h"
#include "handshake/client_hello.h"
#include "handshake/hooks.h"
#include "handshake/outcome.h"
#include "handshake/server_key.h"

#define HANDSHAKE_LINGER_MS 60000
/* Sequence numbers of epoch 1 that mbedTLS may use to send its last flight again; our record layer begins
 * above them. */
#define HANDSHAKE_RESERVED_SEQ 32

enum handshake_state { HANDSHAKE_RUNNING, HANDSHAKE_WAIT_PSK, HANDSHAKE_COMPLETE, HANDSHAKE_FAILED };

/* What all handshakes share: configurations, keys. */
struct handshake_shared;
/* ca_file: PEM of certificate authorities whose P-256 clients are accepted, "" = none. NULL with a reason in
 * why. */
must_check struct handshake_shared *handshake_shared_new(const struct server_key *key, const char *ca_file,
                                                         char *why, size_t why_size);
void handshake_shared_free(struct handshake_shared *shared);

struct handshake {
    mbedtls_ssl_context ssl;
    struct hooks hooks;
    struct net_path path;
    uint8_t cid[SESSION_CID_BYTES];
    enum session_profile profile;
    enum handshake_state state;
    uint64_t network; /* of the fair share */
    uint64_t started_ms;
    uint8_t client_random[32];

    const uint8_t *input; /* borrowed during handshake_feed: the datagram mbedTLS reads */
    size_t input_len;
    uint8_t *held; /* ours: the datagram that waits for a PSK */
    size_t held_len;
    char identity[SESSION_IDENTITY_MAX + 1];
    uint8_t psk[64];
    size_t psk_len;

    uint8_t leaf_spki[SESSION_SPKI_MAX]; /* X.509: key of the client's certificate */
    size_t leaf_spki_len;
    char leaf_cn[SESSION_IDENTITY_MAX + 1];
    bool verified_leaf_seen;

    struct deadlines *deadlines; /* borrowed */
    struct deadline retransmit;  /* mbedTLS's final timer */
    struct deadline give_up;     /* the whole handshake, then the lingering; set and run by the owner */
    uint64_t timer_intermediate_ms, timer_final_ms; /* absolute; 0 = none */
    bool flight_4_sent;
    unsigned resends;
    enum handshake_outcome outcome; /* valid once FAILED or COMPLETE */
    uint8_t alert;

    /* the owner's */
    void *owner;
    bool (*send)(void *owner, const struct net_path *path, const uint8_t *data, size_t data_len);
    void (*on_retransmit)(struct handshake *h,
                          uint64_t now_ms); /* at the retransmit deadline: call handshake_tick */
    struct session *session;                /* when COMPLETE: borrowed */
    struct dtls_psk_query *query;           /* while WAIT_PSK */
    struct handshake_datagram *waiting;     /* for its turn (handshake_queue.h) */
    unsigned waiting_count;
    bool is_ready; /* in the list of those whose turn comes */
    struct handshake *ready_prev, *ready_next;
    UT_hash_handle by_peer;
};

/* hello: of the ClientHello that returned a good cookie. */
struct handshake *handshake_new(struct handshake_shared *shared, const struct client_hello *hello,
                                enum session_profile profile, const struct net_path *path,
                                const uint8_t cid[SESSION_CID_BYTES], struct deadlines *deadlines,
                                uint64_t now_ms);
void handshake_free(struct handshake *h);

/* One datagram of the peer. Look at h->state afterwards. */
void handshake_feed(struct handshake *h, const uint8_t *datagram, size_t datagram_len, uint64_t now_ms);
/* The PSK of h->identity, NULL when there is none; goes on with the held datagram. */
void handshake_give_psk(struct handshake *h, const uint8_t *psk, size_t psk_len, uint64_t now_ms);
/* Sends the current flight again when it is time. */
void handshake_tick(struct handshake *h, uint64_t now_ms);
/* The peer has lost our last flight: sends it again, a bounded number of times. COMPLETE only. */
void handshake_resend(struct handshake *h);
/* Tells the peer that it is not welcome (fatal access_denied). COMPLETE only. */
void handshake_refuse(struct handshake *h);
/* The owner's deadline passed: FAILED, with the outcome that fits. */
void handshake_expire(struct handshake *h);

/* COMPLETE: keys and counters of the new session, and what was proved. */
void handshake_take_record(const struct handshake *h, struct record_state *record);
void handshake_take_proof(const struct handshake *h, struct session_proof *proof);
void handshake_describe(const struct handshake *h, struct handshake_attempt *attempt, uint64_t now_ms);

#endif
