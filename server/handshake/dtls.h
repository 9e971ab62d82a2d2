/* dtls.h: the DTLS endpoint: datagrams in, authenticated sessions and their application records out.
 *
 *   datagram -> session by connection ID, else by address -> record layer -> ops->receive
 *            -> ClientHello: stateless cookie -> handshake (mbedTLS) -> ops->established -> session
 *
 * A peer that has not returned a cookie costs no memory and gets at most as many bytes as it sent times
 * three. Handshakes in flight are bounded, in all and per source network, and are worked on after records of
 * sessions (dtls_work). A handshake never harms a live
 * session; sessions of the same device are ended by the owner (dtls_end) once the new one is authenticated
 * and has named its device. Loop thread only. Callbacks come from the loop, never from inside dtls_send. */
#ifndef CYAN_HANDSHAKE_DTLS_H
#define CYAN_HANDSHAKE_DTLS_H

#include "base/deadline.h"
#include "base/metrics.h"
#include "base/must.h"
#include "handshake/outcome.h"
#include "handshake/server_key.h"
#include "handshake/session.h"
#include "net/udp.h"

struct dtls;
struct dtls_psk_query; /* one waiting handshake */

#define DTLS_PSK_MAX 64
#define DTLS_APPLICATION_MAX 1400 /* bytes of one application record we send */

struct dtls_ops {
    /* Find the key of this identity (NUL-terminated, printable ASCII) and call dtls_psk_answer once, now or
     * later. */
    void (*find_psk)(void *ctx, const char *identity, struct dtls_psk_query *query);
    /* A handshake is complete. The owner decides whether it is welcome (dtls_end if not) and sets s->user. */
    void (*established)(void *ctx, struct session *s, const struct session_proof *proof);
    /* One application record, decrypted, not a replay. */
    void (*receive)(void *ctx, struct session *s, const uint8_t *data, size_t data_len, uint64_t now_ms);
    /* What the owner keeps of s beyond this process, at most SESSION_OWNER_MAX bytes into out. 0: s is not
     * worth keeping (yet). */
    size_t (*save)(void *ctx, const struct session *s, uint8_t *out);
    /* A session of an earlier process or another node goes on here, with what save wrote; the owner sets
     * s->user. Unless it is exact the image may be behind, and what the peer says may be a replay, until it
     * answers something it was never asked before: then the owner calls dtls_prove. False: not wanted, s is
     * gone when this returns. */
    bool (*restored)(void *ctx, struct session *s, const uint8_t *saved, size_t saved_len, bool exact);
    /* The session is over; s is freed when this returns. */
    void (*ended)(void *ctx, struct session *s, enum session_end why);
    /* Every handshake attempt ends in exactly one outcome. */
    void (*attempted)(void *ctx, const struct handshake_attempt *attempt);
};

struct dtls_settings {
    uint32_t max_in_flight; /* handshakes */
    uint32_t per_source; /* of one network, always granted; more only while under half of max_in_flight are in
                            use */
    uint32_t handshake_timeout_ms;
    uint32_t max_sessions;
    uint64_t expiry_ms;  /* of a session without a record */
    const char *ca_file; /* "" = none */
};

/* NULL with a one-line reason in why. ops, deadlines, metrics and key are borrowed and outlive it. */
must_check struct dtls *dtls_new(const struct dtls_settings *settings, const struct server_key *key,
                                 struct deadlines *deadlines, struct metrics *metrics,
                                 const struct dtls_ops *ops, void *ops_ctx, char *why, size_t why_size);
void dtls_reload(struct dtls *d, const struct dtls_settings *settings); /* the first two */
/* Once, before anything is received; borrowed. */
void dtls_set_udp(struct dtls *d, struct udp *udp);
/* The udp_receive_fn to give to udp_new, with ctx = the struct dtls. */
void dtls_receive(void *d, const struct net_path *path, uint8_t *data, size_t data_len, uint64_t now_ms);
/* The udp_ahead_fn: begins to fetch the session of a datagram, and its owner's, from memory. In a large fleet
 * that is most of the wait. */
void dtls_ahead(void *d, const struct net_path *path, const uint8_t *data, size_t data_len);
/* Once a turn of the loop, after all that was received: works off some of what handshakes have waiting, for
 * some milliseconds at most. True: there is more, and the loop must not wait. ctx = the struct dtls. */
bool dtls_work(void *d);
/* Ends every session with SESSION_END_SHUTDOWN, in silence toward the peers, drops every handshake, frees.
 * PSK queries may still be answered afterwards. */
void dtls_free(struct dtls *d);
size_t dtls_session_count(const struct dtls *d);
size_t dtls_handshake_count(const struct dtls *d);

/* psk NULL: unknown identity. The key is copied. */
void dtls_psk_answer(struct dtls_psk_query *query, const uint8_t *psk, size_t psk_len);
/* The other answer: nobody can be asked now. The peer is told nothing and tries again by itself. */
void dtls_psk_away(struct dtls_psk_query *query);

/* How the attempt that made s ended: ok, or for what reason its owner sends it away, and at which stage
 * (static text). The first call counts; a session that ends without one counts as ok. */
void dtls_conclude(struct session *s, enum handshake_outcome outcome, const char *stage);

/* Sends one application record; false when the session cannot (too long, socket full): as if lost. */
bool dtls_send(struct session *s, const uint8_t *data, size_t data_len);
/* Device OS before 3.1 has no connection ID; after a move its records end in its device id (type 254,
 * device-protocol 2.5). The owner says here which session is whose, once the device has proved it. The newest
 * of one name is the one found. */
void dtls_name(struct session *s, const uint8_t name[SESSION_NAME_BYTES]);
/* What ops->save would write has changed, so that it must not be lost. */
void dtls_changed(struct session *s);
/* The peer is there: nothing it sent before the newest record counts any more. */
void dtls_prove(struct session *s);
/* Ends a session. tell_peer: send close_notify (never to Device OS peers on shutdown, device-protocol 2.8).
 * Calls ops->ended before it returns. */
void dtls_end(struct session *s, enum session_end why, bool tell_peer);

#endif
