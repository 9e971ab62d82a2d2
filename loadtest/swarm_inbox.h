/* swarm_inbox.h: handshake messages put together again from fragments that come in any order, twice or
 * merged.
 *
 * Ownership: embedded in the handshake; swarm_inbox_deinit frees what is held. A message given by
 * swarm_inbox_next is valid until swarm_inbox_pop. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_INBOX_H
#define CYAN_LOADTEST_SWARM_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SWARM_INBOX_SLOTS 8
#define SWARM_MESSAGE_MAX_BYTES 2048
#define SWARM_HANDSHAKE_HEADER_BYTES 12

struct swarm_fragment {
    const uint8_t *data; /* borrowed */
    uint32_t offset, len, message_len;
    uint16_t seq;
    uint8_t type;
};

struct swarm_message {
    const uint8_t *body; /* borrowed from the inbox */
    uint32_t len;
    uint16_t seq;
    uint8_t type;
};

struct swarm_inbox {
    struct inbox_slot *slots[SWARM_INBOX_SLOTS]; /* ours; by seq % SWARM_INBOX_SLOTS */
    uint16_t next_seq;
};

void swarm_inbox_deinit(struct swarm_inbox *inbox);
/* Takes the next fragment off a handshake record's body; false at its end or when malformed. */
bool swarm_fragment_next(const uint8_t **at, size_t *left, struct swarm_fragment *f);
/* False when the fragment contradicts what is known or is beyond the bounds; old fragments are ignored. */
bool swarm_inbox_put(struct swarm_inbox *inbox, const struct swarm_fragment *f);
/* The next message in order, when it is whole. */
bool swarm_inbox_next(const struct swarm_inbox *inbox, struct swarm_message *m);
void swarm_inbox_pop(struct swarm_inbox *inbox);

#endif
