#include "handshake/cookie_watch.h"

#include <string.h>

#define FORGET_MS 120000

/* FNV-1a; whoever makes two peers collide only hides himself. */
static struct cookie_watch_slot *slot_of(struct cookie_watch *w, const struct net_path *path)
{
    uint32_t hash = 2166136261u;
    for (int i = 0; i < NET_PEER_BYTES; i++)
        hash = (hash ^ ((const uint8_t *)path)[i]) * 16777619u;
    return &w->slots[(hash ^ hash >> 16) % COOKIE_WATCH_SLOTS];
}

static bool is_peer(const struct cookie_watch_slot *slot, const struct net_path *path)
{
    return slot->first_ms != 0 && memcmp(slot->peer, path, NET_PEER_BYTES) == 0;
}

bool cookie_watch_sent(struct cookie_watch *w, const struct net_path *path, uint64_t now_ms)
{
    struct cookie_watch_slot *slot = slot_of(w, path);
    if (!is_peer(slot, path) || now_ms - slot->first_ms > FORGET_MS) {
        memcpy(slot->peer, path, NET_PEER_BYTES);
        slot->first_ms = now_ms ? now_ms : 1;
        slot->reported = false;
        return false;
    }
    if (slot->reported || now_ms - slot->first_ms < COOKIE_WATCH_MS)
        return false;
    slot->reported = true;
    return true;
}

void cookie_watch_returned(struct cookie_watch *w, const struct net_path *path)
{
    struct cookie_watch_slot *slot = slot_of(w, path);
    if (is_peer(slot, path))
        slot->first_ms = 0;
}
