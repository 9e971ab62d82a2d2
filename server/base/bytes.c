#include "base/bytes.h"

#include <string.h>

void bytes_reader_init(struct bytes_reader *r, const void *data, size_t data_len)
{
    r->at = data;
    r->end = data_len > 0 ? r->at + data_len : r->at;
    r->bad = false;
}

size_t bytes_left(const struct bytes_reader *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->at);
}

const uint8_t *bytes_get(struct bytes_reader *r, size_t n)
{
    if (r->bad || n > bytes_left(r)) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *start = r->at;
    if (n > 0)
        r->at += n;
    return start;
}

uint8_t bytes_get_u8(struct bytes_reader *r)
{
    const uint8_t *p = bytes_get(r, 1);
    return p != NULL ? p[0] : 0;
}

uint16_t bytes_get_be16(struct bytes_reader *r)
{
    const uint8_t *p = bytes_get(r, 2);
    return p != NULL ? be16_load(p) : 0;
}

uint32_t bytes_get_be24(struct bytes_reader *r)
{
    const uint8_t *p = bytes_get(r, 3);
    return p != NULL ? (uint32_t)p[0] << 16 | be16_load(p + 1) : 0;
}

uint32_t bytes_get_be32(struct bytes_reader *r)
{
    const uint8_t *p = bytes_get(r, 4);
    return p != NULL ? be32_load(p) : 0;
}

uint64_t bytes_get_be48(struct bytes_reader *r)
{
    const uint8_t *p = bytes_get(r, 6);
    return p != NULL ? be48_load(p) : 0;
}

uint64_t bytes_get_be64(struct bytes_reader *r)
{
    const uint8_t *p = bytes_get(r, 8);
    return p != NULL ? be64_load(p) : 0;
}

uint16_t bytes_get_le16(struct bytes_reader *r)
{
    const uint8_t *p = bytes_get(r, 2);
    if (p == NULL)
        return 0;
    return (uint16_t)(p[1] << 8 | p[0]);
}

uint32_t bytes_get_le32(struct bytes_reader *r)
{
    const uint8_t *p = bytes_get(r, 4);
    return p != NULL ? (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0] : 0;
}

struct bytes_reader bytes_sub(struct bytes_reader *r, size_t n)
{
    struct bytes_reader sub;
    const uint8_t *start = bytes_get(r, n);
    bytes_reader_init(&sub, start, r->bad ? 0 : n);
    sub.bad = r->bad;
    return sub;
}

void bytes_writer_init(struct bytes_writer *w, void *out, size_t out_size)
{
    w->start = w->at = out;
    w->end = out_size > 0 ? w->start + out_size : w->start;
    w->bad = false;
}

size_t bytes_written(const struct bytes_writer *w)
{
    return (size_t)(w->at - w->start);
}

/* The place for n more bytes, or NULL and bad. */
static uint8_t *claim(struct bytes_writer *w, size_t n)
{
    if (w->bad || n > (size_t)(w->end - w->at)) {
        w->bad = true;
        return NULL;
    }
    uint8_t *place = w->at;
    if (n > 0)
        w->at += n;
    return place;
}

void bytes_put_u8(struct bytes_writer *w, uint8_t v)
{
    uint8_t *p = claim(w, 1);
    if (p != NULL)
        p[0] = v;
}

void bytes_put_be16(struct bytes_writer *w, uint16_t v)
{
    uint8_t *p = claim(w, 2);
    if (p != NULL)
        be16_store(p, v);
}

void bytes_put_be24(struct bytes_writer *w, uint32_t v)
{
    uint8_t *p = claim(w, 3);
    if (p == NULL)
        return;
    p[0] = (uint8_t)(v >> 16);
    be16_store(p + 1, (uint16_t)v);
}

void bytes_put_be32(struct bytes_writer *w, uint32_t v)
{
    uint8_t *p = claim(w, 4);
    if (p != NULL)
        be32_store(p, v);
}

void bytes_put_be48(struct bytes_writer *w, uint64_t v)
{
    uint8_t *p = claim(w, 6);
    if (p != NULL)
        be48_store(p, v);
}

void bytes_put_be64(struct bytes_writer *w, uint64_t v)
{
    uint8_t *p = claim(w, 8);
    if (p != NULL)
        be64_store(p, v);
}

void bytes_put(struct bytes_writer *w, const void *data, size_t data_len)
{
    uint8_t *p = claim(w, data_len);
    if (p != NULL && data_len > 0)
        memcpy(p, data, data_len);
}

size_t decimal_encode(char out[DECIMAL_TEXT_SIZE], int64_t value)
{
    char digits[DECIMAL_TEXT_SIZE];
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    size_t at = sizeof(digits), len = 0;

    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0)
        out[len++] = '-';
    memcpy(out + len, digits + at, sizeof(digits) - at);
    len += sizeof(digits) - at;
    out[len] = '\0';
    return len;
}

void hex_encode(char *out, const void *data, size_t data_len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = data;

    for (size_t i = 0; i < data_len; i++) {
        *out++ = digits[from[i] >> 4];
        *out++ = digits[from[i] & 15];
    }
    *out = '\0';
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(void *out, size_t data_len, const char *text, size_t text_len)
{
    uint8_t *to = out;

    if (text_len % 2 != 0 || text_len / 2 != data_len)
        return false;
    for (size_t i = 0; i < data_len; i++) {
        int high = digit_value(text[2 * i]);
        int low = digit_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool bytes_equal_secret(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a, *y = b; /* volatile: no early exit may be compiled in */
    uint8_t differ = 0;

    for (size_t i = 0; i < len; i++)
        differ = (uint8_t)(differ | (x[i] ^ y[i]));
    return differ == 0;
}

void bytes_wipe(void *data, size_t len)
{
    if (len > 0)
        explicit_bzero(data, len);
}
