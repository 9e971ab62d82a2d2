/* update_describe.c: describes that are asked for, because only what a device describes counts: of one that
 * came back, of one that is to be planned for, of one that had its update a while ago. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "campaign/update_inner.h"

static const struct pg_statement step_look = {
    .name = "step_look",
    .sql = "SELECT said, rev FROM step_look($1::bigint, $2::integer, $3::integer, $4::jsonb)",
    .params = 4,
};
static const struct pg_statement update_verify = {
    .name = "update_verify",
    .sql = "SELECT update_verify($1::bigint, $2::text)",
    .params = 2,
};
static const struct pg_statement update_silent = {
    .name = "update_silent",
    .sql = "SELECT update_silent($1::bigint, $2::integer, $3::text)",
    .params = 3,
};

void look_end(struct update_look *look)
{
    struct update_engine *e = look->e;
    DL_DELETE(e->looks, look);
    e->look_count--;
    e->looking->value--;
    free(look);
}

static void count(struct update_engine *e, const char *said)
{
    if (!strcmp(said, "verified"))
        e->verified->value++;
    else if (!strcmp(said, "failed"))
        e->failed->value++;
    else if (!strcmp(said, "backoff"))
        e->broken->value++;
    else if (!strcmp(said, "gone"))
        e->fenced->value++;
}

/* Not written: it is given out again when its lease has run out. */
static void on_looked(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct update_look *look = arg;
    char id[DEVICE_ID_TEXT_SIZE];
    const char *said = err == PG_OK ? pg_value(result, 0, 0) : "";
    look->e->pending_count--;
    device_id_format(id, &look->device_id);
    if (err == PG_REFUSED)
        log_error("dev=%s update.look_refused update=%" PRId64 " sqlstate=%s", id, look->update_id,
                  pg_sqlstate(result));
    else if (err == PG_OK && look->kind == LOOK_STEP) {
        count(look->e, said);
        if (strcmp(said, "again") != 0)
            log_info("dev=%s update.looked step=%" PRId64 " now=%s", id, look->step_id, said);
    } else if (err == PG_OK)
        log_info("dev=%s update.looked update=%" PRId64 " now=%s", id, look->update_id, said);
    look_end(look);
}

static void write_look(struct update_look *look)
{
    struct update_number step, rev, node;
    struct pg_param params[] = {update_int(&step, look->step_id), update_int(&rev, look->step_rev),
                                update_int(&node, look->e->node_id), pg_text(look->e->settings_json)};
    look->e->pending_count++;
    pg_exec(look->e->pg, &step_look, params, UPDATE_STATEMENT_MS, PG_RETRY, on_looked, look);
}

static void write_verify(struct update_look *look)
{
    struct update_number update;
    struct pg_param params[] = {update_int(&update, look->update_id), pg_text(look->e->who)};
    look->e->pending_count++;
    pg_exec(look->e->pg, &update_verify, params, UPDATE_STATEMENT_MS, PG_RETRY, on_looked, look);
}

/* It is connected and does not describe itself: counted, so that it ends. A step has a deadline of its own.
 */
static void write_silent(struct update_look *look)
{
    struct update_number update, rev;
    struct pg_param params[] = {update_int(&update, look->update_id), update_int(&rev, look->update_rev),
                                pg_text(look->e->who)};
    look->e->pending_count++;
    pg_exec(look->e->pg, &update_silent, params, UPDATE_STATEMENT_MS, PG_AGAIN, on_looked, look);
}

static void on_described(void *arg, enum device_ask ask)
{
    struct update_look *look = arg;
    bool is_silent = ask == DEVICE_NO_ANSWER || ask == DEVICE_SAID_ERROR;
    if (!look->e->stopped && is_silent && look->kind != LOOK_STEP) {
        write_silent(look);
        return;
    }
    if (ask != DEVICE_ANSWERED || look->e->stopped) {
        look_end(look);
        return;
    }
    switch (look->kind) {
    case LOOK_STEP:
        write_look(look);
        return;
    case LOOK_PLAN:
        look_plan(look);
        return;
    case LOOK_VERIFY:
        write_verify(look);
        return;
    }
}

void look_begin(struct update_engine *e, const struct update_look *wanted)
{
    struct device *device = devices_find(e->devices, &wanted->device_id);
    if (!device)
        return;
    struct update_look *look = mem_copy(wanted, sizeof *wanted);
    DL_APPEND(e->looks, look);
    e->look_count++;
    e->looking->value++;
    device_pull_describe(device, DESCRIBE_SYSTEM, UPDATE_DESCRIBE_MS, on_described, look);
}
