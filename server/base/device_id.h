/* device_id.h: the 12-byte device id and its text form of 24 lowercase hex digits (device-protocol 1.1). */
#ifndef CYAN_BASE_DEVICE_ID_H
#define CYAN_BASE_DEVICE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_ID_BYTES 12
#define DEVICE_ID_TEXT_SIZE 25 /* with NUL */

struct device_id {
    uint8_t bytes[DEVICE_ID_BYTES];
};

/* Exactly 24 hex digits of either case; false otherwise. */
bool device_id_parse(struct device_id *id, const char *text, size_t text_len);
void device_id_format(char out[DEVICE_ID_TEXT_SIZE], const struct device_id *id);
bool device_id_equal(const struct device_id *a, const struct device_id *b);

#endif
