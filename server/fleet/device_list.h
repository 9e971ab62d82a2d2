/* device_list.h: the statement behind fleet_list_devices, for its test to have explained. */
#ifndef CYAN_FLEET_DEVICE_LIST_H
#define CYAN_FLEET_DEVICE_LIST_H

#include "fleet/room.h"

#define DEVICE_LIST_PARAMS 14
extern const struct pg_statement device_list_statement;

struct device_list_params { /* owns the text behind the parameters */
    struct fleet_number numbers[9];
    char pattern[200];
    struct pg_param params[DEVICE_LIST_PARAMS];
};
void device_list_fill(struct device_list_params *p, const struct fleet_actor *actor,
                      const struct fleet_filter *filter);

#endif
