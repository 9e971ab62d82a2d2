/* mem.h: allocation that succeeds or ends the process with a log line; zeroed. free() releases. */
#ifndef CYAN_BASE_MEM_H
#define CYAN_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *mem_array(size_t count, size_t item_bytes) __attribute__((malloc, returns_nonnull));
void *mem_grow(void *block, size_t count, size_t item_bytes)
    __attribute__((returns_nonnull)); /* new part not zeroed */
void *mem_copy(const void *from, size_t bytes) __attribute__((malloc, returns_nonnull));
char *mem_string(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_string_n(const char *text, size_t text_len) __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *format, ...) __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

#endif
