/* product.h: products: devices of one platform that a team runs together.
 *
 * Each change is one transaction with its audit rows. Every call answers exactly once, from the loop. Rows
 * and strings are borrowed, valid during the callback. Loop thread only. */
#ifndef CYAN_FLEET_PRODUCT_H
#define CYAN_FLEET_PRODUCT_H

#include "fleet/fleet.h"

#define PRODUCT_NAME_MAX 64 /* characters */
#define PRODUCT_DESCRIPTION_MAX 4096

/* Of a team 'view' reads; 'manage' changes devices, groups and firmware too. */
enum product_need { PRODUCT_VIEW, PRODUCT_MANAGE };

typedef void product_found_fn(void *arg, enum fleet_err err, int product_id);
/* which: an id in digits, or a slug; any text. FLEET_FORBIDDEN when the actor may not do what is needed. */
void fleet_find_product(struct fleet *f, const struct fleet_actor *actor, const char *which,
                        enum product_need need, product_found_fn *done, void *arg);

struct product {
    int id, platform_id;
    const char *slug, *name, *description;
    const char *owner;    /* user name, NULL = gone */
    const char *settings; /* JSON object of those that were set */
    const char *groups;   /* JSON array of names */
};
/* product: NULL unless err is FLEET_OK, and when it was deleted. FLEET_CONFLICT, FLEET_FORBIDDEN: why is a
 * sentence for people. */
typedef void product_fn(void *arg, enum fleet_err err, const struct product *product, const char *why);
void fleet_get_product(struct fleet *f, int product_id, product_fn *done, void *arg);

/* What a new product is, or an old one becomes; NULL leaves it. */
struct product_change {
    const char *name, *description; /* UTF-8 */
    const char *settings;           /* JSON object, merged into those that were set */
    int platform_id;                /* of a new one alone */
};
/* Its slug is made from its name. The actor becomes its owner. */
void fleet_create_product(struct fleet *f, const struct fleet_actor *actor,
                          const struct product_change *change, product_fn *done, void *arg);
void fleet_change_product(struct fleet *f, const struct fleet_actor *actor, int product_id,
                          const struct product_change *change, product_fn *done, void *arg);
/* Its owner's, operators' and admins'; FLEET_CONFLICT while it has devices or firmware. */
void fleet_delete_product(struct fleet *f, const struct fleet_actor *actor, int product_id, product_fn *done,
                          void *arg);

typedef void product_list_fn(void *arg, enum fleet_err err, const struct product *rows, size_t count,
                             uint64_t total);
/* Those that the actor owns or is in the team of; operators and admins see all. Oldest first. */
void fleet_list_products(struct fleet *f, const struct fleet_actor *actor, uint32_t page, uint32_t per_page,
                         product_list_fn *done, void *arg);

#endif
