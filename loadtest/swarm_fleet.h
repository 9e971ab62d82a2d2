/* swarm_fleet.h: very many devices, of which only those that are awake exist as such.
 *
 * A device at rest is a struct swarm_rest; who it is follows from its number (swarm_derive.h). Waking makes a
 * whole swarm_device of it, which lives as any other; once it has settled it is put to rest again.
 *
 * Ownership: memory of the caller; swarm_fleet_deinit leaves nothing behind. rested() comes from the loop
 * when a device has settled and is at rest again; it may wake others. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_FLEET_H
#define CYAN_LOADTEST_SWARM_FLEET_H

#include "swarm_derive.h"
#include "swarm_device.h"

struct swarm_awake; /* a device that is awake */

struct swarm_fleet {
    struct swarm_world *world; /* borrowed: outlives this */
    struct swarm_derive derive;
    struct swarm_rest *rests;    /* ours */
    struct swarm_awake **awake;  /* ours: by number, NULL while at rest */
    struct swarm_awake *settled; /* to be put to rest */
    struct deadline sweep;
    void (*rested)(void *owner, uint32_t i);
    void *owner; /* borrowed: outlives this */
    uint32_t count, awake_count;
};

/* choice: borrowed: outlives this. False with a sentence in error. The fleet takes world->settled. */
bool swarm_fleet_init(struct swarm_fleet *f, struct swarm_world *world, const struct swarm_choice *choice,
                      char error[SWARM_ERROR_SIZE]) must_check;
void swarm_fleet_deinit(struct swarm_fleet *f);
/* Goes on with its session when it has one, else with a handshake. Only when at rest. */
void swarm_fleet_wake(struct swarm_fleet *f, uint32_t i);
/* Whatever it is doing; nothing when at rest. */
void swarm_fleet_rest(struct swarm_fleet *f, uint32_t i);
/* An eavesdropper sends again what a device at rest once sent (swarm_replay.h). */
void swarm_fleet_replay(struct swarm_fleet *f, uint32_t i);
bool swarm_fleet_is_awake(const struct swarm_fleet *f, uint32_t i);

#endif
