/* update_claim.c: asks Postgres what there is to do for the devices of this node, and gives it out. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "campaign/update_inner.h"

/* After the start the first second has so many, each second after it one more. */
#define STARTS_FIRST 2
#define STARTS_MAX 64

static const struct pg_statement claim = {
    .name = "update_claim",
    .sql = "SELECT job, update_id, update_rev, step_id, step_rev, device_id, release_id, func, module_id"
           " FROM update_claim($1::integer, $2::integer, $3::integer, $4::integer)",
    .params = 4,
};

struct claim_wait {
    struct update_engine *e;
    void (*done)(struct update_engine *e);
};

/* How many may begin in this tick. */
static size_t starts_now(const struct update_engine *e)
{
    uint64_t now_ms = clock_ms();
    if (now_ms < e->opens_ms || e->run_count >= e->settings.transfers_max)
        return 0;
    uint64_t ramp = STARTS_FIRST + (now_ms - e->opens_ms) / 1000;
    size_t starts = ramp < STARTS_MAX ? (size_t)ramp : STARTS_MAX;
    size_t room = e->settings.transfers_max - e->run_count;
    return starts < room ? starts : room;
}

static void give_step(struct update_engine *e, const struct pg_result *r, int row, const struct device_id *id)
{
    run_begin(e, &(struct update_run){.e = e,
                                      .device_id = *id,
                                      .update_id = pg_int(r, row, 1),
                                      .step_id = pg_int(r, row, 3),
                                      .rev = (int32_t)pg_int(r, row, 4),
                                      .function = (uint8_t)pg_int(r, row, 7),
                                      .module_id = pg_int(r, row, 8)});
}

static void give_out(struct update_engine *e, const struct pg_result *r, int row)
{
    const char *job = pg_value(r, row, 0);
    struct device_id id;
    size_t id_len;
    must(pg_bytea(r, row, 5, &id, sizeof id, &id_len) && id_len == sizeof id);
    if (!strcmp(job, "start")) {
        give_step(e, r, row, &id);
        return;
    }
    look_begin(e, &(struct update_look){.e = e,
                                        .kind = !strcmp(job, "look")   ? LOOK_STEP
                                                : !strcmp(job, "plan") ? LOOK_PLAN
                                                                       : LOOK_VERIFY,
                                        .device_id = id,
                                        .update_id = pg_int(r, row, 1),
                                        .update_rev = (int32_t)pg_int(r, row, 2),
                                        .step_id = pg_int(r, row, 3),
                                        .step_rev = (int32_t)pg_int(r, row, 4),
                                        .release_id = pg_int(r, row, 6)});
}

/* An answer that was lost leaves rows that were given to nobody: their lease runs out. */
static void on_claimed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct claim_wait wait = *(struct claim_wait *)arg;
    free(arg);
    if (err == PG_REFUSED)
        log_error("update.claim_refused sqlstate=%s", pg_sqlstate(result));
    for (int row = 0; err == PG_OK && !wait.e->stopped && row < pg_rows(result); row++)
        give_out(wait.e, result, row);
    wait.done(wait.e);
}

void update_claim(struct update_engine *e, void (*done)(struct update_engine *e))
{
    struct claim_wait *wait = mem_alloc(sizeof *wait);
    struct update_number node, starts, looks, lease;
    size_t look_room = e->look_count < UPDATE_LOOKS_MAX ? (UPDATE_LOOKS_MAX - e->look_count) / 3 : 0;
    size_t start_room = starts_now(e);
    *wait = (struct claim_wait){.e = e, .done = done};
    struct pg_param params[] = {
        update_int(&node, e->node_id),
        update_int(&starts, (int64_t)(start_room < look_room ? start_room : look_room)),
        update_int(&looks, (int64_t)look_room),
        update_int(&lease, UPDATE_LEASE_S),
    };
    pg_exec(e->pg, &claim, params, UPDATE_STATEMENT_MS, PG_AGAIN, on_claimed, wait);
}
