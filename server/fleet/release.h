/* release.h: releases: named sets of module binaries.
 *
 *   draft --publish--> published --withdraw--> withdrawn
 *     \--withdraw--------------------------------/
 *
 * Only a draft changes. Publishing refuses binaries that are withdrawn, and two targets that would be the
 * same module of the same platform. Each change is one transaction with its audit row. Every call answers
 * exactly once, from the loop. Rows and strings are borrowed, valid during the callback. Loop thread only. */
#ifndef CYAN_FLEET_RELEASE_H
#define CYAN_FLEET_RELEASE_H

#include "fleet/fleet.h"

#define RELEASE_NAME_MAX 64 /* characters */
#define RELEASE_NOTES_MAX 4000
#define RELEASE_REASON_MAX 500
#define RELEASE_MODULES_MAX 256 /* of all platforms together */

struct release {
    int64_t id;
    const char *name, *state, *created_by;
    const char *notes;                 /* NULL = none */
    const char *withdrawn_reason;      /* NULL unless withdrawn */
    uint64_t created_ms, published_ms; /* Unix ms; 0 = not yet */
    /* JSON array of {"module_id", "role", "platform_id", "func", "idx", "version", "size_bytes", "status"} */
    const char *modules;
};

/* FLEET_INVALID, FLEET_CONFLICT: why says what is wrong. */
typedef void release_fn(void *arg, enum fleet_err err, const struct release *release, const char *why);

/* What a draft becomes. */
struct release_change {
    const char *name;       /* NULL: as it is (not for a new one) */
    const char *notes;      /* NULL: as they are; "" none */
    bool has_modules;       /* false: those it has */
    const int64_t *targets; /* module_binary.id */
    const int64_t *stepping_stones;
    size_t target_count, stepping_stone_count; /* together at most RELEASE_MODULES_MAX */
};
void fleet_create_release(struct fleet *f, const struct fleet_actor *actor,
                          const struct release_change *change, release_fn *done, void *arg);
/* which: id in digits, or name; here and below. */
void fleet_edit_release(struct fleet *f, const struct fleet_actor *actor, const char *which,
                        const struct release_change *change, release_fn *done, void *arg);
void fleet_publish_release(struct fleet *f, const struct fleet_actor *actor, const char *which,
                           release_fn *done, void *arg);
void fleet_withdraw_release(struct fleet *f, const struct fleet_actor *actor, const char *which,
                            const char *reason, release_fn *done, void *arg);
void fleet_get_release(struct fleet *f, const char *which, release_fn *done, void *arg);

/* Newest first. */
typedef void release_list_fn(void *arg, enum fleet_err err, const struct release *rows, size_t count,
                             uint64_t total);
void fleet_list_releases(struct fleet *f, uint32_t page, uint32_t per_page, release_list_fn *done, void *arg);

#endif
