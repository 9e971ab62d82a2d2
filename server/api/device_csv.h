/* device_csv.h: a device as a line of CSV. */
#ifndef CYAN_API_DEVICE_CSV_H
#define CYAN_API_DEVICE_CSV_H

#include <stdio.h>

#include "fleet/device_query.h"

void device_csv_head(FILE *out); /* the names of the columns */
void device_csv_row(FILE *out, const struct fleet_device *device);

#endif
