/* module_file.h: what is inside a module binary, the file a device takes as an update
 * (device-protocol 5.1, 5.5).
 *
 * Everything is checked before it is believed: where the header is (at offset 0, or behind a vector table),
 * the end address against the length, CRC-32 and SHA-256 of the suffix, its extensions, a second module
 * behind the first one. Hostile: any bytes may be given. Nothing is kept; strings and views belong to the
 * caller's data. */
#ifndef CYAN_MODULE_MODULE_FILE_H
#define CYAN_MODULE_MODULE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "module/module_names.h"

#define MODULE_FILE_MAX_BYTES (2u << 20) /* the largest slot of a device has 1.5 MB */
#define MODULE_PARTS_MAX 2               /* a device looks at two modules of a combined file */
#define MODULE_DEPENDENCIES_MAX 4        /* two in the header, further ones in extensions */

enum module_flag {
    MODULE_FLAG_DROP_HEADER = 0x01,
    MODULE_FLAG_COMPRESSED = 0x02,
    MODULE_FLAG_COMBINED = 0x04,
    MODULE_FLAG_ENCRYPTED = 0x08,
    MODULE_FLAG_PREFIX_EXTENSIONS = 0x10,
};

struct module_part {
    size_t at, len;   /* in the file */
    size_t header_at; /* from at */
    uint32_t start_address, end_address;
    uint32_t inflated_bytes; /* COMPRESSED: what it becomes; else 0 */
    uint16_t platform_id, version;
    uint8_t function, index, mcu, flags;
    size_t dependency_count; /* those that are not empty */
    struct module_dependency dependencies[MODULE_DEPENDENCIES_MAX];
    uint8_t suffix_sha256[32]; /* what a describe states as hash of a user part */
    bool has_product;
    uint16_t product_id, product_version;
    uint32_t crc32;
    bool has_header; /* false: a Core binary of before modules; platform 0, monolithic, version 0 */
};

struct module_file {
    size_t part_count;
    struct module_part parts[MODULE_PARTS_MAX];
    uint8_t sha256[32]; /* of the whole file: what an update starts with */
};

/* Parses and verifies. False: why is the exact reason, a sentence with numbers for people. */
#define MODULE_WHY_SIZE 200
must_check bool module_file_parse(struct module_file *file, const uint8_t *data, size_t data_len,
                                  char why[MODULE_WHY_SIZE]);

#endif
