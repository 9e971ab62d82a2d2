/* audit.h: the trail of changes and refusals, newest first. */
#ifndef CYAN_FLEET_AUDIT_H
#define CYAN_FLEET_AUDIT_H

#include "fleet/fleet.h"

#define AUDIT_PER_PAGE_MAX 1000

struct audit_filter {
    const char *actor, *target, *action; /* exact; NULL = any */
    int64_t below;                       /* ids below this; 0 = from the newest */
    uint32_t at_most;                    /* rows, up to AUDIT_PER_PAGE_MAX */
};
/* json: {"audit": [..], "next": id to go on below, or null}; borrowed; NULL unless err is FLEET_OK. */
typedef void audit_fn(void *arg, enum fleet_err err, const char *json);
void fleet_read_audit(struct fleet *f, const struct audit_filter *filter, audit_fn *done, void *arg);

#endif
