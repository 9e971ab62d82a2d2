/* rules.h: transition rules in the registry: listed, made, changed, tried on the fleet.
 *
 * A body is read by plan/rule.h before it is stored, so that the sentence about it is exact; the database
 * checks it once more. A change names the rev it was made from. Each change is one transaction with its audit
 * row. Every call answers exactly once, from the loop. Rows and strings are borrowed, valid during the
 * callback. Loop thread only. */
#ifndef CYAN_FLEET_RULES_H
#define CYAN_FLEET_RULES_H

#include <jansson.h>

#include "fleet/planner.h"

/* rules: JSON array of {"code", "platform_id", "kind", "body", "explain", "evidence", "enabled", "rev"}. */
typedef void rules_fn(void *arg, enum fleet_err err, const json_t *rules);
void fleet_list_rules(struct fleet *f, rules_fn *done, void *arg);

/* rule: one such object; with FLEET_CONFLICT for a stale rev the rule as it is now, else NULL. why: a
 * sentence,
 * "" when none. */
typedef void rule_fn(void *arg, enum fleet_err err, const json_t *rule, const char *why);
/* fields: an object as above, of strict types; without `rev`; borrowed. */
void fleet_create_rule(struct fleet *f, const struct fleet_actor *actor, const json_t *fields, rule_fn *done,
                       void *arg);
/* fields: `rev` and what changes; `reason` goes into the audit trail. */
void fleet_change_rule(struct fleet *f, const struct fleet_actor *actor, const char *code,
                       const json_t *fields, rule_fn *done, void *arg);
/* What is wrong with the types of fields, which may leave out any; NULL when nothing is. Static. */
const char *fleet_rule_flaw(const json_t *fields);

/* Which devices the rule would touch, changed by fields (NULL: as it is); nothing is written. result:
 * {"devices": n, "classes": [{"class", "platform_id", "modules", "devices", "effect"}], "classes_not_shown":
 * n} */
typedef void rule_test_fn(void *arg, enum fleet_err err, json_t *result, const char *why);
void fleet_test_rule(struct fleet *f, const char *code, const json_t *fields, rule_test_fn *done, void *arg);

#endif
