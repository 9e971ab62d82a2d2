#include "fleet/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "fleet/device_get.h"
#include "fleet/room.h"

static const struct pg_statement ask_transfer = {
    .name = "ask_transfer",
    .sql = "SELECT code, encode(id, 'hex') FROM ask_transfer($1::bigint, $2::text, $3::boolean, $4::bytea, "
           "$5::bytea, $6::bigint, $7::integer, $8::integer)",
    .params = 8,
};
static const struct pg_statement decide_transfer = {
    .name = "decide_transfer",
    .sql = "SELECT decide_transfer($1::bigint, $2::text, $3::boolean, $4::bytea, $5::text)",
    .params = 5,
};
static const struct pg_statement list_transfers = {
    .name = "list_transfers",
    .sql = "SELECT list_transfers($1::bigint)",
    .params = 1,
};

struct transfer_wait {
    transfer_asked_fn *asked;
    transfer_decided_fn *decided;
    transfers_fn *listed;
    void *arg;
};

static struct transfer_wait *wait_new(void *arg)
{
    struct transfer_wait *wait = mem_alloc(sizeof *wait);
    wait->arg = arg;
    return wait;
}

static struct transfer_wait wait_end(void *ctx)
{
    struct transfer_wait wait = *(struct transfer_wait *)ctx;
    free(ctx);
    return wait;
}

static void on_asked(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct transfer_wait wait = wait_end(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "ask_transfer");
    enum transfer_refusal why = 0;
    const char *id = NULL;
    if (ferr == FLEET_OK) {
        const char *code = pg_value(result, 0, 0);
        why = !strcmp(code, "denied") ? TRANSFER_DENIED_BEFORE
              : !strcmp(code, "many") ? TRANSFER_TOO_MANY
                                      : 0;
        ferr = why ? FLEET_CONFLICT : device_get_code(code);
        id = pg_is_null(result, 0, 1) ? NULL : pg_value(result, 0, 1);
    }
    wait.asked(wait.arg, ferr, id, why);
}

void fleet_ask_transfer(struct fleet *f, const struct fleet_actor *actor, const struct device_id *device,
                        transfer_asked_fn *done, void *arg)
{
    struct transfer_wait *wait = wait_new(arg);
    struct fleet_number user, valid, of_device, of_person;
    struct device_id id;
    wait->asked = done;
    random_bytes(id.bytes, sizeof id.bytes);
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        pg_text(actor->user_name),
        fleet_bool(device_get_sees_all(actor)),
        fleet_id(device),
        fleet_id(&id),
        fleet_int(&valid, (int64_t)f->settings.transfer_valid_ms),
        fleet_int(&of_device, TRANSFERS_MAX_OF_DEVICE),
        fleet_int(&of_person, TRANSFERS_MAX_OF_PERSON),
    };
    pg_exec(f->pg, &ask_transfer, params, fleet_patience_ms(f), PG_RETRY, on_asked, wait);
}

static void on_decided(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct transfer_wait wait = wait_end(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "decide_transfer");
    if (ferr == FLEET_OK)
        ferr = !strcmp(pg_value(result, 0, 0), "over") ? FLEET_CONFLICT
                                                       : device_get_code(pg_value(result, 0, 0));
    wait.decided(wait.arg, ferr);
}

void fleet_decide_transfer(struct fleet *f, const struct fleet_actor *actor, const struct device_id *id,
                           enum transfer_decision decision, transfer_decided_fn *done, void *arg)
{
    static const char *const names[] = {"accepted", "denied", "withdrawn"};
    struct transfer_wait *wait = wait_new(arg);
    struct fleet_number user;
    must((unsigned)decision < 3);
    wait->decided = done;
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        pg_text(actor->user_name),
        fleet_bool(device_get_sees_all(actor)),
        fleet_id(id),
        pg_text(names[decision]),
    };
    pg_exec(f->pg, &decide_transfer, params, fleet_patience_ms(f), PG_AGAIN, on_decided, wait);
}

static void on_listed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct transfer_wait wait = wait_end(arg);
    enum fleet_err ferr = fleet_err_of(err, result, "list_transfers");
    wait.listed(wait.arg, ferr, ferr == FLEET_OK ? pg_value(result, 0, 0) : NULL);
}

void fleet_list_transfers(struct fleet *f, const struct fleet_actor *actor, transfers_fn *done, void *arg)
{
    struct transfer_wait *wait = wait_new(arg);
    struct fleet_number user;
    wait->listed = done;
    pg_exec(f->pg, &list_transfers, (struct pg_param[]){fleet_int(&user, actor->user_id)},
            fleet_patience_ms(f), PG_RETRY, on_listed, wait);
}
