/* said_subscription.c: what events a device wants, one at a time, appended to the list of its session
 * (device-protocol 4.8). */
#include <string.h>

#include "fleet/said.h"
#include "fleet/said_answer.h"
#include "fleet/utf8.h"

static const struct pg_statement store_subscription = {
    .name = "store_subscription",
    .sql = "SELECT store_subscription($1::bytea, $2::bigint, $3::bigint, $4::text, $5::text, $6::text,"
           " $7::bytea, $8::integer)",
    .params = 8,
};

void said_subscription(void *ctx, const struct device_facts *facts,
                       const struct device_subscription *subscription, uint64_t generation,
                       device_done_fn *done, void *arg)
{
    struct fleet *f = ctx;
    struct fleet_number session, number, limit;
    char clean[DEVICE_EVENT_NAME_MAX + 1], scope[2] = {(char)subscription->scope, 0},
                                           format[2] = {(char)subscription->format, 0};
    struct pg_param params[] = {
        fleet_id(&facts->id),
        fleet_int(&session, (int64_t)facts->session_id),
        fleet_int(&number, (int64_t)generation),
        pg_text(utf8_clean(clean, sizeof clean, subscription->prefix, strlen(subscription->prefix))),
        pg_text(scope),
        pg_text(format),
        subscription->scope == 'd' ? fleet_id(&subscription->from) : pg_text(NULL),
        fleet_int(&limit, DEVICE_SUBSCRIPTIONS_MAX),
    };
    pg_exec(f->pg, &store_subscription, params, f->settings.hold_ms, PG_RETRY, said_answer_give,
            said_answer_new(facts, "subscription", done, arg));
}
