/* swarm_reply.h: how a device answers what the server asks: at once, or later in a message of its own. */
#ifndef CYAN_LOADTEST_SWARM_REPLY_H
#define CYAN_LOADTEST_SWARM_REPLY_H

#include "swarm_device.h"

/* The acknowledgement of in, sent again for its duplicates; nothing for what is not confirmable. code 0:
 * empty, else with the token and the payload. */
void swarm_reply_ack(struct swarm_device *d, const struct swarm_coap_in *in, uint8_t code,
                     struct swarm_coap_piece payload);
/* The separate response that follows an empty acknowledgement (device-protocol 3.6). */
void swarm_reply_separate(struct swarm_device *d, const struct swarm_coap_token *token, uint8_t code,
                          struct swarm_coap_piece payload);
#define SWARM_NO_PAYLOAD ((struct swarm_coap_piece){NULL, 0})

#endif
