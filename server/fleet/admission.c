#include "fleet/admission.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/psk.h"
#include "fleet/room.h"

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
    const struct psk_found *just = psk_just_found(f->psk);
    bool found = wait->has_id && just && device_id_equal(&just->id, &wait->id);
    if (found)
        wait->admission = known_by_policy(f, just->quarantined, just->denied);
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
