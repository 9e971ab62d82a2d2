/* update_checkpoint.c: where the transfers of this node are, written for all of them in one statement; it
 * prolongs their deadlines too. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "campaign/update_inner.h"
#include "fleet/sql_array.h"

#define TOLD_BYTES 65536
#define TOLD_MS 30000

static const struct pg_statement steps_checkpoint = {
    .name = "steps_checkpoint",
    .sql = "SELECT step_id, step_rev FROM steps_checkpoint($1::integer, $2::bigint[], $3::integer[], "
           "$4::bigint[], "
           "$5::bigint[])",
    .params = 5,
};

/* Those whose row says a state of before `finishing`, in the rev that is sent along. */
static bool is_due(const struct update_run *run, uint64_t now_ms)
{
    return run->state < RUN_FINISHING && !run->writing && !run->wants_transferring &&
           (now_ms >= run->told_ms + TOLD_MS || run->acked_bytes >= run->told_bytes + TOLD_BYTES);
}

/* A row that does not stand where it did may have been moved by this node's own write meanwhile. */
static void on_written(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct update_engine *e = arg;
    e->is_checkpointing = false;
    if (err == PG_REFUSED)
        log_error("update.checkpoint_refused sqlstate=%s", pg_sqlstate(result));
    for (int row = 0; err == PG_OK && row < pg_rows(result); row++) {
        struct update_run *run = run_find(e, pg_int(result, row, 0));
        if (run && run->rev == pg_int(result, row, 1) && !run->writing && run->state < RUN_FINISHING) {
            e->fenced->value++;
            run_leave(run);
        }
    }
}

void update_checkpoint(struct update_engine *e, uint64_t now_ms)
{
    struct sql_array columns[4];
    struct update_number node;
    struct update_run *run;
    size_t count = 0;
    if (e->is_checkpointing || e->closed)
        return;
    for (size_t i = 0; i < 4; i++)
        sql_array_init(&columns[i]);
    DL_FOREACH (e->runs, run) {
        if (!is_due(run, now_ms))
            continue;
        sql_array_int(&columns[0], run->step_id);
        sql_array_int(&columns[1], run->rev);
        sql_array_int(&columns[2], run->acked_bytes);
        sql_array_int(&columns[3], (int64_t)run->sent_bytes);
        run->told_ms = now_ms;
        run->told_bytes = run->acked_bytes;
        count++;
    }
    if (count > 0) {
        struct pg_param params[5] = {update_int(&node, e->node_id)};
        for (size_t i = 0; i < 4; i++)
            params[i + 1] = pg_text(sql_array_end(&columns[i]));
        e->is_checkpointing = true;
        pg_exec(e->pg, &steps_checkpoint, params, UPDATE_STATEMENT_MS, PG_RETRY, on_written, e);
    }
    for (size_t i = 0; i < 4; i++)
        sql_array_deinit(&columns[i]);
}
