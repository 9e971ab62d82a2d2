/* system_event.h: events that the server itself publishes: `spark/...` and `particle/...` to those who read
 * streams. Presence, hashes, vitals, safe mode and updates are told where they are written (migrations/0019,
 * 0012); what else happens is told here.
 *
 * Nothing waits for them: one that cannot be stored is counted and lost. While nobody reads a stream none is
 * stored. */
#ifndef CYAN_FLEET_SYSTEM_EVENT_H
#define CYAN_FLEET_SYSTEM_EVENT_H

#include "fleet/fleet.h"

/* name and data are copied; data is text. */
void fleet_publish_system(struct fleet *f, const struct device_id *id, const char *name, const char *data);
/* To a product alone, such as `particle/firmware/create` with `{"version":"1"}`. */
void fleet_publish_to_product(struct fleet *f, int32_t product_id, const char *name, const char *data);

#endif
