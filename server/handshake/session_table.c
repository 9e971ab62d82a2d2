#include "handshake/session_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
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

/* Most of an id is random, and only ids we drew are ever added. */
static uint32_t hash_of(uint64_t id)
{
    return (uint32_t)(id >> 16) ^ (uint32_t)(id >> 48);
}

static bool has_id(const void *entry, const void *key)
{
    return ((const struct session *)entry)->id == *(const uint64_t *)key;
}

void session_table_deinit(struct session_table *t)
{
    must(t->by_id.count == 0);
    table_deinit(&t->by_id);
}

size_t session_table_count(const struct session_table *t)
{
    return t->by_id.count;
}

void session_table_drop_address(struct session_table *t, struct session *s)
{
    if (!s->address || !s->address->has_address)
        return;
    HASH_DELETE(by_peer, t->by_peer, s->address);
    s->address->has_address = false;
}

void session_table_take_address(struct session_table *t, struct session *s)
{
    struct session_address *a = s->address;
    if (a->has_address || session_table_find_peer(t, &s->path))
        return;
    HASH_ADD_KEYPTR(by_peer, t->by_peer, s->path.peer_ip, NET_PEER_BYTES, a);
    a->has_address = true;
}

void session_table_add(struct session_table *t, struct session *s)
{
    table_add(&t->by_id, hash_of(s->id), s);
    if (s->record.own_cid_len == 0) {
        s->address = mem_alloc(sizeof *s->address);
        s->address->session = s;
        session_table_take_address(t, s);
    }
    link_newest(t, s);
}

static void unname(struct session_table *t, struct session_address *a)
{
    if (a->has_name)
        HASH_DELETE(by_name, t->by_name, a);
    a->has_name = false;
}

void session_table_name(struct session_table *t, struct session *s, const uint8_t name[SESSION_NAME_BYTES])
{
    struct session_address *a = s->address;
    memcpy(s->name, name, sizeof s->name);
    s->named = true;
    if (!a)
        return;
    struct session *before = session_table_find_name(t, name);
    if (before)
        unname(t, before->address);
    unname(t, a);
    memcpy(a->name, name, sizeof a->name);
    a->has_name = true;
    HASH_ADD(by_name, t->by_name, name, sizeof a->name, a);
}

struct session *session_table_find_name(const struct session_table *t, const uint8_t name[SESSION_NAME_BYTES])
{
    struct session_address *a;
    HASH_FIND(by_name, t->by_name, name, SESSION_NAME_BYTES, a);
    return a ? a->session : NULL;
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
    session_table_drop_address(t, s);
    if (s->address)
        unname(t, s->address);
    free(s->address);
    s->address = NULL;
    table_remove(&t->by_id, hash_of(s->id), s);
    unlink_age(t, s);
}

struct session *session_table_find_id(const struct session_table *t, uint64_t id)
{
    return table_find(&t->by_id, hash_of(id), has_id, &id);
}

struct session *session_table_find_peer(const struct session_table *t, const struct net_path *path)
{
    struct session_address *a;
    HASH_FIND(by_peer, t->by_peer, path->peer_ip, NET_PEER_BYTES, a);
    return a ? a->session : NULL;
}

void session_table_touch(struct session_table *t, struct session *s, uint64_t now_ms)
{
    s->heard_ms = now_ms;
    if (t->newest == s)
        return;
    unlink_age(t, s);
    link_newest(t, s);
}
