/* retention.h: housekeeping: deletes what has been kept long enough, in small batches, and counts the fleet
 * for /metrics. */
#ifndef CYAN_FLEET_RETENTION_H
#define CYAN_FLEET_RETENTION_H

#include "base/metrics.h"

#define RETENTION_BATCH 5000

struct fleet;
struct retention;
struct retention *retention_new(struct fleet *f, struct metrics *metrics);
void retention_free(struct retention *r);
void retention_start(struct retention *r);
void retention_stop(struct retention *r);

#endif
