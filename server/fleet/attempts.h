/* attempts.h: how handshakes ended, for who asks "why does this device not connect?"; written about once a
 * second.
 *
 * Best effort and bounded: of more than ATTEMPTS_MAX in that time the rest is only counted, and what Postgres
 * does not take is dropped. */
#ifndef CYAN_FLEET_ATTEMPTS_H
#define CYAN_FLEET_ATTEMPTS_H

#include "device/devices.h"

#define ATTEMPTS_MAX 500

struct fleet;
struct attempts;
struct attempts *attempts_new(struct fleet *f, struct metrics *metrics);
void attempts_free(struct attempts *a);
void attempts_stop(struct attempts *a);
/* Member of struct device_ops; ctx is the struct fleet. */
void attempts_push(void *ctx, const struct handshake_attempt *attempt);

#endif
