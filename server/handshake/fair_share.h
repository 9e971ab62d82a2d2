/* fair_share.h: how many handshakes each source network has in flight, so that no network takes the places of
 * all. */
#ifndef CYAN_HANDSHAKE_FAIR_SHARE_H
#define CYAN_HANDSHAKE_FAIR_SHARE_H

#include <stdbool.h>
#include <stdint.h>

struct fair_share_network;
struct fair_share {
    struct fair_share_network *networks; /* ours: those with at least one in flight */
    uint32_t in_flight, max, per_network;
};
void fair_share_init(struct fair_share *f, uint32_t max, uint32_t per_network);
/* False: the network has its share and more than half of all places are taken, or all are. */
bool fair_share_take(struct fair_share *f, uint64_t network);
void fair_share_release(struct fair_share *f, uint64_t network);

#endif
