#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void *or_die(void *block, size_t count, size_t item_bytes)
{
    if (block != NULL)
        return block;
    log_error("mem.exhausted count=%zu item_bytes=%zu", count, item_bytes);
    abort();
}

void *mem_alloc(size_t bytes)
{
    return mem_array(1, bytes);
}

void *mem_array(size_t count, size_t item_bytes)
{
    if (count == 0 || item_bytes == 0) /* calloc may answer NULL to this */
        count = item_bytes = 1;
    return or_die(calloc(count, item_bytes), count, item_bytes);
}

void *mem_grow(void *block, size_t count, size_t item_bytes)
{
    if (count == 0 || item_bytes == 0)
        count = item_bytes = 1;
    return or_die(reallocarray(block, count, item_bytes), count, item_bytes);
}

void *mem_copy(const void *from, size_t bytes)
{
    void *copy = mem_alloc(bytes);
    if (bytes > 0)
        memcpy(copy, from, bytes);
    return copy;
}

char *mem_string(const char *text)
{
    return mem_copy(text, strlen(text) + 1);
}

char *mem_string_n(const char *text, size_t text_len)
{
    char *copy = mem_alloc(text_len + 1);
    if (text_len > 0)
        memcpy(copy, text, text_len);
    return copy;
}

char *mem_printf(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    int text_len = vasprintf(&text, format, args);
    va_end(args);
    return or_die(text_len < 0 ? NULL : text, 1, 0);
}
