/* ask.h: questions to a device whose answer is awaited. Private to device/. */
#ifndef CYAN_DEVICE_ASK_H
#define CYAN_DEVICE_ASK_H

#include "device/link.h"

/* The session is over and its messages with it: what could not even be sent is answered too. */
void asks_end(struct device *device);

#endif
