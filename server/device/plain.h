/* plain.h: clients that never say Hello, and how many sessions each of them may keep.
 *
 * Nothing such a client says replaces its older session, so what it leaves behind at each start would stay
 * until it expires. The sessions of one device ID, or of one key when nobody's ID goes with it, are a group
 * of at most PLAIN_SESSIONS_MAX: when one more is admitted the oldest ends. A session is in its group while
 * it is in WAIT_HELLO. A group is found by its newest session, and
 * each leads to the one before. Private to device/. */
#ifndef CYAN_DEVICE_PLAIN_H
#define CYAN_DEVICE_PLAIN_H

#include "device/link.h"

#define PLAIN_SESSIONS_MAX 4

/* The session is admitted; nothing for one of Device OS. */
void plain_join(struct device *device);
/* It is a plain client no longer, or will be known by another ID from here on; nothing when it was none. */
void plain_leave(struct device *device);
/* Calls end for each session of that device; true when one of them was. */
bool plain_revoke(struct devices *all, const struct device_id *id,
                  bool (*end)(struct device *device, const struct device_id *id));

#endif
