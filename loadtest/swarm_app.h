/* swarm_app.h: the user's program on a simulated device: its functions and variables.
 *
 * digitalwrite and its kin do what Tinker does. mix and mixTwo give what follows from device, name and
 * argument alone, slow its argument after as many milliseconds, aBool, anInt, aDouble and aString what
 * follows from device, name and the number of the read, so that a test can tell whether an answer is its own
 * (loadtest/README.md has the formulas). Pure functions on the device. */
#ifndef CYAN_LOADTEST_SWARM_APP_H
#define CYAN_LOADTEST_SWARM_APP_H

#include "swarm_device.h"

#define SWARM_ARGUMENT_MAX 1024
#define SWARM_SLOW_MAX_MS 60000
#define SWARM_VALUE_MAX_BYTES 128

/* False when there is no such function. */
bool swarm_app_call(struct swarm_device *d, struct swarm_coap_piece name, const char *argument,
                    int32_t *result) must_check;
struct swarm_value {
    uint8_t bytes[SWARM_VALUE_MAX_BYTES]; /* as the variable's type has it on the wire: device-protocol 4.6 */
    size_t len;
    json_t *json; /* the same for people; a new reference */
};
/* False when there is no such variable. Counts as a read. */
bool swarm_app_read(struct swarm_device *d, struct swarm_coap_piece name,
                    struct swarm_value *value) must_check;

#endif
