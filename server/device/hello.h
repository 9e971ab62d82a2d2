/* hello.h: the first message of a device, all generations, parsed by length (device-protocol 4.1). */
#ifndef CYAN_DEVICE_HELLO_H
#define CYAN_DEVICE_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/device_id.h"
#include "base/must.h"

enum hello_flag {
    HELLO_UPDATE_APPLIED = 0x01,
    HELLO_DIAGNOSTICS = 0x02,
    HELLO_IMMEDIATE_UPDATES = 0x04,
    HELLO_GOODBYE = 0x10,
    HELLO_PUSHES_DESCRIBE = 0x20,
    HELLO_COMPRESSED_UPDATES = 0x40,
    HELLO_UPDATE_V3 = 0x80,
};

struct hello {
    struct device_id id;
    bool has_id; /* false on TCP, where the id is in the handshake */
    uint16_t product_id, product_version, flags, platform_id;
    uint16_t system_version;    /* 0 = not stated (before 3.0) */
    uint16_t max_message_bytes; /* 0 = not stated */
    uint32_t max_binary_bytes;  /* 0 = not stated or unlimited */
    uint16_t chunk_bytes;       /* 0 = not stated */
};

/* False when it is too short or its lengths contradict each other; trailing bytes are accepted. */
must_check bool hello_parse(struct hello *hello, const uint8_t *payload, size_t payload_len);
/* `6.2.0` for 6200 and so on (device-protocol 7.1 table, best known release, else `v<number>`); "" for 0. */
const char *hello_system_release(uint16_t system_version, char out[16]);

#endif
