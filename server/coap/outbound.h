/* outbound.h: confirmable messages of ours: requests, pings and separate responses, sent again until the peer
 * reacts.
 *
 *   WAITING --slot--> SENT --ACK--> ACKNOWLEDGED --response--> (done)
 *                      |  \--response, or ACK when that is enough--> (done)
 *                      |<---- next Block2 block asked for ----/
 *                      \--never acknowledged--> LOST --next deadline--> (done: timed out)
 *   any --whole wait over--> (done: timed out)      any --RST--> (done: reset)
 *
 * One whose whole wait is over while it is SENT has had its done, but may stay until the peer reacts or it is
 * LOST: whether the peer is there shows only once all retransmissions are spent. There is at most one such,
 * the oldest, beside those in the slots.
 *
 * At most COAP_OUTBOUND_MAX are SENT at once (NSTART, RFC 7252 4.7: what is acknowledged is no longer
 * outstanding). done is always the last thing that happens: it may end the peer. Private to coap/. Ownership:
 * peer->outbound. */
#ifndef CYAN_COAP_OUTBOUND_H
#define CYAN_COAP_OUTBOUND_H

#include "coap/peer.h"

/* A separate response: an encoded CON with that mid, copied. No callback. */
void coap_outbound_respond(struct coap_peer *peer, uint16_t mid, const uint8_t *message, size_t message_len,
                           uint64_t now_ms);
bool coap_outbound_has_room(const struct coap_peer *peer);

/* An empty ACK, an RST. */
void coap_outbound_acknowledged(struct coap_peer *peer, const struct coap_message *ack, uint64_t now_ms);
void coap_outbound_reset(struct coap_peer *peer, const struct coap_message *reset, uint64_t now_ms);
/* True when a request of ours waits for this response, piggybacked or separate. */
bool coap_outbound_expects(const struct coap_peer *peer, const struct coap_message *response);
void coap_outbound_response(struct coap_peer *peer, const struct coap_message *response, uint64_t now_ms);
void coap_outbounds_drop(struct coap_peer *peer); /* each ends with COAP_PEER_GONE */

#endif
