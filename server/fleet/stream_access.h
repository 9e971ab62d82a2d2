/* stream_access.h: who may read which events as a stream, asked when a stream is opened and again while it
 * lasts. */
#ifndef CYAN_FLEET_STREAM_ACCESS_H
#define CYAN_FLEET_STREAM_ACCESS_H

#include "fleet/event_tail.h"

/* What was found for the texts of a path. */
struct stream_grant {
    bool has_device, has_product, lacks_product; /* lacks_product: of an error, the product is meant */
    struct device_id device;
    int32_t product_id;
};
typedef void fleet_stream_fn(void *arg, enum fleet_err err, const struct stream_grant *grant);
/* product, device: as they stand in the path, NULL when they do not. When it is FLEET_OK this node follows
 * what is published already. */
void fleet_open_stream(struct fleet *f, const struct fleet_actor *actor, const char *product,
                       const char *device, fleet_stream_fn *done, void *arg);
/* To whom what is published goes; it is followed from the first stream that is opened on. NULL: to nobody. */
void fleet_set_event_follower(struct fleet *f, const struct event_follower *follower);
void fleet_events_passed_on(struct fleet *f);

struct stream_right {
    int64_t token_id;
    bool has_device, has_product;
    struct device_id device;
    int32_t product_id;
};
/* Each row is one that must end: its place in what was asked, and the reason, `token` or `rights`. err other
 * than FLEET_OK: it is not known. */
struct stream_end {
    size_t place;
    const char *why; /* static */
};
typedef void fleet_stream_ends_fn(void *arg, enum fleet_err err, const struct stream_end *ends, size_t count);
void fleet_check_streams(struct fleet *f, const struct stream_right *rights, size_t count,
                         fleet_stream_ends_fn *done, void *arg);

#endif
