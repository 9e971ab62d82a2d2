#include "swarm_inbox.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/must.h"
#include <stdlib.h>
#include <string.h>

struct inbox_slot {
    uint32_t len, missing;
    uint16_t seq;
    uint8_t type;
    uint8_t data[]; /* len bytes of body, then len bytes: 1 where the byte has come */
};

static void slot_clear(struct swarm_inbox *inbox, uint16_t seq)
{
    free(inbox->slots[seq % SWARM_INBOX_SLOTS]);
    inbox->slots[seq % SWARM_INBOX_SLOTS] = NULL;
}

void swarm_inbox_deinit(struct swarm_inbox *inbox)
{
    for (uint16_t i = 0; i < SWARM_INBOX_SLOTS; i++)
        slot_clear(inbox, i);
}

bool swarm_fragment_next(const uint8_t **at, size_t *left, struct swarm_fragment *f)
{
    struct bytes_reader r;

    if (*left == 0)
        return false;
    bytes_reader_init(&r, *at, *left);
    f->type = bytes_get_u8(&r);
    f->message_len = bytes_get_be24(&r);
    f->seq = bytes_get_be16(&r);
    f->offset = bytes_get_be24(&r);
    f->len = bytes_get_be24(&r);
    f->data = bytes_get(&r, f->len);
    if (r.bad || f->offset + f->len > f->message_len)
        return false;
    *at += SWARM_HANDSHAKE_HEADER_BYTES + f->len;
    *left -= SWARM_HANDSHAKE_HEADER_BYTES + f->len;
    return true;
}

bool swarm_inbox_put(struct swarm_inbox *inbox, const struct swarm_fragment *f)
{
    struct inbox_slot *slot;

    if (f->seq < inbox->next_seq)
        return true;
    if (f->seq >= inbox->next_seq + SWARM_INBOX_SLOTS || f->message_len > SWARM_MESSAGE_MAX_BYTES)
        return false;
    slot = inbox->slots[f->seq % SWARM_INBOX_SLOTS];
    if (!slot) {
        slot = mem_alloc(sizeof(*slot) + (size_t)2 * f->message_len);
        slot->seq = f->seq;
        slot->type = f->type;
        slot->len = slot->missing = f->message_len;
        inbox->slots[f->seq % SWARM_INBOX_SLOTS] = slot;
    }
    if (slot->seq != f->seq || slot->type != f->type || slot->len != f->message_len)
        return false;
    for (uint32_t i = 0; i < f->len; i++) {
        uint32_t place = f->offset + i;

        if (slot->data[slot->len + place])
            continue;
        slot->data[slot->len + place] = 1;
        slot->data[place] = f->data[i];
        slot->missing--;
    }
    return true;
}

bool swarm_inbox_next(const struct swarm_inbox *inbox, struct swarm_message *m)
{
    const struct inbox_slot *slot = inbox->slots[inbox->next_seq % SWARM_INBOX_SLOTS];

    if (!slot || slot->missing > 0)
        return false;
    *m = (struct swarm_message){.body = slot->data, .len = slot->len, .seq = slot->seq, .type = slot->type};
    return true;
}

void swarm_inbox_pop(struct swarm_inbox *inbox)
{
    must(inbox->slots[inbox->next_seq % SWARM_INBOX_SLOTS] != NULL);
    slot_clear(inbox, inbox->next_seq);
    inbox->next_seq++;
}
