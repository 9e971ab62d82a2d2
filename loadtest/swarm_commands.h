/* swarm_commands.h: what --control can ask of a running swarm (loadtest/README.md lists it).
 *
 * Each command is answered with {"event":"ok","cmd":...} or {"event":"error","cmd":...,"reason":...}. */
#ifndef CYAN_LOADTEST_SWARM_COMMANDS_H
#define CYAN_LOADTEST_SWARM_COMMANDS_H

#include "swarm_control.h"
#include "swarm_device.h"

struct swarm_commands {
    struct swarm_device *devices;    /* borrowed: outlives this */
    struct swarm_loop *loop;         /* borrowed: outlives this */
    struct swarm_scenario *scenario; /* borrowed, or NULL */
    size_t device_count;
};
extern const struct swarm_control_ops swarm_commands_ops; /* owner: struct swarm_commands */

#endif
