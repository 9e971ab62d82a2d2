/* session_store.h: sessions that outlive this process, in Redis, shared by all nodes.
 *
 * Ownership: made by node.c after nodes_new. Loop thread only. */
#ifndef CYAN_HANDSHAKE_SESSION_STORE_H
#define CYAN_HANDSHAKE_SESSION_STORE_H

#include "handshake/session.h"
#include "store/nodes.h"

struct session_store;

/* Which node holds the newest session of this device (SESSION_NAME_BYTES). From the loop, exactly once. found
 * false: it has no session, or Redis cannot be asked (away true). The node may have died since. */
typedef void session_where_fn(void *arg, bool found, bool away, uint32_t node);
void session_store_where(struct session_store *st, const uint8_t name[SESSION_NAME_BYTES],
                         session_where_fn *done, void *arg);

#endif
