/* firmware.h: module binaries in the registry: uploaded, listed, withdrawn. A binary never changes.
 *
 * An upload is looked at by module_file_parse on a thread of libuv's pool and then stored in one transaction,
 * with its audit row; the same file again is the binary that is there already. Every call answers exactly
 * once, from the loop. Rows and strings are borrowed, valid during the callback. Loop thread only. */
#ifndef CYAN_FLEET_FIRMWARE_H
#define CYAN_FLEET_FIRMWARE_H

#include "fleet/fleet.h"

#define FIRMWARE_FILE_NAME_MAX 128 /* characters of at most 4 bytes; longer ones are cut */
#define FIRMWARE_REASON_MAX 500    /* characters */

struct firmware {
    int64_t id; /* module_binary.id */
    uint16_t platform_id, version;
    uint8_t function, index, mcu, flags; /* of module_file.h */
    uint32_t size_bytes;
    const char *sha256, *suffix_sha256;  /* hex; the latter NULL when the file has none */
    const char *dependencies, *combined; /* JSON arrays of {"func", "index", "version"} */
    int product_id, product_version;     /* -1 = none */
    const char *file_name;               /* NULL = not told */
    const char *status;                  /* `active` or `withdrawn` */
    const char *withdrawn_reason;        /* NULL unless withdrawn */
    const char *uploaded_by;
    uint64_t uploaded_ms; /* Unix ms */
    const char *releases; /* JSON array of the names of releases it is in */
};

/* FLEET_INVALID: why is the sentence of module_file_parse. is_new: it was not there before. */
typedef void firmware_fn(void *arg, enum fleet_err err, const struct firmware *firmware, bool is_new,
                         const char *why);
/* data: from malloc, taken over. file_name: NULL allowed, copied. */
void fleet_upload_firmware(struct fleet *f, const struct fleet_actor *actor, uint8_t *data, size_t data_len,
                           const char *file_name, firmware_fn *done, void *arg);
void fleet_get_firmware(struct fleet *f, int64_t id, firmware_fn *done, void *arg);
/* From the moment it is stored no step of any update starts with it; updates that need it say so. Withdrawing
 * once more changes nothing: the first reason stays. */
void fleet_withdraw_firmware(struct fleet *f, const struct fleet_actor *actor, int64_t id, const char *reason,
                             firmware_fn *done, void *arg);

struct firmware_filter {
    int platform_id, function; /* -1 = any */
    const char *status;        /* NULL = any */
    uint32_t page, per_page;   /* from 1; at least 1 */
};
/* Newest first; total: how many the filter lets through. */
typedef void firmware_list_fn(void *arg, enum fleet_err err, const struct firmware *rows, size_t count,
                              uint64_t total);
void fleet_list_firmware(struct fleet *f, const struct firmware_filter *filter, firmware_list_fn *done,
                         void *arg);

#endif
