/* swarm_firmware.h: what a device makes of a module it got: whether it takes it, and what it is afterwards
 * (device-protocol 5.5, 7.3). Pure functions. */
#ifndef CYAN_LOADTEST_SWARM_FIRMWARE_H
#define CYAN_LOADTEST_SWARM_FIRMWARE_H

#include "swarm_binary.h"

/* Why a device with this firmware does not take the module: PLATFORM, UNSUPPORTED, SIZE, DEPENDENCY; or OK.
 */
enum swarm_code swarm_firmware_judge(const struct swarm_firmware *fw, const struct swarm_platform *p,
                                     const struct swarm_part *part) must_check;
/* What it has in that place: a version, or 0. */
uint16_t swarm_firmware_version(const struct swarm_firmware *fw, char f, char n);
/* False when there is no room for a module it had none of. */
bool swarm_firmware_install(struct swarm_firmware *fw, const struct swarm_platform *p,
                            const struct swarm_part *part) must_check;
/* The version alone: what happens to other modules in passing. As above; a Core's `r` is its CC3000 patch. */
bool swarm_firmware_become(struct swarm_firmware *fw, const struct swarm_platform *p, char f, char n,
                           uint16_t v) must_check;
bool swarm_firmware_meets(const struct swarm_firmware *fw, const struct swarm_module *m);
/* Its application needs a newer system: it runs without it and says `spark/device/safemode`. */
bool swarm_firmware_is_in_safe_mode(const struct swarm_firmware *fw);
/* False: its radio does not work with its system, and it will never be heard of again (fleet.md 1, item 4).
 */
bool swarm_firmware_can_connect(const struct swarm_firmware *fw, const struct swarm_platform *p);

#endif
