/* session_table.h: all sessions of the process: by connection ID, by address where records carry none, by
 * age. Every operation is O(1). For this room only. */
#ifndef CYAN_HANDSHAKE_SESSION_TABLE_H
#define CYAN_HANDSHAKE_SESSION_TABLE_H

#include "handshake/session.h"

struct session_table {
    struct session *by_id, *by_peer, *by_name; /* uthash heads */
    struct session *oldest, *newest;           /* by last authenticated record */
    size_t count;
};

/* s->id, s->path and s->record are filled in; its address must not be in use by another session without
 * connection ID. */
void session_table_add(struct session_table *t, struct session *s, uint64_t now_ms);
void session_table_remove(struct session_table *t, struct session *s);
struct session *session_table_find_id(const struct session_table *t, uint64_t id);
struct session *session_table_find_peer(const struct session_table *t, const struct net_path *path);
/* Gives an address up, and takes it again if it is free. For sessions without connection ID. */
void session_table_drop_address(struct session_table *t, struct session *s);
void session_table_take_address(struct session_table *t, struct session *s);
/* Takes the name from whichever session had it. Without effect on a session with connection ID. */
void session_table_name(struct session_table *t, struct session *s, const uint8_t name[SESSION_NAME_BYTES]);
struct session *session_table_find_name(const struct session_table *t,
                                        const uint8_t name[SESSION_NAME_BYTES]);
/* A session without connection ID goes on from another address, which no other such session has. */
void session_table_move(struct session_table *t, struct session *s, const struct net_path *path);
void session_table_touch(struct session_table *t, struct session *s, uint64_t now_ms);

#endif
