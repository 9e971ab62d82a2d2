/* attendance.h: who is online, last heard and from where, and the history of connections; written behind
 * activity.
 *
 * What happens is kept in memory, one entry a device, and written many devices in one statement, one
 * statement at a time: who comes and goes nearly at once, who is only heard about every half second. While
 * Postgres is away the newest state of each device is kept; of connection beginnings and ends the newest
 * ATTENDANCE_TURNS_MAX, older ones are dropped and counted. */
#ifndef CYAN_FLEET_ATTENDANCE_H
#define CYAN_FLEET_ATTENDANCE_H

#include "device/devices.h"

#define ATTENDANCE_FLUSH_MS 500
#define ATTENDANCE_TURN_FLUSH_MS 20
#define ATTENDANCE_BATCH_MAX 2000
#define ATTENDANCE_TURNS_MAX 100000

struct fleet;
struct attendance;
struct attendance *attendance_new(struct fleet *f, struct metrics *metrics);
void attendance_free(struct attendance *p);
void attendance_stop(struct attendance *p);
void attendance_wake(struct attendance *p); /* writing is allowed now */
/* Writes all there is, then calls done from the loop. */
void attendance_drain(struct attendance *p, void (*done)(void *arg), void *arg);

/* Members of struct device_ops; ctx is the struct fleet. */
void attendance_online(void *ctx, const struct device_facts *facts, bool resumed);
void attendance_heard(void *ctx, const struct device_facts *facts, uint64_t wall_ms);
void attendance_offline(void *ctx, const struct device_facts *facts, enum device_offline_reason reason,
                        const struct device_goodbye *goodbye);

#endif
