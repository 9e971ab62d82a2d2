/* rule.h: what module headers do not say: one transition_rule, its body parsed by kind.
 *
 * A condition names a module and at least one bound: {"module": "s", "index": 1, "from": 3001, "below": 5600}
 * or {"module": "s", "index": 1, "is": [102, 105]}. index is 0 when left out. Bodies:
 *
 *   requires           {"step": CONDITION, "requires": CONDITION or [..]}      step may have no bound;
 *                      {"way": "combined_bootloader_softdevice", "requires": ..}   or be one combined file
 *   forbids            {"has": CONDITION or [..], "step": CONDITION}
 *   must_pass_through  {"module": "s", "index": 1, "through": {"from": 207, "below": 300}}
 *   unreachable        {"all": [CONDITION, ..]}
 *   prefers            {"has": CONDITION or [..], "step": CONDITION, "cost": 1000000}   bytes
 *   collateral         {"step": CONDITION, "moves": [{"module": "b", "index": 0}, ..]}
 *   deep_update_needed is no matter of plans (migrations/0002)
 *
 * docs/planning.md says what each means. Ownership: plain values, copied as they are. */
#ifndef CYAN_PLAN_RULE_H
#define CYAN_PLAN_RULE_H

#include <jansson.h>

#include "plan/plan.h"

#define RULE_CONDITIONS_MAX 4
#define RULE_IS_MAX 8
#define RULE_CODE_MAX 64
#define RULE_TEXT_MAX 500 /* bytes of explain, of evidence */
#define RULE_COST_MAX 1000000000
#define RULE_WHY_SIZE 200

enum rule_kind {
    RULE_REQUIRES,
    RULE_FORBIDS,
    RULE_MUST_PASS_THROUGH,
    RULE_UNREACHABLE,
    RULE_PREFERS,
    RULE_COLLATERAL,
    RULE_DEEP_UPDATE_NEEDED,
};
const char *rule_kind_name(enum rule_kind kind);
must_check bool rule_kind_parse(enum rule_kind *kind, const char *name);

struct rule_condition {
    uint8_t function, index;
    uint8_t is_count;
    bool is_way; /* of a step: any file that holds a bootloader and a radio stack; no module, no bounds */
    uint32_t from, below; /* from <= version < below */
    uint16_t is[RULE_IS_MAX];
};

struct plan_rule {
    enum rule_kind kind;
    char code[RULE_CODE_MAX + 1];
    char explain[RULE_TEXT_MAX + 1];  /* the operator's sentence */
    char evidence[RULE_TEXT_MAX + 1]; /* how it is known */
    struct rule_condition step; /* REQUIRES, FORBIDS, PREFERS, COLLATERAL; MUST_PASS_THROUGH: what to pass */
    size_t has_count; /* what is asked of the versions the step is taken in; UNREACHABLE: of the result */
    struct rule_condition has[RULE_CONDITIONS_MAX];
    uint32_t cost_bytes; /* PREFERS */
};

/* What a rule of DEEP_UPDATE_NEEDED says of its body is checked too; it plays no part in plans. body
 * borrowed. False: why is a sentence that quotes what is wrong. */
struct rule_words {
    const char *code, *explain, *evidence;
};
must_check bool rule_parse(struct plan_rule *rule, enum rule_kind kind, const struct rule_words *words,
                           const json_t *body, char why[RULE_WHY_SIZE]);

/* The index of f.i in vector, or its count. */
size_t plan_vector_find(const struct plan_vector *vector, uint8_t function, uint8_t index);
/* An NCP of unknown version: as_oldest it is version 0, else no condition on it holds. */
bool rule_condition_holds(const struct rule_condition *c, const struct plan_vector *vector, bool as_oldest);
bool rule_all_hold(const struct plan_rule *rule, const struct plan_vector *vector, bool as_oldest);
/* Whether the rule is about steps of this binary, whatever they are taken in. */
bool rule_is_about(const struct plan_rule *rule, const struct plan_binary *binary);
/* REQUIRES, FORBIDS, MUST_PASS_THROUGH: whether it refuses a step of this binary in these versions. */
bool rule_refuses(const struct plan_rule *rule, const struct plan_binary *binary,
                  const struct plan_vector *vector);
/* COLLATERAL: whether a step of this binary may move that module too. */
bool rule_lets_move(const struct plan_rule *rule, const struct plan_binary *binary, uint8_t function,
                    uint8_t index);

#endif
