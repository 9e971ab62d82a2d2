/* update_planned.c: asks for a plan from what the device has just described, and writes what it came to: the
 * next step, or that there is none. Only the first step of a plan counts: after it everything is looked at
 * again. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/log.h"
#include "campaign/update_inner.h"
#include "fleet/planner.h"

static const struct pg_statement update_planned = {
    .name = "update_planned",
    .sql = "SELECT update_planned($1::bigint, $2::integer, $3::text, $4::text, $5::jsonb, $6::jsonb, "
           "$7::bigint, $8::jsonb, $9::bigint, $10::jsonb, $11::text)",
    .params = 11,
};

static void on_written(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct update_look *look = arg;
    char id[DEVICE_ID_TEXT_SIZE];
    look->e->pending_count--;
    device_id_format(id, &look->device_id);
    if (err == PG_REFUSED)
        log_error("dev=%s update.plan_refused update=%" PRId64 " sqlstate=%s", id, look->update_id,
                  pg_sqlstate(result));
    else if (err == PG_OK)
        log_info("dev=%s update.planned update=%" PRId64 " now=%s", id, look->update_id,
                 pg_value(result, 0, 0));
    look_end(look);
}

struct planned {
    const char *outcome, *reason;     /* static; reason NULL unless blocked */
    json_t *detail, *steps, *because; /* ours */
    int64_t module_id, sig;
    bool has_sig;
};

static char *text_of(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

static void write_planned(struct update_look *look, struct planned *p)
{
    struct update_number update, rev, module, sig;
    char *detail = text_of(p->detail), *steps = text_of(p->steps), *because = text_of(p->because);
    struct pg_param params[] = {
        update_int(&update, look->update_id),
        update_int(&rev, look->update_rev),
        pg_text(p->outcome),
        pg_text(p->reason),
        pg_text(detail),
        pg_text(steps),
        p->module_id ? update_int(&module, p->module_id) : pg_text(NULL),
        pg_text(because),
        p->has_sig ? update_int(&sig, p->sig) : pg_text(NULL),
        pg_text(look->e->settings_json),
        pg_text(look->e->who),
    };
    look->e->pending_count++;
    pg_exec(look->e->pg, &update_planned, params, UPDATE_STATEMENT_MS, PG_RETRY, on_written, look);
    free(detail);
    free(steps);
    free(because);
}

static json_t *blocked_detail(const struct planner_answer *answer)
{
    char *sentence = planner_sentence(answer);
    json_t *detail = json_pack("{s:s,s:o}", "sentence", sentence, "unblock", planner_unblock_json(answer));
    json_t *recipe = planner_recipe_json(answer);
    if (json_array_size(recipe) > 0)
        json_object_set_new(detail, "local_recipe", recipe);
    else
        json_decref(recipe);
    free(sentence);
    return detail;
}

static void on_planned(void *arg, enum fleet_err err, const struct planner_answer *answer, const char *why)
{
    struct update_look *look = arg;
    struct planned p = {.outcome = "blocked"};
    look->e->pending_count--;
    /* Given out again: Postgres is away, or a rule is wrong, which is no fault of the devices. */
    if (look->e->closed || (err != FLEET_OK && err != FLEET_CONFLICT)) {
        look_end(look);
        return;
    }
    if (err == FLEET_CONFLICT) {
        p.reason = "module_withdrawn";
        p.detail = json_pack("{s:s}", "sentence", why);
    } else {
        p.outcome = planner_outcome_name(answer);
        p.reason = plan_outcome_reason(answer->plan->outcome);
        p.steps = planner_steps_json(answer);
        p.sig = answer->sig;
        p.has_sig = true;
        if (answer->plan->outcome == PLAN_STEPS) {
            p.module_id = planner_step_module(answer, 0);
            p.because = planner_because_json(answer, 0);
        } else if (answer->plan->outcome != PLAN_CURRENT)
            p.detail = blocked_detail(answer);
    }
    write_planned(look, &p);
}

void look_plan(struct update_look *look)
{
    look->e->pending_count++;
    planner_plan_device(look->e->fleet, &look->device_id, look->release_id, false, on_planned, look);
}
