/* session_table.h: all sessions of the process: by connection ID, by address where records carry none, by
 * age. Every operation is O(1). For this room only. */
#ifndef CYAN_HANDSHAKE_SESSION_TABLE_H
#define CYAN_HANDSHAKE_SESSION_TABLE_H

#include "base/table.h"
#include "handshake/session.h"

struct session_table {
    struct table by_id;
    struct session_address *by_peer, *by_name; /* uthash heads */
    struct session *oldest, *newest;           /* by last authenticated record */
};
void session_table_deinit(struct session_table *t); /* empty */
size_t session_table_count(const struct session_table *t);

/* s->id, s->path, s->record and s->heard_ms are filled in; it becomes the newest. An
 * address that another session without connection ID has stays that one's. */
void session_table_add(struct session_table *t, struct session *s);
void session_table_remove(struct session_table *t, struct session *s);
struct session *session_table_find_id(const struct session_table *t, uint64_t id);
struct session *session_table_find_peer(const struct session_table *t, const struct net_path *path);
/* Gives an address up, and takes it again if it is free. For sessions without connection ID. */
void session_table_drop_address(struct session_table *t, struct session *s);
void session_table_take_address(struct session_table *t, struct session *s);
/* Of sessions without connection ID the newest of a name is the one found; it takes it from whichever had it.
 */
void session_table_name(struct session_table *t, struct session *s, const uint8_t name[SESSION_NAME_BYTES]);
struct session *session_table_find_name(const struct session_table *t,
                                        const uint8_t name[SESSION_NAME_BYTES]);
/* A session without connection ID goes on from another address, which no other such session has. */
void session_table_move(struct session_table *t, struct session *s, const struct net_path *path);
void session_table_touch(struct session_table *t, struct session *s, uint64_t now_ms);

#endif
