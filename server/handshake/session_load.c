/* session_load.c: sessions that are not here: found in Redis, asked for from their owner, taken over.
 *
 *   LOOKING --image--> (a held record opens) --owner dead, or let go--> TAKING --> adopted, held records go
 * on
 *      \--nobody has it--> (gone)     \--owner lives--> ASKING --it let go, or 300 ms--> TAKING
 *
 * A load is known by what its first record named it by; up to HELD_MAX datagrams wait with it, all others are
 * dropped: devices send again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "handshake/dtls_private.h"
#include "handshake/session_store_private.h"
#include "handshake/session_stored.h"

#define LOADS_MAX 4096
#define HELD_MAX 4
#define ASK_MS 300   /* for the owner to let go */
#define LOAD_MS 3000 /* in all */

/* KEYS: an address's or a device's, or "" when ARGV[1] is the session's id. ARGV: id, prefix of sessions, of
 * leases. Answers id, whether its holder lives, what is stored; nil when there is none. A lease begins with
 * its holder's incarnation. */
static const struct redis_script find_script = {
    .name = "session_find",
    .text = "local id = ARGV[1]\n"
            "if id == '' then id = string.match(redis.call('GET', KEYS[1]) or '', '^(%x+)') end\n"
            "local v = id and redis.call('GET', ARGV[2] .. id)\n"
            "if not v then return false end\n"
            "local n, i = string.match(v, '^(%d+):(%d+):')\n"
            "local lease = n and string.match(redis.call('GET', ARGV[3] .. n) or '', '^(%d+)')\n"
            "return {id, (lease == i and 1 or 0), v}\n",
};

/* KEYS: the session's, its device's or "". ARGV: node, incarnation, now in microseconds, epoch it was seen
 * with, block of sequence numbers, time to live, prefix of leases, of marks, id. Answers exact or not, new
 * epoch, where to send from, the image; nil when it is gone or has another epoch. */
static const struct redis_script take_script = {
    .name = "session_take",
    .text = "local v = redis.call('GET', KEYS[1])\n"
            "if not v then return false end\n"
            "local n, i, e, f, from, at = string.match(v, '^(%d+):(%d+):(%d+):(%a):(%d+):()')\n"
            "if e ~= ARGV[4] then return false end\n"
            "local exact = f == 'r'\n"
            "if f == 'h' then\n"
            "  local lease = string.match(redis.call('GET', ARGV[7] .. n) or '', '^(%d+)')\n"
            "  exact = lease ~= i and redis.call('EXISTS', ARGV[8] .. n .. ':' .. i) == 1\n"
            "end\n"
            "local epoch = string.format('%.0f', math.max(tonumber(e) + 1, tonumber(ARGV[3])))\n"
            "local limit = string.format('%.0f', tonumber(from) + tonumber(ARGV[5]))\n"
            "redis.call('SET', KEYS[1], table.concat({ARGV[1], ARGV[2], epoch, exact and 'h' or 'p', limit}, "
            "':')\n"
            "  .. ':' .. string.sub(v, at), 'PX', ARGV[6])\n"
            "if KEYS[2] ~= '' and string.match(redis.call('GET', KEYS[2]) or '', '^(%x+):') == ARGV[9] then\n"
            "  redis.call('SET', KEYS[2], ARGV[9] .. ':' .. epoch, 'PX', ARGV[6]) end\n"
            "return {exact and 1 or 0, epoch, from, string.sub(v, at)}\n",
};

enum load_state { LOOKING, ASKING, TAKING };

struct load_key {
    uint8_t kind; /* enum session_seek */
    uint8_t bytes[NET_PEER_BYTES];
};

struct session_load {
    struct session_store *st;
    UT_hash_handle by_key;
    struct load_key key;
    enum load_state state;
    bool pending; /* a command of Redis will still answer */
    bool over;    /* dropped meanwhile */
    uint64_t id, epoch;
    char id_text[17];
    struct session_image *image; /* ours: once found */
    struct deadline deadline;
    uint64_t until_ms;
    size_t held_count;
    struct held {
        struct net_path path;
        uint8_t *data; /* ours */
        size_t data_len;
    } held[HELD_MAX];
};

static void free_load(struct session_load *l)
{
    for (size_t i = 0; i < l->held_count; i++)
        free(l->held[i].data);
    if (l->image)
        bytes_wipe(l->image, sizeof *l->image);
    free(l->image);
    free(l);
}

/* From here on the load is no more; what it waits for from Redis frees it. */
static void drop(struct session_load *l)
{
    struct session_store *st = l->st;
    HASH_DELETE(by_key, st->loads, l);
    st->load_count--;
    deadline_cancel(st->deadlines, &l->deadline);
    l->over = true;
    if (!l->pending)
        free_load(l);
}

void session_loads_drop(struct session_store *st)
{
    while (st->loads)
        drop(st->loads);
}

static enum dtls_refusal refusal_of(const struct session_load *l)
{
    return l->key.kind == SEEK_CID ? DTLS_REFUSED_UNKNOWN_CID : DTLS_REFUSED_UNKNOWN_PEER;
}

static void give_up(struct session_load *l)
{
    for (size_t i = 0; i < l->held_count; i++)
        dtls_refuse(l->st->dtls, refusal_of(l));
    drop(l);
}

static void on_late(struct deadline *deadline, uint64_t now_ms)
{
    (void)now_ms;
    give_up((struct session_load *)((char *)deadline - offsetof(struct session_load, deadline)));
}

/* Hands on what was held, to whoever has the session now. */
static void go_on(struct session_load *l)
{
    struct session_store *st = l->st;
    struct session_load copy = *l;
    l->held_count = 0;
    drop(l);
    for (size_t i = 0; i < copy.held_count; i++) {
        dtls_receive_protected(st->dtls, &copy.held[i].path, copy.held[i].data, copy.held[i].data_len,
                               clock_ms());
        free(copy.held[i].data);
    }
}

/* --- the image --- */

/* A record that was held opens under the image's keys: whoever sent it is, or once was, the peer. */
static bool opens(const struct session_load *l, const struct held *held)
{
    uint8_t copy[UDP_DATAGRAM_MAX], *content, type;
    struct record_state record = l->image->record;
    size_t len = dtls_record_len(held->data, held->data_len), content_len;
    uint64_t seq;
    bool newest;
    if (len == 0)
        return false;
    memcpy(copy, held->data, len);
    bool good =
        record_open(&record, copy, len, &content, &content_len, &type, &seq, &newest) == RECORD_OPENED;
    bytes_wipe(&record, sizeof record);
    return good;
}

static bool one_opens(const struct session_load *l)
{
    for (size_t i = 0; i < l->held_count; i++)
        if (opens(l, &l->held[i]))
            return true;
    return false;
}

/* --- taking --- */

static void key_prefix(const struct session_store *st, const char *what, char out[NODES_PREFIX_MAX + 8])
{
    (void)snprintf(out, NODES_PREFIX_MAX + 8, "%s%s:", nodes_prefix(st->nodes), what);
}

static void on_taken(void *arg, const struct redis_reply *reply)
{
    struct session_load *l = arg;
    struct session_store *st = l->st; /* gone, perhaps, when the load is over */
    l->pending = false;
    if (l->over) {
        free_load(l);
        return;
    }
    size_t image_len;
    const char *image = redis_text(redis_item(reply, 3), &image_len);
    if (redis_kind(reply) != REDIS_LIST || redis_count(reply) != 4 ||
        !session_image_open(st->key, l->id, (const uint8_t *)image, image_len, l->image)) {
        give_up(l); /* gone, or someone else was faster */
        return;
    }
    bool exact = redis_int(redis_item(reply, 0)) == 1;
    uint64_t send_from = (uint64_t)redis_int(redis_item(reply, 2));
    if (send_from < l->image->record.send_seq) { /* nothing a node wrote: numbers would be used again */
        give_up(l);
        return;
    }
    l->image->record.send_seq = send_from;
    if (!udp_fit_path(st->dtls->udp, &l->image->path)) /* else only its newest record says that it moved */
        l->image->path = l->held[0].path;
    struct dtls_adoption adoption = {.id = l->id,
                                     .epoch = (uint64_t)redis_int(redis_item(reply, 1)),
                                     .send_limit = l->image->record.send_seq + SESSION_SEND_BLOCK,
                                     .exact = exact,
                                     .is_stored = true};
    (exact ? st->taken_exact : st->taken_behind)->value++;
    if (dtls_adopt(st->dtls, l->image, &adoption))
        go_on(l);
    else
        give_up(l);
}

static void take(struct session_load *l)
{
    struct session_store *st = l->st;
    char leases[NODES_PREFIX_MAX + 8], marks[NODES_PREFIX_MAX + 8];
    struct redis_number n[6];
    uint8_t id[8];
    be64_store(id, l->id);
    char *own = session_store_key(st, 's', id, sizeof id);
    char *device =
        l->image->named ? session_store_key(st, 'n', l->image->name, SESSION_NAME_BYTES) : mem_string("");
    key_prefix(st, "node", leases);
    key_prefix(st, "clean", marks);
    struct redis_arg args[] = {
        redis_arg_text(own),
        redis_arg_text(device),
        redis_arg_int(&n[0], nodes_id(st->nodes)),
        redis_arg_int(&n[1], (int64_t)nodes_incarnation(st->nodes)),
        redis_arg_int(&n[2], (int64_t)clock_wall_ms() * 1000),
        redis_arg_int(&n[3], (int64_t)l->epoch),
        redis_arg_int(&n[4], SESSION_SEND_BLOCK),
        redis_arg_int(&n[5], (int64_t)st->expiry_ms),
        redis_arg_text(leases),
        redis_arg_text(marks),
        redis_arg_text(l->id_text),
    };
    l->state = TAKING;
    deadline_set(st->deadlines, &l->deadline, l->until_ms, on_late);
    l->pending = redis_run(st->redis, &take_script, args, 2, sizeof args / sizeof *args, on_taken, l);
    free(own);
    free(device);
    if (!l->pending)
        give_up(l);
}

static void on_no_answer(struct deadline *deadline, uint64_t now_ms)
{
    (void)now_ms;
    take((struct session_load *)((char *)deadline - offsetof(struct session_load, deadline)));
}

/* --- finding --- */

static bool is_ours(const struct session_store *st, const struct session_stored *stored)
{
    return stored->node == nodes_id(st->nodes) && stored->incarnation == nodes_incarnation(st->nodes);
}

/* A session of ours, after our lease had lapsed: true when somebody took it meanwhile, and it is not here any
 * more. */
static bool settle_ownership(struct session_store *st, uint64_t id, const struct session_stored *stored)
{
    struct session *s = session_table_find_id(&st->dtls->sessions, id);
    if (!s)
        return true;
    s->checked = st->generation;
    if (!stored || stored->epoch <= s->epoch)
        return false;
    st->lost->value++;
    log_info("session.lost session=%016" PRIx64 " why=taken", id);
    dtls_end(s, SESSION_END_MOVED, false);
    return true;
}

/* The session is here: true when its records will be known for its own, now if not before. What Redis says of
 * an address may be as old as the session's last move. */
static bool is_findable(struct session_load *l)
{
    struct session_table *t = &l->st->dtls->sessions;
    struct session *s = session_table_find_id(t, l->id);
    const struct net_path *path = &l->held[0].path;
    if (l->key.kind == SEEK_CID)
        return true;
    if (!s->address)
        return false;
    if (l->key.kind == SEEK_NAME) {
        if (!session_table_find_name(t, l->key.bytes) && s->named &&
            memcmp(s->name, l->key.bytes, SESSION_NAME_BYTES) == 0)
            session_table_name(t, s, l->key.bytes);
        return session_table_find_name(t, l->key.bytes) != NULL;
    }
    if (net_path_same_peer(&s->path, path))
        session_table_take_address(t, s);
    return session_table_find_peer(t, path) != NULL;
}

static void look_at(struct session_load *l, const struct session_stored *stored, bool holder_lives)
{
    struct session_store *st = l->st;
    if (!settle_ownership(st, l->id, stored)) {
        if (is_findable(l))
            go_on(l);
        else
            give_up(l);
        return;
    }
    bool may_have_ended = stored && is_ours(st, stored) && st->gone; /* here, and is about to be removed */
    if (!stored || may_have_ended) {
        st->misses->value++;
        give_up(l);
        return;
    }
    l->epoch = stored->epoch;
    l->image = mem_alloc(sizeof *l->image);
    if (!session_image_open(st->key, l->id, stored->image, stored->image_len, l->image)) {
        log_warn("session.image_refused session=%016" PRIx64 " bytes=%zu", l->id, stored->image_len);
        give_up(l);
        return;
    }
    if (l->key.kind == SEEK_PEER && !net_path_same_peer(&l->image->path, &l->held[0].path)) {
        st->misses->value++; /* it has moved since */
        give_up(l);
        return;
    }
    if (!one_opens(l)) {
        for (size_t i = 0; i < l->held_count; i++)
            dtls_refuse(st->dtls, DTLS_REFUSED_BAD_TAG);
        drop(l);
        return;
    }
    if (stored->let_go || !holder_lives || is_ours(st, stored)) {
        take(l);
        return;
    }
    l->state = ASKING;
    session_loads_tell(st, stored->node, MESSAGE_LET_GO, l->id);
    deadline_set(st->deadlines, &l->deadline, clock_ms() + ASK_MS, on_no_answer);
}

static void on_found(void *arg, const struct redis_reply *reply)
{
    struct session_load *l = arg;
    struct session_stored stored;
    size_t text_len, id_len;
    l->pending = false;
    if (l->over) {
        free_load(l);
        return;
    }
    const char *id = redis_text(redis_item(reply, 0), &id_len);
    const char *text = redis_text(redis_item(reply, 2), &text_len);
    uint8_t id_bytes[8];
    if (redis_kind(reply) == REDIS_LIST && id_len == 16 && hex_decode(id_bytes, 8, id, id_len) &&
        session_stored_read(text, text_len, &stored)) {
        l->id = be64_load(id_bytes);
        hex_encode(l->id_text, id_bytes, 8);
        look_at(l, &stored, redis_int(redis_item(reply, 1)) == 1);
    } else if (redis_kind(reply) == REDIS_NIL && l->key.kind == SEEK_CID) {
        look_at(l, NULL, false); /* or Redis is away: what is here is ours until it is back */
    } else {
        l->st->misses->value++;
        give_up(l);
    }
}

static bool find(struct session_load *l)
{
    struct session_store *st = l->st;
    char sessions[NODES_PREFIX_MAX + 8], leases[NODES_PREFIX_MAX + 8];
    char *key = l->key.kind == SEEK_PEER   ? session_store_key(st, 'a', l->key.bytes, NET_PEER_BYTES)
                : l->key.kind == SEEK_NAME ? session_store_key(st, 'n', l->key.bytes, SESSION_NAME_BYTES)
                                           : mem_string("");
    key_prefix(st, "s", sessions);
    key_prefix(st, "node", leases);
    struct redis_arg args[] = {redis_arg_text(key), redis_arg_text(l->id_text), redis_arg_text(sessions),
                               redis_arg_text(leases)};
    l->pending = redis_run(st->redis, &find_script, args, 1, 4, on_found, l);
    free(key);
    return l->pending;
}

static void hold(struct session_load *l, const struct net_path *path, const uint8_t *data, size_t data_len)
{
    if (l->held_count == HELD_MAX)
        return; /* as if lost */
    struct held *held = &l->held[l->held_count++];
    held->path = *path;
    held->data = mem_copy(data, data_len);
    held->data_len = data_len;
}

bool session_store_seek(struct session_store *st, enum session_seek kind, const void *key,
                        const struct net_path *path, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    static const size_t key_bytes[] = {
        [SEEK_CID] = SESSION_CID_BYTES, [SEEK_PEER] = NET_PEER_BYTES, [SEEK_NAME] = SESSION_NAME_BYTES};
    struct load_key wanted = {.kind = (uint8_t)kind};
    struct session_load *l;
    memcpy(wanted.bytes, key, key_bytes[kind]);
    HASH_FIND(by_key, st->loads, &wanted, sizeof wanted, l);
    if (l) {
        hold(l, path, data, data_len);
        return true;
    }
    bool early = nodes_incarnation(st->nodes) == 0; /* just started: it waits for the lease */
    if (!(early || nodes_is_in(st->nodes)) || st->load_count == LOADS_MAX ||
        (kind != SEEK_CID && !bucket_take(&st->strangers, now_ms))) {
        st->seek_refused->value++;
        return false;
    }
    l = mem_alloc(sizeof *l);
    l->st = st;
    l->key = wanted;
    if (kind == SEEK_CID) {
        l->id = be64_load(wanted.bytes);
        hex_encode(l->id_text, wanted.bytes, 8);
    }
    l->until_ms = now_ms + LOAD_MS;
    if (!early && !find(l)) {
        st->seek_refused->value++;
        free_load(l);
        return false;
    }
    hold(l, path, data, data_len);
    HASH_ADD(by_key, st->loads, key, sizeof l->key, l);
    st->load_count++;
    deadline_set(st->deadlines, &l->deadline, l->until_ms, on_late);
    return true;
}

void session_loads_joined(struct session_store *st)
{
    struct session_load *l, *next;
    HASH_ITER (by_key, st->loads, l, next)
        if (l->state == LOOKING && !l->pending && !find(l))
            give_up(l);
}

/* --- between nodes --- */

void session_loads_tell(struct session_store *st, uint32_t to, enum session_message what, uint64_t id)
{
    uint8_t message[9] = {(uint8_t)what};
    be64_store(message + 1, id);
    (void)nodes_send(st->nodes, to, NODES_SESSIONS, message,
                     sizeof message); /* false: its deadline says so too */
}

static void on_let_go_asked(struct session_store *st, uint32_t from, uint64_t id)
{
    struct session *s = session_table_find_id(&st->dtls->sessions, id);
    if (!s) {
        session_loads_tell(st, from, MESSAGE_DONE, id);
        return;
    }
    if (session_store_let_go(st, s, from))
        dtls_end(s, SESSION_END_MOVED, false);
}

static void on_let_go(struct session_store *st, uint64_t id)
{
    struct load_key key = {.kind = SEEK_CID};
    struct session_load *l, *next;
    be64_store(key.bytes, id);
    HASH_FIND(by_key, st->loads, &key, sizeof key, l);
    if (!l) /* of those without connection ID there are few */
        HASH_ITER (by_key, st->loads, l, next)
            if (l->id == id)
                break;
    if (l && l->state == ASKING)
        take(l);
}

static void on_replaced(struct session_store *st, uint64_t id)
{
    struct session *s = session_table_find_id(&st->dtls->sessions, id);
    if (s)
        dtls_end(s, SESSION_END_REPLACED, false);
}

void session_loads_receive(void *store, uint32_t from, const uint8_t *data, size_t data_len)
{
    if (data_len != 9 || !((struct session_store *)store)->dtls)
        return;
    uint64_t id = be64_load(data + 1);
    switch (data[0]) {
    case MESSAGE_LET_GO:
        on_let_go_asked(store, from, id);
        return;
    case MESSAGE_DONE:
        on_let_go(store, id);
        return;
    case MESSAGE_REPLACED:
        on_replaced(store, id);
        return;
    default: /* of a newer node */
        return;
    }
}
