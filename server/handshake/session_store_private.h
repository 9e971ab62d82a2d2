/* session_store_private.h: what the files of the session store share, and what dtls.c tells it. */
#ifndef CYAN_HANDSHAKE_SESSION_STORE_PRIVATE_H
#define CYAN_HANDSHAKE_SESSION_STORE_PRIVATE_H

#include "base/bucket.h"
#include "handshake/session_image.h"
#include "handshake/session_store.h"
#include "store/nodes.h"
#include "store/redis.h"

/* A queue of session ids, each with the time it was put there. */
struct id_ring {
    struct id_entry {
        uint64_t id, since_ms;
    } * entries; /* ours */
    size_t first, count, size;
};
void id_ring_push(struct id_ring *r, uint64_t id, uint64_t now_ms);
struct id_entry id_ring_pop(struct id_ring *r); /* count > 0 */

struct session_load;
struct session_gone;

struct session_store {
    struct dtls *dtls;   /* borrowed; NULL once stopped */
    struct redis *redis; /* borrowed */
    struct nodes *nodes; /* borrowed */
    struct deadlines *deadlines;
    uint64_t expiry_ms;
    uint8_t key[SESSION_IMAGE_KEY_BYTES];
    uint8_t generation;          /* of the lease: grows each time it had lapsed */
    struct id_ring urgent, lazy; /* to be written */
    struct session_gone *gone;   /* ours: to be removed, oldest first */
    size_t gone_count;
    size_t batches;    /* in flight */
    bool write_failed; /* since the flush began */
    bool left_behind;  /* something in Redis is older than what we did of it, and will not be written again */
    struct deadline write;
    struct session_load *loads; /* ours: uthash */
    size_t load_count;
    struct bucket strangers; /* look-ups by address and by name */
    struct deadline flush_limit;
    void (*flushed)(void *arg, bool all);
    void *flushed_arg;
    struct metric *dirty, *behind_ms, *written, *lost, *taken_exact, *taken_behind, *let_go, *misses,
        *seek_refused, *gone_dropped;
};

/* session_store.c: for dtls.c */

/* s was used; urgent: what the owner keeps of it, or its address, has changed. */
void session_store_changed(struct session_store *st, struct session *s, bool urgent);
/* s is over, for good: no node shall find it any more. */
void session_store_ended(struct session_store *st, const struct session *s);
/* Writes s down as let go of, for another node that asked; s is to be ended by the caller. False: Redis is
 * away. */
must_check bool session_store_let_go(struct session_store *st, struct session *s, uint32_t to);

/* session_load.c */

enum session_seek { SEEK_CID, SEEK_PEER, SEEK_NAME };
/* A protected record for a session that is not here (id, path or name says which), or, with SEEK_CID, is here
 * and not known to be ours still. Holds a copy of the datagram; handed to dtls_receive_protected when the
 * session is here. False: not looked for, and not held. */
must_check bool session_store_seek(struct session_store *st, enum session_seek kind, const void *key,
                                   const struct net_path *path, const uint8_t *data, size_t data_len,
                                   uint64_t now_ms);
void session_loads_joined(struct session_store *st); /* those that came before the lease are looked for now */
void session_loads_drop(struct session_store *st);
void session_loads_receive(void *store, uint32_t from, const uint8_t *data,
                           size_t data_len); /* nodes_receive_fn */
enum session_message { MESSAGE_LET_GO = 'R', MESSAGE_DONE = 'D', MESSAGE_REPLACED = 'G' };
void session_loads_tell(struct session_store *st, uint32_t to, enum session_message what, uint64_t id);

/* Keys: the caller frees. */
char *session_store_key(const struct session_store *st, char kind, const void *name, size_t name_len);

/* session_write.c */

void session_write_due(struct session_store *st, uint64_t now_ms); /* as many as may be under way */

/* session_store.c, for session_write.c */

struct key_text {
    char text[NODES_PREFIX_MAX + 2 + 2 * NET_PEER_BYTES + 1];
};

/* What one session is called in a call of ours. */
struct session_keys {
    struct key_text own, device, peer;
    char id[17];
    struct redis_number epoch;
};

void session_store_name(const struct session_store *st, const struct session *s, struct session_keys *k);
/* What is due is begun, the rest planned, and a flush ended when nothing is left. */
void session_store_go_on(struct session_store *st);

#endif
