/* api_fake_plans.h: plans and rules as the API's tests link them: nothing there asks for any. */
#ifndef CYAN_TESTS_API_FAKE_PLANS_H
#define CYAN_TESTS_API_FAKE_PLANS_H

#include "base/must.h"
#include "fleet/planner.h"
#include "fleet/rules.h"

#define NOT_ASKED() must(!"asked for in a test of the API")

void planner_ask(struct fleet *f, const struct fleet_actor *actor, const char *which, const char *release,
                 planner_device_fn *done, void *arg)
{
    (void)f;
    (void)actor;
    (void)which;
    (void)release;
    (void)done;
    (void)arg;
    NOT_ASKED();
}
void planner_classes(struct fleet *f, const struct selector *selector, const char *release,
                     const json_t *rules, planner_classes_fn *done, void *arg)
{
    (void)f;
    (void)selector;
    (void)release;
    (void)rules;
    (void)done;
    (void)arg;
    NOT_ASKED();
}
void fleet_list_rules(struct fleet *f, rules_fn *done, void *arg)
{
    (void)f;
    (void)done;
    (void)arg;
    NOT_ASKED();
}
void fleet_create_rule(struct fleet *f, const struct fleet_actor *actor, const json_t *fields, rule_fn *done,
                       void *arg)
{
    (void)f;
    (void)actor;
    (void)fields;
    (void)done;
    (void)arg;
    NOT_ASKED();
}
void fleet_change_rule(struct fleet *f, const struct fleet_actor *actor, const char *code,
                       const json_t *fields, rule_fn *done, void *arg)
{
    (void)f;
    (void)actor;
    (void)code;
    (void)fields;
    (void)done;
    (void)arg;
    NOT_ASKED();
}
void fleet_test_rule(struct fleet *f, const char *code, const json_t *fields, rule_test_fn *done, void *arg)
{
    (void)f;
    (void)code;
    (void)fields;
    (void)done;
    (void)arg;
    NOT_ASKED();
}
const char *fleet_rule_flaw(const json_t *fields)
{
    (void)fields;
    return NULL;
}

#endif
