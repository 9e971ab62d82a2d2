/* handshake_shared.h: what all handshakes of the process have in common: mbedTLS configurations, the server's
 * key, the accepted certificate authorities. For this room only. */
#ifndef CYAN_HANDSHAKE_HANDSHAKE_SHARED_H
#define CYAN_HANDSHAKE_HANDSHAKE_SHARED_H

#include "handshake/handshake.h"

struct handshake_shared {
    mbedtls_ssl_config raw_keys, x509, psk; /* one per way of proving */
    mbedtls_pk_context key;
    mbedtls_x509_crt certificate, authorities;
    mbedtls_x509_crt_profile certificate_profile;
    uint8_t spki[SERVER_KEY_SPKI_BYTES];
};

const mbedtls_ssl_config *handshake_shared_config(const struct handshake_shared *shared,
                                                  enum session_profile profile);
/* mbedtls_ssl_set_verify: notes the client's own key and name while its certificate can be seen. ctx: struct
 * handshake. */
int handshake_on_verify(void *ctx, mbedtls_x509_crt *crt, int depth, uint32_t *flags);

#endif
