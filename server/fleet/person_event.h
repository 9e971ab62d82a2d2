/* person_event.h: events that people publish: stored as those of devices are, then relayed. */
#ifndef CYAN_FLEET_PERSON_EVENT_H
#define CYAN_FLEET_PERSON_EVENT_H

#include "fleet/fleet.h"

/* why: static sentence for people, "" when none. From the loop, exactly once. */
typedef void fleet_published_fn(void *arg, enum fleet_err err, const char *why);
/* name: 1 to DEVICE_EVENT_NAME_MAX bytes of UTF-8 without control characters, none of the system's names
 * (`spark`, `particle`); data: text of at most DEVICE_EVENT_DATA_MAX bytes. Copied. It goes to the devices of
 * the actor, and to everybody's that subscribed to public events when is_public. */
void fleet_publish(struct fleet *f, const struct fleet_actor *actor, const char *name, const char *data,
                   bool is_public, fleet_published_fn *done, void *arg);

#endif
