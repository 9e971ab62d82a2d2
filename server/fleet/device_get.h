/* device_get.h: reading one device after a change to it, without asking again who may. Private to this room.
 */
#ifndef CYAN_FLEET_DEVICE_GET_H
#define CYAN_FLEET_DEVICE_GET_H

#include "fleet/device_query.h"

void device_get_known(struct fleet *f, const struct device_id *id, fleet_device_fn *done, void *arg);
/* `ok`, `not found`, ... of the SQL functions that look for a device. */
enum fleet_err device_get_code(const char *code);
/* Whether text can name a device at all: an id, a name, or either behind `PRODUCT/` with the product's id;
 * only then it goes to Postgres. */
bool device_get_plausible(const char *which);
/* 1 to 64 letters, digits, `_`, `-`: an id or a name. */
bool device_get_is_name(const char *text);
bool device_get_sees_all(const struct fleet_actor *actor);

#endif
