/* session_store.h: sessions that outlive this process, in Redis, shared by all nodes.
 *
 *   PREFIX s:ID    NODE:INCARNATION:EPOCH:FLAG:SEND_FROM: and the sealed image. FLAG: h held, r let go of,
 *                  p and u the same of one whose peer has not proved yet that it is there
 *   PREFIX n:NAME  ID:EPOCH of the newest session of that device
 *   PREFIX a:PEER  ID of the session without connection ID at that address
 *
 * Written behind activity: what must not be lost at the next turn, what only counts records about a second
 * later, in batches, a session at most once at a time however often it changes. While Redis is away the list
 * of what is to be written stands; it cannot be longer than there are sessions.
 *
 * One owner: each write carries the session's epoch and is refused when a greater one is stored; taking a
 * session over raises it in one step. A node whose write is refused drops what it holds. Before it takes a
 * session from a living owner it asks for it: the owner writes down where exactly it is, lets go and says so.
 * An owner that does not answer, or is dead and did not stop cleanly, leaves an image that may be behind: the
 * peer must then prove that it is there (ops->restored, exact false).
 *
 * Sequence numbers: SEND_FROM is reserved ahead. Whoever holds the session sends below it and renews it in
 * time; whoever takes it over begins there. So none is ever used twice under a key, whatever is lost. Only a
 * record that authenticates moves a session.
 *
 * Ownership: made by node.c after nodes_new and dtls_new. Loop thread only. */
#ifndef CYAN_HANDSHAKE_SESSION_STORE_H
#define CYAN_HANDSHAKE_SESSION_STORE_H

#include "handshake/dtls.h"
#include "handshake/session.h"
#include "store/nodes.h"

#define SESSION_SEND_BLOCK 65536 /* sequence numbers reserved at a time */

struct session_store;

/* expiry_ms: how long an untouched session is kept. */
struct session_store *session_store_new(struct dtls *dtls, const struct server_key *key, struct redis *redis,
                                        struct nodes *nodes, struct deadlines *deadlines,
                                        struct metrics *metrics, uint64_t expiry_ms);
/* After the flush and before dtls_free: nothing is written or looked for any more. */
void session_store_stop(struct session_store *st);
/* After redis_close, which ends what is under way. */
void session_store_free(struct session_store *st);
/* The lease is ours; again: it had lapsed, and what is held here may have been taken by others. */
void session_store_joined(struct session_store *st, bool again);
/* Before a clean stop: writes everything that waits, then calls done with whether all of it was; at most 5 s.
 */
void session_store_flush(struct session_store *st, void (*done)(void *arg, bool all), void *arg);

/* Which node holds the newest session of this device (SESSION_NAME_BYTES). From the loop, exactly once. found
 * false: it has no session, or Redis cannot be asked (away true). The node may have died since. */
typedef void session_where_fn(void *arg, bool found, bool away, uint32_t node);
void session_store_where(struct session_store *st, const uint8_t name[SESSION_NAME_BYTES],
                         session_where_fn *done, void *arg);

#endif
