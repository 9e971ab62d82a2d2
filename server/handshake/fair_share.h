/* fair_share.h: what handshakes may cost: how many each source network has in flight, and how many it may
 * spoil.
 *
 * A handshake costs tens to hundreds of microseconds of public-key work before anybody is authenticated. One
 * that ends well is never held back; one that fails, is abandoned for another, or is refused by the owner
 * takes a token from its network's bucket, and a network without tokens starts no more. A network without
 * handshakes and with a full bucket is forgotten. Loop thread only. */
#ifndef CYAN_HANDSHAKE_FAIR_SHARE_H
#define CYAN_HANDSHAKE_FAIR_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#define FAIR_SHARE_SPOILED_BURST 256
#define FAIR_SHARE_SPOILED_PER_S 32

struct fair_share_network;
struct fair_share {
    struct fair_share_network *networks; /* ours: uthash head */
    struct fair_share_network *spoilers; /* those with less than a full bucket, oldest offence first */
    uint32_t in_flight, max, per_network;
};
void fair_share_init(struct fair_share *f, uint32_t max, uint32_t per_network);
void fair_share_deinit(struct fair_share *f);
/* False: the network has spoiled too many, or has its share while more than half of all places are taken, or
 * all are. */
bool fair_share_take(struct fair_share *f, uint64_t network, uint64_t now_ms);
void fair_share_release(struct fair_share *f, uint64_t network);
/* One of its handshakes came to nothing; after or without the release. */
void fair_share_spoiled(struct fair_share *f, uint64_t network, uint64_t now_ms);
bool fair_share_may_spoil(struct fair_share *f, uint64_t network, uint64_t now_ms);

#endif
