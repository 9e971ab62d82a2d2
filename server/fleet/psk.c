#include "fleet/psk.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "fleet/room.h"
#include "fleet/sql_array.h"

#define TURNS 4096

static const struct pg_statement find_psk = {
    .name = "find_psk",
    .sql = "SELECT asked.ord - 1, k.data, k.quarantined, k.denied FROM unnest($1::bytea[]) WITH ORDINALITY "
           "AS asked "
           "(id, ord)"
           " CROSS JOIN LATERAL (SELECT k.data, d.quarantined, d.denied, k.created_at, k.id FROM device_key k"
           " JOIN device d ON d.id = k.device_id"
           " WHERE k.device_id = asked.id AND k.kind = 'psk' AND k.state = 'live'"
           " ORDER BY k.created_at DESC, k.id DESC LIMIT 2) k"
           " ORDER BY asked.ord, k.created_at DESC, k.id DESC",
    .params = 1,
};

struct turn {
    struct device_id id;
    uint8_t failures;
};

struct asked {
    struct device_id id;
    bool is_id; /* else nothing is known by that identity */
    struct dtls_psk_query *query;
};

struct batch {
    struct psk *p;
    size_t count;
    struct asked asked[PSK_BATCH_MAX];
};

struct psk {
    struct fleet *f;
    struct batch *waiting; /* ours; NULL: nobody waits */
    struct deadline due;
    const struct psk_found *found; /* borrowed during answer_psk */
    struct turn turns[TURNS];
};

struct psk *psk_new(struct fleet *f)
{
    struct psk *p = mem_alloc(sizeof *p);
    p->f = f;
    return p;
}

static void all_away(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        batch->p->f->below.psk_away(batch->asked[i].query);
    free(batch);
}

void psk_stop(struct psk *p)
{
    struct batch *batch = p->waiting;
    deadline_cancel(p->f->deadlines, &p->due);
    p->waiting = NULL;
    if (batch)
        all_away(batch);
}

void psk_free(struct psk *p)
{
    psk_stop(p);
    free(p);
}

const struct psk_found *psk_just_found(const struct psk *p)
{
    return p->found;
}

static struct turn *turn_of(struct psk *p, const struct device_id *id)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a; a collision only makes two devices share a turn */
    for (size_t i = 0; i < sizeof id->bytes; i++)
        hash = (hash ^ id->bytes[i]) * 1099511628211u;
    return &p->turns[(hash >> 20) % TURNS];
}

void psk_failed(struct psk *p, const char *identity)
{
    struct device_id id;
    if (!device_id_parse(&id, identity, strlen(identity)))
        return;
    struct turn *turn = turn_of(p, &id);
    if (!device_id_equal(&turn->id, &id))
        *turn = (struct turn){.id = id};
    turn->failures++;
}

/* The device has count keys, in rows from first. */
static void answer(struct psk *p, const struct asked *asked, const struct pg_result *result, int first,
                   int count)
{
    uint8_t psk[DTLS_PSK_MAX];
    size_t psk_len = 0;
    bool known = false;
    struct psk_found found = {.id = asked->id};
    if (count > 0) {
        const struct turn *turn = turn_of(p, &asked->id);
        int row = first + (device_id_equal(&turn->id, &asked->id) ? turn->failures % count : 0);
        known = pg_bytea(result, row, 1, psk, sizeof psk, &psk_len);
        found.quarantined = pg_bool(result, row, 2);
        found.denied = pg_bool(result, row, 3);
    }
    p->found = known ? &found : NULL;
    p->f->below.answer_psk(asked->query, known ? psk : NULL, known ? psk_len : 0);
    p->found = NULL;
    bytes_wipe(psk, sizeof psk);
}

static void on_found(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct batch *batch = arg;
    int row = 0, rows;
    if (fleet_err_of(err, result, "find_psk") != FLEET_OK) {
        all_away(batch);
        return;
    }
    rows = pg_rows(result);
    for (size_t i = 0; i < batch->count; i++) {
        int first = row;
        while (row < rows && (size_t)pg_int(result, row, 0) == i)
            row++;
        answer(batch->p, &batch->asked[i], result, first, row - first);
    }
    free(batch);
}

static void ask(struct psk *p)
{
    struct batch *batch = p->waiting;
    struct sql_array ids;
    deadline_cancel(p->f->deadlines, &p->due);
    p->waiting = NULL;
    sql_array_init(&ids);
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->asked[i].is_id)
            sql_array_bytes(&ids, batch->asked[i].id.bytes, sizeof batch->asked[i].id.bytes);
        else
            sql_array_null(&ids);
    }
    pg_exec(p->f->pg, &find_psk, (struct pg_param[]){pg_text(sql_array_end(&ids))}, p->f->settings.hold_ms,
            PG_RETRY, on_found, batch);
    sql_array_deinit(&ids);
}

static void on_due(struct deadline *due, uint64_t now_ms)
{
    (void)now_ms;
    ask((struct psk *)((char *)due - offsetof(struct psk, due)));
}

void psk_find(void *ctx, const char *identity, struct dtls_psk_query *query)
{
    struct fleet *f = ctx;
    struct psk *p = f->psk;
    if (!p->waiting) {
        p->waiting = mem_alloc(sizeof *p->waiting);
        p->waiting->p = p;
        deadline_set(f->deadlines, &p->due, clock_ms(), on_due);
    }
    struct asked *asked = &p->waiting->asked[p->waiting->count++];
    asked->query = query;
    asked->is_id = device_id_parse(&asked->id, identity, strlen(identity));
    if (p->waiting->count == PSK_BATCH_MAX)
        ask(p);
}
