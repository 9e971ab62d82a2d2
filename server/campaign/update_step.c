/* update_step.c: a claimed step: looks at the live device, asks whether it may go, gets the file; and how it
 * ends. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "campaign/update_inner.h"
#include "fleet/system_event.h"

static const struct pg_statement step_check = {
    .name = "step_check",
    .sql = "SELECT said, rev FROM step_check($1::bigint, $2::integer, $3::integer)",
    .params = 3,
};
static const struct pg_statement step_ended = {
    .name = "step_ended",
    .sql = "SELECT said, rev FROM step_ended($1::bigint, $2::integer, $3::integer, $4::text, $5::integer, "
           "$6::text, $7::boolean, $8::bigint, $9::bigint, $10::jsonb)",
    .params = 10,
};

static const bool may_enter[RUN_STATE_COUNT][RUN_STATE_COUNT] = {
    [RUN_LOOKING] = {[RUN_CHECKING] = true, [RUN_TELLING] = true, [RUN_LEAVING] = true},
    [RUN_CHECKING] = {[RUN_LOADING] = true, [RUN_LEAVING] = true},
    [RUN_LOADING] = {[RUN_SENDING] = true, [RUN_TELLING] = true, [RUN_LEAVING] = true},
    [RUN_SENDING] = {[RUN_HOLDING] = true, [RUN_TELLING] = true, [RUN_LEAVING] = true},
    [RUN_HOLDING] = {[RUN_FINISHING] = true, [RUN_TELLING] = true, [RUN_LEAVING] = true},
    [RUN_FINISHING] = {[RUN_TELLING] = true, [RUN_LEAVING] = true},
    [RUN_TELLING] = {[RUN_LEAVING] = true},
};

void run_enter(struct update_run *run, enum run_state state)
{
    must(may_enter[run->state][state]);
    run->state = state;
}

struct update_run *run_find(struct update_engine *e, int64_t step_id)
{
    struct update_run *run;
    DL_FOREACH (e->runs, run)
        if (run->step_id == step_id && run->state != RUN_LEAVING)
            return run;
    return NULL;
}

void run_forget_blob(struct update_run *run)
{
    if (run->blob)
        firmware_release(run->blob);
    run->blob = NULL;
}

void run_release(struct update_run *run)
{
    struct update_engine *e = run->e;
    if (run->state != RUN_LEAVING || run->is_describing || run->transfer || run->writing)
        return;
    deadline_cancel(e->deadlines, &run->again);
    firmware_cancel(&run->loading);
    run_forget_blob(run);
    DL_DELETE(e->runs, run);
    e->run_count--;
    e->under_way->value--;
    free(run);
}

void run_leave(struct update_run *run)
{
    if (run->state != RUN_LEAVING)
        run_enter(run, RUN_LEAVING);
    pg_cancel(&run->writing);
    deadline_cancel(run->e->deadlines, &run->again);
    if (run->transfer &&
        !run->is_finishing) /* then it takes no stop; its answer is awaited, and not written */
        device_update_stop(run->transfer);
    run_release(run);
}

void run_stop(struct update_run *run)
{
    switch (run->state) {
    case RUN_LOOKING: /* goes on when it is described, and finds that it stops */
    case RUN_CHECKING:
    case RUN_FINISHING:
    case RUN_TELLING:
    case RUN_LEAVING:
    case RUN_STATE_COUNT:
        return;
    case RUN_LOADING:
        run_tell(run, "stopped", "", 0, false);
        return;
    case RUN_SENDING:
    case RUN_HOLDING:
        device_update_stop(run->transfer);
        return;
    }
}

/* --- looking --- */

static void write_check(struct update_run *run);

static void on_check_again(struct deadline *again, uint64_t now_ms)
{
    (void)now_ms;
    write_check((struct update_run *)((char *)again - offsetof(struct update_run, again)));
}

/* There is an update, and the application wants none: the device and those who read its events are told. */
static void tell_pending(struct update_run *run)
{
    struct device *device = devices_find(run->e->devices, &run->device_id);
    if (device)
        (void)device_tell_update_pending(device);
    fleet_publish_system(run->e->fleet, &run->device_id, "particle/device/updates/pending", "true");
}

/* Tells the device what it has to know when it does not get the update now. */
static void follow(struct update_run *run, const char *said)
{
    struct device *device = devices_find(run->e->devices, &run->device_id);
    if (!strcmp(said, "verified"))
        run->e->verified->value++;
    else if (!strcmp(said, "gone"))
        run->e->fenced->value++;
    else if (device && !strcmp(said, "force"))
        (void)device_force_updates(device, true);
    else if (!strcmp(said, "disabled"))
        tell_pending(run);
    run_leave(run);
}

static void on_checked(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct update_run *run = arg;
    run->writing = NULL;
    if (err == PG_REFUSED) {
        log_error("update.check_refused step=%" PRId64 " sqlstate=%s", run->step_id, pg_sqlstate(result));
        run_leave(run);
        return;
    }
    if (err != PG_OK) {
        deadline_set(run->e->deadlines, &run->again, clock_ms() + UPDATE_AGAIN_MS, on_check_again);
        return;
    }
    const char *said = pg_value(result, 0, 0);
    run->rev = (int32_t)pg_int(result, 0, 1);
    if (strcmp(said, "start") != 0) {
        follow(run, said);
        return;
    }
    run_enter(run, RUN_LOADING);
    if (run->e->stopped)
        run_tell(run, "stopped", "", 0, false);
    else
        run_load(run);
}

static void write_check(struct update_run *run)
{
    struct update_number step, rev, node;
    struct pg_param params[] = {update_int(&step, run->step_id), update_int(&rev, run->rev),
                                update_int(&node, run->e->node_id)};
    run->writing = pg_exec(run->e->pg, &step_check, params, UPDATE_STATEMENT_MS, PG_RETRY, on_checked, run);
}

static void on_described(void *arg, enum device_ask ask)
{
    struct update_run *run = arg;
    run->is_describing = false;
    if (run->state == RUN_LEAVING || run->e->closed) {
        run_release(run);
        return;
    }
    if (run->e->stopped)
        run_tell(run, "stopped", "", 0, false);
    else if (ask == DEVICE_ANSWERED) {
        run_enter(run, RUN_CHECKING);
        write_check(run);
    } else
        run_tell(run, ask == DEVICE_NOT_CONNECTED || ask == DEVICE_MOVED ? "not_here" : "no_describe", "", 0,
                 false);
}

void run_begin(struct update_engine *e, const struct update_run *claimed)
{
    struct update_run *run = mem_alloc(sizeof *run);
    struct device *device = devices_find(e->devices, &claimed->device_id);
    *run = *claimed;
    run->told_ms = clock_ms();
    DL_APPEND(e->runs, run);
    e->run_count++;
    e->under_way->value++;
    e->begun->value++;
    if (!device || device_is_updating(device)) { /* what Postgres says of it is a moment old */
        run_tell(run, "not_here", "", 0, false);
        return;
    }
    run->is_describing = true;
    device_pull_describe(device, DESCRIBE_SYSTEM, UPDATE_DESCRIBE_MS, on_described, run);
}

/* --- the file --- */

static void on_loaded(void *arg, enum fleet_err err, const struct firmware_blob *blob)
{
    struct update_run *run = arg;
    run->loading = NULL;
    if (err != FLEET_OK) {
        run_tell(run, "no_file", err == FLEET_AWAY ? "" : "the stored binary is damaged or gone", 0, false);
        return;
    }
    firmware_hold(blob);
    run->blob = blob;
    run_send(run);
}

void run_load(struct update_run *run)
{
    run->loading = firmware_get(fleet_firmware_cache(run->e->fleet), run->module_id, on_loaded, run);
}

/* --- how it ended --- */

static void on_end_again(struct deadline *again, uint64_t now_ms)
{
    (void)now_ms;
    run_write_end((struct update_run *)((char *)again - offsetof(struct update_run, again)));
}

static void count_end(struct update_engine *e, const char *said)
{
    if (!strcmp(said, "rebooting"))
        e->rebooting->value++;
    else if (!strcmp(said, "failed") || !strcmp(said, "blocked"))
        e->failed->value++;
    else if (!strcmp(said, "gone"))
        e->fenced->value++;
    else
        e->broken->value++;
}

static void on_end_written(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct update_run *run = arg;
    char id[DEVICE_ID_TEXT_SIZE];
    run->writing = NULL;
    if (err == PG_AWAY || err == PG_UNKNOWN) {
        deadline_set(run->e->deadlines, &run->again, clock_ms() + UPDATE_AGAIN_MS, on_end_again);
        return;
    }
    device_id_format(id, &run->device_id);
    if (err == PG_REFUSED)
        log_error("dev=%s update.end_refused step=%" PRId64 " sqlstate=%s", id, run->step_id,
                  pg_sqlstate(result));
    else {
        count_end(run->e, pg_value(result, 0, 0));
        log_info("dev=%s update.step step=%" PRId64 " end=%s now=%s acked_bytes=%" PRIu32
                 " sent_bytes=%" PRIu64,
                 id, run->step_id, run->end, pg_value(result, 0, 0), run->acked_bytes, run->sent_bytes);
        if (!strcmp(pg_value(result, 0, 0), "disabled"))
            tell_pending(run);
    }
    run_leave(run);
}

void run_write_end(struct update_run *run)
{
    struct update_number step, rev, node, code, acked, sent;
    struct pg_param params[] = {
        update_int(&step, run->step_id),
        update_int(&rev, run->rev),
        update_int(&node, run->e->node_id),
        pg_text(run->end),
        update_int(&code, run->code),
        pg_text(run->message),
        pg_text(run->is_final ? "t" : "f"),
        update_int(&acked, run->acked_bytes),
        update_int(&sent, (int64_t)run->sent_bytes),
        pg_text(run->e->settings_json),
    };
    /* done twice it finds itself done: the rev has moved on */
    run->writing =
        pg_exec(run->e->pg, &step_ended, params, UPDATE_STATEMENT_MS, PG_RETRY, on_end_written, run);
}

void run_tell(struct update_run *run, const char *end, const char *message, int32_t code, bool is_final)
{
    if (run->state == RUN_LEAVING)
        return;
    run_enter(run, RUN_TELLING);
    run->end = end;
    run->code = code;
    run->is_final = is_final;
    (void)snprintf(run->message, sizeof run->message, "%s", message);
    firmware_cancel(&run->loading);
    run_forget_blob(run);
    deadline_cancel(run->e->deadlines, &run->again);
    run_write(run);
}
