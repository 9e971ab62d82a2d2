/* product_group.h: the groups of a product, which its firmware is released to.
 *
 * Each change is one transaction with its audit row. Every call answers exactly once, from the loop. Rows and
 * strings are borrowed, valid during the callback. Loop thread only. */
#ifndef CYAN_FLEET_PRODUCT_GROUP_H
#define CYAN_FLEET_PRODUCT_GROUP_H

#include "fleet/fleet.h"

#define GROUP_NAME_MAX 64
#define GROUP_DESCRIPTION_MAX 1024
#define GROUP_COLOR_MAX 32
#define GROUPS_PER_PRODUCT_MAX 1000 /* as product_groups_max() of migrations/0024 */

struct product_group {
    const char *name, *description, *color;
    int firmware_version; /* released to it; -1 = none */
    uint64_t device_count;
};

/* 1 to GROUP_NAME_MAX small letters, digits, `-`, `_`. */
bool product_group_is_name(const char *name);

/* group: NULL unless err is FLEET_OK, and when it was deleted. FLEET_CONFLICT: why is a sentence. */
typedef void product_group_fn(void *arg, enum fleet_err err, const struct product_group *group,
                              const char *why);
/* which: any text, here and below. */
void fleet_get_group(struct fleet *f, int product_id, const char *which, product_group_fn *done, void *arg);

struct product_group_change { /* NULL leaves it */
    const char *name;         /* product_group_is_name */
    const char *description, *color;
};
void fleet_create_group(struct fleet *f, const struct fleet_actor *actor, int product_id,
                        const struct product_group_change *change, product_group_fn *done, void *arg);
void fleet_change_group(struct fleet *f, const struct fleet_actor *actor, int product_id, const char *which,
                        const struct product_group_change *change, product_group_fn *done, void *arg);
/* Its devices stay in the product; what was released to it is released to it no more. */
void fleet_delete_group(struct fleet *f, const struct fleet_actor *actor, int product_id, const char *which,
                        product_group_fn *done, void *arg);

typedef void product_group_list_fn(void *arg, enum fleet_err err, const struct product_group *rows,
                                   size_t count);
/* By name; name_part: NULL, or what is in their names, in either case. At most GROUPS_PER_PRODUCT_MAX. */
void fleet_list_groups(struct fleet *f, int product_id, const char *name_part, product_group_list_fn *done,
                       void *arg);

#endif
