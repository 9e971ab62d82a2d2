/* update_transfer.c: the file on its way to the device, with the row in Postgres never behind what is done:
 * it says `finishing` before the device is told to apply. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "campaign/update_inner.h"

/* How long a device whose file is complete is held while its row cannot be written, or there is no room in
 * the disruption budget. It gives up by itself after 300 s (device-protocol 5.3), a Core after 30. */
#define HOLD_MS 120000

static const struct pg_statement step_transfer = {
    .name = "step_transfer",
    .sql = "SELECT said, rev FROM step_transfer($1::bigint, $2::integer, $3::integer, $4::integer)",
    .params = 4,
};
static const struct pg_statement step_finish = {
    .name = "step_finish",
    .sql = "SELECT said, rev FROM step_finish($1::bigint, $2::integer, $3::integer, $4::bigint, $5::bigint)",
    .params = 5,
};

static void on_write_again(struct deadline *again, uint64_t now_ms)
{
    (void)now_ms;
    run_write((struct update_run *)((char *)again - offsetof(struct update_run, again)));
}

static void write_later(struct update_run *run)
{
    deadline_set(run->e->deadlines, &run->again, clock_ms() + UPDATE_AGAIN_MS, on_write_again);
}

/* PG_OK and a row that is still ours, or false: written again, or given up, here. */
static bool is_written(struct update_run *run, enum pg_err err, const struct pg_result *result)
{
    run->writing = NULL;
    if (err == PG_REFUSED) {
        log_error("update.move_refused step=%" PRId64 " sqlstate=%s", run->step_id, pg_sqlstate(result));
        run_leave(run);
    } else if (err != PG_OK)
        write_later(run);
    else if (!strcmp(pg_value(result, 0, 0), "gone")) {
        run->e->fenced->value++;
        run_leave(run);
    } else {
        run->rev = (int32_t)pg_int(result, 0, 1);
        return true;
    }
    return false;
}

static void on_transferring(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct update_run *run = arg;
    if (!is_written(run, err, result))
        return;
    run->wants_transferring = false;
    run->is_written = true;
    run_write(run);
}

static void write_transferring(struct update_run *run)
{
    struct update_number step, rev, node, start;
    struct pg_param params[] = {update_int(&step, run->step_id), update_int(&rev, run->rev),
                                update_int(&node, run->e->node_id), update_int(&start, run->start_bytes)};
    run->writing =
        pg_exec(run->e->pg, &step_transfer, params, UPDATE_STATEMENT_MS, PG_RETRY, on_transferring, run);
}

static void on_finishing(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct update_run *run = arg;
    if (!is_written(run, err, result))
        return;
    const char *said = pg_value(result, 0, 0);
    if (run->state == RUN_TELLING) /* it went away meanwhile: nothing was told to apply */
        run_write(run);
    else if (!strcmp(said, "finish")) {
        run_enter(run, RUN_FINISHING);
        run->is_finishing = true;
        deadline_cancel(run->e->deadlines, &run->again);
        device_update_finish(run->transfer);
    } else if (!strcmp(said, "wait"))
        write_later(run);
    else
        device_update_stop(run->transfer);
}

static void write_finishing(struct update_run *run)
{
    struct update_number step, rev, node, acked, sent;
    struct pg_param params[] = {update_int(&step, run->step_id), update_int(&rev, run->rev),
                                update_int(&node, run->e->node_id), update_int(&acked, run->acked_bytes),
                                update_int(&sent, (int64_t)run->sent_bytes)};
    run->writing =
        pg_exec(run->e->pg, &step_finish, params, UPDATE_STATEMENT_MS, PG_RETRY, on_finishing, run);
}

void run_write(struct update_run *run)
{
    if (run->writing || run->state == RUN_LEAVING || run->e->closed)
        return;
    if (run->wants_transferring)
        write_transferring(run);
    else if (run->state == RUN_TELLING)
        run_write_end(run);
    else if (run->state == RUN_HOLDING && clock_ms() >= run->held_ms + HOLD_MS)
        device_update_stop(run->transfer);
    else if (run->state == RUN_HOLDING && !run->e->stopped)
        write_finishing(run);
}

/* --- what the device room tells --- */

static void on_started(void *arg, uint32_t start_bytes)
{
    struct update_run *run = arg;
    if (run->state != RUN_SENDING)
        return;
    run->start_bytes = run->acked_bytes = run->told_bytes = start_bytes;
    run->wants_transferring = true;
    run_write(run);
}

static void on_progress(void *arg, uint32_t acked_bytes, uint64_t sent_bytes)
{
    struct update_run *run = arg;
    run->acked_bytes = acked_bytes;
    run->sent_bytes = sent_bytes;
}

static void on_sent(void *arg)
{
    struct update_run *run = arg;
    if (run->state != RUN_SENDING)
        return;
    run_enter(run, RUN_HOLDING);
    run->held_ms = clock_ms();
    run_write(run);
}

static void on_ended(void *arg, const struct device_update_result *result)
{
    struct update_run *run = arg;
    run->transfer = NULL;
    run->is_finishing = false;
    run->acked_bytes = result->acked_bytes;
    run->sent_bytes = result->sent_bytes;
    if (run->state == RUN_LEAVING || run->e->closed) {
        run_leave(run);
        return;
    }
    const char *message = *result->message           ? result->message
                          : result->device_code != 0 ? device_update_code_text(result->device_code)
                                                     : "";
    run_tell(run, device_update_end_name(result->end), message, result->device_code,
             result->end == DEVICE_UPDATE_REFUSED && device_update_code_is_final(result->device_code));
}

static const struct device_update_ops transfer_ops = {
    .started = on_started, .progress = on_progress, .sent = on_sent, .ended = on_ended};

void run_send(struct update_run *run)
{
    struct device *device = devices_find(run->e->devices, &run->device_id);
    const char *why = "";
    if (!device || device_is_updating(device)) {
        run_tell(run, "not_here", "", 0, false);
        return;
    }
    struct device_update_order order = {.data = run->blob->data,
                                        .data_len = run->blob->data_len,
                                        .sha256 = run->blob->sha256,
                                        .function = run->blob->function};
    run->transfer = device_update_start(device, &order, &transfer_ops, run, &why);
    if (!run->transfer) {
        if (device_update_fits(device, &order))
            run_tell(run, "not_here", why, 0, false);
        else
            run_tell(run, "unfit", why, 0, true);
        return;
    }
    run_enter(run, RUN_SENDING);
}
