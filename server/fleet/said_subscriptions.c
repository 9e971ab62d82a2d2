/* said_subscriptions.c: what events a device wants: the whole list replaces the one before
 * (device-protocol 4.8), unless it was overtaken by a newer one on another connection. */
#include <string.h>

#include "fleet/said.h"
#include "fleet/said_answer.h"
#include "fleet/sql_array.h"
#include "fleet/utf8.h"

static const struct pg_statement store_subscriptions = {
    .name = "store_subscriptions",
    .sql = "SELECT store_subscriptions($1::bytea, $2::bigint, $3::bigint, $4::text[], $5::text[], $6::text[],"
           " $7::bytea[])",
    .params = 7,
};

void said_subscriptions(void *ctx, const struct device_facts *facts, const struct device_subscription *list,
                        size_t count, uint64_t revision, device_done_fn *done, void *arg)
{
    struct fleet *f = ctx;
    struct fleet_number session, rev;
    struct sql_array columns[4];
    for (size_t i = 0; i < 4; i++)
        sql_array_init(&columns[i]);
    for (size_t i = 0; i < count; i++) {
        char clean[DEVICE_EVENT_NAME_MAX + 1], scope[2] = {(char)list[i].scope, 0},
                                               format[2] = {(char)list[i].format, 0};
        sql_array_text(&columns[0], utf8_clean(clean, sizeof clean, list[i].prefix, strlen(list[i].prefix)));
        sql_array_text(&columns[1], scope);
        sql_array_text(&columns[2], format);
        if (list[i].scope == 'd')
            sql_array_bytes(&columns[3], list[i].from.bytes, sizeof list[i].from.bytes);
        else
            sql_array_null(&columns[3]);
    }
    struct pg_param params[7] = {fleet_id(&facts->id), fleet_int(&session, (int64_t)facts->session_id),
                                 fleet_int(&rev, (int64_t)revision)};
    for (size_t i = 0; i < 4; i++)
        params[3 + i] = pg_text(sql_array_end(&columns[i]));
    pg_exec(f->pg, &store_subscriptions, params, f->settings.hold_ms, PG_RETRY, said_answer_give,
            said_answer_new(facts, "subscriptions", done, arg));
    for (size_t i = 0; i < 4; i++)
        sql_array_deinit(&columns[i]);
}
