/* swarm_talk.h: what a device says on its own: the connection sequence, describes, events
 * (device-protocol 4.2). */
#ifndef CYAN_LOADTEST_SWARM_TALK_H
#define CYAN_LOADTEST_SWARM_TALK_H

#include "swarm_device.h"

void swarm_talk_hello(struct swarm_device *d);
/* What follows Hello: describes, time, events, subscriptions. */
void swarm_talk_introduce(struct swarm_device *d);
/* What follows the ping of a resumed session. */
void swarm_talk_resumed(struct swarm_device *d);
void swarm_talk_describe(struct swarm_device *d, unsigned int flags, bool settling);
/* The block before went through; con carries the push. */
void swarm_talk_describe_on(struct swarm_device *d, const struct swarm_con *con);
void swarm_talk_event(struct swarm_device *d, const char *name, const char *data, bool settling);
void swarm_talk_ping(struct swarm_device *d);
void swarm_talk_goodbye(struct swarm_device *d, uint32_t sleep_s);
/* The next event of its own: data "<device>:<counter>". */
void swarm_talk_tick(struct swarm_device *d);

#endif
