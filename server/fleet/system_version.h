/* system_version.h: the versions of Device OS that published releases bring. */
#ifndef CYAN_FLEET_SYSTEM_VERSION_H
#define CYAN_FLEET_SYSTEM_VERSION_H

#include "fleet/fleet.h"

#define SYSTEM_VERSIONS_MAX 1000

struct system_version {
    char release[16];      /* `6.2.0` */
    int version;           /* as module headers have it */
    const char *platforms; /* JSON array of numbers */
};
/* Newest first, at most SYSTEM_VERSIONS_MAX; borrowed, valid during the callback. From the loop, exactly
 * once. */
typedef void system_versions_fn(void *arg, enum fleet_err err, const struct system_version *rows,
                                size_t count);
void fleet_list_system_versions(struct fleet *f, int platform_id /* -1: any */, system_versions_fn *done,
                                void *arg);

#endif
