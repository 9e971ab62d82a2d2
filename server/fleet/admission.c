#include "fleet/admission.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
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
/* Notes the use, so that retiring a key ends the session that was made with it; only when that is news, so
 * that a herd of handshakes is a herd of reads. */
static const struct pg_statement find_key = {
    .name = "find_key",
    .sql = "WITH found AS (SELECT k.id, d.id AS device_id, d.quarantined, d.denied, k.last_used_at"
           " FROM device_key k JOIN device d ON d.id = k.device_id"
           " WHERE k.sha256 = $1::bytea AND k.state = 'live' AND k.kind <> 'psk'),"
           " used AS (UPDATE device_key u SET last_used_at = clock_timestamp() FROM found f WHERE u.id = f.id"
           " AND (f.last_used_at IS NULL OR f.last_used_at < now() - interval '1 hour' OR EXISTS (SELECT FROM"
           " device_key o WHERE o.device_id = f.device_id AND o.id <> f.id AND o.last_used_at >= "
           "f.last_used_at)))"
           " SELECT device_id, quarantined, denied FROM found",
    .params = 1,
};
static const struct pg_statement find_identity = {
    .name = "find_identity",
    .sql = "SELECT d.id, d.quarantined, d.denied FROM device d WHERE d.id = $1::bytea AND EXISTS (SELECT "
           "FROM device_key k"
           " WHERE k.device_id = d.id AND k.kind = 'psk' AND k.state = 'live')",
    .params = 1,
};
/* A certificate does not bring back a key that was retired. */
static const struct pg_statement find_named = {
    .name = "find_named",
    .sql = "SELECT d.id, d.quarantined, d.denied FROM device d WHERE d.id = $1::bytea AND NOT EXISTS (SELECT "
           "FROM "
           "device_key k"
           " WHERE k.device_id = d.id AND k.sha256 = $2::bytea AND k.state = 'retired')",
    .params = 2,
};

/* --- pre-shared keys --- */

struct psk_turns {
    struct turn {
        struct device_id id;
        uint8_t failures;
    } turns[TURNS];
};

struct psk_turns *psk_turns_new(void)
{
    return mem_alloc(sizeof(struct psk_turns));
}

void psk_turns_free(struct psk_turns *turns)
{
    free(turns);
}

static struct turn *turn_of(struct psk_turns *turns, const struct device_id *id)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a; a collision only makes two devices share a turn */
    for (size_t i = 0; i < sizeof id->bytes; i++)
        hash = (hash ^ id->bytes[i]) * 1099511628211u;
    return &turns->turns[(hash >> 20) % TURNS];
}

void psk_turns_failed(struct psk_turns *turns, const char *identity)
{
    struct device_id id;
    if (!device_id_parse(&id, identity, strlen(identity)))
        return;
    struct turn *turn = turn_of(turns, &id);
    if (!device_id_equal(&turn->id, &id))
        *turn = (struct turn){.id = id};
    turn->failures++;
}

struct psk_wait {
    struct fleet *f;
    struct dtls_psk_query *query;
    struct device_id id;
};

/* What the registry has just said of an identity: a handshake that is complete with this very key asks for
 * its authorisation before anything else happens, and need not ask the registry again. */
struct psk_found {
    struct device_id id;
    bool quarantined, denied;
};

static void on_psk(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct psk_wait wait = *(struct psk_wait *)arg;
    uint8_t psk[DTLS_PSK_MAX];
    size_t psk_len = 0;
    bool known = false;
    struct psk_found found = {.id = wait.id};
    free(arg);
    if (fleet_err_of(err, result, "find_psk") != FLEET_OK) {
        wait.f->below.psk_away(wait.query);
        return;
    }
    if (pg_rows(result) > 0) {
        const struct turn *turn = turn_of(wait.f->psk_turns, &wait.id);
        int row = device_id_equal(&turn->id, &wait.id) ? turn->failures % pg_rows(result) : 0;
        known = pg_bytea(result, row, 0, psk, sizeof psk, &psk_len);
        found.quarantined = pg_bool(result, row, 1);
        found.denied = pg_bool(result, row, 2);
    }
    wait.f->psk_found = known ? &found : NULL;
    wait.f->below.answer_psk(wait.query, known ? psk : NULL, known ? psk_len : 0);
    wait.f->psk_found = NULL;
    bytes_wipe(psk, sizeof psk);
}

static void answer_no_psk(void *ctx)
{
    struct psk_wait wait = *(struct psk_wait *)ctx;
    free(ctx);
    wait.f->below.answer_psk(wait.query, NULL, 0);
}

void admission_find_psk(void *ctx, const char *identity, struct dtls_psk_query *query)
{
    struct fleet *f = ctx;
    struct psk_wait *wait = mem_alloc(sizeof *wait);
    wait->f = f;
    wait->query = query;
    if (!device_id_parse(&wait->id, identity, strlen(identity))) {
        later_push(&f->later, answer_no_psk, wait);
        return;
    }
    pg_exec(f->pg, &find_psk, (struct pg_param[]){fleet_id(&wait->id)}, f->settings.hold_ms, PG_RETRY, on_psk,
            wait);
}

/* --- after the handshake --- */

struct admit_wait {
    struct fleet *f;
    device_admit_fn *answer;
    void *arg;
    struct device_id named; /* by the certificate of a trusted authority */
    bool has_named;
    uint8_t key_sha256[32];
    uint64_t until_ms;               /* it waits no longer for Postgres */
    enum device_admission admission; /* of answer_admission, with the ID it is for */
    struct device_id id;
    bool has_id;
};

static enum device_admission unknown_by_policy(const struct fleet *f)
{
    switch (f->settings.unknown) {
    case FLEET_ENROL:
        return DEVICE_ADMIT_UNKNOWN;
    case FLEET_QUARANTINE:
        return DEVICE_ADMIT_QUARANTINE;
    default:
        return DEVICE_REFUSE_UNKNOWN;
    }
}

static void answer_admission(void *ctx)
{
    struct admit_wait wait = *(struct admit_wait *)ctx;
    free(ctx);
    wait.answer(wait.arg, wait.admission, wait.has_id ? &wait.id : NULL);
}

static enum device_admission known_by_policy(const struct fleet *f, bool quarantined, bool denied)
{
    if (denied)
        return DEVICE_REFUSE_DENIED;
    if (!quarantined)
        return DEVICE_ADMIT;
    return f->settings.unknown == FLEET_REFUSE ? DEVICE_REFUSE_UNKNOWN : DEVICE_ADMIT_QUARANTINE;
}

static uint32_t left_ms(const struct admit_wait *wait)
{
    uint64_t now_ms = clock_ms();
    return now_ms < wait->until_ms ? (uint32_t)(wait->until_ms - now_ms) : 1;
}

static void on_device(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct admit_wait wait = *(struct admit_wait *)arg;
    struct device_id id;
    size_t id_len;
    if (fleet_err_of(err, result, "authorise") != FLEET_OK) {
        free(arg);
        wait.answer(wait.arg, DEVICE_REFUSE_AWAY, NULL);
        return;
    }
    if (pg_rows(result) == 0 &&
        wait.has_named) { /* the key is not enrolled, but its certificate names a device */
        struct admit_wait *again = arg;
        again->has_named = false;
        struct pg_param params[] = {fleet_id(&wait.named), pg_bytes(wait.key_sha256, sizeof wait.key_sha256)};
        pg_exec(wait.f->pg, &find_named, params, left_ms(again), PG_RETRY, on_device, again);
        return;
    }
    free(arg);
    if (pg_rows(result) == 0) {
        wait.answer(wait.arg, unknown_by_policy(wait.f), NULL);
        return;
    }
    must(pg_bytea(result, 0, 0, &id, sizeof id, &id_len) && id_len == sizeof id);
    wait.answer(wait.arg, known_by_policy(wait.f, pg_bool(result, 0, 1), pg_bool(result, 0, 2)), &id);
}

static void authorise_identity(struct fleet *f, struct admit_wait *wait, const char *identity)
{
    wait->has_id = device_id_parse(&wait->id, identity, strlen(identity));
    bool found = wait->has_id && f->psk_found && device_id_equal(&f->psk_found->id, &wait->id);
    if (found)
        wait->admission = known_by_policy(f, f->psk_found->quarantined, f->psk_found->denied);
    if (found || !wait->has_id)
        later_push(&f->later, answer_admission, wait);
    else
        pg_exec(f->pg, &find_identity, (struct pg_param[]){fleet_id(&wait->id)}, left_ms(wait), PG_RETRY,
                on_device, wait);
}

void admission_authorise(void *ctx, const struct session_proof *proof, device_admit_fn *answer, void *arg)
{
    struct fleet *f = ctx;
    struct admit_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct admit_wait){.f = f,
                                .answer = answer,
                                .arg = arg,
                                .admission = DEVICE_REFUSE_UNKNOWN,
                                .until_ms = clock_ms() + f->settings.hold_ms};
    memcpy(wait->key_sha256, proof->key_sha256, sizeof wait->key_sha256);
    if (proof->profile == SESSION_PSK) {
        authorise_identity(f, wait, proof->identity);
        return;
    }
    wait->has_named =
        proof->ca_signed && device_id_parse(&wait->named, proof->subject_cn, strlen(proof->subject_cn));
    pg_exec(f->pg, &find_key, (struct pg_param[]){pg_bytes(proof->key_sha256, sizeof proof->key_sha256)},
            left_ms(wait), PG_RETRY, on_device, wait);
}
