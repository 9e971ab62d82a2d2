#include "fleet/psk.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "fleet/room.h"

#define TURNS 4096

static const struct pg_statement find_psk = {
    .name = "find_psk",
    .sql = "SELECT k.data, d.quarantined, d.denied FROM device_key k JOIN device d ON d.id = k.device_id"
           " WHERE k.device_id = $1::bytea AND k.kind = 'psk' AND k.state = 'live'"
           " ORDER BY k.created_at DESC, k.id DESC LIMIT 2",
    .params = 1,
};

struct turn {
    struct device_id id;
    uint8_t failures;
};

struct asked {
    struct psk *p;
    struct device_id id;
    struct dtls_psk_query *query;
};

struct psk {
    struct fleet *f;
    const struct psk_found *found; /* borrowed during answer_psk */
    struct turn turns[TURNS];
};

struct psk *psk_new(struct fleet *f)
{
    struct psk *p = mem_alloc(sizeof *p);
    p->f = f;
    return p;
}

void psk_free(struct psk *p)
{
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

static void on_found(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct asked asked = *(struct asked *)arg;
    struct psk *p = asked.p;
    uint8_t psk[DTLS_PSK_MAX];
    size_t psk_len = 0;
    bool known = false;
    struct psk_found found = {.id = asked.id};
    free(arg);
    if (fleet_err_of(err, result, "find_psk") != FLEET_OK) {
        p->f->below.psk_away(asked.query);
        return;
    }
    if (pg_rows(result) > 0) {
        const struct turn *turn = turn_of(p, &asked.id);
        int row = device_id_equal(&turn->id, &asked.id) ? turn->failures % pg_rows(result) : 0;
        known = pg_bytea(result, row, 0, psk, sizeof psk, &psk_len);
        found.quarantined = pg_bool(result, row, 1);
        found.denied = pg_bool(result, row, 2);
    }
    p->found = known ? &found : NULL;
    p->f->below.answer_psk(asked.query, known ? psk : NULL, known ? psk_len : 0);
    p->found = NULL;
    bytes_wipe(psk, sizeof psk);
}

static void answer_none(void *ctx)
{
    struct asked asked = *(struct asked *)ctx;
    free(ctx);
    asked.p->f->below.answer_psk(asked.query, NULL, 0);
}

void psk_find(void *ctx, const char *identity, struct dtls_psk_query *query)
{
    struct fleet *f = ctx;
    struct asked *asked = mem_alloc(sizeof *asked);
    asked->p = f->psk;
    asked->query = query;
    if (!device_id_parse(&asked->id, identity, strlen(identity))) {
        later_push(&f->later, answer_none, asked);
        return;
    }
    pg_exec(f->pg, &find_psk, (struct pg_param[]){fleet_id(&asked->id)}, f->settings.hold_ms, PG_RETRY,
            on_found, asked);
}
