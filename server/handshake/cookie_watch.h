/* cookie_watch.h: notices peers that keep saying ClientHello and never return the cookie: our answers do not
 * reach them.
 *
 * A table of fixed size, made at start: a peer that has not proved its address still costs no memory, it only
 * takes over a slot. Many peers at once overwrite each other's, and then nothing is said of them. */
#ifndef CYAN_HANDSHAKE_COOKIE_WATCH_H
#define CYAN_HANDSHAKE_COOKIE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "net/path.h"

#define COOKIE_WATCH_SLOTS 1024
#define COOKIE_WATCH_MS 9000 /* a device asks again after 3 and 9 s (device-protocol 2.1) */

struct cookie_watch_slot {
    uint8_t peer[NET_PEER_BYTES];
    uint64_t first_ms; /* 0 = free */
    bool reported;
};
struct cookie_watch {
    struct cookie_watch_slot slots[COOKIE_WATCH_SLOTS];
};

/* A cookie was sent. True, once for each peer: it was first sent one at least COOKIE_WATCH_MS ago and
 * returned none. */
bool cookie_watch_sent(struct cookie_watch *w, const struct net_path *path, uint64_t now_ms);
void cookie_watch_returned(struct cookie_watch *w, const struct net_path *path);

#endif
