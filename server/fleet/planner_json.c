/* planner_json.c: plans as REST shows them and as updates keep them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fleet/planner.h"
#include "module/module_names.h"
#include "plan/plan_words.h"

static json_t *taken(char *text) /* from malloc */
{
    json_t *value = json_string(text);
    free(text);
    return value;
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *letter(uint8_t function)
{
    char text[2] = {module_function_letter(function), 0};
    return json_string(text);
}

static json_t *module_json(const struct plan_module *module)
{
    return json_pack("{s:o,s:i,s:i}", "f", letter(module->function), "n", module->index, "v",
                     module->version);
}

json_t *planner_modules_json(const struct plan_vector *vector)
{
    json_t *list = json_array();
    for (size_t i = 0; i < vector->count; i++)
        json_array_append_new(list, module_json(&vector->modules[i]));
    return list;
}

json_t *planner_because_json(const struct planner_answer *answer, size_t step)
{
    const struct plan_step *s = &answer->plan->steps[step];
    json_t *list = json_array();
    for (size_t i = 0; i < s->reason_count; i++)
        json_array_append_new(list, taken(plan_words_reason(&answer->problem, s, i, answer->release_name)));
    if (s->reason_count == 0)
        json_array_append_new(list, taken(plan_words_on_the_way(&answer->problem, s)));
    return list;
}

int64_t planner_step_module(const struct planner_answer *answer, size_t step)
{
    return answer->problem.binaries[answer->plan->steps[step].binary].id;
}

static json_t *step_json(const struct planner_answer *answer, size_t at)
{
    const struct plan_step *step = &answer->plan->steps[at];
    const struct plan_binary *b = &answer->problem.binaries[step->binary];
    json_t *object = json_pack("{s:I,s:o,s:i,s:o,s:o,s:i,s:I,s:o}", "module_id", (json_int_t)b->id,
                               "function", letter(b->gives[0].function), "index", b->gives[0].index, "name",
                               taken(plan_words_binary(&answer->problem, b)), "from_version",
                               step->was[0].version ? json_integer(step->was[0].version) : json_null(),
                               "to_version", b->gives[0].version, "size_bytes", (json_int_t)b->size_bytes,
                               "because", planner_because_json(answer, at));
    if (b->gives_count > 1)
        json_object_set_new(object, "with", json_pack("[o]", module_json(&b->gives[1])));
    return object;
}

json_t *planner_steps_json(const struct planner_answer *answer)
{
    json_t *list = json_array();
    for (size_t i = 0; i < answer->plan->step_count; i++)
        json_array_append_new(list, step_json(answer, i));
    return list;
}

json_t *planner_unblock_json(const struct planner_answer *answer)
{
    json_t *list = json_array();
    char *remedy = plan_words_remedy(answer->plan, &answer->problem);
    for (size_t i = 0; i < answer->plan->opening_count; i++)
        json_array_append_new(list, taken(plan_words_opening(&answer->problem, &answer->plan->openings[i])));
    if (remedy)
        json_array_append_new(list, taken(remedy));
    return list;
}

json_t *planner_recipe_json(const struct planner_answer *answer)
{
    json_t *list = json_array();
    for (size_t i = 0; i < answer->plan->local_count; i++)
        json_array_append_new(list, taken(plan_words_local(&answer->problem, answer->plan, i)));
    return list;
}

char *planner_sentence(const struct planner_answer *answer)
{
    return plan_words_outcome(answer->plan, &answer->problem, answer->release_name);
}

const char *planner_outcome_name(const struct planner_answer *answer)
{
    switch (answer->plan->outcome) {
    case PLAN_CURRENT:
        return "current";
    case PLAN_STEPS:
        return "steps";
    default:
        return "blocked";
    }
}

uint64_t planner_bytes(const struct planner_answer *answer)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < answer->plan->step_count; i++)
        bytes += answer->problem.binaries[answer->plan->steps[i].binary].size_bytes;
    return bytes;
}

/* What devices and classes have in common. */
static void set_plan(json_t *object, const struct planner_answer *answer)
{
    char *uncertain = plan_words_uncertain(answer->plan, &answer->problem);
    json_object_set_new(object, "outcome", json_string(planner_outcome_name(answer)));
    json_object_set_new(object, "reason", text_or_null(plan_outcome_reason(answer->plan->outcome)));
    json_object_set_new(object, "sentence", taken(planner_sentence(answer)));
    json_object_set_new(object, "steps", planner_steps_json(answer));
    json_object_set_new(object, "bytes", json_integer((json_int_t)planner_bytes(answer)));
    json_object_set_new(object, "uncertain", uncertain ? json_pack("[o]", taken(uncertain)) : json_array());
    json_object_set_new(object, "unblock", planner_unblock_json(answer));
    json_object_set_new(object, "local_recipe", planner_recipe_json(answer));
}

json_t *planner_json(const struct planner_answer *answer)
{
    char id[DEVICE_ID_TEXT_SIZE];
    device_id_format(id, &answer->device_id);
    json_t *object =
        json_pack("{s:s,s:{s:I,s:s},s:o}", "device_id", id, "release", "id", (json_int_t)answer->release_id,
                  "name", answer->release_name, "runs", planner_modules_json(answer->problem.from));
    set_plan(object, answer);
    return object;
}

json_t *planner_class_json(const struct planner_answer *answer)
{
    char class[20];
    bool is_known = answer->problem.from->count > 0;
    (void)snprintf(class, sizeof class, "%016" PRIx64, (uint64_t)answer->sig);
    json_t *object =
        json_pack("{s:s,s:o,s:o,s:I}", "class", class, "platform_id",
                  is_known ? json_integer(answer->problem.from->platform_id) : json_null(), "modules",
                  planner_modules_json(answer->problem.from), "devices", (json_int_t)answer->devices);
    set_plan(object, answer);
    return object;
}

static void count_up(json_t *counts, const char *name, uint64_t more)
{
    json_int_t was = json_integer_value(json_object_get(counts, name));
    json_object_set_new(counts, name, json_integer(was + (json_int_t)more));
}

json_t *planner_summary_json(const struct planner_answer *classes, size_t count, uint64_t total)
{
    json_t *by_outcome = json_pack("{s:i,s:i,s:i}", "current", 0, "steps", 0, "blocked", 0);
    json_t *blocked = json_object(), *list = json_array();
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const char *reason = plan_outcome_reason(classes[i].plan->outcome);
        count_up(by_outcome, planner_outcome_name(&classes[i]), classes[i].devices);
        if (reason)
            count_up(blocked, reason, classes[i].devices);
        bytes += planner_bytes(&classes[i]) * classes[i].devices;
        if (i < PLANNER_CLASSES_SHOWN)
            json_array_append_new(list, planner_class_json(&classes[i]));
    }
    return json_pack("{s:I,s:o,s:o,s:I,s:o,s:I}", "devices", (json_int_t)total, "by_outcome", by_outcome,
                     "blocked", blocked, "bytes", (json_int_t)bytes, "classes", list, "classes_not_shown",
                     (json_int_t)(count - json_array_size(list)));
}
