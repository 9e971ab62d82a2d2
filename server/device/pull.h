/* pull.h: asks devices that do not push their describes for them, after each Hello (Device OS before 2.0,
 * device-protocol 4.1 flag 0x20). Private to device/. */
#ifndef CYAN_DEVICE_PULL_H
#define CYAN_DEVICE_PULL_H

#include "device/link.h"

/* System and application describe, one after the other; what is not answered or cannot be stored is asked for
 * again, PULL_TRIES_MAX times, further and further apart. */
void pull_begin(struct device *device, uint64_t now_ms);

#endif
