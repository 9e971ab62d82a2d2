/* swarm_dtls.h: the client side of a DTLS 1.2 handshake, as Device OS and as plain PSK clients do it.
 *
 *   WAIT_SERVER_HELLO -> WAIT_KEY_EXCHANGE -> WAIT_CERTIFICATE_REQUEST -> WAIT_HELLO_DONE -> WAIT_FINISHED ->
 * ENDED (a HelloVerifyRequest leads back to WAIT_SERVER_HELLO; PSK has no CertificateRequest and may have no
 * key exchange)
 *
 * Written against the documents and not against the server, and strict: whatever a device would refuse is a
 * failure with a reason.
 *
 * Ownership: swarm_dtls_start gives, swarm_dtls_free takes, at any time. params->record is the caller's and
 * is usable once done() came with OK. done() comes exactly once, from swarm_dtls_receive or from a deadline,
 * never from inside swarm_dtls_start, and the handshake may be freed in it. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_DTLS_H
#define CYAN_LOADTEST_SWARM_DTLS_H

#include "base/deadline.h"
#include "swarm_record.h"

enum swarm_profile { SWARM_PROFILE_DEVICEOS, SWARM_PROFILE_PSK };

#define SWARM_DTLS_RESULT_MAP(XX)                                                                            \
    XX(OK, "ok")                                                                                             \
    XX(TIMEOUT, "timeout")                                                                                   \
    XX(ALERT, "alert")                                                                                       \
    XX(MALFORMED, "malformed_message")                                                                       \
    XX(UNEXPECTED, "unexpected_message")                                                                     \
    XX(CERTIFICATE, "server_sent_certificate")                                                               \
    XX(SERVER_HELLO, "bad_server_hello")                                                                     \
    XX(EXTENSION, "unsolicited_extension")                                                                   \
    XX(CONNECTION_ID, "bad_connection_id")                                                                   \
    XX(KEY_TYPE, "no_raw_public_key_type")                                                                   \
    XX(KEY_EXCHANGE, "bad_key_exchange")                                                                     \
    XX(SIGNATURE, "bad_server_signature")                                                                    \
    XX(CERTIFICATE_REQUEST, "bad_certificate_request")                                                       \
    XX(FINISHED, "bad_server_finished")                                                                      \
    XX(INTERNAL, "internal_error")

enum swarm_dtls_result {
#define XX(name, text) SWARM_DTLS_##name,
    SWARM_DTLS_RESULT_MAP(XX)
#undef XX
};
const char *swarm_dtls_result_name(enum swarm_dtls_result result);

struct swarm_credentials {
    const struct swarm_key *key;         /* Device OS: borrowed: outlives the handshake */
    const struct swarm_verifier *server; /* Device OS: borrowed: outlives the handshake */
    struct swarm_bytes identity, psk;    /* PSK: borrowed: outlives the handshake */
    enum swarm_profile profile;
    enum swarm_suite suite; /* PSK only; Device OS has CCM-8 */
    bool cid;               /* offer a connection ID: 254 for Device OS, 54 for PSK */
};

typedef void swarm_dtls_send_fn(void *owner, const uint8_t *datagram, size_t datagram_len);
/* alert: the number when result is ALERT. */
typedef void swarm_dtls_done_fn(void *owner, enum swarm_dtls_result result, uint8_t alert);
typedef void swarm_dtls_opened_fn(void *owner, const struct swarm_record_view *view, enum swarm_open result);

struct swarm_dtls_params {
    struct swarm_crypto *crypto; /* borrowed: outlives the handshake */
    struct deadlines *deadlines; /* borrowed: outlives the handshake */
    struct swarm_record *record; /* borrowed: outlives the handshake */
    struct swarm_credentials credentials;
    uint32_t retransmit_ms, retransmit_max_ms; /* doubling from the first to the second, then failure */
    swarm_dtls_send_fn *send;
    swarm_dtls_done_fn *done;
    swarm_dtls_opened_fn *opened; /* for each record of epoch 1, also a bad one; may be NULL */
    void *owner;
};

struct swarm_dtls;

struct swarm_dtls *swarm_dtls_start(const struct swarm_dtls_params *params, uint64_t now_ms);
void swarm_dtls_receive(struct swarm_dtls *d, const uint8_t *datagram, size_t datagram_len, uint64_t now_ms);
void swarm_dtls_free(struct swarm_dtls *d);

#endif
