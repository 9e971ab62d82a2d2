/* campaign_plan.c: freezes what a campaign will do: the planner says what each class of devices needs,
 * Postgres writes one row a device, slice by slice, and the stages' sizes say what they can prove.
 *
 *   READING -> ASKING the planner -> BEGINNING -> CLEARING the earlier plan -> SLICING -> COUNTING ->
 * FINISHING
 *
 * From BEGINNING on the campaign is a draft with a new rev: who plans at the same time, or changes it, makes
 * the next statement find another rev, and this one ends as stale. */
#include "campaign/campaigns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "campaign/campaigns_inner.h"
#include "campaign/stage.h"
#include "fleet/planner.h"
#include "module/module_file.h"

#define SLICE 2000 /* devices of one statement */

static const struct pg_statement read_campaign = {
    .name = "campaign_plan_read",
    .sql = "SELECT c.id, c.selector, c.release_id FROM campaign c WHERE c.id = campaign_find($1::text)",
    .params = 1,
};
static const struct pg_statement begin = {
    .name = "campaign_plan_begin",
    .sql = "SELECT r.code, r.id, r.rev, r.detail FROM"
           " campaign_plan_begin($1::bigint, $2::integer, $3::text, $4::jsonb) r",
    .params = 4,
};
static const struct pg_statement clear = {
    .name = "campaign_plan_clear",
    .sql = "SELECT campaign_plan_clear($1::bigint, $2::integer, $3::integer)",
    .params = 3,
};
static const struct pg_statement slice = {
    .name = "campaign_plan_slice",
    .sql = "SELECT encode(s.last, 'hex'), encode(s.hash, 'hex') FROM campaign_plan_slice($1::bigint, "
           "$2::integer,"
           " decode($3::text, 'hex'), $4::integer, decode($5::text, 'hex')) s",
    .params = 5,
};
static const struct pg_statement count = {
    .name = "campaign_plan_count",
    .sql = "SELECT name, n_total - n_ok - n_blocked, gate FROM campaign_stage WHERE campaign_id = $1::bigint "
           "ORDER BY ord",
    .params = 1,
};
static const struct pg_statement finish_plan = {
    .name = "campaign_plan_finish",
    .sql = "SELECT r.code, r.id, r.rev, r.detail FROM campaign_plan_finish($1::bigint, $2::integer, "
           "$3::text, $4::text,"
           " $5::jsonb, decode($6::text, 'hex')) r",
    .params = 6,
};

struct planning {
    struct campaigns *c; /* borrowed */
    campaign_changed_fn *done;
    void *arg;
    char who[65];
    char *which, *reason; /* ours */
    int64_t id, rev, release_id;
    json_t *summary;                                       /* ours, NULL until the planner has answered */
    char past[2 * sizeof(struct device_id) + 1], hash[65]; /* of the slices so far */
};

static void end(struct planning *p, enum fleet_err err, const char *code, const char *detail)
{
    struct campaign_outcome outcome = {.code = code, .detail = detail, .id = p->id, .rev = p->rev};
    campaign_changed_fn *done = p->done;
    void *arg = p->arg;
    free(p->which);
    free(p->reason);
    json_decref(p->summary);
    free(p);
    done(arg, err, &outcome);
}

/* False: it failed, and p is gone. */
static bool is_ok(struct planning *p, enum pg_err err, const struct pg_result *result)
{
    enum fleet_err ferr = campaign_err_of(err, result, "campaign_plan");
    if (ferr != FLEET_OK)
        end(p, ferr, "", "");
    return ferr == FLEET_OK;
}

/* The same for statements that answer with an outcome; takes over its rev. */
static bool is_done(struct planning *p, enum pg_err err, const struct pg_result *result)
{
    struct campaign_outcome outcome;
    if (!is_ok(p, err, result))
        return false;
    outcome = campaign_outcome_read(result);
    p->rev = outcome.rev;
    if (strcmp(outcome.code, "ok") == 0)
        return true;
    end(p, FLEET_OK, outcome.code, outcome.detail);
    return false;
}

static void run(struct planning *p, const struct pg_statement *statement, const struct pg_param *params,
                unsigned flags, pg_done_fn *done)
{
    pg_exec(p->c->bulk, statement, params, CAMPAIGN_BULK_MS, flags, done, p);
}

/* --- the end --- */

static void on_finished(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct planning *p = arg;
    if (is_done(p, err, result))
        end(p, FLEET_OK, "ok", "");
}

static void add_proofs(json_t *summary, const struct pg_result *stages)
{
    json_t *proves = json_array();
    for (int i = 0; i < pg_rows(stages); i++) {
        char sentence[GATE_SENTENCE_SIZE];
        struct gate_rules rules;
        json_t *gate = json_loads(pg_value(stages, i, 2), 0, NULL);
        int64_t devices = pg_int(stages, i, 1);
        gate_rules_read(&rules, gate);
        gate_proves(sentence, (uint32_t)devices, &rules);
        (void)json_array_append_new(proves, json_pack("{sssIss}", "stage", pg_value(stages, i, 0), "devices",
                                                      (json_int_t)devices, "sentence", sentence));
        json_decref(gate);
    }
    (void)json_object_set_new(summary, "proves", proves);
}

static void on_counted(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct planning *p = arg;
    struct campaign_number n[2];
    char *summary;
    if (!is_ok(p, err, result))
        return;
    add_proofs(p->summary, result);
    summary = json_dumps(p->summary, JSON_COMPACT);
    struct pg_param params[] = {campaign_int(&n[0], p->id),
                                campaign_int(&n[1], p->rev),
                                pg_text(p->who),
                                pg_text(p->reason),
                                pg_text(summary),
                                pg_text(p->hash)};
    run(p, &finish_plan, params, PG_AGAIN, on_finished);
    free(summary);
}

/* --- slices --- */

static void on_slice(void *arg, enum pg_err err, const struct pg_result *result);

static void next_slice(struct planning *p)
{
    struct campaign_number n[3];
    struct pg_param params[] = {campaign_int(&n[0], p->id), campaign_int(&n[1], p->rev), pg_text(p->past),
                                campaign_int(&n[2], SLICE), pg_text(p->hash)};
    run(p, &slice, params, PG_AGAIN, on_slice);
}

static void on_slice(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct planning *p = arg;
    struct campaign_number n;
    if (!is_ok(p, err, result))
        return;
    if (pg_is_null(result, 0, 1)) { /* it has another rev by now */
        end(p, FLEET_OK, "stale", "");
        return;
    }
    memcpy(p->hash, pg_value(result, 0, 1), sizeof p->hash);
    if (!pg_is_null(result, 0, 0)) {
        memcpy(p->past, pg_value(result, 0, 0), sizeof p->past);
        next_slice(p);
        return;
    }
    run(p, &count, (struct pg_param[]){campaign_int(&n, p->id)}, PG_RETRY, on_counted);
}

/* --- the beginning --- */

static void on_cleared(void *arg, enum pg_err err, const struct pg_result *result);

static void clear_some(struct planning *p)
{
    struct campaign_number n[3];
    struct pg_param params[] = {campaign_int(&n[0], p->id), campaign_int(&n[1], p->rev),
                                campaign_int(&n[2], SLICE)};
    run(p, &clear, params, PG_RETRY, on_cleared);
}

static void on_cleared(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct planning *p = arg;
    if (!is_ok(p, err, result))
        return;
    if (pg_int(result, 0, 0) > 0)
        clear_some(p);
    else
        next_slice(p);
}

static void on_begun(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct planning *p = arg;
    if (is_done(p, err, result))
        clear_some(p);
}

/* Binaries of its plan after which a device may not come back: bootloaders and network co-processors. */
static json_t *canary_json(const struct planner_answer *class)
{
    json_t *list = json_array();
    for (size_t i = 0; i < class->plan->step_count; i++) {
        const struct plan_binary *binary = &class->problem.binaries[class->plan->steps[i].binary];
        bool dangerous = false;
        for (size_t g = 0; g < binary->gives_count; g++)
            dangerous = dangerous || binary->gives[g].function == MODULE_BOOTLOADER ||
                        binary->gives[g].function == MODULE_NCP;
        if (dangerous)
            (void)json_array_append_new(list, json_integer(binary->id));
    }
    return list;
}

static json_t *class_json(const struct planner_answer *class)
{
    char *sentence = planner_sentence(class);
    const char *outcome = planner_outcome_name(class);
    const char *reason = plan_outcome_reason(class->plan->outcome);
    json_t *detail = json_pack("{sssoso}", "sentence", sentence, "unblock", planner_unblock_json(class),
                               "steps", planner_steps_json(class));
    json_t *object =
        json_pack("{sIsIsssoso}", "sig", (json_int_t) class->sig, "devices", (json_int_t) class->devices,
                  "outcome", outcome, "detail", detail, "canary", canary_json(class));
    if (strcmp(outcome, "blocked") == 0 && reason != NULL)
        (void)json_object_set_new(object, "reason", json_string(reason));
    free(sentence);
    return object;
}

json_t *campaign_classes_json(const struct planner_answer *classes, size_t class_count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < class_count; i++)
        (void)json_array_append_new(list, class_json(&classes[i]));
    return list;
}

static void on_classes(void *arg, enum fleet_err err, const struct planner_answer *classes,
                       size_t class_count, uint64_t total, const char *why)
{
    struct planning *p = arg;
    struct campaign_number n[2];
    json_t *list;
    char *text;
    if (p->c->stopped)
        err = FLEET_AWAY;
    if (err != FLEET_OK) {
        /* a release that was withdrawn meanwhile, too many classes: a sentence for who asked */
        bool has_words = err != FLEET_AWAY && err != FLEET_FAULT && why != NULL && why[0] != '\0';
        end(p, has_words ? FLEET_INVALID : err, "", has_words ? why : "");
        return;
    }
    p->summary = planner_summary_json(classes, class_count, total);
    list = campaign_classes_json(classes, class_count);
    text = json_dumps(list, JSON_COMPACT);
    struct pg_param params[] = {campaign_int(&n[0], p->id), campaign_int(&n[1], p->rev), pg_text(p->who),
                                pg_text(text)};
    run(p, &begin, params, PG_AGAIN, on_begun);
    free(text);
    json_decref(list);
}

static void on_read(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct planning *p = arg;
    struct selector selector;
    struct campaign_number release;
    char why[SELECTOR_WHY_SIZE];
    if (!is_ok(p, err, result))
        return;
    if (pg_rows(result) == 0) {
        end(p, FLEET_OK, "not found", "");
        return;
    }
    p->id = pg_int(result, 0, 0);
    p->release_id = pg_int(result, 0, 2);
    json_t *json = json_loads(pg_value(result, 0, 1), 0, NULL);
    bool fine = selector_parse(&selector, json, why);
    json_decref(json);
    if (!fine) { /* it was checked when the campaign was made */
        end(p, FLEET_INVALID, "", why);
        return;
    }
    (void)campaign_int(&release, p->release_id);
    planner_classes(p->c->fleet, &selector, release.text, NULL, on_classes, p);
    selector_deinit(&selector);
}

void campaign_plan(struct campaigns *c, const struct fleet_actor *actor, const struct campaign_order *order,
                   campaign_changed_fn *done, void *arg)
{
    struct planning *p = mem_alloc(sizeof *p);
    *p = (struct planning){.c = c, .done = done, .arg = arg, .rev = order->rev};
    (void)snprintf(p->who, sizeof p->who, "%s", actor->user_name);
    p->which = mem_string(order->which);
    p->reason = order->reason != NULL ? mem_string(order->reason) : NULL;
    run(p, &read_campaign, (struct pg_param[]){pg_text(p->which)}, PG_RETRY, on_read);
}
