/* event_tail.h: what is published anywhere, by devices, people and the server, as it becomes visible in
 * Postgres.
 *
 *   RESTING --a stream is opened--> FOLLOWING --nobody reads any more--> RESTING
 *
 * One look takes what has become visible since the look before (events_since in migrations/0019): each event
 * exactly once, those of a device in order, whichever node stored them, and whether or not that node or Redis
 * still lives. The follower says when it has passed on what one look brought; the next look comes
 * EVENT_TAIL_MS after the last one at the earliest, and after as long a rest as the passing on took, so that
 * readers never have more than half of the loop. While Postgres is away nothing can be published either: what
 * was comes afterwards.
 * Bounded: EVENT_TAIL_ROWS events a look, and of these as many as the follower takes. Loop thread only. */
#ifndef CYAN_FLEET_EVENT_TAIL_H
#define CYAN_FLEET_EVENT_TAIL_H

#include "fleet/fleet.h"

#define EVENT_TAIL_MS 40
#define EVENT_TAIL_ROWS 1000

/* Valid during a call. */
struct told_event {
    bool has_device;
    struct device_id device;
    int64_t owner_id;   /* of the device, or who published it; 0: nobody */
    int64_t person_id;  /* who published it; 0: a device or the server */
    int32_t product_id; /* in which the device is, or to which it was published; 0: none */
    int32_t version;    /* of the device's product firmware; 0: unknown */
    const char *name;
    const uint8_t *data;
    size_t data_len;
    uint16_t content_format;
    uint32_t ttl_s;
    bool is_public;
    uint64_t at_wall_ms;
};

struct event_follower {
    void *ctx;
    bool (*is_wanted)(void *ctx); /* anybody still reads */
    /* False: enough for this round; what follows it comes in the next one. */
    bool (*event)(void *ctx, const struct told_event *event);
    void (*round)(void *ctx); /* that was one look; event_tail_passed_on follows, at once or later */
};

struct event_tail;
struct event_tail *event_tail_new(struct fleet *f, struct metrics *metrics);
void event_tail_free(struct event_tail *t);
void event_tail_stop(struct event_tail *t);
/* NULL: nobody any more. Borrowed. */
void event_tail_set_follower(struct event_tail *t, const struct event_follower *follower);
/* From this snapshot on, when it does not follow already. */
void event_tail_begin(struct event_tail *t, const char *snapshot);
void event_tail_passed_on(struct event_tail *t);

#endif
