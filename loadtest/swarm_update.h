/* swarm_update.h: a device that receives an update, as device-protocol 5 has it.
 *
 *   NONE -> ERASING -> RECEIVING -> VALIDATING -> ANSWERED -> APPLYING -> NONE
 *     ^        |           |            |            |
 *     +--------+-----------+------------+------------+
 *
 * ERASING: the start is acknowledged, the flash is being prepared. ANSWERED: the result is on its way, and
 * counts once the server acknowledges it (version 3). APPLYING: reboots (swarm_boot.h). Whatever ends a
 * transfer leaves what arrived without a gap, so that the same file goes on from there; a loss of power
 * leaves what was flushed of it.
 *
 * While it receives, a device says nothing else: no events, no pings. What a real device would choke on is
 * counted as a protocol error.
 *
 * Ownership: made with the first update, freed by swarm_update_free. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_UPDATE_H
#define CYAN_LOADTEST_SWARM_UPDATE_H

#include "swarm_device.h"
#include "swarm_firmware.h"
#include "swarm_truth.h"

/* False when the request is none of an update that this device knows. Call it last. */
bool swarm_update_take(struct swarm_device *d, const struct swarm_coap_in *in, uint8_t letter) must_check;
/* The server has acknowledged the result. Call it last. */
void swarm_update_acknowledged(struct swarm_device *d, unsigned int kind);
bool swarm_update_is_busy(const struct swarm_device *d); /* it says nothing else */
void swarm_update_link_down(struct swarm_device *d);
void swarm_update_power_lost(struct swarm_device *d);
void swarm_update_free(struct swarm_device *d);
const struct swarm_told *swarm_update_told(const struct swarm_device *d); /* NULL: there was none yet */

#endif
