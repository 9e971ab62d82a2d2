/* swarm_binary.h: what a device finds in a module binary it has received (device-protocol 5.1, 5.5).
 *
 * Our own reader on purpose: it shares nothing with the server's, so that a server which misreads a file, or
 * sends another one, shows. A pure function of the bytes. */
#ifndef CYAN_LOADTEST_SWARM_BINARY_H
#define CYAN_LOADTEST_SWARM_BINARY_H

#include "swarm_crypto.h"
#include "swarm_platform.h"

#define SWARM_PARTS_MAX 2 /* of a combined file; more are ignored */

/* Why a device refuses a file, an update or a step of one: device-protocol 5.4. */
enum swarm_code {
    SWARM_CODE_OK = 0,
    SWARM_CODE_STATE = -210,
    SWARM_CODE_PROTOCOL = -240,
    SWARM_CODE_ARGUMENT = -270,
    SWARM_CODE_UNSUPPORTED = -1310,
    SWARM_CODE_INTEGRITY = -1330,
    SWARM_CODE_RESUMED_FAILED = -1331,
    SWARM_CODE_DEPENDENCY = -1340,
    SWARM_CODE_SIZE = -1351,
    SWARM_CODE_PLATFORM = -1360,
    SWARM_CODE_FORMAT = -1370,
    SWARM_CODE_DISABLED = -1380
};
const char *swarm_code_text(int code);

enum swarm_binary_flag { SWARM_BINARY_COMPRESSED = 2, SWARM_BINARY_COMBINED = 4 };

struct swarm_part {
    size_t len;
    struct swarm_dependency depends[2]; /* f 0 = none */
    uint16_t platform, version;
    uint16_t product_id, product_version; /* 0xffff = none */
    uint8_t function, mcu, flags;
    char f, n;                      /* as in a describe */
    uint8_t hash[SWARM_HASH_BYTES]; /* of the suffix */
};
struct swarm_binary {
    struct swarm_part parts[SWARM_PARTS_MAX];
    size_t part_count;
};

/* SWARM_CODE_OK, or FORMAT or INTEGRITY. */
enum swarm_code swarm_binary_parse(struct swarm_binary *b, const uint8_t *data, size_t data_len) must_check;

#endif
