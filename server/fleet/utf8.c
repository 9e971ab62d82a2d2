#include "fleet/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the character at p, 0 when it is none (RFC 3629 4). */
static size_t character(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80)
        return p[0] != 0;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

const char *utf8_clean(char *out, size_t out_size, const void *data, size_t data_len)
{
    const uint8_t *p = data;
    size_t at = 0, written = 0;
    while (at < data_len) {
        size_t len = character(p + at, data_len - at);
        size_t put = len ? len : 1;
        if (written + put >= out_size)
            break;
        if (len)
            memcpy(out + written, p + at, len);
        else
            out[written] = '?';
        at += put;
        written += put;
    }
    out[written] = 0;
    return out;
}
