/* text.h: whether bytes of a peer may go on as text: to Postgres, to JSON, to people. Private to device/. */
#ifndef CYAN_DEVICE_TEXT_H
#define CYAN_DEVICE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Valid UTF-8 (RFC 3629: no overlong forms, no surrogates) without control characters. Empty is fine. */
bool text_is_clean(const void *text, size_t text_len);
/* Printable ASCII, 1 to max bytes. */
bool text_is_printable(const void *text, size_t text_len, size_t max_bytes);
/* Decimal digits alone, value at most max. */
bool text_is_decimal(const void *text, size_t text_len, unsigned long max);

#endif
