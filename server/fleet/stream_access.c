#include "fleet/stream_access.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/room.h"
#include "fleet/sql_array.h"

#define CHECK_TIMEOUT_MS 5000

static const struct pg_statement open_event_stream = {
    .name = "open_event_stream",
    .sql = "SELECT code, what, product_id, device_id, seen"
           " FROM open_event_stream($1::integer, $2::bigint, $3::boolean, $4::text, $5::text)",
    .params = 5,
};
static const struct pg_statement ended_event_streams = {
    .name = "ended_event_streams",
    .sql = "SELECT place, why FROM ended_event_streams($1::bigint[], $2::integer[], $3::bytea[])",
    .params = 3,
};

/* --- opening --- */

struct open_wait {
    struct fleet *f;
    fleet_stream_fn *done;
    void *arg;
};

static enum fleet_err read_grant(struct stream_grant *grant, const struct pg_result *result)
{
    size_t id_len;
    grant->lacks_product = !strcmp(pg_value(result, 0, 1), "product");
    grant->has_product = !pg_is_null(result, 0, 2);
    grant->product_id = (int32_t)pg_int(result, 0, 2);
    grant->has_device = !pg_is_null(result, 0, 3);
    if (grant->has_device)
        must(pg_bytea(result, 0, 3, &grant->device, sizeof grant->device, &id_len) &&
             id_len == sizeof grant->device);
    return device_get_code(pg_value(result, 0, 0));
}

static void on_opened(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct open_wait wait = *(struct open_wait *)arg;
    struct stream_grant grant = {0};
    enum fleet_err ferr = fleet_err_of(err, result, "open_event_stream");
    free(arg);
    if (ferr == FLEET_OK)
        ferr = read_grant(&grant, result);
    if (ferr == FLEET_OK)
        event_tail_begin(wait.f->tail, pg_value(result, 0, 4));
    wait.done(wait.arg, ferr, &grant);
}

struct no_such {
    fleet_stream_fn *done;
    void *arg;
    bool lacks_product;
};

static void answer_no_such(void *ctx)
{
    struct no_such none = *(struct no_such *)ctx;
    struct stream_grant grant = {.lacks_product = none.lacks_product};
    free(ctx);
    none.done(none.arg, FLEET_NOT_FOUND, &grant);
}

void fleet_open_stream(struct fleet *f, const struct fleet_actor *actor, const char *product,
                       const char *device, fleet_stream_fn *done, void *arg)
{
    bool bad_product = product && !device_get_plausible(product);
    if (bad_product || (device && !device_get_plausible(device))) {
        struct no_such *none = mem_alloc(sizeof *none);
        *none = (struct no_such){.done = done, .arg = arg, .lacks_product = bad_product};
        later_push(&f->later, answer_no_such, none);
        return;
    }
    struct open_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number node, user;
    *wait = (struct open_wait){.f = f, .done = done, .arg = arg};
    struct pg_param params[] = {
        fleet_int(&node, f->settings.node_id),
        fleet_int(&user, actor->user_id),
        fleet_bool(device_get_sees_all(actor)),
        pg_text(product),
        pg_text(device),
    };
    pg_exec(f->pg, &open_event_stream, params, fleet_patience_ms(f), PG_RETRY, on_opened, wait);
}

void fleet_set_event_follower(struct fleet *f, const struct event_follower *follower)
{
    event_tail_set_follower(f->tail, follower);
}

void fleet_events_passed_on(struct fleet *f)
{
    event_tail_passed_on(f->tail);
}

/* --- while they last --- */

struct check_wait {
    fleet_stream_ends_fn *done;
    void *arg;
};

static void on_checked(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct check_wait wait = *(struct check_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "ended_event_streams");
    free(arg);
    if (ferr != FLEET_OK) {
        wait.done(wait.arg, ferr, NULL, 0);
        return;
    }
    size_t count = (size_t)pg_rows(result);
    struct stream_end *ends = mem_array(count + 1, sizeof *ends);
    for (size_t i = 0; i < count; i++) {
        ends[i].place = (size_t)pg_int(result, (int)i, 0) - 1;
        ends[i].why = strcmp(pg_value(result, (int)i, 1), "token") == 0 ? "token" : "rights";
    }
    wait.done(wait.arg, FLEET_OK, ends, count);
    free(ends);
}

void fleet_check_streams(struct fleet *f, const struct stream_right *rights, size_t count,
                         fleet_stream_ends_fn *done, void *arg)
{
    enum { TOKENS, PRODUCTS, DEVICES, COLUMNS };
    struct sql_array columns[COLUMNS];
    struct pg_param params[COLUMNS];
    struct check_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct check_wait){.done = done, .arg = arg};
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_init(&columns[i]);
    for (size_t i = 0; i < count; i++) {
        const struct stream_right *right = &rights[i];
        sql_array_int(&columns[TOKENS], right->token_id);
        if (right->has_product)
            sql_array_int(&columns[PRODUCTS], right->product_id);
        else
            sql_array_null(&columns[PRODUCTS]);
        if (right->has_device)
            sql_array_bytes(&columns[DEVICES], right->device.bytes, sizeof right->device.bytes);
        else
            sql_array_null(&columns[DEVICES]);
    }
    for (size_t i = 0; i < COLUMNS; i++)
        params[i] = pg_text(sql_array_end(&columns[i]));
    pg_exec(f->pg, &ended_event_streams, params, CHECK_TIMEOUT_MS, PG_RETRY, on_checked, wait);
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_deinit(&columns[i]);
}
