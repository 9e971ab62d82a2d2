/* account_sweep.h: deletes what accounts leave behind and has been kept long enough: refusals in the audit
 * trail, failed sign-ins, tokens long dead; every half a minute, a bounded batch at a time. */
#ifndef CYAN_FLEET_ACCOUNT_SWEEP_H
#define CYAN_FLEET_ACCOUNT_SWEEP_H

#include "base/metrics.h"

struct account_sweep;
struct fleet;
struct account_sweep *account_sweep_new(struct fleet *f, struct metrics *metrics);
void account_sweep_start(struct account_sweep *s);
void account_sweep_stop(struct account_sweep *s);
void account_sweep_free(struct account_sweep *s);

#endif
