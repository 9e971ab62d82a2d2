/* challenge.h: is the peer of a session whose image may be behind really there? Private to device/.
 *
 * What such a peer says may be a recording of what it said before this node took the session up. So it is
 * pinged, with a message ID that was never used in the session: whoever acknowledges that is there now, and
 * from that record on everything counts. What it said until then is dropped; devices say it again
 * (handshake.md 5).
 *
 * One message is taken all the same: Hello. A device that waits for its acknowledgement answers no ping
 * (device-protocol 3.5), and storing the same Hello again changes nothing. It is pinged when it says more. */
#ifndef CYAN_DEVICE_CHALLENGE_H
#define CYAN_DEVICE_CHALLENGE_H

#include "device/link.h"

/* A record of a device that is CHALLENGED, also one that came before it was. */
void challenge_receive(struct device *device, const uint8_t *data, size_t data_len, uint64_t now_ms);

#endif
