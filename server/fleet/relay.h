/* relay.h: events on their way to the devices that subscribed to them, on this node or another.
 *
 *   event: stored --> WAITING --its batch--> LOOKED UP --recipients--> sent
 *                     (full: dropped)        (Postgres away: dropped)
 *
 * Only what is committed is relayed, in the order of its commit, many in one look-up. A subscriber gets it at
 * most once; one that is offline misses it. A device that subscribed to what it publishes itself gets it too.
 * Recipients that are not here are named in a message to all nodes, of which each delivers to those it holds.
 * Bounded: RELAY_QUEUE_MAX events, RELAY_RECIPIENTS_MAX deliveries of a batch. Loop thread only. */
#ifndef CYAN_FLEET_RELAY_H
#define CYAN_FLEET_RELAY_H

#include "device/devices.h"

#define RELAY_QUEUE_MAX 10000
#define RELAY_BATCH_MAX 500
#define RELAY_RECIPIENTS_MAX 50000

struct fleet;
struct nodes;

enum relay_delivery {
    RELAY_NOT_HERE,
    RELAY_DELIVERED,
    RELAY_LOST, /* here, but offline or busy, or it does not take such an event */
};

struct relay;
struct relay *relay_new(struct fleet *f, struct metrics *metrics);
void relay_free(struct relay *r);
void relay_set_nodes(struct relay *r, struct nodes *nodes);
void relay_stop(struct relay *r); /* what waits is dropped */
/* Who published: a device, or (device NULL) a person, to a product when product_id is not 0. */
struct relay_source {
    const struct device_id *device;
    int64_t user_id;
    int32_t product_id;
};
/* An event that has been stored. */
void relay_push(struct relay *r, const struct relay_source *source, const struct device_event *event);

#endif
