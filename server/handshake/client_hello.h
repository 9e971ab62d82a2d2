/* client_hello.h: reads a ClientHello before anything is allocated for it: cookie, and which kind of client
 * this is.
 *
 * Pure functions; pointers of a parsed ClientHello lead into the datagram. */
#ifndef CYAN_HANDSHAKE_CLIENT_HELLO_H
#define CYAN_HANDSHAKE_CLIENT_HELLO_H

#include "handshake/outcome.h"
#include "handshake/session.h"

enum client_suite {                       /* bits; the suites this server has */
                    SUITE_ECDSA_CCM8 = 1, /* C0AE */
                    SUITE_ECDSA_CCM = 2,  /* C0AC */
                    SUITE_ECDSA_GCM = 4,  /* C02B */
                    SUITE_PSK_CCM8 = 8,   /* C0A8 */
                    SUITE_PSK_GCM = 16,   /* 00A8 */
};
#define SUITES_ECDSA (SUITE_ECDSA_CCM8 | SUITE_ECDSA_CCM | SUITE_ECDSA_GCM)
#define SUITES_PSK (SUITE_PSK_CCM8 | SUITE_PSK_GCM)

struct client_hello {
    uint16_t version; /* fefd and below in number = 1.2 and newer */
    uint16_t message_seq;
    const uint8_t *random; /* 32 bytes */
    const uint8_t *cookie;
    size_t cookie_len;
    unsigned suites;   /* bits of enum client_suite */
    bool other_suites; /* offers any that is neither ours nor a signalling value */
    bool has_groups, has_p256;
    bool extended_master_secret;
    bool rfc9146_cid;                      /* extension 54 */
    bool draft_cid;                        /* extension 254 */
    bool draft_cid_empty;                  /* its connection ID is empty, as Device OS sends it */
    bool client_rpk, server_rpk;           /* type 2 among the certificate types */
    bool client_rpk_only, server_rpk_only; /* the list is exactly [2] */
};

/* One whole datagram that begins with an epoch-0 handshake record of type ClientHello. False: malformed or
 * fragmented. */
must_check bool client_hello_parse(struct client_hello *hello, const uint8_t *datagram, size_t datagram_len);
/* HANDSHAKE_OK and the profile, or why it cannot be served. */
must_check enum handshake_outcome client_hello_profile(const struct client_hello *hello,
                                                       enum session_profile *profile);

#endif
