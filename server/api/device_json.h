/* device_json.h: a device of the registry as clients have read it since 2014 (rest-api 2): the keys of the
 * old documents first and in their order, the younger ones after. requires_deep_update is true or absent,
 * never false. */
#ifndef CYAN_API_DEVICE_JSON_H
#define CYAN_API_DEVICE_JSON_H

#include <jansson.h>

#include "fleet/device_query.h"

json_t *device_json_row(const struct fleet_device *device);    /* as in the list */
json_t *device_json_detail(const struct fleet_device *device); /* with what only the detail tells */

/* The product that has it, else the one its Hello says, else its platform (rest-api 2); -1 = unknown. */
int device_json_product(const struct fleet_device *device);

json_t *device_json_text(const char *text); /* null for NULL */
json_t *device_json_time(uint64_t wall_ms); /* null for 0 */

#endif
