#include "swarm_rests.h"
#include "base/bytes.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "cyan-swarm sessions 1\n"
#define MAGIC_BYTES (sizeof(MAGIC) - 1)
#define REST_MAX_BYTES 128 /* without the audit */

static bool fail(char error[SWARM_ERROR_SIZE], const char *path, const char *why)
{
    (void)snprintf(error, SWARM_ERROR_SIZE, "%s: %s", path, why);
    return false;
}

/* Whose sessions they are. */
static void fleet_mark(const struct swarm_fleet *f, uint8_t mark[SWARM_HASH_BYTES])
{
    const struct swarm_choice *c = f->derive.choice;
    char *text = mem_printf("%s\n%s\n%s\n", c->seed, c->platforms ? c->platforms : "", c->profile);

    swarm_sha256(mark, text, strlen(text));
    free(text);
}

/* --- one device --- */

static void put_record(struct bytes_writer *w, const struct swarm_record *r)
{
    bytes_put(w, r->send_key, sizeof(r->send_key));
    bytes_put(w, r->recv_key, sizeof(r->recv_key));
    bytes_put(w, r->send_iv, sizeof(r->send_iv));
    bytes_put(w, r->recv_iv, sizeof(r->recv_iv));
    bytes_put(w, r->cid, sizeof(r->cid));
    bytes_put_be64(w, r->send_seq);
    bytes_put_be64(w, r->recv_max);
    bytes_put_be64(w, r->recv_window);
    bytes_put_u8(w, r->cid_len);
    bytes_put_u8(w, r->flavour);
    bytes_put_u8(w, r->suite);
    bytes_put_u8(w, r->resumed);
}

static void get(struct bytes_reader *r, uint8_t *out, size_t out_len)
{
    const uint8_t *bytes = bytes_get(r, out_len);

    if (bytes)
        memcpy(out, bytes, out_len);
}

static bool get_record(struct bytes_reader *r, struct swarm_record *record)
{
    get(r, record->send_key, sizeof(record->send_key));
    get(r, record->recv_key, sizeof(record->recv_key));
    get(r, record->send_iv, sizeof(record->send_iv));
    get(r, record->recv_iv, sizeof(record->recv_iv));
    get(r, record->cid, sizeof(record->cid));
    record->send_seq = bytes_get_be64(r);
    record->recv_max = bytes_get_be64(r);
    record->recv_window = bytes_get_be64(r);
    record->cid_len = bytes_get_u8(r);
    record->flavour = bytes_get_u8(r);
    record->suite = bytes_get_u8(r);
    record->resumed = bytes_get_u8(r) != 0;
    return !r->bad && record->cid_len <= SWARM_CID_MAX_BYTES && record->flavour <= SWARM_CID_DRAFT05 &&
           record->suite <= SWARM_SUITE_GCM;
}

static void put_rest(struct bytes_writer *w, uint32_t number, const struct swarm_rest *rest)
{
    bytes_put_be32(w, number);
    put_record(w, &rest->record);
    bytes_put_be64(w, rest->event_counter);
    bytes_put_be16(w, rest->mid);
    bytes_put_be16(w, rest->handshakes);
    bytes_put_u8(w, rest->token);
    bytes_put_u8(w, rest->resume_uses);
    bytes_put_u8(w, (uint8_t)(rest->told_reset | rest->changed << 1 | rest->forced_updates << 2 |
                              rest->clock_valid << 3));
    swarm_audit_put(&rest->audit, w);
}

static bool get_rest(struct bytes_reader *r, struct swarm_rest *rest)
{
    uint8_t flags;

    if (!get_record(r, &rest->record))
        return false;
    rest->event_counter = bytes_get_be64(r);
    rest->mid = bytes_get_be16(r);
    rest->handshakes = bytes_get_be16(r);
    rest->token = bytes_get_u8(r);
    rest->resume_uses = bytes_get_u8(r);
    flags = bytes_get_u8(r);
    rest->told_reset = flags & 1;
    rest->changed = flags >> 1 & 1;
    rest->forced_updates = flags >> 2 & 1;
    rest->clock_valid = flags >> 3 & 1;
    rest->has_session = swarm_audit_get(&rest->audit, r);
    return rest->has_session;
}

/* --- the file --- */

static bool write_rests(const struct swarm_fleet *f, FILE *file)
{
    uint8_t mark[SWARM_HASH_BYTES];
    bool ok;

    fleet_mark(f, mark);
    ok = fwrite(MAGIC, MAGIC_BYTES, 1, file) == 1 && fwrite(mark, sizeof(mark), 1, file) == 1;
    for (uint32_t i = 0; i < f->count && ok; i++) {
        size_t size = REST_MAX_BYTES + swarm_audit_put_bytes(&f->rests[i].audit);
        uint8_t *bytes;
        struct bytes_writer w;

        if (!f->rests[i].has_session)
            continue;
        bytes = mem_alloc(size);
        bytes_writer_init(&w, bytes, size);
        put_rest(&w, i, &f->rests[i]);
        must(!w.bad);
        ok = fwrite(bytes, bytes_written(&w), 1, file) == 1;
        bytes_wipe(bytes, size);
        free(bytes);
    }
    return ok;
}

/* Written beside and renamed, so that a full disk leaves the old ones. */
bool swarm_rests_save(const struct swarm_fleet *f, const char *path, char error[SWARM_ERROR_SIZE])
{
    char *temporary = mem_printf("%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool ok = file && write_rests(f, file);

    if (file && fclose(file) != 0)
        ok = false;
    ok = ok && rename(temporary, path) == 0;
    if (!ok)
        fail(error, path, strerror(errno));
    free(temporary);
    return ok;
}

static bool read_rests(struct swarm_fleet *f, struct bytes_reader *r)
{
    uint8_t mark[SWARM_HASH_BYTES];
    const uint8_t *magic = bytes_get(r, MAGIC_BYTES), *theirs = bytes_get(r, sizeof(mark));

    fleet_mark(f, mark);
    if (r->bad || memcmp(magic, MAGIC, MAGIC_BYTES) != 0 || memcmp(theirs, mark, sizeof(mark)) != 0)
        return false;
    while (bytes_left(r) > 0) {
        uint32_t number = bytes_get_be32(r);

        if (r->bad || number >= f->count || f->rests[number].has_session || !get_rest(r, &f->rests[number]))
            return false;
    }
    return true;
}

bool swarm_rests_load(struct swarm_fleet *f, const char *path, char error[SWARM_ERROR_SIZE])
{
    FILE *file = fopen(path, "re");
    struct bytes_reader r;
    uint8_t *bytes = NULL;
    long size = -1;
    bool ok;

    if (!file)
        return fail(error, path, strerror(errno));
    if (fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    rewind(file);
    if (size > 0)
        bytes = mem_alloc((size_t)size);
    ok = bytes && fread(bytes, (size_t)size, 1, file) == 1;
    (void)fclose(file);
    if (ok) {
        bytes_reader_init(&r, bytes, (size_t)size);
        ok = read_rests(f, &r);
        bytes_wipe(bytes, (size_t)size);
    }
    free(bytes);
    return ok || fail(error, path, "not the sessions of these devices");
}
