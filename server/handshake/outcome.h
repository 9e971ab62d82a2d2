/* outcome.h: the named ends of a handshake attempt (handshake.md 6): what the doctor and /metrics count. */
#ifndef CYAN_HANDSHAKE_OUTCOME_H
#define CYAN_HANDSHAKE_OUTCOME_H

#include <stdint.h>

#include "net/path.h"

#define HANDSHAKE_OUTCOME_MAP(X)                                                                             \
    X(OK, "ok", "complete")                                                                                  \
    X(NO_COOKIE_RETURN, "no_cookie_return", "our answer to the first ClientHello does not reach it")         \
    X(UNSUPPORTED_VERSION, "unsupported_version", "does not offer DTLS 1.2")                                 \
    X(NO_COMMON_SUITE, "no_common_suite", "offers no cipher suite this server has")                          \
    X(NO_COMMON_CURVE, "no_common_curve", "does not offer P-256")                                            \
    X(UNKNOWN_IDENTITY, "unknown_identity", "its PSK identity is not enrolled")                              \
    X(UNKNOWN_KEY, "unknown_key", "its public key is not enrolled")                                          \
    X(KEY_ID_MISMATCH, "key_id_mismatch", "its Hello names another device than its key")                     \
    X(BAD_SIGNATURE, "bad_signature", "it could not prove it holds its private key")                         \
    X(BAD_FINISHED, "bad_finished", "wrong key or secret")                                                   \
    X(CLIENT_ALERT, "client_alert", "the device refused; 51 or 49: it holds another server key")             \
    X(TIMEOUT_AFTER_FLIGHT_4, "timeout_after_flight_4", "the path may drop large datagrams")                 \
    X(MALFORMED, "malformed", "not a well-formed handshake")                                                 \
    X(RATE_LIMITED, "rate_limited", "too many handshakes in flight, in all or from its network")             \
    X(QUARANTINED, "quarantined", "admitted, but the device is quarantined")                                 \
    X(REFUSED_BY_POLICY, "refused_by_policy", "the owner said no")

#define X(id, name, text) HANDSHAKE_##id,
enum handshake_outcome { HANDSHAKE_OUTCOME_MAP(X) HANDSHAKE_OUTCOME_COUNT };
#undef X

const char *handshake_outcome_name(enum handshake_outcome outcome);
const char *handshake_outcome_text(enum handshake_outcome outcome);

struct handshake_attempt {
    enum handshake_outcome outcome;
    uint8_t alert;       /* of client_alert, else 0 */
    const char *stage;   /* static text: `client_hello`, `key_exchange`, `finished`, `hello` ... */
    const char *profile; /* static text: session_profile_name, or "" before it is known */
    struct net_path path;
    uint8_t key_sha256[32]; /* zeros when no key was shown */
    char identity[65];      /* PSK identity or "" */
    uint32_t took_ms;
};

#endif
