#include "fleet/account_sweep.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fleet/room.h"

#define ROUND_MS 30000
#define NEXT_BATCH_MS 500
#define BATCH 5000
#define TIMEOUT_MS 10000

static const struct pg_statement sweep = {
    .name = "account_sweep",
    .sql = "SELECT account_sweep($1::integer, $2::bigint, $3::bigint)",
    .params = 3,
};

struct account_sweep {
    struct fleet *f;
    struct deadline next;
    struct metric *deleted;
};

static void on_round(struct deadline *next, uint64_t now_ms);

static void on_swept(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct account_sweep *s = arg;
    bool fine = fleet_err_of(err, result, "account_sweep") == FLEET_OK;
    int64_t gone = fine ? pg_int(result, 0, 0) : 0;
    s->deleted->value += (uint64_t)gone;
    if (!s->f->stopped)
        deadline_set(s->f->deadlines, &s->next, clock_ms() + (gone >= BATCH ? NEXT_BATCH_MS : ROUND_MS),
                     on_round);
}

static void on_round(struct deadline *next, uint64_t now_ms)
{
    struct account_sweep *s = (struct account_sweep *)((char *)next - offsetof(struct account_sweep, next));
    struct fleet_number batch, age, most;
    struct pg_param params[] = {fleet_int(&batch, BATCH),
                                fleet_int(&age, (int64_t)s->f->settings.refusals_keep_s),
                                fleet_int(&most, (int64_t)s->f->settings.refusals_max)};
    (void)now_ms;
    pg_exec(s->f->pg, &sweep, params, TIMEOUT_MS, PG_RETRY, on_swept, s);
}

struct account_sweep *account_sweep_new(struct fleet *f, struct metrics *metrics)
{
    struct account_sweep *s = mem_alloc(sizeof *s);
    s->f = f;
    s->deleted =
        metrics_add(metrics, METRIC_COUNTER, "cyan_account_rows_expired_total", NULL,
                    "Refusals, failed sign-ins and dead tokens deleted because they were kept long enough.");
    return s;
}

void account_sweep_start(struct account_sweep *s)
{
    deadline_set(s->f->deadlines, &s->next, clock_ms(), on_round);
}

void account_sweep_stop(struct account_sweep *s)
{
    deadline_cancel(s->f->deadlines, &s->next);
}

void account_sweep_free(struct account_sweep *s)
{
    account_sweep_stop(s);
    free(s);
}
