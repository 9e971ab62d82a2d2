/* swarm_device_private.h: steps of a device's life that its files share. Not for others. */
#ifndef CYAN_LOADTEST_SWARM_DEVICE_PRIVATE_H
#define CYAN_LOADTEST_SWARM_DEVICE_PRIVATE_H

#include "swarm_device.h"

void swarm_device_enter(struct swarm_device *d, enum swarm_device_state state);
void swarm_device_set_life(struct swarm_device *d, uint64_t after_ms);
uint64_t swarm_device_keepalive_ms(const struct swarm_device *d);
bool swarm_device_can_resume(const struct swarm_device *d);
void swarm_device_went_offline(struct swarm_device *d, const char *reason);
/* The session is dead and nobody asked for it: full handshake next. */
void swarm_device_lose(struct swarm_device *d, const char *reason);
/* It goes away without a word, and boots after a while. */
void swarm_device_go_silent(struct swarm_device *d, const char *reason, uint64_t after_ms);
/* It is not heard of again, unless somebody boots it. */
void swarm_device_vanish(struct swarm_device *d, const char *reason);
/* The link is bad and the session may be good. */
void swarm_device_drop_link(struct swarm_device *d, const char *reason);
/* Online when everything of the connection sequence is acknowledged. */
void swarm_device_settle(struct swarm_device *d);

#endif
