/* goodbye.h: a device's last word before it sleeps, resets or leaves (device-protocol 4.3). Private to
 * device/. */
#ifndef CYAN_DEVICE_GOODBYE_H
#define CYAN_DEVICE_GOODBYE_H

#include "device/devices.h"

/* False when a number is cut off or has more than 32 bits. An empty payload states nothing; bytes after the
 * known fields belong to fields of later systems. */
must_check bool goodbye_parse(struct device_goodbye *goodbye, const uint8_t *payload, size_t payload_len);

#endif
