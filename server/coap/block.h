/* block.h: bodies a peer sends in Block1 pieces (RFC 7959 2.5), put together until the last piece is
 * answered.
 *
 * A body is known by method, Uri-Path, Uri-Query and Request-Tag; the token plays no part, since Device OS
 * takes a new one for each block (device-protocol 3.8). At most COAP_BODIES_MAX at once, the oldest makes
 * room. The last piece is not stored: should it have to be taken again (coap_forget), the body is as it was
 * before. The memory of all peers' bodies together is bounded (COAP_GATHERED_MAX). Private to coap/.
 * Ownership: peer->bodies; each freed when answered, restarted, displaced or COAP_DEDUP_MS old. */
#ifndef CYAN_COAP_BLOCK_H
#define CYAN_COAP_BLOCK_H

#include "coap/peer.h"

#define COAP_BODIES_MAX 4

struct coap_body {
    struct coap_body *next;
    struct coap_inbound *inbound; /* borrowed: the request it became, NULL while it is not answered */
    uint64_t expires_ms;
    uint8_t *data; /* ours */
    size_t data_len, data_size;
    size_t key_len;
    uint8_t key[];
};

/* Takes the block that m carries. Returns 2.31 when it was stored, an error code when it was refused (5.03:
 * there is no room now, and what came before stays as it was), and COAP_EMPTY when m is the last one: then
 * *body holds what came before it, NULL when that is nothing. */
must_check uint8_t coap_body_take(struct coap_peer *peer, const struct coap_message *m,
                                  const struct coap_block *block, uint64_t now_ms, struct coap_body **body);
/* body NULL is fine. The inbound's pointer to it is cleared. */
void coap_body_free(struct coap_peer *peer, struct coap_body *body);
void coap_bodies_expire(struct coap_peer *peer, uint64_t now_ms);
uint64_t coap_bodies_next_ms(const struct coap_peer *peer); /* UINT64_MAX when there is none */
void coap_bodies_free(struct coap_peer *peer);

#endif
