/* test_fleet_planner.c: plans for devices of the registry: kept while nothing changes, found again when a
 * rule, a release or a device does; classes, selectors and rules in the database. */
#include "fleet_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "fleet/planner.h"
#include "fleet/rules.h"
#include "plan/rule.h"

#define CORE 0
#define ARGON 12

struct planned {
    int calls;
    enum fleet_err err;
    char text[4000], why[300];
    enum plan_outcome outcome;
    size_t step_count, class_count;
    uint64_t total;
    int64_t sig;
};

static void on_planned(void *arg, enum fleet_err err, const struct planner_answer *answer, const char *why)
{
    struct planned *p = arg;
    p->calls++;
    p->err = err;
    snprintf(p->why, sizeof p->why, "%s", why);
    assert_true((err == FLEET_OK) == (answer != NULL));
    if (!answer)
        return;
    json_t *json = planner_json(answer);
    char *text = json_dumps(json, JSON_COMPACT);
    snprintf(p->text, sizeof p->text, "%s", text);
    p->outcome = answer->plan->outcome;
    p->step_count = answer->plan->step_count;
    p->sig = answer->sig;
    free(text);
    json_decref(json);
}

static struct planned plan(struct fleet_fixture *fx, unsigned n, const char *release)
{
    struct planned p = {0};
    char id[DEVICE_ID_TEXT_SIZE];
    struct device_id device = fleet_test_id(n);
    device_id_format(id, &device);
    planner_ask(fx->fleet, &fx->admin, id, release, on_planned, &p);
    assert_int_equal(p.calls, 0);
    fleet_run_until(fx, p.calls);
    return p;
}

static void on_classes(void *arg, enum fleet_err err, const struct planner_answer *classes, size_t count,
                       uint64_t total, const char *why)
{
    struct planned *p = arg;
    p->calls++;
    p->err = err;
    p->class_count = count;
    p->total = total;
    snprintf(p->why, sizeof p->why, "%s", why);
    if (count)
        p->sig = classes[0].sig;
}

static struct planned classes(struct fleet_fixture *fx, const char *selector_text, const char *rules_text)
{
    struct planned p = {0};
    struct selector selector;
    char why[SELECTOR_WHY_SIZE];
    json_t *json = json_loads(selector_text, 0, NULL),
           *rules = rules_text ? json_loads(rules_text, 0, NULL) : NULL;
    assert_non_null(json);
    if (!selector_parse(&selector, json, why))
        fail_msg("%s", why);
    planner_classes(fx->fleet, &selector, "R", rules, on_classes, &p);
    selector_deinit(&selector);
    json_decref(json);
    json_decref(rules);
    fleet_run_until(fx, p.calls);
    return p;
}

static void release(const char *name)
{
    char sql[1200];
    snprintf(
        sql, sizeof sql,
        "WITH c AS (INSERT INTO module_content (sha256, data) VALUES (sha256('%s'), '%s') RETURNING sha256),"
        " m AS (INSERT INTO module_binary (platform_id, func, idx, version, sha256, size_bytes, uploaded_by)"
        " SELECT 12, 7, 0, 5, sha256, 829248, 'ada' FROM c RETURNING id),"
        " r AS (INSERT INTO release (name, state, created_by) VALUES ('%s', 'published', 'ada') RETURNING id)"
        " INSERT INTO release_module SELECT r.id, m.id, 'target' FROM r, m",
        name, name, name);
    fleet_script(sql);
}

static void argon(struct fleet_fixture *fx, unsigned n, uint16_t ncp)
{
    fleet_enrol(fx, n);
    fleet_say_hello(fx, n, ARGON, n);
    fleet_describe_module(fx, n, MODULE_NCP, 0, ncp); /* with system 6200 */
}

static uint64_t plans(struct fleet_fixture *fx, const char *from)
{
    return metrics_add(fx->metrics, METRIC_COUNTER, "cyan_plans_total", from, "")->value;
}

static int setup(void **state)
{
    fleet_script("TRUNCATE release, release_module, module_binary, module_content, inventory_class CASCADE");
    int failed = fleet_fixture_setup(state);
    fleet_script("UPDATE transition_rule SET enabled = code = 'argon-ncp-5'");
    release("R");
    return failed;
}

static void a_plan_is_kept_until_something_changes(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 3);
    argon(fx, 2, 3);
    struct planned p = plan(fx, 1, "R");
    assert_int_equal(p.err, FLEET_OK);
    assert_int_equal(p.outcome, PLAN_STEPS);
    assert_int_equal(plans(fx, "from=\"search\""), 1);
    p = plan(fx, 2, "R"); /* of the same class */
    assert_int_equal(p.outcome, PLAN_STEPS);
    assert_int_equal(plans(fx, "from=\"search\""), 1);
    assert_int_equal(plans(fx, "from=\"kept\""), 1);
    /* as another node, or somebody with psql, would do it */
    fleet_script("UPDATE transition_rule SET enabled = true WHERE code = 'argon-ncp-3-cannot-connect'");
    assert_int_equal(plan(fx, 1, "R").outcome, PLAN_UNREACHABLE);
    fleet_script("UPDATE transition_rule SET enabled = false WHERE code = 'argon-ncp-3-cannot-connect'");
    assert_int_equal(plan(fx, 1, "R").outcome, PLAN_STEPS);
    fleet_script("UPDATE module_binary SET status = 'withdrawn'");
    p = plan(fx, 1, "R");
    assert_int_equal(p.outcome, PLAN_WITHDRAWN);
    assert_non_null(strstr(p.text, "\"reason\":\"module_withdrawn\""));
    fleet_script("UPDATE module_binary SET status = 'active'");
    fleet_describe_module(fx, 1, MODULE_NCP, 0, 5);
    assert_int_equal(plan(fx, 1, "R").outcome, PLAN_CURRENT);
}

static void what_cannot_be_planned_is_said(void **state)
{
    struct fleet_fixture *fx = *state;
    struct planned p = plan(fx, 1, "R");
    assert_int_equal(p.err, FLEET_NOT_FOUND);
    assert_string_equal(p.why, "");
    argon(fx, 1, 3);
    p = plan(fx, 1, "S");
    assert_int_equal(p.err, FLEET_NOT_FOUND);
    assert_string_equal(p.why, "There is no release S.");
    fleet_enrol(fx, 2);
    assert_int_equal(plan(fx, 2, "R").outcome, PLAN_UNKNOWN);
    fleet_script("UPDATE release SET state = 'withdrawn'");
    p = plan(fx, 1, "R");
    assert_int_equal(p.err, FLEET_CONFLICT);
    assert_string_equal(p.why, "Release R was withdrawn.");
    p = (struct planned){0};
    planner_ask(fx->fleet, &fx->owner, "e00fce680000000000000001", "R", on_planned, &p);
    fleet_run_until(fx, p.calls);
    assert_int_equal(p.err, FLEET_FORBIDDEN);
    p = (struct planned){0};
    planner_ask(fx->fleet, &fx->admin, "no such name!", "R", on_planned, &p);
    assert_int_equal(p.calls, 0);
    fleet_run_until(fx, p.calls);
    assert_int_equal(p.err, FLEET_NOT_FOUND);
}

static void devices_are_told_apart_by_what_they_run(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 3);
    argon(fx, 2, 3);
    argon(fx, 3, 5);
    struct planned all = classes(fx, "{\"all\": true}", NULL);
    assert_int_equal(all.err, FLEET_OK);
    assert_int_equal(all.class_count, 2);
    assert_int_equal(all.total, 3);
    assert_int_equal(all.sig, plan(fx, 1, "R").sig); /* the largest class comes first */
    assert_int_equal(classes(fx, "{\"versions\": [{\"f\": \"c\", \"below\": 5}]}", NULL).total, 2);
    assert_string_equal(fleet_sql("SELECT count(*) FROM inventory_class"), "2");
    assert_string_equal(fleet_sql("SELECT string_agg(c.runs, ' ' ORDER BY c.runs) FROM inventory_class c"),
                        ";4.1=6200;7.0=3 ;4.1=6200;7.0=5");
    fleet_script("UPDATE device SET quarantined = true WHERE id = '\\xe00fce680000000000000003'");
    assert_int_equal(classes(fx, "{\"all\": true}", NULL).total, 2);
}

static void rules_of_a_question_are_not_kept(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 3);
    struct planned p =
        classes(fx, "{\"all\": true}", "[{\"code\": \"argon-ncp-3-cannot-connect\", \"enabled\": true}]");
    assert_int_equal(p.err, FLEET_OK);
    assert_int_equal(plan(fx, 1, "R").outcome, PLAN_STEPS);
    p = classes(fx, "{\"all\": true}",
                "[{\"code\": \"argon-ncp-3-cannot-connect\", \"enabled\": true, \"body\": {}}]");
    assert_int_equal(p.err, FLEET_INVALID);
    assert_string_equal(p.why, "Rule argon-ncp-3-cannot-connect: `all` must be a list of 1 to 4 conditions.");
}

static void the_patch_of_a_core_is_its_class(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, CORE, 7);
    assert_string_equal(fleet_sql("SELECT sig FROM device"), "0");
    fleet_send_event(fx, 1, DEVICE_EVENT_CC3000_PATCH, "spark/cc3000-patch-version", "1.23");
    assert_string_equal(fleet_sql("SELECT c.runs FROM device d JOIN inventory_class c USING (sig)"),
                        ";1.0=123");
    fleet_send_event(fx, 1, DEVICE_EVENT_CC3000_PATCH, "spark/cc3000-patch-version", "1.28");
    assert_string_equal(fleet_sql("SELECT c.runs FROM device d JOIN inventory_class c USING (sig)"),
                        ";1.0=128");
    assert_string_equal(fleet_sql("SELECT string_agg(coalesce(patch_number(v)::text, '-'), ' ' ORDER BY o)"
                                  " FROM unnest(ARRAY['1.9', '1.28', '2', '1.28.1', '1.280', 'x', '700.1'])"
                                  " WITH ORDINALITY AS t (v, o)"),
                        "109 128 200 128 - - -");
}

static void a_change_during_a_step_names_it(void **state)
{
    struct fleet_fixture *fx = *state;
    argon(fx, 1, 3);
    fleet_script("WITH u AS (INSERT INTO device_update (kind, device_id, state, requested_by)"
                 " VALUES ('heal', '\\xe00fce680000000000000001', 'active', 'ada') RETURNING id)"
                 " INSERT INTO update_step (update_id, ord, module_id, state)"
                 " SELECT u.id, 0, m.id, 'describing' FROM u, module_binary m");
    fleet_describe_module(fx, 1, MODULE_NCP, 0, 5);
    assert_string_equal(
        fleet_sql("SELECT h.cause || ' ' || (h.step_id = s.id) FROM device_module_history h, update_step s"
                  " ORDER BY h.id DESC LIMIT 1"),
        "update true");
    fleet_script("DELETE FROM device_update");
    fleet_describe_module(fx, 1, MODULE_NCP, 0, 3);
    assert_string_equal(fleet_sql("SELECT cause || ' ' || (step_id IS NULL) FROM device_module_history"
                                  " ORDER BY id DESC LIMIT 1"),
                        "describe true");
}

/* At the stop of the program a search may still be on its thread. */
static void a_search_outlives_its_planner(void **state)
{
    struct fleet_fixture *fx = *state;
    struct planned p = {0};
    argon(fx, 1, 3);
    assert_int_equal(plan(fx, 1, "R").err, FLEET_OK);
    planner_ask(fx->fleet, &fx->admin, "e00fce680000000000000001", "R", on_planned, &p);
    assert_false(fleet_is_idle(fx->fleet));
    fleet_run_until(fx, pg_unanswered(fx->pg) == 0);
    assert_int_equal(p.calls, 0);
    planner_free(fx->fleet->planner);
    fx->fleet->planner = planner_new(fx->metrics);
    assert_true(planner_is_idle(fx->fleet->planner)); /* what is left comes back while the loop is closed */
}

/* The program and the database agree on what a body may be. */
static void bodies_are_checked_twice_alike(void **state)
{
    static const struct {
        const char *kind, *body;
        bool good;
    } cases[] = {
        {"requires", "{\"step\": {\"module\": \"s\"}, \"requires\": {\"module\": \"s\", \"from\": 1}}", true},
        {"requires",
         "{\"way\": \"combined_bootloader_softdevice\", \"requires\": [{\"module\": \"b\", \"below\": 9}]}",
         true},
        {"requires", "{\"way\": \"other\", \"requires\": {\"module\": \"b\", \"below\": 9}}", false},
        {"requires", "{\"step\": {\"module\": \"s\"}}", false},
        {"requires", "{\"requires\": {\"module\": \"s\", \"from\": 1}}", false},
        {"requires", "{\"step\": {\"module\": \"s\"}, \"requires\": []}", false},
        {"forbids",
         "{\"has\": {\"module\": \"s\", \"is\": [1, 2]}, \"step\": {\"module\": \"s\", \"from\": 3}}", true},
        {"forbids", "{\"has\": {\"module\": \"s\", \"is\": []}, \"step\": {\"module\": \"s\", \"from\": 3}}",
         false},
        {"forbids", "{\"has\": {\"module\": \"s\", \"is\": [70000]}, \"step\": {\"module\": \"s\"}}", false},
        {"forbids", "{\"has\": {\"module\": \"s\", \"is\": [\"1\"]}, \"step\": {\"module\": \"s\"}}", false},
        {"forbids", "{\"has\": {\"module\": \"n\", \"from\": 1}, \"step\": {\"module\": \"s\"}}", false},
        {"forbids",
         "{\"has\": {\"module\": \"s\", \"from\": 1, \"index\": 256}, \"step\": {\"module\": \"s\"}}", false},
        {"must_pass_through",
         "{\"module\": \"s\", \"index\": 1, \"through\": {\"from\": 207, \"below\": 300}}", true},
        {"must_pass_through", "{\"module\": \"s\", \"through\": {\"from\": 207}}", false},
        {"must_pass_through", "{\"module\": \"s\", \"through\": {\"from\": 300, \"below\": 300}}", false},
        {"must_pass_through", "{\"module\": \"s\"}", false},
        {"unreachable", "{\"all\": [{\"module\": \"c\", \"below\": 4}]}", true},
        {"unreachable", "{\"all\": {\"module\": \"c\", \"below\": 4}}", false},
        {"unreachable", "{\"all\": [{\"module\": \"c\", \"below\": 4.5}]}", false},
        {"unreachable", "{\"all\": [{\"module\": \"c\", \"below\": 0}]}", false},
        {"unreachable", "{\"all\": [{\"module\": \"c\"}]}", false},
        {"unreachable", "{\"all\": [1]}", false},
        {"unreachable", "{\"any\": [{\"module\": \"c\", \"below\": 4}]}", false},
        {"prefers",
         "{\"has\": {\"module\": \"b\", \"below\": 4}, \"step\": {\"module\": \"c\"}, \"cost\": 1}", true},
        {"prefers",
         "{\"has\": {\"module\": \"b\", \"below\": 4}, \"step\": {\"module\": \"c\"}, \"cost\": 0}", false},
        {"prefers", "{\"has\": {\"module\": \"b\", \"below\": 4}, \"step\": {\"module\": \"c\"}}", false},
        {"collateral", "{\"step\": {\"module\": \"c\"}, \"moves\": [{\"module\": \"b\"}]}", true},
        {"collateral", "{\"step\": {\"module\": \"c\"}, \"moves\": [{\"module\": \"b\", \"from\": 1}]}",
         false},
        {"collateral", "{\"step\": {\"module\": \"c\"}, \"moves\": []}", false},
        {"collateral", "{\"step\": {\"module\": \"c\"}}", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char sql[600], why[RULE_WHY_SIZE] = "";
        enum rule_kind kind;
        struct plan_rule rule;
        json_t *body = json_loads(cases[i].body, 0, NULL);
        assert_true(body && rule_kind_parse(&kind, cases[i].kind));
        if (rule_parse(&rule, kind, &(struct rule_words){"x", "E.", "E."}, body, why) != cases[i].good)
            fail_msg("the program: %s %s: %s", cases[i].kind, cases[i].body, why);
        snprintf(sql, sizeof sql, "SELECT coalesce(rule_body_flaw('%s', '%s'), '')", cases[i].kind,
                 cases[i].body);
        if ((*fleet_sql(sql) == 0) != cases[i].good)
            fail_msg("the database: %s %s: %s", cases[i].kind, cases[i].body, fleet_sql(sql));
        json_decref(body);
    }
}

static void on_rule(void *arg, enum fleet_err err, const json_t *rule, const char *why)
{
    struct planned *p = arg;
    p->calls++;
    p->err = err;
    p->total = (uint64_t)json_integer_value(json_object_get(rule, "rev"));
    snprintf(p->why, sizeof p->why, "%s", why);
}

/* A rule may be changed from its old rev once, and a body is refused before it is stored. */
static void a_stale_change_changes_nothing(void **state)
{
    struct fleet_fixture *fx = *state;
    struct planned p = {0};
    const char *rev = fleet_sql("SELECT rev FROM transition_rule WHERE code = 'argon-ncp-5'");
    json_t *change =
        json_pack("{s:i,s:s,s:s}", "rev", atoi(rev), "explain", "Newer words.", "reason", "style");
    int was = atoi(rev);
    fleet_change_rule(fx->fleet, &fx->operator, "argon-ncp-5", change, on_rule, &p);
    fleet_run_until(fx, p.calls == 1);
    assert_int_equal(p.err, FLEET_OK);
    assert_int_equal(p.total, was + 1);
    fleet_change_rule(fx->fleet, &fx->operator, "argon-ncp-5", change, on_rule, &p);
    fleet_run_until(fx, p.calls == 2);
    assert_int_equal(p.err, FLEET_CONFLICT);
    assert_int_equal(p.total, was + 1);
    json_object_set_new(change, "rev", json_integer(was + 1));
    json_object_set_new(change, "body", json_pack("{s:s}", "module", "c"));
    fleet_change_rule(fx->fleet, &fx->operator, "argon-ncp-5", change, on_rule, &p);
    fleet_run_until(fx, p.calls == 3);
    assert_int_equal(p.err, FLEET_INVALID);
    assert_string_equal(p.why, "the body must have `below`, a version.");
    json_decref(change);
    assert_string_equal(
        fleet_sql("SELECT actor || ' ' || reason || ' ' || (before ->> 'explain' <> after ->> 'explain')"
                  " FROM audit WHERE target = 'argon-ncp-5'"),
        "opal style true");
    assert_string_equal(fleet_sql("SELECT count(*) FROM audit WHERE target = 'argon-ncp-5'"), "1");
}

#define planner_test(f) cmocka_unit_test_setup_teardown(f, setup, fleet_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        planner_test(a_plan_is_kept_until_something_changes),  planner_test(what_cannot_be_planned_is_said),
        planner_test(devices_are_told_apart_by_what_they_run), planner_test(rules_of_a_question_are_not_kept),
        planner_test(the_patch_of_a_core_is_its_class),        planner_test(a_change_during_a_step_names_it),
        planner_test(a_search_outlives_its_planner),           planner_test(bodies_are_checked_twice_alike),
        planner_test(a_stale_change_changes_nothing),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
