/* device_vitals.h: what devices said of their health, as it was stored, and the event that tells of it. */
#ifndef CYAN_FLEET_DEVICE_VITALS_H
#define CYAN_FLEET_DEVICE_VITALS_H

#include <jansson.h>

#include "fleet/fleet.h"

#define DEVICE_VITALS_KEPT 100 /* of each device */

struct fleet_vitals {
    uint64_t at_ms;  /* Unix */
    json_t *payload; /* vitals_tree.h; borrowed */
};
struct fleet_vitals_query {
    const char *which;       /* a device, as fleet_get_device takes it */
    uint64_t from_ms, to_ms; /* Unix ms, both included; 0: any */
    bool only_last;
};
/* rows: oldest first, valid during the callback. */
typedef void fleet_vitals_fn(void *arg, enum fleet_err err, const struct device_id *id,
                             const struct fleet_vitals *rows, size_t count);
void fleet_get_vitals(struct fleet *f, const struct fleet_actor *actor,
                      const struct fleet_vitals_query *query, fleet_vitals_fn *done, void *arg);

/* For said_describe.c: vitals of this device were stored a moment ago. Publishes the system event of them. */
void device_vitals_announce(struct fleet *f, const struct device_facts *facts);

#endif
