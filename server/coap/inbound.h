/* inbound.h: requests of the peer that wait for our answer, and the answers.
 *
 *   open --coap_answer--> (gone, remembered for duplicates)
 *     \--1 s, RFC 7252 peers--> acknowledged --coap_answer--> (gone; the answer goes out as a separate
 * response)
 *      \--coap_forget--> (gone, as if never received)
 *
 * Private to coap/. Ownership: peer->inbound, at most COAP_INBOUND_MAX. */
#ifndef CYAN_COAP_INBOUND_H
#define CYAN_COAP_INBOUND_H

#include "coap/peer.h"

#define COAP_SEPARATE_AFTER_MS 1000 /* below ACK_TIMEOUT, so that the peer need not send again */

struct coap_inbound {
    struct coap_inbound *next;
    struct coap_peer *peer; /* borrowed: owner of this */
    struct coap_body *body; /* borrowed: pieces of the body so far, NULL when it came whole or was freed */
    struct deadline separate;
    struct coap_block block1, block2;
    uint16_t mid;
    uint8_t token[COAP_TOKEN_MAX];
    uint8_t token_len;
    bool confirmable, acknowledged, has_block1, has_block2;
    bool is_forgettable; /* a duplicate may be answered anew */
};

/* NULL when COAP_INBOUND_MAX wait already. block1, block2: NULL when the request has none. */
struct coap_inbound *coap_inbound_open(struct coap_peer *peer, const struct coap_message *m,
                                       const struct coap_block *block1, const struct coap_block *block2,
                                       uint64_t now_ms);
struct coap_inbound *coap_inbound_find(const struct coap_peer *peer, uint16_t mid);
void coap_inbounds_drop(struct coap_peer *peer); /* each is told to ops->inbound_dropped */

/* Answers m at once without an inbound: code, token and, to RFC 7252 peers, block1 (NULL: none). */
void coap_inbound_reply(struct coap_peer *peer, const struct coap_message *m, uint8_t code,
                        const struct coap_block *block1, uint64_t now_ms);

#endif
