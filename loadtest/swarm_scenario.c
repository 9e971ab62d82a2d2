#include "swarm_scenario.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_control.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct swarm_scenario {
    struct deadline next; /* must stay first */
    struct swarm_loop *loop;
    const struct swarm_scenario_ops *ops;
    void *owner;   /* borrowed: outlives this */
    json_t *steps; /* ours */
    json_t *last;  /* ours: the line before, NULL = none */
    size_t at;     /* the step that is under way, or comes next */
    bool awaits, failed;
};

/* NULL = the step is under way or over, else why it is not. */
typedef const char *step_fn(struct swarm_scenario *s, json_t *step);

static void on_next(struct deadline *deadline, uint64_t now_ms);

struct swarm_scenario *swarm_scenario_load(const char *path, struct swarm_loop *loop,
                                           const struct swarm_scenario_ops *ops, void *owner,
                                           char error[SWARM_SCENARIO_ERROR_SIZE])
{
    json_error_t json_error;
    json_t *steps = json_load_file(path, 0, &json_error), *step;
    struct swarm_scenario *s;
    size_t i;
    bool ok = json_is_array(steps);

    json_array_foreach (steps, i, step)
        ok = ok && json_is_string(json_object_get(step, "do"));
    if (!ok) {
        (void)snprintf(error, SWARM_SCENARIO_ERROR_SIZE, "%s: %s", path,
                       json_error.text[0] ? json_error.text : "not a list of objects with \"do\"");
        json_decref(steps);
        return NULL;
    }
    s = mem_alloc(sizeof(*s));
    s->loop = loop;
    s->ops = ops;
    s->owner = owner;
    s->steps = steps;
    return s;
}

void swarm_scenario_free(struct swarm_scenario *s)
{
    if (!s)
        return;
    deadline_cancel(&s->loop->deadlines, &s->next);
    json_decref(s->steps);
    json_decref(s->last);
    free(s);
}

double swarm_scenario_number(json_t *step, const char *key, double missing)
{
    json_t *value = json_object_get(step, key);

    return json_is_number(value) && json_number_value(value) >= 0 ? json_number_value(value) : missing;
}

static void go_on_after(struct swarm_scenario *s, uint64_t wait_ms)
{
    deadline_set(&s->loop->deadlines, &s->next, clock_ms() + wait_ms, on_next);
}

/* Prints the line with its step's number and goes on from the loop. */
void swarm_scenario_done(struct swarm_scenario *s, json_t *line)
{
    json_object_set_new(line, "step", json_integer((json_int_t)s->at));
    json_decref(s->last);
    s->last = json_incref(line);
    swarm_control_print(line);
    s->at++;
    go_on_after(s, 0);
}

void swarm_scenario_start(struct swarm_scenario *s)
{
    go_on_after(s, 0);
}

bool swarm_scenario_go(struct swarm_scenario *s)
{
    if (!s->awaits)
        return false;
    s->awaits = false;
    s->at++;
    go_on_after(s, 0);
    return true;
}

/* --- steps of the scenario's own --- */

static const char *do_pause(struct swarm_scenario *s, json_t *step)
{
    s->at++;
    go_on_after(s, (uint64_t)(swarm_scenario_number(step, "s", 1) * 1000));
    return NULL;
}

static const char *do_faults(struct swarm_scenario *s, json_t *step)
{
    struct swarm_faults faults = {.loss = swarm_scenario_number(step, "loss", 0),
                                  .dup = swarm_scenario_number(step, "dup", 0),
                                  .reorder = swarm_scenario_number(step, "reorder", 0),
                                  .delay_ms = (uint32_t)swarm_scenario_number(step, "delay_ms", 0)};

    swarm_net_set_faults(s->loop->env.net, &faults);
    s->at++;
    go_on_after(s, 0);
    return NULL;
}

/* "a.b.c" in nested objects. */
static json_t *find(json_t *line, const char *path)
{
    while (line && *path) {
        size_t len = strcspn(path, ".");
        json_t *inner = json_object_getn(line, path, len);

        line = inner;
        path += len + (path[len] == '.');
    }
    return line;
}

static bool holds(json_t *value, json_t *wanted)
{
    double number = json_number_value(value);
    json_t *least = json_object_get(wanted, "min"), *most = json_object_get(wanted, "max");

    if (!json_is_object(wanted))
        return json_is_number(wanted) && json_is_number(value) ? number == json_number_value(wanted)
                                                               : json_equal(value, wanted);
    if (!least && !most) /* {} of reasons: none */
        return json_equal(value, wanted);
    return json_is_number(value) && (!least || number >= json_number_value(least)) &&
           (!most || number <= json_number_value(most));
}

static const char *do_assert(struct swarm_scenario *s, json_t *step)
{
    json_t *line =
        json_pack("{s:s,s:o,s:I}", "event", "assert", "wrong", json_object(), "step", (json_int_t)s->at);
    json_t *wrong = json_object_get(line, "wrong"), *wanted;
    const char *key;

    json_object_foreach (step, key, wanted) {
        json_t *value = strcmp(key, "do") == 0 ? NULL : find(s->last, key);

        if (strcmp(key, "do") != 0 && !holds(value, wanted))
            json_object_set(wrong, key, value ? value : json_null());
    }
    s->failed = s->failed || json_object_size(wrong) > 0;
    json_object_set_new(line, "ok", json_boolean(json_object_size(wrong) == 0));
    swarm_control_print(line);
    s->at = s->failed ? json_array_size(s->steps) : s->at + 1;
    go_on_after(s, 0);
    return NULL;
}

static const char *do_await(struct swarm_scenario *s, json_t *step)
{
    json_t *what = json_object_get(step, "what");

    s->awaits = true;
    swarm_control_print(json_pack("{s:s,s:s,s:I}", "event", "await", "what",
                                  json_is_string(what) ? json_string_value(what) : "", "step",
                                  (json_int_t)s->at));
    return NULL;
}

static const char *do_end(struct swarm_scenario *s, json_t *step)
{
    (void)step;
    s->at = json_array_size(s->steps);
    go_on_after(s, 0);
    return NULL;
}

static const struct {
    const char *name;
    step_fn *run;
} table[] = {
    {"assert", do_assert}, {"await", do_await}, {"end", do_end}, {"faults", do_faults}, {"pause", do_pause}};

static const char *run(struct swarm_scenario *s, const char *name, json_t *step)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].run(s, step);
    return s->ops->start(s->owner, name, step);
}

static void on_next(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_scenario *s = (struct swarm_scenario *)(void *)deadline;
    json_t *step = json_array_get(s->steps, s->at);
    const char *name, *why;

    (void)now_ms;
    if (!step) {
        s->ops->ended(s->owner, !s->failed);
        return;
    }
    name = json_string_value(json_object_get(step, "do"));
    why = run(s, name, step);
    if (!why)
        return;
    swarm_control_print(json_pack("{s:s,s:s,s:s,s:I}", "event", "error", "cmd", name, "reason", why, "step",
                                  (json_int_t)s->at));
    s->ops->ended(s->owner, false);
}
