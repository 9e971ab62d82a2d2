#include "handshake/fair_share.h"

#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#include "base/bucket.h"
#include "base/mem.h"
#include "base/must.h"

struct fair_share_network {
    uint64_t network;
    uint32_t in_flight;
    bool spoiler; /* in the list of these */
    struct bucket spoiled;
    UT_hash_handle hh;
    struct fair_share_network *prev, *next;
};

void fair_share_init(struct fair_share *f, uint32_t max, uint32_t per_network)
{
    *f = (struct fair_share){.max = max, .per_network = per_network};
}

static void forget(struct fair_share *f, struct fair_share_network *n)
{
    if (n->spoiler)
        DL_DELETE(f->spoilers, n);
    HASH_DELETE(hh, f->networks, n);
    free(n);
}

void fair_share_deinit(struct fair_share *f)
{
    while (f->networks)
        forget(f, f->networks);
}

static struct fair_share_network *find(const struct fair_share *f, uint64_t network)
{
    struct fair_share_network *n;
    HASH_FIND(hh, f->networks, &network, sizeof network, n);
    return n;
}

static struct fair_share_network *find_or_add(struct fair_share *f, uint64_t network, uint64_t now_ms)
{
    struct fair_share_network *n = find(f, network);
    if (n)
        return n;
    n = mem_alloc(sizeof *n);
    n->network = network;
    bucket_init(&n->spoiled, FAIR_SHARE_SPOILED_BURST, FAIR_SHARE_SPOILED_PER_S, now_ms);
    HASH_ADD(hh, f->networks, network, sizeof n->network, n);
    return n;
}

/* Two at a time are looked at: more than can be added meanwhile. */
static void pardon(struct fair_share *f, uint64_t now_ms)
{
    for (int i = 0; i < 2 && f->spoilers && bucket_is_full(&f->spoilers->spoiled, now_ms); i++) {
        struct fair_share_network *n = f->spoilers;
        DL_DELETE(f->spoilers, n);
        n->spoiler = false;
        if (n->in_flight == 0)
            forget(f, n);
    }
}

bool fair_share_may_spoil(struct fair_share *f, uint64_t network, uint64_t now_ms)
{
    struct fair_share_network *n = find(f, network);
    return !n || bucket_has(&n->spoiled, now_ms);
}

bool fair_share_take(struct fair_share *f, uint64_t network, uint64_t now_ms)
{
    pardon(f, now_ms);
    struct fair_share_network *n = find(f, network);
    uint32_t has = n ? n->in_flight : 0;
    if (f->in_flight >= f->max || (has >= f->per_network && f->in_flight >= f->max / 2) ||
        (n && !bucket_has(&n->spoiled, now_ms)))
        return false;
    find_or_add(f, network, now_ms)->in_flight++;
    f->in_flight++;
    return true;
}

void fair_share_release(struct fair_share *f, uint64_t network)
{
    struct fair_share_network *n = find(f, network);
    must(n != NULL && n->in_flight > 0 && f->in_flight > 0);
    f->in_flight--;
    if (--n->in_flight == 0 && !n->spoiler)
        forget(f, n);
}

void fair_share_spoiled(struct fair_share *f, uint64_t network, uint64_t now_ms)
{
    struct fair_share_network *n = find_or_add(f, network, now_ms);
    (void)bucket_take(&n->spoiled, now_ms);
    if (n->spoiler)
        DL_DELETE(f->spoilers, n);
    DL_APPEND(f->spoilers, n);
    n->spoiler = true;
}
