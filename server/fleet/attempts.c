#include "fleet/attempts.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fleet/psk.h"
#include "fleet/room.h"
#include "fleet/sql_array.h"
#include "fleet/utf8.h"

#define FLUSH_MS 1000
#define WRITE_TIMEOUT_MS 5000
enum { ATS, OUTCOMES, STAGES, PROFILES, ALERTS, SOURCE_IPS, IDENTITIES, KEYS, TOOKS, COLUMNS };

static const struct pg_statement store_attempts = {
    .name = "store_attempts",
    .sql =
        "SELECT store_attempts($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[],"
        " $7::text[], $8::bytea[], $9::bigint[])",
    .params = COLUMNS,
};

struct attempts {
    struct fleet *f;
    struct sql_array columns[COLUMNS]; /* ours, being filled */
    size_t count;
    bool in_flight;
    struct deadline flush;
    struct metric *dropped;
};

static void init_columns(struct attempts *a)
{
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_init(&a->columns[i]);
    a->count = 0;
}

static void deinit_columns(struct attempts *a)
{
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_deinit(&a->columns[i]);
}

struct attempts *attempts_new(struct fleet *f, struct metrics *metrics)
{
    struct attempts *a = mem_alloc(sizeof *a);
    a->f = f;
    a->dropped = metrics_add(metrics, METRIC_COUNTER, "cyan_handshake_records_dropped_total", NULL,
                             "handshake attempts counted but not recorded one by one");
    init_columns(a);
    return a;
}

void attempts_stop(struct attempts *a)
{
    deadline_cancel(a->f->deadlines, &a->flush);
}

void attempts_free(struct attempts *a)
{
    attempts_stop(a);
    deinit_columns(a);
    free(a);
}

static void on_written(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct attempts *a = arg;
    a->in_flight = false;
    if (fleet_err_of(err, result, "attempts") != FLEET_OK)
        a->dropped->value++;
}

static void on_flush(struct deadline *flush, uint64_t now_ms)
{
    struct attempts *a = (struct attempts *)((char *)flush - offsetof(struct attempts, flush));
    struct pg_param params[COLUMNS];
    if (a->in_flight || !pg_is_up(a->f->pg)) {
        deadline_set(a->f->deadlines, &a->flush, now_ms + FLUSH_MS, on_flush);
        return;
    }
    for (size_t i = 0; i < COLUMNS; i++)
        params[i] = pg_text(sql_array_end(&a->columns[i]));
    a->in_flight = true;
    pg_exec(a->f->pg, &store_attempts, params, WRITE_TIMEOUT_MS, 0, on_written, a);
    deinit_columns(a);
    init_columns(a);
}

static bool is_zero(const uint8_t *data, size_t data_len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < data_len; i++)
        any |= data[i];
    return !any;
}

/* Not: refused by us, whether for want of room, of the registry or of a welcome. */
static bool may_be_wrong_key(enum handshake_outcome outcome)
{
    return outcome != HANDSHAKE_OK && outcome != HANDSHAKE_RATE_LIMITED &&
           outcome != HANDSHAKE_REFUSED_BY_POLICY;
}

void attempts_push(void *ctx, const struct handshake_attempt *attempt)
{
    struct fleet *f = ctx;
    struct attempts *a = f->attempts;
    char identity[sizeof attempt->identity], ip[NET_ADDRESS_TEXT_SIZE];
    if (attempt->identity[0] && may_be_wrong_key(attempt->outcome))
        psk_failed(f->psk, attempt->identity);
    if (a->count >= ATTEMPTS_MAX || f->stopped) {
        a->dropped->value++;
        return;
    }
    sql_array_int(&a->columns[ATS], (int64_t)clock_wall_ms());
    sql_array_text(&a->columns[OUTCOMES], handshake_outcome_name(attempt->outcome));
    sql_array_text(&a->columns[STAGES], attempt->stage ? attempt->stage : "");
    sql_array_text(&a->columns[PROFILES], attempt->profile ? attempt->profile : "");
    sql_array_int(&a->columns[ALERTS], attempt->alert);
    sql_array_text(&a->columns[SOURCE_IPS], net_path_format_ip(ip, &attempt->path));
    utf8_clean(identity, sizeof identity, attempt->identity,
               strnlen(attempt->identity, sizeof attempt->identity));
    sql_array_text(&a->columns[IDENTITIES], *identity ? identity : NULL);
    if (is_zero(attempt->key_sha256, sizeof attempt->key_sha256))
        sql_array_null(&a->columns[KEYS]);
    else
        sql_array_bytes(&a->columns[KEYS], attempt->key_sha256, sizeof attempt->key_sha256);
    sql_array_int(&a->columns[TOOKS], attempt->took_ms);
    if (a->count++ == 0)
        deadline_set(f->deadlines, &a->flush, clock_ms() + FLUSH_MS, on_flush);
}
