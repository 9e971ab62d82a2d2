/* said.h: what a device says that must be durable before it is acknowledged: Hello, describe, subscription.
 *
 * Members of struct device_ops; ctx is the struct fleet. Each is one statement, one transaction; done comes
 * exactly once, from the loop: STORED after the commit, BUSY when Postgres did not take it within hold_ms. */
#ifndef CYAN_FLEET_SAID_H
#define CYAN_FLEET_SAID_H

#include "device/devices.h"

void said_hello(void *ctx, const struct device_facts *facts, const struct hello *hello, bool enrol,
                const uint8_t *spki, size_t spki_len, device_done_fn *done, void *arg);
void said_describe(void *ctx, const struct device_facts *facts, const struct describe *d,
                   device_done_fn *done, void *arg);
void said_subscription(void *ctx, const struct device_facts *facts,
                       const struct device_subscription *subscription, uint64_t generation,
                       device_done_fn *done, void *arg);

#endif
