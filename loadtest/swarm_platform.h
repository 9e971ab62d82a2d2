/* swarm_platform.h: the platforms the swarm can be and the firmware of differing ages they come with.
 *
 * Versions follow device-protocol 7.1 to 7.3. Constant tables and pure functions. */
#ifndef CYAN_LOADTEST_SWARM_PLATFORM_H
#define CYAN_LOADTEST_SWARM_PLATFORM_H

#include "base/must.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SWARM_MODULES_MAX 8
#define SWARM_CC3000_SIZE 16

struct swarm_dependency {
    char f; /* 0 = none */
    char n;
    uint16_t v;
};
struct swarm_module {
    uint32_t slot_bytes;
    struct swarm_dependency depends[2];
    uint16_t v;
    char f; /* function letter of the describe: device-protocol 4.4.3 */
    char n; /* index, '0'.. */
    bool has_hash;
    uint8_t hash[32]; /* of the binary it came from, once it came from one; only user parts tell it */
};
/* The firmware of one device. */
struct swarm_firmware {
    struct swarm_module modules[SWARM_MODULES_MAX];
    size_t module_count;
    uint16_t system_version;
    uint16_t product_id, product_version; /* of its application; 0 = the build's defaults */
    bool ncp_silent;                      /* its co-processor does not say its version: described as 0 */
    char cc3000[SWARM_CC3000_SIZE];       /* Core only, else empty */
};

struct swarm_platform {
    const char *name;
    uint16_t id;
    uint8_t generation;
    bool cellular;
    uint8_t id_prefix[4];    /* device ids begin alike */
    uint32_t max_binary;     /* largest image, bytes */
    const char *releases[6]; /* "system_version cc3000-or-dash f n:v ..." oldest first, NULL ends */
};

const struct swarm_platform *swarm_platform_by_id(uint16_t id);        /* NULL when unknown */
const struct swarm_platform *swarm_platform_by_name(const char *name); /* NULL when unknown */
size_t swarm_platform_releases(const struct swarm_platform *p);
/* Fills firmware with release number i of the platform. */
void swarm_platform_firmware(const struct swarm_platform *p, size_t i, struct swarm_firmware *out);
/* Adds a module, or changes the version of the one that is there; false when there is no room. A system or
 * monolithic module also sets the system version. */
bool swarm_firmware_set(struct swarm_firmware *fw, const struct swarm_platform *p, char f, char n,
                        uint16_t v) must_check;
/* NULL when it has none of that function and index. */
struct swarm_module *swarm_firmware_find(struct swarm_firmware *fw, char f, char n);
/* Bytes a module of this function may have. */
uint32_t swarm_platform_slot_bytes(const struct swarm_platform *p, char f);
/* Bytes of the longest CoAP message such a device takes: device-protocol 2.9. */
uint16_t swarm_platform_max_message(const struct swarm_platform *p, uint16_t system_version);
/* Flags of its Hello: device-protocol 4.1. */
uint8_t swarm_platform_hello_flags(const struct swarm_platform *p, uint16_t system_version);

#endif
