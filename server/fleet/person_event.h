/* person_event.h: events that people publish: stored as those of devices are, then relayed. */
#ifndef CYAN_FLEET_PERSON_EVENT_H
#define CYAN_FLEET_PERSON_EVENT_H

#include "fleet/fleet.h"

/* What a person publishes. Borrowed. */
struct person_event {
    const char *name; /* UTF-8 without control characters, none of the system's names (`spark`, `particle`) */
    const char *data; /* text */
    const char *product; /* as it stands in the path; NULL: to the person's own devices and streams */
    uint32_t ttl_s;
    bool is_public;
    const uint8_t *key; /* 16 bytes: what was stored under it is not stored again; NULL: a new one */
};

/* why: static sentence for people, "" when none. From the loop, exactly once. */
typedef void fleet_published_fn(void *arg, enum fleet_err err, const char *why);
/* At most as long as event_name_max and event_data_max of the settings say. It goes to the devices of the
 * actor, and to everybody's that subscribed to public events when is_public; to a product: to its devices in
 * place of the actor's. FLEET_NOT_FOUND and FLEET_FORBIDDEN mean the product. */
void fleet_publish(struct fleet *f, const struct fleet_actor *actor, const struct person_event *event,
                   fleet_published_fn *done, void *arg);

#endif
