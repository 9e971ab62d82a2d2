/* swarm_tally.h: how often each message went out and was acknowledged.
 *
 * Each transmission is a record of its own, and a server that turns replays away sees a record once however
 * often the network delivers it. So there cannot be more acknowledgements than transmissions.
 *
 * Ownership: embedded in the exchange; swarm_tallies_deinit frees. A zeroed one is empty. */
#ifndef CYAN_LOADTEST_SWARM_TALLY_H
#define CYAN_LOADTEST_SWARM_TALLY_H

#include "base/must.h"
#include <stdbool.h>
#include <stdint.h>

struct swarm_tallies {
    struct tally *slots; /* ours: at mid % size */
    uint32_t size;       /* a power of two; as large as it takes to remember two minutes */
};

void swarm_tallies_deinit(struct swarm_tallies *t);
void swarm_tally_sent(struct swarm_tallies *t, uint16_t mid, bool again, uint64_t now_ms);
/* False when there have been more of them than there can be. */
bool swarm_tally_answered(struct swarm_tallies *t, uint16_t mid) must_check;

#endif
