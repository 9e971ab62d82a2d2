/* event_queue.h: events of devices on their way into Postgres: many in one statement, one statement at a
 * time.
 *
 *   event: WAITING --2 ms, or the batch before is done--> IN FLIGHT --commit--> done(STORED)
 *          WAITING --hold_ms--> done(BUSY)                IN FLIGHT --Postgres away or unknown--> done(BUSY)
 *
 * One statement at a time keeps the order of a device's events. A batch that Postgres refuses is halved until
 * the event that cannot be stored is alone, which is then rejected. done comes exactly once, from the loop,
 * unless event_queue_free comes first. Bounded: EVENT_QUEUE_MAX events; more are BUSY. */
#ifndef CYAN_FLEET_EVENT_QUEUE_H
#define CYAN_FLEET_EVENT_QUEUE_H

#include "device/devices.h"

#define EVENT_QUEUE_MAX 50000
#define EVENT_BATCH_MAX 500

struct fleet;
struct event_queue;
struct event_queue *event_queue_new(struct fleet *f, struct metrics *metrics);
void event_queue_free(struct event_queue *q);
/* What is not in flight is BUSY, from inside; nothing is sent any more. */
void event_queue_stop(struct event_queue *q);
bool event_queue_is_empty(const struct event_queue *q); /* nothing waiting, nothing in flight */
/* Member of struct device_ops; ctx is the struct fleet. */
void event_queue_push(void *ctx, const struct device_facts *facts, const struct device_event *event,
                      device_done_fn *done, void *arg);

#endif
