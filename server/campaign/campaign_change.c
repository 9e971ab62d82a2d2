/* campaign_change.c: what people do to campaigns: one statement each, which is one transaction with its audit
 * row. */
#include "campaign/campaigns.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "campaign/campaigns_inner.h"

/* Columns of every one of these. */
#define OUTCOME "SELECT r.code, r.id, r.rev, r.detail FROM "

static const struct pg_statement create = {
    .name = "campaign_create",
    .sql = OUTCOME
    "campaign_create($1::text, $2::text, sha256(convert_to($3::text, 'UTF8')), $4::text, $5::text,"
    " $6::jsonb, $7::jsonb, $8::jsonb, $9::text, $10::boolean) r",
    .params = 10,
};
static const struct pg_statement act = {
    .name = "campaign_act",
    .sql = OUTCOME "campaign_act(campaign_find($1::text), $2::text, $3::integer, $4::text, $5::text,"
                   " decode($6::text, 'hex'), $7::boolean) r",
    .params = 7,
};
static const struct pg_statement act_on_stage = {
    .name = "campaign_stage_act",
    .sql = OUTCOME
    "campaign_stage_act(campaign_find($1::text), $2::integer, $3::text, $4::integer, $5::text, $6::text,"
    " $7::numeric, $8::integer) r",
    .params = 8,
};
static const struct pg_statement retry = {
    .name = "campaign_retry",
    .sql = OUTCOME "campaign_retry(campaign_find($1::text), $2::integer, $3::text, $4::text,"
                   " ARRAY(SELECT jsonb_array_elements_text($5::jsonb))) r",
    .params = 5,
};
static const struct pg_statement exclude = {
    .name = "campaign_exclude",
    .sql = OUTCOME "campaign_exclude(campaign_find($1::text), $2::integer, $3::text, $4::text,"
                   " ARRAY(SELECT decode(jsonb_array_elements_text($5::jsonb), 'hex'))) r",
    .params = 5,
};

struct change_wait {
    campaign_changed_fn *done;
    void *arg;
};

static void on_changed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct change_wait wait = *(struct change_wait *)arg;
    enum fleet_err ferr = campaign_err_of(err, result, "campaign_change");
    struct campaign_outcome outcome;
    free(arg);
    if (ferr != FLEET_OK) {
        wait.done(wait.arg, ferr, NULL);
        return;
    }
    outcome = campaign_outcome_read(result);
    wait.done(wait.arg, FLEET_OK, &outcome);
}

static void change(struct pg *pg, const struct pg_statement *statement, const struct pg_param *params,
                   campaign_changed_fn *done, void *arg)
{
    struct change_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct change_wait){.done = done, .arg = arg};
    pg_exec(pg, statement, params, CAMPAIGN_PATIENCE_MS, PG_AGAIN, on_changed, wait);
}

void campaign_create(struct campaigns *c, const struct fleet_actor *actor, const char *key,
                     const char *request, const struct campaign_wish *wish, campaign_changed_fn *done,
                     void *arg)
{
    char *stages = json_dumps(wish->stages, JSON_COMPACT), *limits = json_dumps(wish->limits, JSON_COMPACT);
    struct pg_param params[] = {
        pg_text(actor->user_name), pg_text(key),
        pg_text(request),          pg_text(wish->name),
        pg_text(wish->release),    pg_text(wish->selector),
        pg_text(stages),           pg_text(limits),
        pg_text(wish->mode),       pg_text(wish->dynamic ? "t" : "f"),
    };
    change(c->pg, &create, params, done, arg);
    free(stages);
    free(limits);
}

void campaign_act(struct campaigns *c, const struct fleet_actor *actor, const struct campaign_order *order,
                  const char *word, const char *plan_hash, campaign_changed_fn *done, void *arg)
{
    struct campaign_number rev;
    struct pg_param params[] = {pg_text(order->which),
                                pg_text(word),
                                campaign_int(&rev, order->rev),
                                pg_text(actor->user_name),
                                pg_text(order->reason),
                                pg_text(plan_hash),
                                pg_text(c->settings.single_operator ? "t" : "f")};
    /* a start compares the whole plan with the fleet */
    change(strcmp(word, "start") == 0 ? c->bulk : c->pg, &act, params, done, arg);
}

void campaign_act_on_stage(struct campaigns *c, const struct fleet_actor *actor,
                           const struct campaign_order *order, int stage, const char *word, double percent,
                           int64_t max_devices, campaign_changed_fn *done, void *arg)
{
    struct campaign_number n[3];
    char *percent_text = percent > 0 ? mem_printf("%.3f", percent) : NULL;
    struct pg_param params[] = {pg_text(order->which),
                                campaign_int(&n[0], stage),
                                pg_text(word),
                                campaign_int(&n[1], order->rev),
                                pg_text(actor->user_name),
                                pg_text(order->reason),
                                pg_text(percent_text),
                                max_devices > 0 ? campaign_int(&n[2], max_devices) : pg_text(NULL)};
    change(c->bulk, &act_on_stage, params, done, arg);
    free(percent_text);
}

static void change_devices(struct campaigns *c, const struct pg_statement *statement,
                           const struct fleet_actor *actor, const struct campaign_order *order,
                           const json_t *list, campaign_changed_fn *done, void *arg)
{
    struct campaign_number rev;
    char *text = json_dumps(list, JSON_COMPACT);
    struct pg_param params[] = {pg_text(order->which), campaign_int(&rev, order->rev),
                                pg_text(actor->user_name), pg_text(order->reason), pg_text(text)};
    change(c->bulk, statement, params, done, arg);
    free(text);
}

void campaign_retry(struct campaigns *c, const struct fleet_actor *actor, const struct campaign_order *order,
                    const json_t *reasons, campaign_changed_fn *done, void *arg)
{
    change_devices(c, &retry, actor, order, reasons, done, arg);
}

void campaign_exclude(struct campaigns *c, const struct fleet_actor *actor,
                      const struct campaign_order *order, const json_t *devices, campaign_changed_fn *done,
                      void *arg)
{
    change_devices(c, &exclude, actor, order, devices, done, arg);
}
