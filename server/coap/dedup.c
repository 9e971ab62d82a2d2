#include "coap/dedup.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "coap/link.h"

#define FIRST_SIZE 1  /* most sessions of a fleet at rest have one exchange in a while */
#define INLINE_MAX 16 /* bytes: an empty ACK, a code with a token, the time */

struct entry {
    uint64_t expires_ms;
    union {
        uint8_t small[INLINE_MAX];
        uint8_t *large; /* ours, when answer_len > INLINE_MAX */
    } answer;
    uint16_t answer_len;
};

struct coap_dedup {
    unsigned first, size; /* size: a power of two */
    uint16_t
        *mids; /* in the same block as this; beside the entries because every request looks through all */
    struct entry entries[];
};

_Static_assert((COAP_DEDUP_MAX & (COAP_DEDUP_MAX - 1)) == 0 && COAP_DEDUP_MAX <= UINT16_MAX,
               "ring arithmetic");

static unsigned slot_of(const struct coap_dedup *dedup, unsigned place)
{
    return (dedup->first + place) & (dedup->size - 1);
}

static struct coap_dedup *ring_new(unsigned size)
{
    struct coap_dedup *ring =
        mem_alloc(sizeof(*ring) + size * sizeof(ring->entries[0]) + size * sizeof(ring->mids[0]));

    ring->size = size;
    ring->mids = (uint16_t *)&ring->entries[size];
    return ring;
}

static void drop_oldest(struct coap_peer *peer)
{
    struct coap_dedup *dedup = peer->dedup;
    struct entry *oldest = &dedup->entries[dedup->first];

    if (oldest->answer_len > INLINE_MAX)
        free(oldest->answer.large);
    memset(oldest, 0, sizeof(*oldest));
    dedup->first = slot_of(dedup, 1);
    peer->dedup_count--;
}

static void make_room(struct coap_peer *peer)
{
    struct coap_dedup *old = peer->dedup;

    if (old == NULL) {
        peer->dedup = ring_new(FIRST_SIZE);
        return;
    }
    if (peer->dedup_count < old->size)
        return;
    if (old->size == COAP_DEDUP_MAX) {
        drop_oldest(peer);
        return;
    }
    peer->dedup = ring_new(old->size * 2);
    for (unsigned i = 0; i < peer->dedup_count; i++) {
        peer->dedup->entries[i] = old->entries[slot_of(old, i)];
        peer->dedup->mids[i] = old->mids[slot_of(old, i)];
    }
    free(old);
}

void coap_dedup_put(struct coap_peer *peer, uint16_t mid, const uint8_t *answer, size_t answer_len,
                    uint64_t now_ms)
{
    must(answer_len <= COAP_MESSAGE_MAX);
    make_room(peer);
    unsigned slot = slot_of(peer->dedup, peer->dedup_count);
    struct entry *e = &peer->dedup->entries[slot];
    e->expires_ms = now_ms + (coap_link_is_device_os(peer) ? COAP_DEDUP_DEVICE_OS_MS : COAP_DEDUP_MS);
    e->answer_len = (uint16_t)answer_len;
    if (answer_len > INLINE_MAX)
        e->answer.large = mem_copy(answer, answer_len);
    else if (answer_len > 0)
        memcpy(e->answer.small, answer, answer_len);
    peer->dedup->mids[slot] = mid;
    peer->dedup_count++;
    coap_link_watch_expiry(peer);
}

#define MIDS_AT_ONCE 16 /* the compiler makes one or two vectors of them */

/* In any slot, used or not: almost every request is new, and has to be told from all others. */
static bool may_have(const struct coap_dedup *dedup, uint16_t mid)
{
    if (dedup->size < MIDS_AT_ONCE)
        return true;
    for (unsigned i = 0; i < dedup->size; i += MIDS_AT_ONCE) {
        uint16_t hits = 0;
        for (unsigned j = 0; j < MIDS_AT_ONCE; j++)
            hits = (uint16_t)(hits | (dedup->mids[i + j] == mid));
        if (hits)
            return true;
    }
    return false;
}

bool coap_dedup_find(const struct coap_peer *peer, uint16_t mid, uint64_t now_ms, const uint8_t **answer,
                     size_t *answer_len)
{
    const struct coap_dedup *dedup = peer->dedup;

    if (peer->dedup_count == 0 || !may_have(dedup, mid))
        return false;
    for (unsigned i = peer->dedup_count; i-- > 0;) {
        unsigned slot = slot_of(dedup, i);
        if (dedup->mids[slot] != mid)
            continue;
        const struct entry *e = &dedup->entries[slot];
        *answer = e->answer_len > INLINE_MAX ? e->answer.large : e->answer.small;
        *answer_len = e->answer_len;
        return e->expires_ms > now_ms;
    }
    return false;
}

void coap_dedup_expire(struct coap_peer *peer, uint64_t now_ms)
{
    while (peer->dedup_count > 0 && coap_dedup_next_ms(peer) <= now_ms)
        drop_oldest(peer);
    if (peer->dedup_count == 0) {
        free(peer->dedup);
        peer->dedup = NULL;
    }
}

uint64_t coap_dedup_next_ms(const struct coap_peer *peer)
{
    return peer->dedup_count > 0 ? peer->dedup->entries[peer->dedup->first].expires_ms : UINT64_MAX;
}

void coap_dedup_free(struct coap_peer *peer)
{
    while (peer->dedup_count > 0)
        drop_oldest(peer);
    free(peer->dedup);
    peer->dedup = NULL;
}
