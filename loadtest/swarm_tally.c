#include "swarm_tally.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 16
#define MOST_SIZE 65536
#define REMEMBER_S 120 /* the last transmission is answered by 90 s: device-protocol 3.4 */

struct tally {
    uint32_t first_s; /* when it first went out */
    uint16_t mid;
    uint8_t sent; /* 0 = empty */
    uint8_t answered;
};

void swarm_tallies_deinit(struct swarm_tallies *t)
{
    free(t->slots);
    memset(t, 0, sizeof(*t));
}

static struct tally *slot_of(const struct swarm_tallies *t, uint16_t mid)
{
    return &t->slots[mid & (t->size - 1)];
}

static void grow(struct swarm_tallies *t)
{
    struct tally *old = t->slots;
    uint32_t old_size = t->size;

    t->size = old_size > 0 ? 2 * old_size : FIRST_SIZE;
    t->slots = mem_array(t->size, sizeof(*t->slots));
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i].sent > 0)
            *slot_of(t, old[i].mid) = old[i];
    free(old);
}

static bool is_needed(const struct tally *tally, uint16_t mid, uint32_t now_s)
{
    return tally->sent > 0 && tally->mid != mid && now_s - tally->first_s < REMEMBER_S;
}

void swarm_tally_sent(struct swarm_tallies *t, uint16_t mid, bool again, uint64_t now_ms)
{
    uint32_t now_s = (uint32_t)(now_ms / 1000);
    struct tally *tally;

    while (t->size == 0 || (t->size < MOST_SIZE && is_needed(slot_of(t, mid), mid, now_s)))
        grow(t);
    tally = slot_of(t, mid);
    if (!again || tally->sent == 0 || tally->mid != mid)
        *tally = (struct tally){.first_s = now_s, .mid = mid};
    if (tally->sent < UINT8_MAX)
        tally->sent++;
}

bool swarm_tally_answered(struct swarm_tallies *t, uint16_t mid)
{
    struct tally *tally = t->size > 0 ? slot_of(t, mid) : NULL;

    if (!tally || tally->sent == 0 || tally->mid != mid)
        return false;
    if (tally->answered < UINT8_MAX)
        tally->answered++;
    return tally->answered <= tally->sent;
}
