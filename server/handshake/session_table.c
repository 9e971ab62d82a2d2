#include "handshake/session_table.h"

#include <string.h>

#include "base/must.h"

static void link_newest(struct session_table *t, struct session *s)
{
    s->older = t->newest;
    s->newer = NULL;
    if (t->newest)
        t->newest->newer = s;
    else
        t->oldest = s;
    t->newest = s;
}

static void unlink_age(struct session_table *t, struct session *s)
{
    if (s->older)
        s->older->newer = s->newer;
    else
        t->oldest = s->newer;
    if (s->newer)
        s->newer->older = s->older;
    else
        t->newest = s->older;
}

void session_table_drop_address(struct session_table *t, struct session *s)
{
    if (s->has_address)
        HASH_DELETE(by_peer, t->by_peer, s);
    s->has_address = false;
}

void session_table_take_address(struct session_table *t, struct session *s)
{
    if (s->has_address || session_table_find_peer(t, &s->path))
        return;
    HASH_ADD_KEYPTR(by_peer, t->by_peer, s->path.peer_ip, NET_PEER_BYTES, s);
    s->has_address = true;
}

void session_table_add(struct session_table *t, struct session *s, uint64_t now_ms)
{
    HASH_ADD(by_id, t->by_id, id, sizeof s->id, s);
    if (s->record.own_cid_len == 0)
        session_table_take_address(t, s);
    s->heard_ms = now_ms;
    link_newest(t, s);
    t->count++;
}

static void unname(struct session_table *t, struct session *s)
{
    if (s->named)
        HASH_DELETE(by_name, t->by_name, s);
    s->named = false;
}

void session_table_name(struct session_table *t, struct session *s, const uint8_t name[SESSION_NAME_BYTES])
{
    if (s->record.own_cid_len > 0)
        return;
    struct session *before = session_table_find_name(t, name);
    if (before)
        unname(t, before);
    unname(t, s);
    memcpy(s->name, name, sizeof s->name);
    s->named = true;
    HASH_ADD(by_name, t->by_name, name, sizeof s->name, s);
}

struct session *session_table_find_name(const struct session_table *t, const uint8_t name[SESSION_NAME_BYTES])
{
    struct session *s;
    HASH_FIND(by_name, t->by_name, name, SESSION_NAME_BYTES, s);
    return s;
}

void session_table_move(struct session_table *t, struct session *s, const struct net_path *path)
{
    must(s->record.own_cid_len == 0);
    session_table_drop_address(t, s);
    s->path = *path;
    session_table_take_address(t, s);
}

void session_table_remove(struct session_table *t, struct session *s)
{
    unname(t, s);
    HASH_DELETE(by_id, t->by_id, s);
    session_table_drop_address(t, s);
    unlink_age(t, s);
    t->count--;
}

struct session *session_table_find_id(const struct session_table *t, uint64_t id)
{
    struct session *s;
    HASH_FIND(by_id, t->by_id, &id, sizeof id, s);
    return s;
}

struct session *session_table_find_peer(const struct session_table *t, const struct net_path *path)
{
    struct session *s;
    HASH_FIND(by_peer, t->by_peer, path->peer_ip, NET_PEER_BYTES, s);
    return s;
}

void session_table_touch(struct session_table *t, struct session *s, uint64_t now_ms)
{
    s->heard_ms = now_ms;
    if (t->newest == s)
        return;
    unlink_age(t, s);
    link_newest(t, s);
}
