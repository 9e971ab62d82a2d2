/* swarm_session.h: one DTLS session of a simulated device: handshake, records, moves between source ports.
 *
 *   IDLE --open--> HANDSHAKE --> UP --drop / peer's end--> IDLE
 *                                UP --suspend--> SUSPENDED --resume--> UP
 *
 * Ownership: embedded in its device; swarm_session_drop leaves nothing behind. Callbacks come from datagrams
 * and deadlines only, each as the last thing done, so that they may drop or reopen the session. Loop thread
 * only. */
#ifndef CYAN_LOADTEST_SWARM_SESSION_H
#define CYAN_LOADTEST_SWARM_SESSION_H

#include "swarm_audit.h"
#include "swarm_dtls.h"
#include "swarm_net.h"
#include "swarm_replay.h"

enum swarm_session_state {
    SWARM_SESSION_IDLE,
    SWARM_SESSION_HANDSHAKE,
    SWARM_SESSION_UP,
    SWARM_SESSION_SUSPENDED
};

/* What all sessions of a swarm share. */
struct swarm_session_env {
    struct swarm_net *net;       /* borrowed: outlives all */
    struct swarm_crypto *crypto; /* borrowed: outlives all */
    struct deadlines *deadlines; /* borrowed: outlives all */
    struct swarm_replay_env replay;
    uint32_t retransmit_ms, retransmit_max_ms;
    uint64_t bad_records, replays;
};

struct swarm_session_ops {
    void (*up)(void *owner);
    /* The handshake failed; the session is IDLE. */
    void (*failed)(void *owner, enum swarm_dtls_result result, uint8_t alert);
    /* The peer ended the session by an alert; it is IDLE. */
    void (*ended)(void *owner, uint8_t alert);
    void (*message)(void *owner, const uint8_t *data, size_t data_len);
};

struct swarm_session {
    struct swarm_session_env *env; /* borrowed: outlives this */
    const struct swarm_session_ops *ops;
    void *owner;              /* borrowed: outlives this */
    const uint8_t *device_id; /* 12 bytes for the trailer of moved sessions, or NULL; borrowed */
    struct swarm_port *port;  /* ours */
    struct swarm_dtls *dtls;  /* ours, while HANDSHAKE */
    struct swarm_past *past;  /* ours, NULL without replays */
    struct swarm_audit audit; /* of record */
    struct swarm_record record;
    uint64_t heard_ms; /* last valid record */
    enum swarm_session_state state;
    uint32_t unheard_sends; /* records sent since a valid one came */
    bool moved_unheard;     /* the source port has changed since a valid record came */
};

void swarm_session_init(struct swarm_session *s, struct swarm_session_env *env,
                        const struct swarm_session_ops *ops, void *owner);
/* False when there is no socket; the session stays IDLE. */
bool swarm_session_open(struct swarm_session *s, const struct swarm_credentials *c,
                        uint64_t now_ms) must_check;
/* False when not UP or too long. */
bool swarm_session_send(struct swarm_session *s, const uint8_t *data, size_t data_len);
/* The server has acknowledged this message. */
void swarm_session_acknowledged(struct swarm_session *s, uint16_t mid);
/* An eavesdropper sends again what was sent, from another address. Nothing without --replay. */
void swarm_session_replay(struct swarm_session *s);
/* A new source port the device does not know of, as a NAT does. */
bool swarm_session_rebind(struct swarm_session *s) must_check;
/* Closes the socket and keeps keys and counters; then goes on with marked records from a new port. */
void swarm_session_suspend(struct swarm_session *s);
bool swarm_session_resume(struct swarm_session *s) must_check;
/* Whether the server could find this session from a new port. */
bool swarm_session_can_move(const struct swarm_session *s);
/* So many records went unanswered since a move that chance is no explanation (8 at 20 % loss: 3 in 10,000).
 */
bool swarm_session_lost_by_move(const struct swarm_session *s);
void swarm_session_close_notify(struct swarm_session *s);
void swarm_session_drop(struct swarm_session *s);

#endif
