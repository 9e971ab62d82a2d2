#include "fleet/firmware_cache.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/room.h"
#include "module/module_file.h"

#define LOADS_MAX 4                      /* at a time */
#define SLICE_BYTES ((size_t)256 * 1024) /* decoding one takes the loop well under a millisecond */

static const struct pg_statement find_firmware = {
    .name = "find_firmware",
    .sql = "SELECT platform_id, func, idx, mcu, version, size_bytes, sha256 FROM module_binary"
           " WHERE id = $1::bigint",
    .params = 1,
};
static const struct pg_statement read_firmware = {
    .name = "read_firmware",
    .sql = "SELECT substring(data FROM $2::integer FOR $3::integer) FROM module_content WHERE sha256 = "
           "$1::bytea",
    .params = 3,
};

/* A loaded binary. blob comes first: it is what others hold. */
struct entry {
    struct firmware_blob blob;
    struct firmware_cache *cache; /* borrowed; NULL once that is gone */
    uint8_t *data;                /* ours */
    size_t holds;
    UT_hash_handle hh;
    struct entry *prev, *next; /* in unused while nobody holds it */
};

enum load_state {
    LOAD_QUEUED,
    LOAD_FINDING,
    LOAD_WANTS_ROOM,
    LOAD_READING,
};

struct load {
    struct firmware_cache *cache;
    int64_t module_id;
    enum load_state state;
    struct firmware_wait *waits; /* ours */
    struct pg_query *query;      /* FINDING, READING */
    struct entry *entry;         /* ours, from WANTS_ROOM on */
    size_t at;                   /* READING: bytes that are there */
    EVP_MD_CTX *hash;            /* ours, READING */
    struct deadline limit;
    UT_hash_handle hh;
    struct load *prev, *next;
};

struct firmware_wait {
    struct firmware_cache *cache;
    struct load *load;   /* whose waits this is in; NULL: in ready */
    struct entry *entry; /* held, in ready when err is FLEET_OK */
    enum fleet_err err;
    firmware_done_fn *done;
    void *arg;
    struct firmware_wait *prev, *next;
};

struct firmware_cache {
    struct fleet *f;             /* borrowed: outlives this */
    struct entry *entries;       /* ours, by module */
    struct entry *unused;        /* of those: the longest unused first */
    struct load *loads;          /* ours, by module */
    struct load *order;          /* the same, the oldest first */
    struct firmware_wait *ready; /* ours: to be called in the next turn */
    struct deadline turn;
    size_t used_bytes; /* loaded, and being read */
    size_t active;     /* loads that are not QUEUED */
    bool stopped, said_full;
    struct metric *bytes, *reads, *full;
};

struct firmware_cache *firmware_cache_new(struct fleet *f, struct metrics *metrics)
{
    struct firmware_cache *c = mem_alloc(sizeof *c);
    c->f = f;
    c->bytes =
        metrics_add(metrics, METRIC_GAUGE, "cyan_firmware_cache_bytes", NULL, "module binaries in memory");
    c->reads = metrics_add(metrics, METRIC_COUNTER, "cyan_firmware_reads_total", NULL,
                           "module binaries read from Postgres");
    c->full = metrics_add(metrics, METRIC_COUNTER, "cyan_firmware_cache_full_total", NULL,
                          "module binaries not sent because those in use left no room in memory");
    return c;
}

static void count_bytes(struct firmware_cache *c, size_t more, size_t less)
{
    c->used_bytes = c->used_bytes + more - less;
    c->bytes->value = c->used_bytes;
}

/* --- what is loaded --- */

static void entry_free(struct entry *e)
{
    free(e->data);
    free(e);
}

static void drop(struct firmware_cache *c, struct entry *e)
{
    must(e->holds == 0);
    DL_DELETE(c->unused, e);
    HASH_DEL(c->entries, e);
    count_bytes(c, 0, e->blob.data_len);
    entry_free(e);
}

/* What nobody holds leaves as far as needed. False: what is held leaves no room. */
static bool make_room(struct firmware_cache *c, size_t bytes)
{
    while (c->used_bytes + bytes > FIRMWARE_CACHE_MAX_BYTES && c->unused)
        drop(c, c->unused);
    return c->used_bytes + bytes <= FIRMWARE_CACHE_MAX_BYTES;
}

static struct entry *entry_of(const struct firmware_blob *blob)
{
    return (struct entry *)blob;
}

void firmware_hold(const struct firmware_blob *blob)
{
    struct entry *e = entry_of(blob);
    if (e->holds++ == 0)
        DL_DELETE(e->cache->unused, e);
}

static void read_next(struct load *load);

/* Somebody let go, or a load ended: the oldest that wants room may have it. */
static void give_room(struct firmware_cache *c)
{
    struct load *load, *next;
    DL_FOREACH_SAFE (c->order, load, next) {
        if (load->state != LOAD_WANTS_ROOM)
            continue;
        if (!make_room(c, load->entry->blob.data_len))
            return;
        load->state = LOAD_READING;
        count_bytes(c, load->entry->blob.data_len, 0);
        read_next(load);
    }
}

void firmware_release(const struct firmware_blob *blob)
{
    struct entry *e = entry_of(blob);
    must(e->holds > 0);
    if (--e->holds > 0)
        return;
    if (!e->cache) {
        entry_free(e);
        return;
    }
    DL_APPEND(e->cache->unused, e);
    give_room(e->cache);
}

/* --- answers --- */

static void on_turn(struct deadline *turn, uint64_t now_ms)
{
    struct firmware_cache *c =
        (struct firmware_cache *)((char *)turn - offsetof(struct firmware_cache, turn));
    size_t count;
    struct firmware_wait *w;
    (void)now_ms;
    DL_COUNT(c->ready, w, count);
    while (count-- > 0 && c->ready) { /* those who ask again meanwhile are next turn's */
        w = c->ready;
        DL_DELETE(c->ready, w);
        struct firmware_wait gone = *w;
        free(w);
        gone.done(gone.arg, gone.err, gone.entry ? &gone.entry->blob : NULL);
        if (gone.entry)
            firmware_release(&gone.entry->blob);
    }
    if (c->ready)
        deadline_set(c->f->deadlines, &c->turn, clock_ms(), on_turn);
}

/* w is in no list. entry: NULL unless err is FLEET_OK. */
static void make_ready(struct firmware_wait *w, enum fleet_err err, struct entry *entry)
{
    struct firmware_cache *c = w->cache;
    w->load = NULL;
    w->err = err;
    w->entry = entry;
    if (entry)
        firmware_hold(&entry->blob);
    DL_APPEND(c->ready, w);
    deadline_set(c->f->deadlines, &c->turn, clock_ms(), on_turn);
}

/* --- loading --- */

static void start_loads(struct firmware_cache *c);

/* Frees load; all who wait for it are answered in the next turn. */
static void end_load(struct load *load, enum fleet_err err)
{
    struct firmware_cache *c = load->cache;
    struct entry *e = load->entry;
    pg_cancel(&load->query);
    deadline_cancel(c->f->deadlines, &load->limit);
    EVP_MD_CTX_free(load->hash);
    HASH_DEL(c->loads, load);
    DL_DELETE(c->order, load);
    if (load->state != LOAD_QUEUED)
        c->active--;
    if (e && err != FLEET_OK) {
        if (load->state == LOAD_READING)
            count_bytes(c, 0, e->blob.data_len);
        entry_free(e);
        e = NULL;
    }
    if (e) {
        HASH_ADD(hh, c->entries, blob.module_id, sizeof e->blob.module_id, e);
        DL_APPEND(c->unused, e);
    }
    while (load->waits) {
        struct firmware_wait *w = load->waits;
        DL_DELETE(load->waits, w);
        make_ready(w, err, e);
    }
    free(load);
    if (c->stopped)
        return;
    give_room(c);
    start_loads(c);
}

static void damaged(struct load *load, const char *why)
{
    log_error("firmware.damaged id=%lld why=\"%s\"", (long long)load->module_id, why);
    end_load(load, FLEET_FAULT);
}

static bool hash_is_right(struct load *load)
{
    uint8_t sha256[32];
    return EVP_DigestFinal_ex(load->hash, sha256, NULL) == 1 &&
           memcmp(sha256, load->entry->blob.sha256, sizeof sha256) == 0;
}

static void on_slice(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct load *load = arg;
    struct entry *e = load->entry;
    size_t got = 0, left = e->blob.data_len - load->at, wanted = left < SLICE_BYTES ? left : SLICE_BYTES;
    enum fleet_err ferr = fleet_err_of(err, result, "read_firmware");
    load->query = NULL;
    if (ferr) {
        end_load(load, ferr);
        return;
    }
    if (pg_rows(result) == 0 || !pg_bytea(result, 0, 0, e->data + load->at, wanted, &got) || got != wanted) {
        damaged(load, "its content is not as long as was stored");
        return;
    }
    must(EVP_DigestUpdate(load->hash, e->data + load->at, got) == 1);
    load->at += got;
    if (load->at < e->blob.data_len)
        read_next(load);
    else if (!hash_is_right(load))
        damaged(load, "its content has another SHA-256");
    else
        end_load(load, FLEET_OK);
}

/* READING: the slice that is next. */
static void read_next(struct load *load)
{
    struct entry *e = load->entry;
    struct fleet_number first, len;
    if (!load->hash) {
        load->cache->reads->value++;
        load->hash = EVP_MD_CTX_new();
        must(load->hash && EVP_DigestInit_ex(load->hash, EVP_sha256(), NULL) == 1);
        e->data = mem_array(e->blob.data_len, 1);
        e->blob.data = e->data;
    }
    struct pg_param params[] = {pg_bytes(e->blob.sha256, sizeof e->blob.sha256),
                                fleet_int(&first, (int64_t)load->at + 1),
                                fleet_int(&len, (int64_t)SLICE_BYTES)};
    load->query = pg_exec(load->cache->f->pg, &read_firmware, params, fleet_patience_ms(load->cache->f),
                          PG_RETRY, on_slice, load);
}

static void say_full(struct firmware_cache *c)
{
    if (!c->said_full)
        log_warn("firmware.cache_full bytes=%zu: binaries wait until others have been sent", c->used_bytes);
    c->said_full = true;
}

static void on_found(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct load *load = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "find_firmware");
    size_t sha256_len;
    load->query = NULL;
    if (!ferr && pg_rows(result) == 0)
        ferr = FLEET_NOT_FOUND;
    if (ferr) {
        end_load(load, ferr);
        return;
    }
    struct entry *e = load->entry = mem_alloc(sizeof *e);
    e->cache = load->cache;
    e->blob = (struct firmware_blob){
        .module_id = load->module_id,
        .platform_id = (uint16_t)pg_int(result, 0, 0),
        .function = (uint8_t)pg_int(result, 0, 1),
        .index = (uint8_t)pg_int(result, 0, 2),
        .mcu = (uint8_t)pg_int(result, 0, 3),
        .version = (uint16_t)pg_int(result, 0, 4),
        .data_len = (size_t)pg_int(result, 0, 5),
    };
    must(pg_bytea(result, 0, 6, e->blob.sha256, sizeof e->blob.sha256, &sha256_len));
    load->state = LOAD_WANTS_ROOM;
    if (e->blob.data_len > MODULE_FILE_MAX_BYTES) {
        damaged(load, "it is larger than any that is taken");
        return;
    }
    if (!make_room(load->cache, e->blob.data_len))
        say_full(load->cache);
    give_room(load->cache);
}

static void start_loads(struct firmware_cache *c)
{
    struct load *load;
    DL_FOREACH (c->order, load) {
        struct fleet_number id;
        if (c->active >= LOADS_MAX)
            return;
        if (load->state != LOAD_QUEUED)
            continue;
        load->state = LOAD_FINDING;
        c->active++;
        load->query = pg_exec(c->f->pg, &find_firmware, (struct pg_param[]){fleet_int(&id, load->module_id)},
                              fleet_patience_ms(c->f), PG_RETRY, on_found, load);
    }
}

static void on_limit(struct deadline *limit, uint64_t now_ms)
{
    struct load *load = (struct load *)((char *)limit - offsetof(struct load, limit));
    (void)now_ms;
    if (load->state == LOAD_WANTS_ROOM)
        load->cache->full->value++;
    end_load(load, FLEET_AWAY);
}

static struct load *load_new(struct firmware_cache *c, int64_t module_id)
{
    struct load *load = mem_alloc(sizeof *load);
    load->cache = c;
    load->module_id = module_id;
    HASH_ADD(hh, c->loads, module_id, sizeof load->module_id, load);
    DL_APPEND(c->order, load);
    deadline_set(c->f->deadlines, &load->limit, clock_ms() + FIRMWARE_CACHE_WAIT_MS, on_limit);
    return load;
}

struct firmware_wait *firmware_get(struct firmware_cache *c, int64_t module_id, firmware_done_fn *done,
                                   void *arg)
{
    struct firmware_wait *w = mem_alloc(sizeof *w);
    struct entry *e;
    struct load *load;
    *w = (struct firmware_wait){.cache = c, .done = done, .arg = arg};
    HASH_FIND(hh, c->entries, &module_id, sizeof module_id, e);
    if (e || c->stopped) {
        make_ready(w, c->stopped ? FLEET_AWAY : FLEET_OK, c->stopped ? NULL : e);
        return w;
    }
    HASH_FIND(hh, c->loads, &module_id, sizeof module_id, load);
    if (!load)
        load = load_new(c, module_id);
    w->load = load;
    DL_APPEND(load->waits, w);
    start_loads(c);
    return w;
}

void firmware_cancel(struct firmware_wait **wait)
{
    struct firmware_wait *w = *wait;
    *wait = NULL;
    if (!w)
        return;
    if (w->load)
        DL_DELETE(w->load->waits, w); /* the load goes on: whoever asks next finds it */
    else
        DL_DELETE(w->cache->ready, w);
    if (w->entry)
        firmware_release(&w->entry->blob);
    free(w);
}

/* --- the end --- */

void firmware_cache_stop(struct firmware_cache *c)
{
    c->stopped = true;
    while (c->order)
        end_load(c->order, FLEET_AWAY);
    while (c->ready)
        on_turn(&c->turn, clock_ms());
    deadline_cancel(c->f->deadlines, &c->turn);
}

void firmware_cache_free(struct firmware_cache *c)
{
    struct entry *e, *next;
    firmware_cache_stop(c);
    while (c->unused)
        drop(c, c->unused);
    HASH_ITER (hh, c->entries, e, next) { /* held: whoever holds it frees it */
        HASH_DEL(c->entries, e);
        e->cache = NULL;
    }
    free(c);
}
