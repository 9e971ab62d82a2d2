/* swarm_messages.h: what a device says, as bytes: Hello, Goodbye, describes, events and the rest
 * (device-protocol 4).
 *
 * Every function writes a whole message or a payload; nothing is kept. The generation follows from the system
 * version. */
#ifndef CYAN_LOADTEST_SWARM_MESSAGES_H
#define CYAN_LOADTEST_SWARM_MESSAGES_H

#include "swarm_coap.h"
#include "swarm_models.h"

enum swarm_describe { SWARM_DESCRIBE_SYSTEM = 1, SWARM_DESCRIBE_APP = 2, SWARM_DESCRIBE_METRICS = 4 };

void swarm_message_hello(struct swarm_coap_out *out, uint16_t mid, const struct swarm_model *m);
/* sleep_s 0: a goodbye because of a reset. */
void swarm_message_goodbye(struct swarm_coap_out *out, uint16_t mid, uint32_t sleep_s);
void swarm_message_time(struct swarm_coap_out *out, uint16_t mid, const struct swarm_coap_token *token);
void swarm_message_event(struct swarm_coap_out *out, uint16_t mid, const struct swarm_model *m,
                         const char *name, const char *data);
void swarm_message_subscribe(struct swarm_coap_out *out, uint16_t mid, const struct swarm_model *m,
                             const char *prefix);

/* Whether a describe of these flags goes out as protobuf, and with a token. */
bool swarm_describe_is_protobuf(const struct swarm_model *m, unsigned int flags);
bool swarm_describe_has_token(const struct swarm_model *m);
/* The payload; the caller frees. uptime_s goes into the metrics. */
uint8_t *swarm_describe_payload(const struct swarm_model *m, unsigned int flags, uint32_t uptime_s,
                                size_t *len);

#endif
