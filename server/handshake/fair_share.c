#include "handshake/fair_share.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/mem.h"
#include "base/must.h"

struct fair_share_network {
    uint64_t network;
    uint32_t in_flight;
    UT_hash_handle hh;
};

void fair_share_init(struct fair_share *f, uint32_t max, uint32_t per_network)
{
    *f = (struct fair_share){.max = max, .per_network = per_network};
}

static struct fair_share_network *find(const struct fair_share *f, uint64_t network)
{
    struct fair_share_network *n;
    HASH_FIND(hh, f->networks, &network, sizeof network, n);
    return n;
}

bool fair_share_take(struct fair_share *f, uint64_t network)
{
    struct fair_share_network *n = find(f, network);
    uint32_t has = n ? n->in_flight : 0;
    if (f->in_flight >= f->max || (has >= f->per_network && f->in_flight >= f->max / 2))
        return false;
    if (!n) {
        n = mem_alloc(sizeof *n);
        n->network = network;
        HASH_ADD(hh, f->networks, network, sizeof n->network, n);
    }
    n->in_flight++;
    f->in_flight++;
    return true;
}

void fair_share_release(struct fair_share *f, uint64_t network)
{
    struct fair_share_network *n = find(f, network);
    must(n != NULL && n->in_flight > 0 && f->in_flight > 0);
    f->in_flight--;
    if (--n->in_flight > 0)
        return;
    HASH_DELETE(hh, f->networks, n);
    free(n);
}
