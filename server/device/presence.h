/* presence.h: whether a device counts as online: by what it says and by how long it is silent. Private to
 * device/.
 *
 *   offline --Hello stored, or any word after goodbye or silence--> online
 *   online --goodbye, silence, unreachable, end of the session--> offline
 *
 * One deadline watches each online device; it is not moved when the device is heard, but looks again when it
 * is due. */
#ifndef CYAN_DEVICE_PRESENCE_H
#define CYAN_DEVICE_PRESENCE_H

#include "device/link.h"

void presence_begin(struct device *device, bool resumed, uint64_t now_ms);
/* Nothing when it is offline. goodbye: NULL unless it said one. */
void presence_end(struct device *device, enum device_offline_reason reason,
                  const struct device_goodbye *goodbye);
/* An authenticated record came. */
void presence_heard(struct device *device, const uint8_t *data, size_t data_len, uint64_t now_ms);
/* A confirmable message of ours was never acknowledged. */
void presence_unreachable(struct device *device, uint64_t now_ms);
/* The time of silence has changed. */
void presence_watch(struct device *device, uint64_t now_ms);

#endif
