/* device_updates.h: what people ask of the updates of one device: to flash a binary to it now, what there
 * was, to end one. What becomes of it is the matter of campaign/.
 *
 * Every call answers exactly once, from the loop. Strings are borrowed, valid during the callback. */
#ifndef CYAN_FLEET_DEVICE_UPDATES_H
#define CYAN_FLEET_DEVICE_UPDATES_H

#include "fleet/fleet.h"

struct fleet_flash {
    struct device_id id;
    bool is_offline;     /* FLEET_CONFLICT: it cannot begin now */
    const char *held_by; /* FLEET_CONFLICT: JSON {"kind", "campaign", "by", "since": ms}, NULL when nothing */
    const char *why;     /* FLEET_INVALID: a sentence; else "" */
};
typedef void fleet_flash_fn(void *arg, enum fleet_err err, const struct fleet_flash *flash);
/* which: as fleet_get_device. module_id: of a binary that is stored. */
void fleet_flash_device(struct fleet *f, const struct fleet_actor *actor, const char *which,
                        int64_t module_id, fleet_flash_fn *done, void *arg);

/* updates: JSON array, newest first, with their steps; times in Unix ms. total: of the device. */
typedef void fleet_updates_fn(void *arg, enum fleet_err err, const char *updates, uint64_t total);
void fleet_list_updates(struct fleet *f, const struct fleet_actor *actor, const char *which, uint32_t page,
                        uint32_t per_page, fleet_updates_fn *done, void *arg);

/* FLEET_CONFLICT: it is over, or the device has been told to apply it. */
typedef void fleet_cancel_fn(void *arg, enum fleet_err err);
void fleet_cancel_update(struct fleet *f, const struct fleet_actor *actor, const char *which,
                         int64_t update_id, fleet_cancel_fn *done, void *arg);

#endif
