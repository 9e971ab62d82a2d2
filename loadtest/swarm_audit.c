#include "swarm_audit.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

#define FACES_FIRST 8

struct audit_face {
    uint64_t seq_1; /* sequence number + 1; 0 = empty */
    uint64_t digest;
};
struct audit_past {
    struct swarm_audit_run *runs; /* ours: all but the newest, rising, none touching the next */
    struct audit_face *faces;     /* ours: at seq % face_size the newest such number; NULL = none */
    uint32_t run_count, run_size, face_size;
};

/* FNV-1a: told apart are records of one server, not forgeries; those do not open. */
static uint64_t digest_of(const uint8_t *record, size_t record_len)
{
    uint64_t digest = 0xcbf29ce484222325ULL;

    for (size_t i = 0; i < record_len; i++)
        digest = (digest ^ record[i]) * 0x100000001b3ULL;
    return digest;
}

static struct audit_past *past_of(struct swarm_audit *a)
{
    if (!a->past)
        a->past = mem_alloc(sizeof(*a->past));
    return a->past;
}

/* --- what records looked like --- */

static void face_put(struct audit_past *past, struct audit_face face)
{
    struct audit_face *at = &past->faces[(face.seq_1 - 1) % past->face_size];

    if (at->seq_1 < face.seq_1)
        *at = face;
}

static void faces_grow(struct audit_past *past)
{
    struct audit_face *old = past->faces;
    uint32_t old_size = past->face_size;

    past->face_size = old_size > 0 ? 2 * old_size : FACES_FIRST;
    past->faces = mem_array(past->face_size, sizeof(*past->faces));
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i].seq_1 > 0)
            face_put(past, old[i]);
    free(old);
}

static void remember(struct audit_past *past, struct audit_face face)
{
    while (past->face_size < SWARM_AUDIT_FACES_MAX &&
           (past->face_size == 0 || past->faces[(face.seq_1 - 1) % past->face_size].seq_1 > 0))
        faces_grow(past);
    face_put(past, face);
}

static bool looked_the_same(const struct audit_past *past, struct audit_face face)
{
    const struct audit_face *at;

    if (!past || past->face_size == 0)
        return false;
    at = &past->faces[(face.seq_1 - 1) % past->face_size];
    return at->seq_1 == face.seq_1 && at->digest == face.digest;
}

/* --- numbers --- */

/* The first of the older runs that ends at seq or after it; run_count when none does. */
static uint32_t run_at(const struct audit_past *past, uint64_t seq)
{
    uint32_t low = 0, high = past->run_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (past->runs[middle].last < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_seen(const struct swarm_audit *a, uint64_t seq)
{
    uint32_t i;

    if (!a->any || seq > a->newest.last)
        return false;
    if (seq >= a->newest.first)
        return true;
    if (!a->past)
        return false;
    i = run_at(a->past, seq);
    return i < a->past->run_count && a->past->runs[i].first <= seq;
}

static void run_insert(struct audit_past *past, uint32_t i, struct swarm_audit_run run)
{
    if (past->run_count == past->run_size) {
        past->run_size = past->run_size > 0 ? 2 * past->run_size : 4;
        past->runs = mem_grow(past->runs, past->run_size, sizeof(*past->runs));
    }
    memmove(&past->runs[i + 1], &past->runs[i], (past->run_count - i) * sizeof(*past->runs));
    past->runs[i] = run;
    past->run_count++;
}

static void run_remove(struct audit_past *past, uint32_t i)
{
    past->run_count--;
    memmove(&past->runs[i], &past->runs[i + 1], (past->run_count - i) * sizeof(*past->runs));
}

/* A number that came late, into the older runs: joins what it touches. */
static void add_late(struct audit_past *past, uint64_t seq)
{
    uint32_t i = run_at(past, seq);
    bool joins_before = i > 0 && past->runs[i - 1].last + 1 == seq;
    bool joins_after = i < past->run_count && past->runs[i].first == seq + 1;

    if (joins_before && joins_after) {
        past->runs[i - 1].last = past->runs[i].last;
        run_remove(past, i);
    } else if (joins_before) {
        past->runs[i - 1].last = seq;
    } else if (joins_after) {
        past->runs[i].first = seq;
    } else {
        run_insert(past, i, (struct swarm_audit_run){seq, seq});
    }
}

/* The number just below the newest run: the run before may touch it now. */
static void extend_down(struct swarm_audit *a)
{
    struct audit_past *past = a->past;

    a->newest.first--;
    if (past && past->run_count > 0 && past->runs[past->run_count - 1].last + 1 == a->newest.first)
        a->newest.first = past->runs[--past->run_count].first;
}

static void add(struct swarm_audit *a, uint64_t seq)
{
    if (!a->any) {
        a->newest = (struct swarm_audit_run){seq, seq};
        a->any = true;
    } else if (seq == a->newest.last + 1) {
        a->newest.last = seq;
    } else if (seq > a->newest.last) {
        run_insert(past_of(a), past_of(a)->run_count, a->newest);
        a->newest = (struct swarm_audit_run){seq, seq};
    } else if (seq + 1 == a->newest.first) {
        extend_down(a);
    } else {
        add_late(past_of(a), seq);
    }
}

enum swarm_audit_verdict swarm_audit_note(struct swarm_audit *a, uint64_t seq, const uint8_t *record,
                                          size_t record_len)
{
    struct audit_face face = {seq + 1, digest_of(record, record_len)};

    if (is_seen(a, seq))
        return looked_the_same(a->past, face) ? SWARM_AUDIT_SAME : SWARM_AUDIT_REUSED;
    add(a, seq);
    remember(past_of(a), face);
    return SWARM_AUDIT_NEW;
}

void swarm_audit_rest(struct swarm_audit *a)
{
    struct audit_past *past = a->past;

    if (!past)
        return;
    free(past->faces);
    past->faces = NULL;
    past->face_size = 0;
    if (past->run_count > 0)
        return;
    free(past->runs);
    free(past);
    a->past = NULL;
}

void swarm_audit_clear(struct swarm_audit *a)
{
    if (a->past) {
        free(a->past->runs);
        free(a->past->faces);
        free(a->past);
    }
    memset(a, 0, sizeof(*a));
}

/* --- kept in a file --- */

size_t swarm_audit_put_bytes(const struct swarm_audit *a)
{
    uint32_t runs = (a->any ? 1U : 0U) + (a->past ? a->past->run_count : 0);

    return 4 + (size_t)16 * runs;
}

static void put_run(struct bytes_writer *w, struct swarm_audit_run run)
{
    bytes_put_be64(w, run.first);
    bytes_put_be64(w, run.last);
}

void swarm_audit_put(const struct swarm_audit *a, struct bytes_writer *w)
{
    uint32_t older = a->past ? a->past->run_count : 0;

    bytes_put_be32(w, older + (a->any ? 1 : 0));
    for (uint32_t i = 0; i < older; i++)
        put_run(w, a->past->runs[i]);
    if (a->any)
        put_run(w, a->newest);
}

bool swarm_audit_get(struct swarm_audit *a, struct bytes_reader *r)
{
    uint32_t count = bytes_get_be32(r);

    for (uint32_t i = 0; i < count && !r->bad; i++) {
        struct swarm_audit_run run = {bytes_get_be64(r), bytes_get_be64(r)};

        if (r->bad || run.first > run.last || (a->any && run.first <= a->newest.last + 1)) {
            swarm_audit_clear(a);
            return false;
        }
        if (a->any)
            run_insert(past_of(a), past_of(a)->run_count, a->newest);
        a->newest = run;
        a->any = true;
    }
    return !r->bad;
}
