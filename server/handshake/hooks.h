/* hooks.h: makes an unmodified mbedTLS speak the Device OS profile and RFC 7250 raw public keys.
 *
 * The linker turns mbedTLS's own calls of six functions into calls of ours (`--wrap`, CMakeLists.txt); what
 * each does differently is said at its definition. A context without hooks attached behaves as stock mbedTLS.
 *
 * State: the hooks of a handshake hang on its mbedtls_ssl_context as user data. Three of the wrapped
 * functions see only a cipher context; for them hooks_enter names the handshake that is running on this
 * thread until hooks_leave. */
#ifndef CYAN_HANDSHAKE_HOOKS_H
#define CYAN_HANDSHAKE_HOOKS_H

#include <mbedtls/ssl.h>

#include "handshake/session.h"

struct hooks {
    mbedtls_ssl_context *ssl; /* borrowed: whose these are; set by hooks_attach */
    enum session_profile profile;
    bool draft_cid;             /* negotiate extension 254 with the draft-05 records */
    const uint8_t *server_spki; /* borrowed: what a standard RFC 7250 client is shown */
    size_t server_spki_len;
    uint8_t peer_spki[SESSION_SPKI_MAX]; /* out: the raw key the peer showed */
    size_t peer_spki_len;
    uint8_t read_key[16], write_key[16]; /* out: of the records, when both are there */
    bool has_read_key, has_write_key;
};

void hooks_attach(mbedtls_ssl_context *ssl, struct hooks *hooks);
/* For mbedtls_ssl_conf_cert_cb of every configuration. */
int hooks_on_client_hello(mbedtls_ssl_context *ssl);
void hooks_enter(struct hooks *hooks);
void hooks_leave(void);

#endif
