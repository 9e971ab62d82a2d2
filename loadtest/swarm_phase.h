/* swarm_phase.h: one thing that many devices of a fleet do, from the first that starts until all have settled
 * or the time is over; then one JSON line with what came of it.
 *
 * Ownership: memory of the caller; swarm_phase_deinit leaves nothing behind. done() comes once for each
 * swarm_phase_start, from the loop, and takes the line. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_PHASE_H
#define CYAN_LOADTEST_SWARM_PHASE_H

#include "swarm_fleet.h"

struct swarm_phase_plan {
    const char *name;  /* a constant */
    uint32_t *numbers; /* who; taken over, freed with free() */
    uint32_t count;
    uint32_t in_flight; /* not more than these awake at once */
    uint64_t over_ms;   /* starts are spread over this time */
    uint64_t within_ms; /* then whoever has not settled is put to rest as it is */
};

struct swarm_phase {
    struct swarm_fleet *fleet; /* borrowed: outlives this */
    struct swarm_phase_plan plan;
    struct swarm_samples settled_ms; /* since the start of the phase */
    struct deadline pace, end;
    void (*done)(void *owner, json_t *line);
    void *owner; /* borrowed: outlives this */
    uint64_t start_ms;
    uint64_t resident_bytes; /* of this process before the first device */
    uint32_t started, settled;
    bool running;
};

void swarm_phase_init(struct swarm_phase *p, struct swarm_fleet *fleet);
void swarm_phase_deinit(struct swarm_phase *p);
void swarm_phase_start(struct swarm_phase *p, const struct swarm_phase_plan *plan);
/* The fleet's rested() belongs to this. */
void swarm_phase_rested(struct swarm_phase *p, uint32_t i);
/* count different numbers at random of those for which may() is true; fewer when there are no more. */
uint32_t *swarm_phase_pick(const struct swarm_fleet *f, uint32_t *count,
                           bool (*may)(const struct swarm_fleet *f, uint32_t i));

#endif
