/* device_list.h: the statements behind lists of devices, one for each order, for the files that read lists
 * and for their test. Private to this room. */
#ifndef CYAN_FLEET_DEVICE_LIST_H
#define CYAN_FLEET_DEVICE_LIST_H

#include "fleet/device_filter.h"
#include "fleet/device_places.h"

/* A page: after the parameters of the filter the key and the id behind which it begins, its size, how many
 * more are passed over, and how many are counted at most. Columns: how many fit, sort key, DEVICE_COLUMNS,
 * DEVICE_PRODUCT_COLUMNS. One row at least, without a device when the page is empty. */
#define DEVICE_LIST_PARAMS (DEVICE_FILTER_PARAMS + 5)
const struct pg_statement *device_list_page(enum fleet_order order, bool ascending);
/* Every so many-th device: after the filter's this number, and how many rows at most (NULL: all). Columns:
 * number in the list from 1, sort key, id, how many devices there are (unless it is every one). In order. */
#define DEVICE_LIST_MEASURE_PARAMS (DEVICE_FILTER_PARAMS + 2)
const struct pg_statement *device_list_measure(enum fleet_order order, bool ascending);

/* The list as text: the same for equal ones. The caller frees. */
char *device_list_text(const struct device_filter_params *filter, enum fleet_order order, bool ascending);

struct device_lists;
struct device_lists *device_lists_new(struct fleet *f, struct metrics *metrics);
void device_lists_free(struct device_lists *lists); /* Postgres is closed: nothing is under way */

#endif
