#include "swarm_reply.h"

void swarm_reply_ack(struct swarm_device *d, const struct swarm_coap_in *in, uint8_t code,
                     struct swarm_coap_piece payload)
{
    struct swarm_coap_out out;

    if (in->type != SWARM_CON)
        return;
    swarm_coap_begin(&out, SWARM_ACK, code, in->mid, code ? &in->token : NULL);
    swarm_coap_payload(&out, payload.data, payload.len);
    swarm_exchange_reply(&d->exchange, in, &out);
}

void swarm_reply_separate(struct swarm_device *d, const struct swarm_coap_token *token, uint8_t code,
                          struct swarm_coap_piece payload)
{
    struct swarm_coap_out out;

    swarm_coap_begin(&out, SWARM_CON, code, swarm_exchange_mid(&d->exchange), token);
    swarm_coap_payload(&out, payload.data, payload.len);
    swarm_exchange_confirm(&d->exchange, &out, SWARM_KIND_RESPONSE, NULL);
}
