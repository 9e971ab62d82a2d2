/* device_serial.h: which device has a serial number, as it is printed on it and stated in its describe. */
#ifndef CYAN_FLEET_DEVICE_SERIAL_H
#define CYAN_FLEET_DEVICE_SERIAL_H

#include "fleet/fleet.h"

#define DEVICE_SERIAL_MAX 40 /* bytes */

/* iccid: NULL when unknown. The device's own word is all there is: of several that state one number, the one
 * heard last counts. Devices of others are not found: FLEET_NOT_FOUND. From the loop, exactly once. */
typedef void device_serial_fn(void *arg, enum fleet_err err, const struct device_id *id, const char *iccid);
void fleet_find_serial(struct fleet *f, const struct fleet_actor *actor, const char *serial,
                       device_serial_fn *done, void *arg);

#endif
