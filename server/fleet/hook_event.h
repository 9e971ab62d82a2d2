/* hook_event.h: events that webhooks publish: what a server of somebody's answered. */
#ifndef CYAN_FLEET_HOOK_EVENT_H
#define CYAN_FLEET_HOOK_EVENT_H

#include "fleet/fleet.h"

#define HOOK_EVENT_MARK "webhook" /* what the keys of these events begin with (migrations/0021) */
#define HOOK_EVENT_HASH_BYTES (16 - (sizeof HOOK_EVENT_MARK - 1))

/* Published in the name of the device whose event went there, or, when that is NULL, of the person;
 * privately, to no webhook whatever its name is, and not again when hash was published before. Nobody is
 * told whether it was stored. False: such a name cannot be one of an event, and nothing happens. Texts are
 * copied. */
must_check bool fleet_publish_hook_event(struct fleet *f, const struct device_id *device, int64_t user_id,
                                         const uint8_t hash[HOOK_EVENT_HASH_BYTES], const char *name,
                                         const char *data);

#endif
