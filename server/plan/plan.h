/* plan.h: in which order a device gets from the module versions it has to those of a release. A pure function
 * of (versions, release, rules): no clock, no store, nothing kept; any thread.
 *
 * Uniform-cost search over version vectors. A step is a binary of the release; its cost is its bytes,
 * PLAN_REBOOT_BYTES for its reboot, and what rules add for risk. A step is allowed when it moves a module up,
 * the dependencies in its header hold in the vector it is taken in, no rule forbids it, the vector it leads
 * to is not unreachable, and it is no downgrade (unless options say so). The end is every target at its
 * version or above it; with downgrades allowed, exactly at it. Without a path each rule, dependency and
 * withdrawn binary is left away in turn: those that alone would open one are reported.
 *
 * Of plans that cost the same the one with fewer steps counts, then the one that takes binaries given earlier
 * first: the same question always has the same answer. */
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
#define PLAN_NEEDS_MAX 4
#define PLAN_REBOOT_BYTES 100000
#define PLAN_STATES_MAX 20000      /* vectors one search looks at */
#define PLAN_ALL_STATES_MAX 200000 /* all searches of one plan_make: about 0.2 s */

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
    struct plan_module needs[PLAN_NEEDS_MAX]; /* at least these versions */
    size_t needs_count;
    uint32_t size_bytes;
    bool is_target, is_withdrawn;
};

struct plan_rule; /* rule.h: parsed from transition_rule.body */

struct plan_problem {
    const struct plan_vector *from;
    const struct plan_binary *binaries; /* of the platform of from; at most PLAN_BINARIES_MAX */
    size_t binary_count;
    const struct plan_rule *const *rules; /* of the platform of from; at most PLAN_RULES_MAX */
    size_t rule_count;
    bool allow_downgrade;
};

/* Why a step is there. */
enum plan_reason_kind {
    PLAN_TARGET,    /* the release wants it */
    PLAN_NEEDED_BY, /* binary needs it by its header */
    PLAN_RULE,      /* rule asks for it before binary */
    PLAN_PREFERRED, /* rule prefers it before binary */
};
struct plan_reason {
    uint8_t kind;   /* enum plan_reason_kind */
    uint8_t binary; /* index into binaries; TARGET: its own */
    uint8_t rule;   /* RULE, PREFERRED: index into rules */
    uint8_t need;   /* NEEDED_BY: index into needs of binary */
};

struct plan_step {
    uint8_t binary; /* index into binaries */
    uint8_t reason_count;
    struct plan_module was[2]; /* as gives of the binary; version 0 for what was not there */
    struct plan_reason reasons[PLAN_REASONS_MAX];
};

enum plan_outcome {
    PLAN_CURRENT, /* nothing to do */
    PLAN_STEPS,
    PLAN_NO_PATH,     /* no_path; opens says what would help */
    PLAN_UNREACHABLE, /* unreachable_version: a device with these versions cannot connect */
    PLAN_LACKS,       /* release_lacks_platform: nothing in it is for this platform */
    PLAN_WITHDRAWN,   /* module_withdrawn: only a withdrawn binary would lead there */
    PLAN_DOWNGRADE,   /* downgrade_refused: only a downgrade would lead there */
    PLAN_UNKNOWN,     /* unknown_inventory: what it runs is not known */
    PLAN_TOO_LARGE,   /* search bounds were met; no answer */
};
/* Of the closed list of blocked reasons (TOO_LARGE is a no_path); NULL for CURRENT, STEPS. */
const char *plan_outcome_reason(enum plan_outcome outcome);

enum plan_opening_kind { PLAN_WITHOUT_RULE, PLAN_WITHOUT_NEED, PLAN_WITH_BINARY, PLAN_WITH_DOWNGRADE };
struct plan_opening { /* one single change that opens a path */
    enum plan_opening_kind kind;
    uint8_t rule;            /* WITHOUT_RULE */
    uint8_t binary;          /* WITHOUT_NEED: whose; WITH_BINARY: the withdrawn one */
    struct plan_module need; /* WITHOUT_NEED */
};
#define PLAN_OPENINGS_MAX 8

struct plan {
    enum plan_outcome outcome;
    size_t step_count;
    struct plan_step steps[PLAN_STEPS_MAX];
    uint64_t cost;
    size_t opening_count;
    struct plan_opening openings[PLAN_OPENINGS_MAX]; /* binaries, downgrade, rules, needs, in that order */
    size_t local_count; /* UNREACHABLE, NO_PATH: by USB, in this order; indices into binaries */
    uint8_t local[PLAN_STEPS_MAX];
    uint8_t unreachable_rule; /* UNREACHABLE: which rule says so */
    bool is_uncertain;        /* a version is unknown and was taken for the oldest */
};

void plan_make(struct plan *plan, const struct plan_problem *problem);

#endif
