/* presence.h: whether a device counts as online: by what it says and by how long it is silent. Private to
 * device/.
 *
 *   offline --Hello stored, or any word after goodbye or silence--> online
 *   online --goodbye, silence, unreachable, end of the session--> offline
 *
 * Those online hang in a wheel by the time to look at them again: a device is not moved when it is heard, but
 * looked at when its slot is due, and then hung where its silence would end. So a quiet device has no
 * deadline of its own. All devices with a session have a place: before their Hello, offline, or a slot of the
 * wheel. */
#ifndef CYAN_DEVICE_PRESENCE_H
#define CYAN_DEVICE_PRESENCE_H

#include "device/link.h"

#define PRESENCE_SLOTS 4096
#define PRESENCE_TICK_MS 250 /* a slot; silence is noticed so much late */

enum presence_place {
    PRESENCE_NOWHERE = 0,
    PRESENCE_FRESH,
    PRESENCE_IDLE,
    PRESENCE_WHEEL /* and the slots from here on */
};

struct presence_wheel *presence_wheel_new(struct devices *all);
void presence_wheel_free(struct presence_wheel *wheel);
/* Takes the device from the list it is in into that of another place. */
void presence_place(struct device *device, uint16_t place);

void presence_begin(struct device *device, bool resumed, uint64_t now_ms);
/* Nothing when it is offline. goodbye: NULL unless it said one. */
void presence_end(struct device *device, enum device_offline_reason reason,
                  const struct device_goodbye *goodbye);
/* It is not for this node any more to say whether it is online. */
void presence_forget(struct device *device);
/* An authenticated record came. */
void presence_heard(struct device *device, const uint8_t *data, size_t data_len, uint64_t now_ms);
/* A confirmable message of ours was never acknowledged. */
void presence_unreachable(struct device *device, uint64_t now_ms);
/* The time of silence has changed. */
/* The registry is told once more of each that is online. */
void presence_tell_again(struct devices *all);
void presence_watch_anew(struct devices *all, uint64_t now_ms);

#endif
