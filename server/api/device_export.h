/* device_export.h: all devices that fit a filter in one answer, as a JSON array or as CSV, however many they
 * are: read from Postgres slice by slice, as fast as the client takes them. */
#ifndef CYAN_API_DEVICE_EXPORT_H
#define CYAN_API_DEVICE_EXPORT_H

#include <stdbool.h>

#include "fleet/device_query.h"

struct http_request;

/* Answers r. filter: copied. */
void device_export_answer(struct http_request *r, const struct fleet_filter *filter, bool as_csv);

#endif
