/* campaign_change.c: what people do to campaigns: one statement each, which is one transaction with its audit
 * row. */
#include "campaign/campaigns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "campaign/campaigns_inner.h"

#define DRIFT_SLICE 20000 /* devices compared in one statement */

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
                   " decode($6::text, 'hex'), $7::boolean, $8::bigint, $9::bigint) r",
    .params = 9,
};
static const struct pg_statement drift_slice = {
    .name = "campaign_drift_slice",
    .sql = "SELECT encode(s.last, 'hex'), s.planned, s.drifted"
           " FROM campaign_drift_slice($1::bigint, decode($2::text, 'hex'), $3::integer) s",
    .params = 3,
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

void campaign_create(struct campaigns *c, const struct campaign_wish *wish, campaign_changed_fn *done,
                     void *arg)
{
    char *stages = json_dumps(wish->stages, JSON_COMPACT), *limits = json_dumps(wish->limits, JSON_COMPACT);
    struct pg_param params[] = {
        pg_text(wish->actor->user_name),
        pg_text(wish->key),
        pg_text(wish->request),
        pg_text(wish->name),
        pg_text(wish->release),
        pg_text(wish->selector),
        pg_text(stages),
        pg_text(limits),
        pg_text(wish->mode),
        pg_text(wish->dynamic ? "t" : "f"),
    };
    change(c->pg, &create, params, done, arg);
    free(stages);
    free(limits);
}

/* --- words --- */

/* A start compares the plan with the fleet, slice by slice, between its two looks at everything else:
 *
 *   ASKING --look--> LOOKING (slices) --> ASKING with what was found --> answered      any other word: ASKING
 */
struct word {
    struct campaigns *c; /* borrowed */
    campaign_changed_fn *done;
    void *arg;
    char who[65];
    char *which, *name, *reason, *plan_hash; /* ours; reason and plan_hash may be NULL */
    int64_t id, rev, planned, drifted;
    bool looked;
    char past[2 * sizeof(struct device_id) + 1]; /* of the slices so far */
};

static void word_end(struct word *w, enum fleet_err err, const struct campaign_outcome *outcome)
{
    campaign_changed_fn *done = w->done;
    void *arg = w->arg;
    free(w->which);
    free(w->name);
    free(w->reason);
    free(w->plan_hash);
    free(w);
    done(arg, err, outcome);
}

static void word_ask(struct word *w);

static void on_drift(void *arg, enum pg_err err, const struct pg_result *result);

static void word_look(struct word *w)
{
    struct campaign_number n[2];
    struct pg_param params[] = {campaign_int(&n[0], w->id), pg_text(w->past),
                                campaign_int(&n[1], DRIFT_SLICE)};
    pg_exec(w->c->bulk, &drift_slice, params, CAMPAIGN_BULK_MS, PG_RETRY, on_drift, w);
}

static void on_drift(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct word *w = arg;
    enum fleet_err ferr = campaign_err_of(err, result, "campaign_drift");
    if (ferr != FLEET_OK) {
        word_end(w, ferr, NULL);
        return;
    }
    w->planned += pg_int(result, 0, 1);
    w->drifted += pg_int(result, 0, 2);
    if (!pg_is_null(result, 0, 0)) {
        memcpy(w->past, pg_value(result, 0, 0), sizeof w->past);
        word_look(w);
        return;
    }
    w->looked = true;
    word_ask(w);
}

static void on_word(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct word *w = arg;
    enum fleet_err ferr = campaign_err_of(err, result, "campaign_act");
    struct campaign_outcome outcome = {.code = "", .detail = ""};
    if (ferr == FLEET_OK)
        outcome = campaign_outcome_read(result);
    if (ferr == FLEET_OK && !w->looked && strcmp(outcome.code, "look") == 0) {
        w->id = outcome.id;
        word_look(w);
        return;
    }
    word_end(w, ferr, &outcome);
}

static void word_ask(struct word *w)
{
    struct campaign_number n[3];
    struct pg_param params[] = {pg_text(w->which),
                                pg_text(w->name),
                                campaign_int(&n[0], w->rev),
                                pg_text(w->who),
                                pg_text(w->reason),
                                pg_text(w->plan_hash),
                                pg_text(w->c->settings.single_operator ? "t" : "f"),
                                w->looked ? campaign_int(&n[1], w->planned) : pg_text(NULL),
                                w->looked ? campaign_int(&n[2], w->drifted) : pg_text(NULL)};
    pg_exec(w->c->pg, &act, params, CAMPAIGN_PATIENCE_MS, PG_AGAIN, on_word, w);
}

void campaign_act(struct campaigns *c, const struct campaign_order *order, const char *word,
                  const char *plan_hash, campaign_changed_fn *done, void *arg)
{
    struct word *w = mem_alloc(sizeof *w);
    *w = (struct word){.c = c, .done = done, .arg = arg, .rev = order->rev};
    (void)snprintf(w->who, sizeof w->who, "%s", order->actor->user_name);
    w->which = mem_string(order->which);
    w->name = mem_string(word);
    w->reason = order->reason != NULL ? mem_string(order->reason) : NULL;
    w->plan_hash = plan_hash != NULL ? mem_string(plan_hash) : NULL;
    word_ask(w);
}

/* --- stages and devices --- */

void campaign_act_on_stage(struct campaigns *c, const struct campaign_stage_order *order,
                           campaign_changed_fn *done, void *arg)
{
    struct campaign_number n[3];
    char *percent = order->percent > 0 ? mem_printf("%.3f", order->percent) : NULL;
    struct pg_param params[] = {pg_text(order->order.which),
                                campaign_int(&n[0], order->stage),
                                pg_text(order->word),
                                campaign_int(&n[1], order->order.rev),
                                pg_text(order->order.actor->user_name),
                                pg_text(order->order.reason),
                                pg_text(percent),
                                order->max_devices > 0 ? campaign_int(&n[2], order->max_devices)
                                                       : pg_text(NULL)};
    change(c->bulk, &act_on_stage, params, done, arg);
    free(percent);
}

static void change_devices(struct campaigns *c, const struct pg_statement *statement,
                           const struct campaign_order *order, const json_t *list, campaign_changed_fn *done,
                           void *arg)
{
    struct campaign_number rev;
    char *text = json_dumps(list, JSON_COMPACT);
    struct pg_param params[] = {pg_text(order->which), campaign_int(&rev, order->rev),
                                pg_text(order->actor->user_name), pg_text(order->reason), pg_text(text)};
    change(c->bulk, statement, params, done, arg);
    free(text);
}

void campaign_retry(struct campaigns *c, const struct campaign_order *order, const json_t *reasons,
                    campaign_changed_fn *done, void *arg)
{
    change_devices(c, &retry, order, reasons, done, arg);
}

void campaign_exclude(struct campaigns *c, const struct campaign_order *order, const json_t *devices,
                      campaign_changed_fn *done, void *arg)
{
    change_devices(c, &exclude, order, devices, done, arg);
}
