/* swarm_boot.h: what comes of an update once a device applies it: silence, reboots, and what it runs then.
 *
 * A co-processor takes several reboots, of which the last but one describes version 0; in between the device
 * is there. Defects of the model decide what goes wrong. */
#ifndef CYAN_LOADTEST_SWARM_BOOT_H
#define CYAN_LOADTEST_SWARM_BOOT_H

#include "swarm_binary.h"
#include "swarm_device.h"
#include "swarm_image.h"

struct swarm_update;
/* Part of an update: reboots under way. */
struct swarm_boots {
    struct deadline next;                     /* another reboot, or the fall back */
    struct deadline ncp_says;                 /* a silent co-processor says its version again */
    struct swarm_part parts[SWARM_PARTS_MAX]; /* what will run */
    size_t part_count;
    struct swarm_image_key key;
    struct swarm_firmware before; /* to fall back to */
    uint32_t left;                /* reboots to come */
    bool writes_ncp;
    bool was_noticed; /* the device knows that what it describes has changed */
};

/* APPLYING: the file is complete. may drop the link, reboots the device. Call it last. */
void swarm_boot_apply(struct swarm_update *u, bool is_judged);
/* The device has booted, for whatever reason. */
void swarm_boot_came_up(struct swarm_device *d);
void swarm_boot_stop(struct swarm_update *u);

#endif
