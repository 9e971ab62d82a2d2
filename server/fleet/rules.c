#include "fleet/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/planner_inner.h"
#include "plan/plan_words.h"

#define RULE_COLUMNS "to_jsonb(t) - 'id'"

static const struct pg_statement list_rules = {
    .name = "rule_list",
    .sql = "SELECT coalesce(jsonb_agg(" RULE_COLUMNS " ORDER BY t.platform_id, t.code), '[]')"
           " FROM transition_rule t",
};
static const struct pg_statement get_rule = {
    .name = "rule_get",
    .sql = "SELECT " RULE_COLUMNS " FROM transition_rule t WHERE t.code = $1::text",
    .params = 1,
};
static const struct pg_statement create_rule = {
    .name = "rule_create",
    .sql = "SELECT code, rule - 'id' FROM create_rule($1::text, $2::text, $3::integer, $4::text, $5::jsonb,"
           " $6::text, $7::text, $8::boolean)",
    .params = 8,
};
static const struct pg_statement change_rule = {
    .name = "rule_change",
    .sql = "SELECT code, rule - 'id' FROM change_rule($1::text, $2::text, $3::integer, $4::integer, $5::text,"
           " $6::jsonb, $7::text, $8::text, $9::boolean, $10::text)",
    .params = 10,
};
/* $3: the rule is of kind deep_update_needed. */
static const struct pg_statement test_rule = {
    .name = "rule_test",
    .sql = "SELECT g.sig, g.n, c.runs FROM ("
           "SELECT sig, devices AS n FROM deep_update_classes($1::integer, $2::jsonb) WHERE $3::boolean"
           " UNION ALL SELECT sig, count(*) FROM selected_devices(jsonb_build_object('platform_id',"
           " jsonb_build_array($1::integer))) WHERE NOT $3::boolean GROUP BY sig"
           ") g JOIN inventory_class c ON c.sig = g.sig ORDER BY g.n DESC, g.sig LIMIT $4::integer",
    .params = 4,
    .replan = true,
};

/* --- list --- */

struct list_wait {
    rules_fn *done;
    void *arg;
};

static void on_list(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct list_wait wait = *(struct list_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "rule_list");
    json_t *rules = ferr ? NULL : json_loads(pg_value(result, 0, 0), 0, NULL);
    free(arg);
    wait.done(wait.arg, ferr, rules);
    json_decref(rules);
}

void fleet_list_rules(struct fleet *f, rules_fn *done, void *arg)
{
    struct list_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct list_wait){.done = done, .arg = arg};
    pg_exec(f->pg, &list_rules, NULL, fleet_patience_ms(f), PG_RETRY, on_list, wait);
}

/* --- fields --- */

static bool is_text(const json_t *value)
{
    return value == NULL || json_is_string(value);
}

const char *fleet_rule_flaw(const json_t *fields)
{
    static const char *const known[] = {"code",     "platform_id", "kind", "body",  "explain",
                                        "evidence", "enabled",     "rev",  "reason"};
    const json_t *platform = json_object_get(fields, "platform_id"), *value;
    const char *key;
    json_object_foreach ((json_t *)fields, key, value) {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcmp(key, known[i]) != 0)
            i++;
        if (i == sizeof known / sizeof *known)
            return "A rule has code, platform_id, kind, body, explain, evidence, enabled and rev, and "
                   "nothing "
                   "else.";
    }
    if (platform && (!json_is_integer(platform) || json_integer_value(platform) < 0 ||
                     json_integer_value(platform) > UINT16_MAX))
        return "platform_id must be a number from 0 to 65535.";
    if (!is_text(json_object_get(fields, "code")) || !is_text(json_object_get(fields, "kind")) ||
        !is_text(json_object_get(fields, "explain")) || !is_text(json_object_get(fields, "evidence")) ||
        !is_text(json_object_get(fields, "reason")))
        return "code, kind, explain, evidence and reason must be texts.";
    if (json_object_get(fields, "body") && !json_is_object(json_object_get(fields, "body")))
        return "body must be an object.";
    if (json_object_get(fields, "enabled") && !json_is_boolean(json_object_get(fields, "enabled")))
        return "enabled must be true or false.";
    return NULL;
}

static const char *text(const json_t *fields, const char *key)
{
    const char *value = json_string_value(json_object_get(fields, key));
    return value ? value : "";
}

/* A whole rule. False: why. */
static bool check_rule(struct plan_rule *rule, const json_t *whole, char why[RULE_WHY_SIZE])
{
    const struct rule_words words = {text(whole, "code"), text(whole, "explain"), text(whole, "evidence")};
    enum rule_kind kind;
    if (!json_object_get(whole, "platform_id")) {
        (void)snprintf(why, RULE_WHY_SIZE, "platform_id must be a number from 0 to 65535.");
        return false;
    }
    if (!rule_kind_parse(&kind, text(whole, "kind"))) {
        (void)snprintf(why, RULE_WHY_SIZE,
                       "kind must be one of requires, forbids, must_pass_through, "
                       "unreachable, prefers, collateral, deep_update_needed.");
        return false;
    }
    return rule_parse(rule, kind, &words, json_object_get(whole, "body"), why);
}

/* --- one rule --- */

struct rule_wait {
    struct fleet *f;
    rule_fn *done;
    rule_test_fn *test_done; /* one of the two */
    void *arg;
    char actor[sizeof((struct fleet_actor *)NULL)->user_name];
    char *code;
    json_t *fields;        /* ours; NULL: none */
    struct plan_rule rule; /* of a test */
    enum fleet_err err;    /* of answer_later */
    char why[RULE_WHY_SIZE];
};

static struct rule_wait *wait_new(struct fleet *f, const char *code, const json_t *fields, rule_fn *done,
                                  void *arg)
{
    struct rule_wait *wait = mem_alloc(sizeof *wait);
    wait->f = f;
    wait->done = done;
    wait->arg = arg;
    wait->code = mem_string(code);
    wait->fields = json_deep_copy(fields);
    return wait;
}

static void answer(struct rule_wait *wait, enum fleet_err err, json_t *rule, const char *why)
{
    if (wait->done)
        wait->done(wait->arg, err, rule, why);
    else
        wait->test_done(wait->arg, err, rule, why);
    free(wait->code);
    json_decref(wait->fields);
    free(wait);
}

static void answer_now(void *ctx)
{
    struct rule_wait *wait = ctx;
    answer(wait, wait->err, NULL, wait->why);
}

static void answer_later(struct rule_wait *wait, enum fleet_err err)
{
    wait->err = err;
    later_push(&wait->f->later, answer_now, wait);
}

static struct pg_param number(const json_t *fields, const char *key, struct fleet_number *n)
{
    const json_t *value = json_object_get(fields, key);
    return value ? fleet_int(n, json_integer_value(value)) : pg_text(NULL);
}

static struct pg_param flag(const json_t *fields, const char *key)
{
    const json_t *value = json_object_get(fields, key);
    return value ? fleet_bool(json_is_true(value)) : pg_text(NULL);
}

static struct pg_param string(const json_t *fields, const char *key)
{
    return pg_text(json_string_value(json_object_get(fields, key)));
}

static char *body_text(const json_t *fields) /* NULL when there is none */
{
    const json_t *body = json_object_get(fields, "body");
    return body ? json_dumps(body, JSON_COMPACT) : NULL;
}

static void on_written(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct rule_wait *wait = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "rule_write");
    const char *code = ferr ? "" : pg_value(result, 0, 0);
    json_t *rule = ferr || pg_is_null(result, 0, 1) ? NULL : json_loads(pg_value(result, 0, 1), 0, NULL);
    if (ferr)
        answer(wait, ferr, NULL, "");
    else if (!strcmp(code, "exists"))
        answer(wait, FLEET_CONFLICT, NULL, "There is a rule with this code already.");
    else if (!strcmp(code, "not found"))
        answer(wait, FLEET_NOT_FOUND, NULL, "");
    else if (!strcmp(code, "stale"))
        answer(wait, FLEET_CONFLICT, rule, "The rule was changed meanwhile.");
    else
        answer(wait, FLEET_OK, rule, "");
    json_decref(rule);
}

void fleet_create_rule(struct fleet *f, const struct fleet_actor *actor, const json_t *fields, rule_fn *done,
                       void *arg)
{
    struct rule_wait *wait = wait_new(f, text(fields, "code"), fields, done, arg);
    struct plan_rule rule;
    struct fleet_number platform;
    if (!check_rule(&rule, fields, wait->why)) {
        answer_later(wait, FLEET_INVALID);
        return;
    }
    char *body = body_text(fields);
    pg_exec(f->pg, &create_rule,
            (struct pg_param[]){pg_text(actor->user_name), string(fields, "code"),
                                number(fields, "platform_id", &platform), string(fields, "kind"),
                                pg_text(body), string(fields, "explain"), string(fields, "evidence"),
                                flag(fields, "enabled")},
            fleet_patience_ms(f), PG_AGAIN, on_written, wait);
    free(body);
}

static void write_change(struct rule_wait *wait)
{
    struct fleet_number rev, platform;
    char *body = body_text(wait->fields);
    pg_exec(wait->f->pg, &change_rule,
            (struct pg_param[]){pg_text(wait->actor), pg_text(wait->code), number(wait->fields, "rev", &rev),
                                number(wait->fields, "platform_id", &platform), string(wait->fields, "kind"),
                                pg_text(body), string(wait->fields, "explain"),
                                string(wait->fields, "evidence"), flag(wait->fields, "enabled"),
                                string(wait->fields, "reason")},
            fleet_patience_ms(wait->f), PG_AGAIN, on_written, wait);
    free(body);
}

/* The rule as it is stored, or NULL when that was answered. */
static json_t *stored_rule(struct rule_wait *wait, enum pg_err err, const struct pg_result *result)
{
    enum fleet_err ferr = fleet_err_of(err, result, "rule_get");
    if (!ferr && pg_rows(result) == 0)
        ferr = FLEET_NOT_FOUND;
    if (ferr) {
        answer(wait, ferr, NULL, "");
        return NULL;
    }
    json_t *rule = json_loads(pg_value(result, 0, 0), 0, NULL);
    must(rule);
    return rule;
}

static void on_before_change(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct rule_wait *wait = arg;
    struct plan_rule rule;
    json_t *stored = stored_rule(wait, err, result);
    if (!stored)
        return;
    if (json_integer_value(json_object_get(stored, "rev")) !=
        json_integer_value(json_object_get(wait->fields, "rev"))) {
        answer(wait, FLEET_CONFLICT, stored, "The rule was changed meanwhile.");
    } else {
        json_object_update(stored, wait->fields);
        if (check_rule(&rule, stored, wait->why))
            write_change(wait);
        else
            answer(wait, FLEET_INVALID, NULL, wait->why);
    }
    json_decref(stored);
}

void fleet_change_rule(struct fleet *f, const struct fleet_actor *actor, const char *code,
                       const json_t *fields, rule_fn *done, void *arg)
{
    struct rule_wait *wait = wait_new(f, code, fields, done, arg);
    (void)snprintf(wait->actor, sizeof wait->actor, "%s", actor->user_name);
    pg_exec(f->pg, &get_rule, (struct pg_param[]){pg_text(code)}, fleet_patience_ms(f), PG_RETRY,
            on_before_change, wait);
}

/* --- test --- */

static json_t *effect_json(const struct plan_rule *rule, const struct plan_vector *vector,
                           const struct pg_result *result, int row)
{
    char *effect = plan_words_effect(rule, vector), class[20];
    if (!effect)
        return NULL;
    (void)snprintf(class, sizeof class, "%016llx", (unsigned long long)pg_int(result, row, 0));
    json_t *object = json_pack("{s:s,s:i,s:o,s:I,s:s}", "class", class, "platform_id", vector->platform_id,
                               "modules", planner_modules_json(vector), "devices",
                               (json_int_t)pg_int(result, row, 1), "effect", effect);
    free(effect);
    return object;
}

static void on_tested(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct rule_wait *wait = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "rule_test");
    json_int_t devices = 0, not_shown = 0;
    if (ferr) {
        answer(wait, ferr, NULL, "");
        return;
    }
    json_t *classes = json_array();
    for (int row = 0; row < pg_rows(result); row++) {
        struct plan_vector vector;
        planner_read_vector(&vector, pg_value(result, row, 2),
                            json_integer_value(json_object_get(wait->fields, "platform_id")));
        json_t *effect = effect_json(&wait->rule, &vector, result, row);
        if (!effect)
            continue;
        devices += pg_int(result, row, 1);
        if (json_array_size(classes) < PLANNER_CLASSES_SHOWN) {
            json_array_append_new(classes, effect);
        } else {
            json_decref(effect);
            not_shown++;
        }
    }
    json_t *answered =
        json_pack("{s:I,s:o,s:I}", "devices", devices, "classes", classes, "classes_not_shown", not_shown);
    answer(wait, FLEET_OK, answered, "");
    json_decref(answered);
}

static void on_before_test(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct rule_wait *wait = arg;
    struct fleet_number platform, limit;
    json_t *rule = stored_rule(wait, err, result);
    if (!rule)
        return;
    if (wait->fields)
        json_object_update(rule, wait->fields);
    json_decref(wait->fields);
    wait->fields = rule;
    if (!check_rule(&wait->rule, rule, wait->why)) {
        answer(wait, FLEET_INVALID, NULL, wait->why);
        return;
    }
    char *body = body_text(rule);
    pg_exec(wait->f->pg, &test_rule,
            (struct pg_param[]){number(rule, "platform_id", &platform), pg_text(body),
                                fleet_bool(wait->rule.kind == RULE_DEEP_UPDATE_NEEDED),
                                fleet_int(&limit, PLANNER_CLASSES_MAX)},
            fleet_patience_ms(wait->f), PG_RETRY, on_tested, wait);
    free(body);
}

void fleet_test_rule(struct fleet *f, const char *code, const json_t *fields, rule_test_fn *done, void *arg)
{
    struct rule_wait *wait = wait_new(f, code, fields, NULL, arg);
    wait->test_done = done;
    pg_exec(f->pg, &get_rule, (struct pg_param[]){pg_text(code)}, fleet_patience_ms(f), PG_RETRY,
            on_before_test, wait);
}
