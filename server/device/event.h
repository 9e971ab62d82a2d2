/* event.h: an event as a device publishes it: name, data, and which of the names the server itself
 * understands (device-protocol 4.7, 4.11). Private to device/. */
#ifndef CYAN_DEVICE_EVENT_H
#define CYAN_DEVICE_EVENT_H

#include "device/devices.h"
#include "device/refusal.h"

#define EVENT_TTL_DEFAULT_S 60
#define EVENT_TTL_MAX_S 16777215 /* 24 bits (device-protocol 4.7); more is taken for this */

/* path: `e` or `E`, then `/name`. Fills everything but key and received_wall_ms; name and data are borrowed
 * from path and body. REFUSED_NOT when it is well. */
must_check enum refusal event_parse(struct device_event *event, const struct coap_message *m,
                                    const char *path, const uint8_t *body, size_t body_len);
/* A system event whose data is not what its name promises is DEVICE_EVENT_SYSTEM_OTHER. */
enum device_event_kind event_kind(const char *name, const uint8_t *data, size_t data_len);

#endif
