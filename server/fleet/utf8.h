/* utf8.h: what peers call text made into text that Postgres and JSON accept. */
#ifndef CYAN_FLEET_UTF8_H
#define CYAN_FLEET_UTF8_H

#include <stddef.h>

/* Copies whole characters as far as they fit; a byte that is no UTF-8 (RFC 3629), or NUL, becomes `?`.
 * Returns out, NUL-terminated. */
const char *utf8_clean(char *out, size_t out_size, const void *data, size_t data_len);

#endif
