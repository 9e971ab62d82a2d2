/* device_action_inner.h: what ordering an action and doing it share. Private to this room. */
#ifndef CYAN_FLEET_DEVICE_ACTION_INNER_H
#define CYAN_FLEET_DEVICE_ACTION_INNER_H

#include "fleet/device_action.h"
#include "fleet/device_filter.h"

/* filter: in canonical form. False: why. */
must_check bool device_action_fill(struct device_filter_params *params, int product_id, const json_t *filter,
                                   char why[DEVICE_FILTER_WHY_SIZE]);
void device_actions_wake(struct device_actions *a); /* there is one to do */

#endif
