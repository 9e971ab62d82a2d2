/* session_write.c: sessions that changed on their way to Redis, many in one call. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "handshake/dtls_private.h"
#include "handshake/session_store_private.h"

#define LAZY_MS 1000        /* what only counted records is written so much later */
#define BATCH 32            /* sessions in one call */
#define BATCHES_MAX 64      /* under way */
#define BATCHES_PER_TURN 16 /* so that the loop goes on */

/* KEYS: for each session its own, its device's and its address's, "" where there is none. ARGV: node,
 * incarnation, time to live, prefix of sessions; for each session id, epoch, flag, send_from, image. FLAG n
 * is h for one that was never written: it is newer than any its device had, whatever the clocks of their
 * nodes say. Numbers once reserved stay so, whichever of two writes comes last. Answers for each: l another
 * holds it, r its device has a newer one, or `w EPOCH` when it is written, followed by ` ID NODE` when it
 * replaced that session. */
static const struct redis_script write_script = {
    .name = "session_write",
    .text = "local node, inc, ttl, sp = ARGV[1], ARGV[2], ARGV[3], ARGV[4]\n"
            "local out, j = {}, 5\n"
            "for i = 1, #KEYS, 3 do\n"
            "  local id, epoch, flag, from, image = ARGV[j], ARGV[j+1], ARGV[j+2], ARGV[j+3], ARGV[j+4]\n"
            "  j = j + 5\n"
            "  local r, old = 'w', ''\n"
            "  local e, had = string.match(redis.call('GETRANGE', KEYS[i], 0, 99), "
            "'^%d+:%d+:(%d+):%a:(%d+):')\n"
            "  if e and tonumber(e) > tonumber(epoch) then r = 'l' end\n"
            "  if had and tonumber(had) > tonumber(from) then from = had end\n"
            "  if r == 'w' and KEYS[i+1] ~= '' then\n"
            "    local oid, oe = string.match(redis.call('GET', KEYS[i+1]) or '', '^(%x+):(%d+)$')\n"
            "    if oid and oid ~= id then\n"
            "      if tonumber(oe) >= tonumber(epoch) and flag == 'n' then\n"
            "        epoch = string.format('%.0f', tonumber(oe) + 1) end\n"
            "      if tonumber(oe) > tonumber(epoch) then r = 'r' else\n"
            "        local on = string.match(redis.call('GETRANGE', sp .. oid, 0, 99), '^(%d+):')\n"
            "        redis.call('DEL', sp .. oid)\n"
            "        if on then old = ' ' .. oid .. ' ' .. on end\n"
            "      end\n"
            "    end\n"
            "    if r ~= 'r' then redis.call('SET', KEYS[i+1], id .. ':' .. epoch, 'PX', ttl) end\n"
            "  end\n"
            "  if r == 'w' then\n"
            "    if flag == 'n' then flag = 'h' end\n"
            "    redis.call('SET', KEYS[i], table.concat({node, inc, epoch, flag, from}, ':') .. ':' .. "
            "image, 'PX', ttl)\n"
            "    if KEYS[i+2] ~= '' then redis.call('SET', KEYS[i+2], id, 'PX', ttl) end\n"
            "    r = 'w ' .. epoch .. old\n"
            "  end\n"
            "  out[#out+1] = r\n"
            "end\n"
            "return out\n",
};

struct batch {
    struct session_store *st;
    size_t count;
    uint32_t tell; /* let_go: whom */
    bool let_go;
    struct batch_item {
        uint64_t id, epoch, send_from;
    } items[BATCH];
};

/* What a batch's call is made of. */
struct call {
    struct session_keys keys[BATCH];
    uint8_t images[BATCH][SESSION_IMAGE_MAX];
    struct redis_number numbers[2 * BATCH + 3];
    struct redis_arg args[4 + 8 * BATCH];
};

static uint64_t reserve(const struct session *s)
{
    uint64_t left = s->send_limit > s->record.send_seq ? s->send_limit - s->record.send_seq : 0;
    return left < SESSION_SEND_BLOCK / 2 ? s->record.send_seq + SESSION_SEND_BLOCK : s->send_limit;
}

static const char *flag_of(const struct batch *b, const struct session *s)
{
    if (b->let_go)
        return s->unproven ? "u" : "r";
    if (s->unproven)
        return "p";
    return s->is_stored ? "h" : "n";
}

/* False: its owner does not want it kept. */
static bool add_session(struct session_store *st, struct batch *b, struct call *c, const struct session *s)
{
    uint8_t owner[SESSION_OWNER_MAX];
    size_t i = b->count, owner_len = st->dtls->ops->save(st->dtls->ops_ctx, s, owner);
    if (owner_len == 0)
        return false;
    uint64_t heard_wall_ms = clock_wall_ms() - (clock_ms() - s->heard_ms);
    struct batch_item *item = &b->items[b->count++];
    *item = (struct batch_item){.id = s->id, .epoch = s->epoch, .send_from = reserve(s)};
    size_t image_len =
        session_image_seal(st->key, s, item->send_from, heard_wall_ms, owner, owner_len, c->images[i]);
    session_store_name(st, s, &c->keys[i]);
    struct redis_arg *keys = &c->args[3 * i], *values = &c->args[3 * BATCH + 4 + 5 * i];
    keys[0] = redis_arg_text(c->keys[i].own.text);
    keys[1] = redis_arg_text(c->keys[i].device.text);
    keys[2] = redis_arg_text(c->keys[i].peer.text);
    values[0] = redis_arg_text(c->keys[i].id);
    values[1] = redis_arg_int(&c->numbers[2 * i], (int64_t)item->epoch);
    values[2] = redis_arg_text(flag_of(b, s));
    values[3] = redis_arg_int(&c->numbers[2 * i + 1], (int64_t)item->send_from);
    values[4] = (struct redis_arg){c->images[i], image_len};
    return true;
}

/* ` ID NODE`. Our own is ended by whoever named the new one. */
static void on_replaced(struct session_store *st, const char *what)
{
    char *end;
    uint64_t id = strtoull(what, &end, 16);
    unsigned long node = strtoul(end, NULL, 10);
    if (node < NODES_MAX && node != nodes_id(st->nodes))
        session_loads_tell(st, (uint32_t)node, MESSAGE_REPLACED, id);
}

static void on_item(struct session_store *st, const struct batch_item *item, const char *said)
{
    struct session *s = session_table_find_id(&st->dtls->sessions, item->id);
    if (*said == 'w') {
        char *end;
        uint64_t epoch = strtoull(said + 1, &end, 10);
        st->written->value++;
        if (*end)
            on_replaced(st, end);
        if (s && s->epoch == item->epoch) {
            s->is_stored = true;
            s->epoch = epoch;
            if (item->send_from > s->send_limit)
                s->send_limit = item->send_from;
        }
        return;
    }
    if (s && s->epoch > item->epoch) /* sent before the answer that raised it: not lost, only late */
        session_store_changed(st, s, false);
    if (!s || s->epoch != item->epoch)
        return;
    st->lost->value++;
    log_info("session.lost session=%016" PRIx64 " why=%s", s->id, *said == 'l' ? "taken" : "replaced");
    dtls_end(s, *said == 'l' ? SESSION_END_MOVED : SESSION_END_REPLACED, false);
}

/* A batch that was not written: as if its sessions had just changed again. */
static void put_back(struct session_store *st, const struct batch *b)
{
    st->write_failed = true;
    for (size_t i = 0; i < b->count; i++) {
        struct session *s = session_table_find_id(&st->dtls->sessions, b->items[i].id);
        if (s && s->epoch == b->items[i].epoch)
            session_store_changed(st, s, false);
    }
}

static void on_written(void *arg, const struct redis_reply *reply)
{
    struct batch *b = arg;
    struct session_store *st = b->st;
    st->batches--;
    if (!st->dtls) { /* stopped */
        free(b);
        return;
    }
    if (redis_kind(reply) != REDIS_LIST || redis_count(reply) != b->count) {
        put_back(st, b);
        st->left_behind |= b->let_go; /* it is not here any more */
    } else {
        for (size_t i = 0; i < b->count; i++)
            on_item(st, &b->items[i], redis_text(redis_item(reply, i), NULL));
    }
    if (b->let_go) /* written or not, we hold it no more */
        session_loads_tell(st, b->tell, MESSAGE_DONE, b->items[0].id);
    free(b);
    session_store_go_on(st);
}

static bool send_batch(struct session_store *st, struct batch *b, struct call *c)
{
    char prefix[NODES_PREFIX_MAX + 3];
    size_t keys = 3 * b->count;
    (void)snprintf(prefix, sizeof prefix, "%ss:", nodes_prefix(st->nodes));
    memmove(&c->args[keys], &c->args[3 * BATCH], (4 + 5 * b->count) * sizeof c->args[0]);
    struct redis_arg *head = &c->args[keys];
    head[0] = redis_arg_int(&c->numbers[2 * BATCH], nodes_id(st->nodes));
    head[1] = redis_arg_int(&c->numbers[2 * BATCH + 1], (int64_t)nodes_incarnation(st->nodes));
    head[2] = redis_arg_int(&c->numbers[2 * BATCH + 2], (int64_t)st->expiry_ms);
    head[3] = redis_arg_text(prefix);
    if (!redis_run(st->redis, &write_script, c->args, keys, keys + 4 + 5 * b->count, on_written, b))
        return false;
    st->batches++;
    return true;
}

/* What is due: urgent ones at once, the others LAZY_MS after they changed, or at once when everything is
 * flushed. */
static bool next_due(struct session_store *st, uint64_t now_ms, uint64_t *id)
{
    struct id_ring *r = st->urgent.count > 0 ? &st->urgent : &st->lazy;
    if (r->count == 0 || (r == &st->lazy && !st->flushed && r->entries[r->first].since_ms + LAZY_MS > now_ms))
        return false;
    *id = id_ring_pop(r).id;
    return true;
}

static struct batch *fill_batch(struct session_store *st, struct call *c, uint64_t now_ms)
{
    struct batch *b = mem_alloc(sizeof *b);
    uint64_t id;
    b->st = st;
    while (b->count < BATCH && next_due(st, now_ms, &id)) {
        struct session *s = session_table_find_id(&st->dtls->sessions, id);
        if (!s || s->dirt == SESSION_CLEAN)
            continue; /* ended, or written since it was put there twice */
        s->dirt = SESSION_CLEAN;
        if (add_session(st, b, c, s))
            s->is_sent = true;
    }
    if (b->count > 0)
        return b;
    free(b);
    return NULL;
}

void session_write_due(struct session_store *st, uint64_t now_ms)
{
    static struct call call; /* 25 KB: not for the stack; loop thread only */
    for (int i = 0; i < BATCHES_PER_TURN && st->batches < BATCHES_MAX && nodes_is_in(st->nodes); i++) {
        struct batch *b = fill_batch(st, &call, now_ms);
        if (!b)
            break;
        if (!send_batch(st, b, &call)) {
            put_back(st, b);
            free(b);
            break;
        }
    }
    bytes_wipe(call.images, sizeof call.images);
}

bool session_store_let_go(struct session_store *st, struct session *s, uint32_t to)
{
    struct call *call = mem_alloc(sizeof *call);
    struct batch *b = mem_alloc(sizeof *b);
    *b = (struct batch){.st = st, .let_go = true, .tell = to};
    bool sent = add_session(st, b, call, s) && send_batch(st, b, call);
    if (!sent)
        free(b);
    else
        st->let_go->value++;
    bytes_wipe(call, sizeof *call);
    free(call);
    return sent;
}
