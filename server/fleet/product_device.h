/* product_device.h: what a team changes about the devices of its product, one by one or many at once.
 *
 * Whether the actor may manage the product was found before (fleet_find_product). Each call is one
 * transaction with its audit rows, and answers exactly once, from the loop. Loop thread only. */
#ifndef CYAN_FLEET_PRODUCT_DEVICE_H
#define CYAN_FLEET_PRODUCT_DEVICE_H

#include "fleet/fleet.h"

#define PRODUCT_DEVICE_GROUPS_MAX 100 /* of one device */

/* id: NULL unless err is FLEET_OK. pushed: an update of the device has begun, or begins at once. why: a
 * sentence for people, or "". */
typedef void product_device_fn(void *arg, enum fleet_err err, const struct device_id *id, bool pushed,
                               const char *why);
/* which: an id or a name in the product; any text, as below. change: a JSON object with any of name and notes
 * (text or null), development, quarantined, denied, firmware_updates_forced, flash (booleans),
 * desired_firmware_version (number or null), groups (all of them; those missing are made), each checked for
 * its type. quarantined false approves a device that says in its Hello that it is of the product; true puts
 * one back among those. flash: it gets what it should run now, if it is online. */
void fleet_change_product_device(struct fleet *f, const struct fleet_actor *actor, int product_id,
                                 const char *which, const char *change, product_device_fn *done, void *arg);
/* deny: it is turned away until it is imported again; so may be one that only says that it is of the product.
 */
void fleet_remove_product_device(struct fleet *f, const struct fleet_actor *actor, int product_id,
                                 const char *which, bool deny, product_device_fn *done, void *arg);

typedef void product_groups_fn(void *arg, enum fleet_err err, const char *why);
/* change: JSON {"devices": [ids in hex], "add": [names of groups], "remove": [names]}, checked; groups that
 * are missing are made. All devices or, FLEET_INVALID, none. */
void fleet_change_device_groups(struct fleet *f, const struct fleet_actor *actor, int product_id,
                                const char *change, product_groups_fn *done, void *arg);

#endif
