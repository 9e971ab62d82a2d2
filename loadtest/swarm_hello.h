/* swarm_hello.h: bodies of the handshake messages that carry the negotiation: ClientHello out,
 * HelloVerifyRequest, ServerHello, ServerKeyExchange and CertificateRequest in.
 *
 * Pure functions over bytes; nothing is kept. */
#ifndef CYAN_LOADTEST_SWARM_HELLO_H
#define CYAN_LOADTEST_SWARM_HELLO_H

#include "swarm_dtls.h"

#define SWARM_RANDOM_BYTES 32
#define SWARM_COOKIE_MAX_BYTES 255

struct swarm_hello_offer {
    const struct swarm_credentials *credentials; /* borrowed */
    const uint8_t *random;                       /* SWARM_RANDOM_BYTES, borrowed */
    struct swarm_bytes cookie;
};
/* Body of a ClientHello (device-trace 2 for Device OS). Returns its length, 0 when it does not fit. */
size_t swarm_hello_client(const struct swarm_hello_offer *offer, uint8_t *out, size_t out_size);

/* Cookie of a HelloVerifyRequest, borrowed from body; false when malformed. */
bool swarm_hello_cookie(struct swarm_bytes body, struct swarm_bytes *cookie);

struct swarm_server_hello {
    uint8_t random[SWARM_RANDOM_BYTES];
    uint8_t cid[SWARM_CID_MAX_BYTES];
    size_t cid_len;
    bool has_cid, has_extended_master_secret, has_client_type, has_server_type;
};
/* Checks a ServerHello against what was offered. */
enum swarm_dtls_result swarm_hello_server(const struct swarm_credentials *c, struct swarm_bytes body,
                                          struct swarm_server_hello *out);

/* ServerKeyExchange of ECDHE_ECDSA: checks curve and signature over both randoms, gives the server's point.
 */
struct swarm_randoms {
    uint8_t client[SWARM_RANDOM_BYTES], server[SWARM_RANDOM_BYTES];
};
enum swarm_dtls_result swarm_hello_key_exchange(const struct swarm_verifier *server,
                                                const struct swarm_randoms *randoms, struct swarm_bytes body,
                                                uint8_t point[SWARM_POINT_BYTES]);
/* ServerKeyExchange of PSK: an identity hint, which is read and ignored (RFC 4279 5.2). */
enum swarm_dtls_result swarm_hello_hint(struct swarm_bytes body);
/* CertificateRequest: ecdsa_sign and 0403 must be among what the server takes. */
enum swarm_dtls_result swarm_hello_certificate_request(struct swarm_bytes body);

#endif
