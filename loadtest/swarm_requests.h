/* swarm_requests.h: how a device answers the server: describes, functions, variables, events, signal, ping.
 *
 * Unknown requests get no answer at all, as from a device; what would break a device is counted as a protocol
 * error. */
#ifndef CYAN_LOADTEST_SWARM_REQUESTS_H
#define CYAN_LOADTEST_SWARM_REQUESTS_H

#include "swarm_device.h"

/* May drop or reboot the device: call it last. */
void swarm_requests_take(struct swarm_device *d, const struct swarm_coap_in *in);
void swarm_requests_forget(struct swarm_device *d); /* a describe half fetched, a function that runs */

#endif
