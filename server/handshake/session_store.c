/* session_store.c: which sessions changed or ended, when Redis is told, and where a device is. */
#include "handshake/session_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "handshake/dtls_private.h"
#include "handshake/session_store_private.h"

#define WRITE_EVERY_MS 100
#define REMOVED_PER_TURN 512 /* so that the loop goes on */
#define GONE_MAX 100000
#define FLUSH_MAX_MS 5000
/* Records without connection ID from anywhere may make us look for their session so often. */
#define STRANGERS_PER_S 1000

/* KEYS: of one session, as session_write.c has them; ARGV: its id and epoch. A newer one's is left alone. */
static const struct redis_script remove_script = {
    .name = "session_remove",
    .text = "local e = string.match(redis.call('GETRANGE', KEYS[1], 0, 99), '^%d+:%d+:(%d+):')\n"
            "if e and tonumber(e) > tonumber(ARGV[2]) then return 0 end\n"
            "redis.call('DEL', KEYS[1])\n"
            "if KEYS[2] ~= '' and string.match(redis.call('GET', KEYS[2]) or '', '^(%x+):') == ARGV[1] then\n"
            "  redis.call('DEL', KEYS[2]) end\n"
            "if KEYS[3] ~= '' and redis.call('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[3]) end\n"
            "return 1\n",
};

/* KEYS: the device's. ARGV: prefix of sessions. */
static const struct redis_script where_script = {
    .name = "session_where",
    .text = "local id = string.match(redis.call('GET', KEYS[1]) or '', '^(%x+):')\n"
            "return id and string.match(redis.call('GETRANGE', ARGV[1] .. id, 0, 99), '^(%d+):') or false\n",
};

/* --- keys --- */

static void key_of(const struct session_store *st, char kind, const void *name, size_t name_len,
                   struct key_text *out)
{
    size_t used = (size_t)snprintf(out->text, sizeof out->text, "%s%c:", nodes_prefix(st->nodes), kind);
    must(used + 2 * name_len < sizeof out->text);
    hex_encode(out->text + used, name, name_len);
}

char *session_store_key(const struct session_store *st, char kind, const void *name, size_t name_len)
{
    struct key_text key;
    key_of(st, kind, name, name_len, &key);
    return mem_string(key.text);
}

void session_store_name(const struct session_store *st, const struct session *s, struct session_keys *k)
{
    uint8_t id[8];
    be64_store(id, s->id);
    hex_encode(k->id, id, sizeof id);
    key_of(st, 's', id, sizeof id, &k->own);
    k->device.text[0] = k->peer.text[0] = '\0';
    if (s->named)
        key_of(st, 'n', s->name, sizeof s->name, &k->device);
    if (s->address && s->address->has_address)
        key_of(st, 'a', s->path.peer_ip, NET_PEER_BYTES, &k->peer);
}

/* --- the queue --- */

void id_ring_push(struct id_ring *r, uint64_t id, uint64_t now_ms)
{
    if (r->count == r->size) {
        size_t size = r->size ? r->size * 2 : 64;
        struct id_entry *entries = mem_array(size, sizeof *entries);
        for (size_t i = 0; i < r->count; i++)
            entries[i] = r->entries[(r->first + i) & (r->size - 1)];
        free(r->entries);
        *r = (struct id_ring){.entries = entries, .count = r->count, .size = size};
    }
    r->entries[(r->first + r->count++) & (r->size - 1)] = (struct id_entry){id, now_ms};
}

struct id_entry id_ring_pop(struct id_ring *r)
{
    struct id_entry entry = r->entries[r->first];
    r->first = (r->first + 1) & (r->size - 1);
    if (--r->count == 0) { /* a storm's ring is given back */
        free(r->entries);
        *r = (struct id_ring){0};
    }
    return entry;
}

static void on_write_due(struct deadline *write, uint64_t now_ms);

static void plan(struct session_store *st, uint64_t at_ms)
{
    if (!deadline_is_set(&st->write) || st->write.at_ms > at_ms)
        deadline_set(st->deadlines, &st->write, at_ms, on_write_due);
}

static void show_backlog(struct session_store *st, uint64_t now_ms)
{
    uint64_t oldest_ms = now_ms;
    if (st->urgent.count > 0)
        oldest_ms = st->urgent.entries[st->urgent.first].since_ms;
    if (st->lazy.count > 0 && st->lazy.entries[st->lazy.first].since_ms < oldest_ms)
        oldest_ms = st->lazy.entries[st->lazy.first].since_ms;
    st->dirty->value = st->urgent.count + st->lazy.count;
    st->behind_ms->value = now_ms - oldest_ms;
}

void session_store_changed(struct session_store *st, struct session *s, bool urgent)
{
    enum session_dirt dirt = urgent ? SESSION_DIRTY_URGENT : SESSION_DIRTY;
    if (s->dirt >= dirt)
        return;
    uint64_t now_ms = clock_ms();
    id_ring_push(urgent ? &st->urgent : &st->lazy, s->id, now_ms);
    s->dirt = dirt;
    plan(st, urgent ? now_ms : now_ms + WRITE_EVERY_MS);
}

/* --- what is due --- */

static void finish_flush(struct session_store *st, bool all)
{
    void (*done)(void *arg, bool all) = st->flushed;
    if (!done)
        return;
    st->flushed = NULL;
    deadline_cancel(st->deadlines, &st->flush_limit);
    done(st->flushed_arg, all);
}

static void remove_gone(struct session_store *st);

void session_store_go_on(struct session_store *st)
{
    uint64_t now_ms = clock_ms();
    remove_gone(st);
    session_write_due(st, now_ms);
    show_backlog(st, now_ms);
    if (st->urgent.count + st->lazy.count > 0 || st->gone)
        plan(st, now_ms + WRITE_EVERY_MS);
    else if (st->batches == 0)
        finish_flush(st, !st->write_failed && !st->left_behind);
}

static void on_write_due(struct deadline *write, uint64_t now_ms)
{
    (void)now_ms;
    session_store_go_on((struct session_store *)((char *)write - offsetof(struct session_store, write)));
}

/* --- removing --- */

struct session_gone {
    struct session_gone *prev, *next;
    struct session_store *st;
    struct session_keys keys;
    uint64_t epoch;
};

void session_store_ended(struct session_store *st, const struct session *s)
{
    if (!s->is_stored && !s->is_sent)
        return;
    if (st->gone_count ==
        GONE_MAX) { /* it expires by itself, and its key is asked for again when it comes back */
        st->gone_dropped->value++;
        st->left_behind = true;
        return;
    }
    struct session_gone *g = mem_alloc(sizeof *g);
    g->st = st;
    g->epoch = s->epoch;
    session_store_name(st, s, &g->keys);
    DL_APPEND(st->gone, g);
    st->gone_count++;
    plan(st, clock_ms());
}

static void on_removed(void *arg, const struct redis_reply *reply)
{
    struct session_gone *g = arg;
    struct session_store *st = g->st;
    if (reply || !st->dtls) {
        free(g);
        return;
    }
    DL_PREPEND(st->gone, g); /* lost with the connection */
    st->gone_count++;
    plan(st, clock_ms() + WRITE_EVERY_MS);
}

static void remove_gone(struct session_store *st)
{
    struct session_gone *g, *next;
    int left = REMOVED_PER_TURN;
    DL_FOREACH_SAFE (st->gone, g, next) {
        struct redis_number epoch;
        struct redis_arg args[] = {redis_arg_text(g->keys.own.text), redis_arg_text(g->keys.device.text),
                                   redis_arg_text(g->keys.peer.text), redis_arg_text(g->keys.id),
                                   redis_arg_int(&epoch, (int64_t)g->epoch)};
        if (left-- == 0 || !redis_run(st->redis, &remove_script, args, 3, 5, on_removed, g))
            return;
        DL_DELETE(st->gone, g);
        st->gone_count--;
    }
}

/* --- where a device is --- */

struct where {
    session_where_fn *done;
    void *arg;
    struct session_store *st;
    struct deadline later; /* for an answer that is known too early */
};

static void on_where(void *arg, const struct redis_reply *reply)
{
    struct where w = *(struct where *)arg;
    free(arg);
    if (redis_kind(reply) == REDIS_TEXT)
        w.done(w.arg, true, false, (uint32_t)redis_int(reply));
    else
        w.done(w.arg, false, !reply || redis_kind(reply) == REDIS_ERROR, 0);
}

static void on_where_away(struct deadline *later, uint64_t now_ms)
{
    (void)now_ms;
    on_where((char *)later - offsetof(struct where, later), NULL);
}

void session_store_where(struct session_store *st, const uint8_t name[SESSION_NAME_BYTES],
                         session_where_fn *done, void *arg)
{
    struct where *w = mem_alloc(sizeof *w);
    struct key_text key, prefix;
    *w = (struct where){.done = done, .arg = arg, .st = st};
    key_of(st, 'n', name, SESSION_NAME_BYTES, &key);
    key_of(st, 's', NULL, 0, &prefix);
    struct redis_arg args[] = {redis_arg_text(key.text), redis_arg_text(prefix.text)};
    if (!redis_run(st->redis, &where_script, args, 1, 2, on_where, w))
        deadline_set(st->deadlines, &w->later, clock_ms(), on_where_away);
}

/* --- life --- */

static void write_all_again(struct session_store *st)
{
    for (struct session *s = st->dtls->sessions.newest; s; s = s->older)
        session_store_changed(st, s, false);
}

/* What Redis had acknowledged may be gone with the one it was: restarted, or another in its place. */
static void on_redis_up(void *arg)
{
    write_all_again(arg);
}

void session_store_joined(struct session_store *st, bool again)
{
    if (!st->dtls) /* stopped: the lease came back too late */
        return;
    if (again) { /* once in a lapsed lease */
        st->generation++;
        write_all_again(st);
    }
    session_loads_joined(st);
    plan(st, clock_ms());
}

static void on_flush_limit(struct deadline *limit, uint64_t now_ms)
{
    (void)now_ms;
    finish_flush((struct session_store *)((char *)limit - offsetof(struct session_store, flush_limit)),
                 false);
}

void session_store_flush(struct session_store *st, void (*done)(void *arg, bool all), void *arg)
{
    st->flushed = done;
    st->flushed_arg = arg;
    st->write_failed = false;
    deadline_set(st->deadlines, &st->flush_limit, clock_ms() + (nodes_is_in(st->nodes) ? FLUSH_MAX_MS : 0),
                 on_flush_limit);
    plan(st, clock_ms());
}

static void add_metrics(struct session_store *st, struct metrics *m)
{
    st->dirty = metrics_add(m, METRIC_GAUGE, "cyan_session_store_waiting", NULL,
                            "Sessions that changed and are not written yet");
    st->behind_ms = metrics_add(m, METRIC_GAUGE, "cyan_session_store_behind_ms", NULL,
                                "How long the first of them has waited");
    st->written =
        metrics_add(m, METRIC_COUNTER, "cyan_session_store_written_total", NULL, "Sessions written");
    st->lost = metrics_add(m, METRIC_COUNTER, "cyan_session_store_lost_total", NULL,
                           "Sessions that turned out to be another node's, or replaced there");
    st->taken_exact = metrics_add(m, METRIC_COUNTER, "cyan_session_store_taken_total", "image=\"exact\"",
                                  "Sessions taken over, by whether their image was exact");
    st->taken_behind = metrics_add(m, METRIC_COUNTER, "cyan_session_store_taken_total", "image=\"behind\"",
                                   "Sessions taken over, by whether their image was exact");
    st->let_go = metrics_add(m, METRIC_COUNTER, "cyan_session_store_let_go_total", NULL,
                             "Sessions given to a node that asked");
    st->misses = metrics_add(m, METRIC_COUNTER, "cyan_session_store_misses_total", NULL,
                             "Sessions looked for that nobody has");
    st->seek_refused =
        metrics_add(m, METRIC_COUNTER, "cyan_session_store_seek_refused_total", NULL,
                    "Records of unknown sessions that were not looked for: too many, or Redis away");
    st->gone_dropped = metrics_add(m, METRIC_COUNTER, "cyan_session_store_gone_dropped_total", NULL,
                                   "Ended sessions that could not be removed from Redis");
}

struct session_store *session_store_new(struct dtls *dtls, const struct server_key *key, struct redis *redis,
                                        struct nodes *nodes, struct deadlines *deadlines,
                                        struct metrics *metrics, uint64_t expiry_ms)
{
    struct session_store *st = mem_alloc(sizeof *st);
    st->dtls = dtls;
    st->redis = redis;
    st->nodes = nodes;
    st->deadlines = deadlines;
    st->expiry_ms = expiry_ms;
    bucket_init(&st->strangers, STRANGERS_PER_S, STRANGERS_PER_S, clock_ms());
    server_key_derive(key, SESSION_IMAGE_LABEL, st->key);
    add_metrics(st, metrics);
    nodes_on(nodes, NODES_SESSIONS, session_loads_receive, st);
    redis_on_up(redis, on_redis_up, st);
    dtls_set_store(dtls, st);
    return st;
}

void session_store_stop(struct session_store *st)
{
    redis_off(st->redis, st);
    dtls_set_store(st->dtls, NULL);
    st->dtls = NULL;
    session_loads_drop(st);
    deadline_cancel(st->deadlines, &st->write);
    deadline_cancel(st->deadlines, &st->flush_limit);
}

void session_store_free(struct session_store *st)
{
    struct session_gone *g, *next;
    must(!st->dtls);
    DL_FOREACH_SAFE (st->gone, g, next)
        free(g);
    free(st->urgent.entries);
    free(st->lazy.entries);
    bytes_wipe(st->key, sizeof st->key);
    free(st);
}
