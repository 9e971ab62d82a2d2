/* link.h: what the files of this room share about one peer: sending, its dialect and limits, the expiry
 * deadline.
 *
 * Private to coap/. Nothing here allocates or calls anything of the owner but ops->send. */
#ifndef CYAN_COAP_LINK_H
#define CYAN_COAP_LINK_H

#include "coap/peer.h"

/* Bytes that header, token, and the options Content-Format, Block1, Block2 of an answer take at most, with
 * the marker. */
#define COAP_LINK_OVERHEAD 28

void coap_link_send(struct coap_peer *peer, const uint8_t *data, size_t data_len);
/* type ACK or RST, code 0.00. */
void coap_link_send_empty(struct coap_peer *peer, enum coap_type type, uint16_t mid);
bool coap_link_is_device_os(const struct coap_peer *peer);
/* Largest message the peer takes, never above COAP_MESSAGE_MAX and never below what one small block needs. */
size_t coap_link_limit(const struct coap_peer *peer);
uint16_t coap_link_next_mid(struct coap_peer *peer);
/* Sees to it that remembered exchanges and bodies are let go in time. */
void coap_link_watch_expiry(struct coap_peer *peer);

#endif
