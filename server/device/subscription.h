/* subscription.h: what a device wants to hear, by prefix of the event name (device-protocol 4.8). Private to
 * device/. */
#ifndef CYAN_DEVICE_SUBSCRIPTION_H
#define CYAN_DEVICE_SUBSCRIPTION_H

#include "device/devices.h"

/* path: `e`, then perhaps `/prefix`. system_version decides what the query means: of Hello, 0 when not
 * stated. */
must_check bool subscription_parse(struct device_subscription *subscription, const struct coap_message *m,
                                   const char *path, const uint8_t *body, size_t body_len,
                                   uint16_t system_version);

#endif
