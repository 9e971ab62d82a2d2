#include "device/text.h"

#include <stdint.h>

/* Bytes of the character at `at`, 0 when it is none. */
static size_t character_bytes(const uint8_t *at, size_t left)
{
    size_t bytes;
    uint32_t value, smallest;

    if (at[0] < 0x80)
        return at[0] >= 0x20 && at[0] != 0x7f ? 1 : 0;
    if (at[0] >= 0xc2 && at[0] < 0xe0) {
        bytes = 2;
        value = at[0] & 0x1f;
        smallest = 0x80;
    } else if (at[0] >= 0xe0 && at[0] < 0xf0) {
        bytes = 3;
        value = at[0] & 0x0f;
        smallest = 0x800;
    } else if (at[0] >= 0xf0 && at[0] < 0xf5) {
        bytes = 4;
        value = at[0] & 0x07;
        smallest = 0x10000;
    } else {
        return 0;
    }
    if (bytes > left)
        return 0;
    for (size_t i = 1; i < bytes; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3f);
    }
    bool surrogate = value >= 0xd800 && value < 0xe000;
    bool control = value < 0xa0; /* C1 */
    return value < smallest || value > 0x10ffff || surrogate || control ? 0 : bytes;
}

bool text_is_clean(const void *text, size_t text_len)
{
    const uint8_t *at = text;

    while (text_len > 0) {
        size_t bytes = character_bytes(at, text_len);
        if (bytes == 0)
            return false;
        at += bytes;
        text_len -= bytes;
    }
    return true;
}

bool text_is_printable(const void *text, size_t text_len, size_t max_bytes)
{
    const uint8_t *at = text;

    if (text_len == 0 || text_len > max_bytes)
        return false;
    for (size_t i = 0; i < text_len; i++) {
        if (at[i] < 0x20 || at[i] > 0x7e)
            return false;
    }
    return true;
}

bool text_is_decimal(const void *text, size_t text_len, unsigned long max)
{
    const uint8_t *at = text;
    unsigned long value = 0;

    if (text_len == 0)
        return false;
    for (size_t i = 0; i < text_len; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        unsigned long digit = (unsigned long)(at[i] - '0');
        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    return true;
}
