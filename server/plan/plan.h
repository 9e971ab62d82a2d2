/* plan.h: in which order a device gets from the module versions it has to those of a release. A pure function
 * of (versions, release, rules): no clock, no store, no memory but the caller's.
 *
 * Uniform-cost search over version vectors. A step is a binary of the release; its cost is its bytes,
 * PLAN_REBOOT_BYTES for each reboot, and what rules add for risk. A step is allowed when the dependencies in
 * its header hold in the vector it is taken in, no rule forbids it, the vector it leads to is not
 * unreachable, and it is no downgrade (unless options say so). Without a path each rule, dependency and
 * withdrawn binary is left away in turn: those that alone would open one are reported. */
#ifndef CYAN_PLAN_PLAN_H
#define CYAN_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

#define PLAN_MODULES_MAX 16
#define PLAN_BINARIES_MAX 48 /* of one platform in one release */
#define PLAN_RULES_MAX 64    /* of one platform */
#define PLAN_STEPS_MAX 24
#define PLAN_REASONS_MAX 6
#define PLAN_REBOOT_BYTES 100000

struct plan_module {
    uint8_t function, index;
    uint16_t version; /* of an NCP: 0 = unknown */
};

/* Sorted by function and index, each once. */
struct plan_vector {
    uint16_t platform_id;
    size_t count;
    struct plan_module modules[PLAN_MODULES_MAX];
};

struct plan_binary {
    int64_t id;                  /* module_binary.id */
    struct plan_module gives[2]; /* the second one of a combined file */
    size_t gives_count;
    struct plan_module needs[4]; /* at least these versions */
    size_t needs_count;
    uint32_t size_bytes;
    bool is_target, is_withdrawn;
};

struct plan_rule; /* rule.h: parsed from transition_rule.body */

struct plan_problem {
    const struct plan_vector *from;
    const struct plan_binary *binaries; /* of the platform of from */
    size_t binary_count;
    const struct plan_rule *const *rules;
    size_t rule_count;
    bool allow_downgrade;
};

/* Why a step is there, or why there is none. */
enum plan_reason_kind {
    PLAN_TARGET,    /* the release wants it */
    PLAN_NEEDED_BY, /* binary needs it by its header */
    PLAN_RULE,      /* rule (by code) asks for it */
    PLAN_PREFERRED, /* cheaper or safer in this order */
};
struct plan_reason {
    enum plan_reason_kind kind;
    size_t binary; /* NEEDED_BY: index into binaries */
    size_t rule;   /* RULE: index into rules */
};

struct plan_step {
    size_t binary; /* index into binaries */
    struct plan_module was[2];
    size_t reason_count;
    struct plan_reason reasons[PLAN_REASONS_MAX];
};

enum plan_outcome {
    PLAN_CURRENT, /* nothing to do */
    PLAN_STEPS,
    PLAN_NO_PATH,     /* no_path; opens says what would help */
    PLAN_UNREACHABLE, /* unreachable_version: a device with these versions cannot connect */
    PLAN_LACKS,       /* release_lacks_platform: nothing in it is for this platform */
    PLAN_WITHDRAWN,   /* module_withdrawn: only a withdrawn binary would lead there */
    PLAN_DOWNGRADE,   /* downgrade_refused */
    PLAN_UNKNOWN,     /* unknown_inventory: what it runs is not known */
    PLAN_TOO_LARGE,   /* search bounds were met; no answer */
};
const char *plan_outcome_reason(
    enum plan_outcome outcome); /* of the closed list of blocked reasons; NULL for CURRENT, STEPS */

enum plan_opening_kind { PLAN_WITHOUT_RULE, PLAN_WITHOUT_NEED, PLAN_WITH_BINARY, PLAN_WITH_DOWNGRADE };
struct plan_opening { /* one single change that opens a path */
    enum plan_opening_kind kind;
    size_t rule;             /* WITHOUT_RULE */
    size_t binary;           /* WITHOUT_NEED: whose; WITH_BINARY: the withdrawn one */
    struct plan_module need; /* WITHOUT_NEED; WITH_BINARY: version a binary would have to give */
};
#define PLAN_OPENINGS_MAX 8

struct plan {
    enum plan_outcome outcome;
    size_t step_count;
    struct plan_step steps[PLAN_STEPS_MAX];
    uint64_t cost;
    size_t opening_count;
    struct plan_opening openings[PLAN_OPENINGS_MAX];
    size_t local_count; /* UNREACHABLE, NO_PATH: by USB, in this order; indices into binaries */
    size_t local[PLAN_STEPS_MAX];
    size_t unreachable_rule; /* UNREACHABLE: which rule says so */
    bool is_uncertain;       /* a version is unknown and was taken for the oldest */
};

void plan_make(struct plan *plan, const struct plan_problem *problem);

#endif
