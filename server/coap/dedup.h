/* dedup.h: the newest exchanges a peer started and we have answered, by message ID, each with the bytes that
 * answered it (RFC 7252 4.5). What is not answered yet is found among the inbounds instead.
 *
 * A ring in order of answering, grown as needed up to COAP_DEDUP_MAX, then the oldest makes room. Private to
 * coap/. Ownership: peer->dedup; freed when the last entry expires. */
#ifndef CYAN_COAP_DEDUP_H
#define CYAN_COAP_DEDUP_H

#include "coap/peer.h"

/* answer: copied; answer_len 0 = a duplicate gets nothing (the exchange was non-confirmable). */
void coap_dedup_put(struct coap_peer *peer, uint16_t mid, const uint8_t *answer, size_t answer_len,
                    uint64_t now_ms);
/* answer: borrowed until the next put or expire. */
must_check bool coap_dedup_find(const struct coap_peer *peer, uint16_t mid, uint64_t now_ms,
                                const uint8_t **answer, size_t *answer_len);
void coap_dedup_expire(struct coap_peer *peer, uint64_t now_ms);
uint64_t
coap_dedup_next_ms(const struct coap_peer *peer); /* when the oldest expires; UINT64_MAX when empty */
void coap_dedup_free(struct coap_peer *peer);

#endif
