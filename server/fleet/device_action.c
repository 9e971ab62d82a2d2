/* device_action.c: ordering an action, reading one, stopping one. */
#include "fleet/device_action.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "fleet/device_action_inner.h"
#include "fleet/device_filter.h"

static const struct pg_statement dry_run = {
    .name = "device_action_dry",
    .sql = "SELECT c.n, s.id FROM (SELECT count(*) AS n FROM device d WHERE" DEVICE_FILTER_SQL ") c"
           " LEFT JOIN LATERAL (SELECT d.id FROM device d WHERE" DEVICE_FILTER_SQL
           " ORDER BY d.id LIMIT $20::bigint) s ON true",
    .params = DEVICE_FILTER_PARAMS + 1,
    .replan = true,
};
static const struct pg_statement create = {
    .name = "device_action_create",
    .sql = "SELECT a.code, a.id, c.n FROM (SELECT count(*) AS n FROM device d WHERE" DEVICE_FILTER_SQL
           ") c, LATERAL device_action_create($20::text, $21::integer, $22::jsonb, c.n) a",
    .params = DEVICE_FILTER_PARAMS + 3,
    .replan = true,
};

/* --- what people wish --- */

static const char *const actions[] = {"groups", "development", "quarantine", "unquarantine", "remove"};

static const char *flaw_of_action(const struct device_action_wish *wish)
{
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (wish->action && !strcmp(wish->action, actions[i]))
            return !strcmp(wish->action, "groups") && wish->product_id == 0
                       ? "groups belong to a product: POST /v1/products/PRODUCT/devices/actions."
                       : NULL;
    return "action must be groups, development, quarantine, unquarantine or remove.";
}

static bool is_group(const json_t *name)
{
    const char *text = json_string_value(name);
    size_t len = json_string_length(name);
    return text && len >= 1 && len <= 64 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

static bool are_groups(const json_t *list)
{
    size_t i;
    json_t *one;
    if (list && !json_is_array(list))
        return false;
    json_array_foreach ((json_t *)list, i, one)
        if (!is_group(one))
            return false;
    return json_array_size(list) <= DEVICE_ACTION_GROUPS_MAX;
}

/* What of metadata the action has use for; NULL: why. */
static json_t *metadata_of(const struct device_action_wish *wish, const char **why)
{
    const json_t *add = json_object_get(wish->metadata, "add"),
                 *gone = json_object_get(wish->metadata, "remove");
    const json_t *development = json_object_get(wish->metadata, "development");
    if (!strcmp(wish->action, "groups")) {
        if (are_groups(add) && are_groups(gone) && json_array_size(add) + json_array_size(gone) > 0)
            return json_pack("{s:O*,s:O*}", "add", add, "remove", gone);
        *why = "metadata must have add or remove: lists of up to 20 groups of lower-case letters, digits, "
               "`-` and `_`.";
        return NULL;
    }
    if (!strcmp(wish->action, "development")) {
        if (json_is_boolean(development))
            return json_pack("{s:O}", "development", development);
        *why = "metadata must have development: true or false.";
        return NULL;
    }
    return json_object();
}

/* In a product's quarantine are devices that are not in it yet: they can be let in, and nothing else. */
static json_t *filter_of(const struct device_action_wish *wish, char why[DEVICE_FILTER_WHY_SIZE])
{
    json_t *filter = device_filter_canonical(wish->filter, why);
    const char *quarantined = json_string_value(json_object_get(filter, "quarantined"));
    bool lets_in = !strcmp(wish->action, "unquarantine"), waits = quarantined && strchr("t1", *quarantined);
    if (!filter || wish->product_id == 0 || lets_in == waits)
        return filter;
    (void)snprintf(why, DEVICE_FILTER_WHY_SIZE, "%s",
                   lets_in
                       ? "filter must have quarantined: true, since it is those that are let in."
                       : "Devices in quarantine are not in the product yet: they can only be unquarantined.");
    json_decref(filter);
    return NULL;
}

struct order_wait {
    struct fleet *f;
    device_action_fn *done;
    void *arg;
    struct device_filter_params filter;
    bool dry_run;
    enum fleet_err err; /* of a refusal */
    char why[DEVICE_ACTION_WHY_SIZE];
};

static void on_refused(void *ctx)
{
    struct order_wait w = *(struct order_wait *)ctx;
    free(ctx);
    w.done(w.arg, w.err, NULL, w.why);
}

static void refuse(struct order_wait *w, const char *why)
{
    w->err = FLEET_INVALID;
    if (why != w->why)
        (void)snprintf(w->why, sizeof w->why, "%s", why);
    later_push(&w->f->later, on_refused, w);
}

/* --- the answers of Postgres --- */

static void read_sample(struct device_action_answer *answer, struct device_id sample[DEVICE_ACTION_SAMPLE],
                        const struct pg_result *result)
{
    size_t id_len;
    answer->devices = pg_int(result, 0, 0);
    answer->sample = sample;
    for (int i = 0; i < pg_rows(result) && i < DEVICE_ACTION_SAMPLE && !pg_is_null(result, i, 1); i++)
        must(pg_bytea(result, i, 1, &sample[answer->sample_count++], sizeof *sample, &id_len));
}

static enum device_action_code code_of(const char *text)
{
    static const char *const codes[] = {"ok", "again", "key", "expect", "no quarantine", "many", "groups"};
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++)
        if (!strcmp(text, codes[i]))
            return (enum device_action_code)i;
    must(false);
    return DEVICE_ACTION_OK;
}

static void on_ordered(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct order_wait w = *(struct order_wait *)arg;
    struct device_id sample[DEVICE_ACTION_SAMPLE];
    struct device_action_answer answer = {.code = DEVICE_ACTION_OK};
    enum fleet_err ferr = fleet_err_of(err, result, "device_action");
    free(arg);
    if (ferr == FLEET_OK && w.dry_run)
        read_sample(&answer, sample, result);
    if (ferr == FLEET_OK && !w.dry_run) {
        answer.code = code_of(pg_value(result, 0, 0));
        answer.id = pg_int(result, 0, 1);
        answer.devices = pg_int(result, 0, 2);
        if (answer.code == DEVICE_ACTION_OK)
            device_actions_wake(w.f->actions);
    }
    w.done(w.arg, ferr, &answer, "");
}

static void ask_dry(struct order_wait *w)
{
    struct fleet_number limit;
    struct pg_param params[DEVICE_FILTER_PARAMS + 1];
    memcpy(params, w->filter.params, sizeof w->filter.params);
    params[DEVICE_FILTER_PARAMS] = fleet_int(&limit, DEVICE_ACTION_SAMPLE);
    pg_exec(w->f->bulk, &dry_run, params, fleet_bulk_patience_ms(w->f), PG_RETRY, on_ordered, w);
}

static json_t *said_of(const struct device_action_wish *wish, json_t *filter, json_t *metadata)
{
    json_t *said =
        json_pack("{s:s,s:o,s:o,s:I,s:I}", "action", wish->action, "metadata", metadata, "filter", filter,
                  "expect", (json_int_t)wish->expect, "tolerance", (json_int_t)wish->tolerance);
    uint8_t sum[SHA256_DIGEST_LENGTH];
    char hex[2 * SHA256_DIGEST_LENGTH + 1];
    if (wish->key) {
        char *all =
            mem_printf("%d %s", wish->product_id, wish->request); /* the same body elsewhere is another */
        SHA256((const uint8_t *)all, strlen(all), sum);
        free(all);
        hex_encode(hex, sum, sizeof sum);
        json_object_set_new(said, "key", json_string(wish->key));
        json_object_set_new(said, "sha256", json_string(hex));
    }
    return said;
}

static void ask_create(struct order_wait *w, const struct fleet_actor *actor,
                       const struct device_action_wish *wish, const json_t *said)
{
    struct fleet_number product;
    struct pg_param params[DEVICE_FILTER_PARAMS + 3];
    char *text = json_dumps(said, JSON_COMPACT | JSON_SORT_KEYS);
    memcpy(params, w->filter.params, sizeof w->filter.params);
    params[DEVICE_FILTER_PARAMS] = pg_text(actor->user_name);
    params[DEVICE_FILTER_PARAMS + 1] =
        wish->product_id ? fleet_int(&product, wish->product_id) : pg_text(NULL);
    params[DEVICE_FILTER_PARAMS + 2] = pg_text(text);
    /* with a key doing it again is doing it once; without one an answer that is lost stays unknown */
    pg_exec(w->f->bulk, &create, params, fleet_bulk_patience_ms(w->f), wish->key ? PG_RETRY : PG_AGAIN,
            on_ordered, w);
    free(text);
}

bool device_action_fill(struct device_filter_params *params, int product_id, const json_t *filter,
                        char why[DEVICE_FILTER_WHY_SIZE])
{
    static const struct fleet_actor fleet = {.role = FLEET_OPERATOR}; /* who may was looked at before */
    struct fleet_filter read;
    fleet_filter_init(&read);
    if (!device_filter_read(&read, filter, why))
        return false;
    if (product_id)
        device_filter_of_product(&read, product_id);
    if (device_filter_fill(params, &fleet, &read))
        return true;
    (void)snprintf(why, DEVICE_FILTER_WHY_SIZE,
                   "The filter fits no device: a text in it is none that a device has.");
    return false;
}

void fleet_order_action(struct fleet *f, const struct fleet_actor *actor,
                        const struct device_action_wish *wish, device_action_fn *done, void *arg)
{
    struct order_wait *w = mem_alloc(sizeof *w);
    *w = (struct order_wait){.f = f, .done = done, .arg = arg, .dry_run = wish->dry_run};
    const char *why = flaw_of_action(wish);
    json_t *metadata = why ? NULL : metadata_of(wish, &why);
    json_t *filter = why ? NULL : filter_of(wish, w->why);
    if (why || !filter || !device_action_fill(&w->filter, wish->product_id, filter, w->why)) {
        json_decref(metadata);
        json_decref(filter);
        refuse(w, why ? why : w->why);
        return;
    }
    json_t *said = said_of(wish, filter, metadata);
    if (wish->dry_run)
        ask_dry(w);
    else
        ask_create(w, actor, wish, said);
    json_decref(said);
}

/* --- reading and stopping --- */

#define ACTION_JSON                                                                                          \
    "json_build_object('action', json_build_object('id', a.id, 'product_id', a.product_id, 'action', "       \
    "a.action,"                                                                                              \
    " 'metadata', a.metadata, 'filter', a.filter, 'state', a.state, 'devices', a.devices, 'looked', "        \
    "a.looked,"                                                                                              \
    " 'changed', a.changed, 'error', a.error, 'ordered_by', a.actor,"                                        \
    " 'created_at', to_char(a.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),"          \
    " 'updated_at', to_char(a.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')))::text"
#define OF_PRODUCT "($2::integer = -1 OR coalesce(a.product_id, 0) = $2::integer)"

static const struct pg_statement read_action = {
    .name = "device_action_read",
    .sql = "SELECT " ACTION_JSON " FROM device_action a WHERE a.id = $1::bigint AND " OF_PRODUCT,
    .params = 2,
};
static const struct pg_statement stop_action = {
    .name = "device_action_stop",
    .sql = "SELECT CASE WHEN a.id IS NULL THEN 'none' WHEN device_action_end($3::text, a.product_id, a.id, "
           "'stopped', NULL)"
           " IS NULL THEN 'over' ELSE 'ok' END FROM (SELECT) one"
           " LEFT JOIN device_action a ON a.id = $1::bigint AND " OF_PRODUCT,
    .params = 3,
};

struct text_wait {
    struct fleet *f;
    device_action_text_fn *done;
    void *arg;
    int product_id;
    int64_t id;
};

static struct text_wait *text_wait_new(struct fleet *f, int product_id, int64_t id,
                                       device_action_text_fn *done, void *arg)
{
    struct text_wait *w = mem_alloc(sizeof *w);
    *w = (struct text_wait){.f = f, .done = done, .arg = arg, .product_id = product_id, .id = id};
    return w;
}

static void on_read(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct text_wait w = *(struct text_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "device_action_read");
    free(arg);
    if (ferr == FLEET_OK && pg_rows(result) == 0)
        ferr = FLEET_NOT_FOUND;
    w.done(w.arg, ferr, ferr == FLEET_OK ? pg_value(result, 0, 0) : NULL);
}

void fleet_read_action(struct fleet *f, int product_id, int64_t id, device_action_text_fn *done, void *arg)
{
    struct fleet_number n[2];
    struct pg_param params[] = {fleet_int(&n[0], id), fleet_int(&n[1], product_id)};
    pg_exec(f->pg, &read_action, params, fleet_patience_ms(f), PG_RETRY, on_read,
            text_wait_new(f, product_id, id, done, arg));
}

static void on_stopped(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct text_wait w = *(struct text_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "device_action_stop");
    free(arg);
    if (ferr == FLEET_OK && !strcmp(pg_value(result, 0, 0), "none"))
        ferr = FLEET_NOT_FOUND;
    else if (ferr == FLEET_OK && !strcmp(pg_value(result, 0, 0), "over"))
        ferr = FLEET_CONFLICT;
    if (ferr)
        w.done(w.arg, ferr, NULL);
    else
        fleet_read_action(w.f, w.product_id, w.id, w.done, w.arg);
}

void fleet_stop_action(struct fleet *f, const struct fleet_actor *actor, int product_id, int64_t id,
                       device_action_text_fn *done, void *arg)
{
    struct fleet_number n[2];
    struct pg_param params[] = {fleet_int(&n[0], id), fleet_int(&n[1], product_id),
                                pg_text(actor->user_name)};
    pg_exec(f->pg, &stop_action, params, fleet_patience_ms(f), PG_AGAIN, on_stopped,
            text_wait_new(f, product_id, id, done, arg));
}
