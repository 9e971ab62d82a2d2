#include "module_builder.h"

#include <openssl/sha.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/mem.h"

#define HEADER 24
#define START 0x30000u

static void put16(uint8_t *at, unsigned v)
{
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *at, uint32_t v)
{
    put16(at, v & 0xffff);
    put16(at + 2, v >> 16);
}

void module_recrc(struct built *b)
{
    be32_store(b->data + b->len - 4, (uint32_t)crc32(0, b->data, (uInt)(b->len - 4)));
}

void module_rehash(struct built *b)
{
    SHA256(b->data, b->len - 38, b->data + b->len - 38);
    module_recrc(b);
}

struct built module_build(const struct module_recipe *r)
{
    struct built b = {.len = r->header_at + HEADER + r->prefix_len + r->body_len + r->suffix_len + 40};
    b.data = mem_alloc(b.len);
    for (size_t i = 0; i < r->header_at; i += 4)
        put32(b.data + i, i == 0 ? 0x20005000u : START + 0x201u + (uint32_t)i);
    uint8_t *h = b.data + r->header_at;
    put32(h, START);
    put32(h + 4, START + (uint32_t)b.len - 4);
    h[8] = r->mcu;
    h[9] = r->flags;
    put16(h + 10, r->version);
    put16(h + 12, r->platform_id);
    h[14] = r->function;
    h[15] = r->index;
    for (int i = 0; i < 2; i++) {
        h[16 + 4 * i] = r->needs[i].function;
        h[17 + 4 * i] = r->needs[i].index;
        put16(h + 18 + 4 * i, r->needs[i].version);
    }
    uint8_t *body = h + HEADER + r->prefix_len;
    if (r->prefix_len)
        memcpy(h + HEADER, r->prefix, r->prefix_len);
    for (size_t i = 0; i < r->body_len; i++)
        body[i] = (uint8_t)(r->fill + i % 251);
    if (r->suffix_len)
        memcpy(body + r->body_len, r->suffix, r->suffix_len);
    put16(b.data + b.len - 6, (unsigned)r->suffix_len + 36);
    if (r->hash_of_body)
        SHA256(h + HEADER, (size_t)(body - h) - HEADER + r->body_len, b.data + b.len - 38);
    else
        SHA256(b.data, b.len - 38, b.data + b.len - 38);
    module_recrc(&b);
    return b;
}

static size_t header_of(const struct built *b)
{
    static const size_t offsets[] = {0, 0x20, 0x10c, 0x184, 0x200};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct bytes_reader r;
        bytes_reader_init(&r, b->data + offsets[i], 8);
        uint32_t start = bytes_get_le32(&r);
        if (bytes_get_le32(&r) - start == b->len - 4)
            return offsets[i];
    }
    must(!"a module made here has a header");
    return 0;
}

struct built module_compress(const struct built *b, uint32_t original_bytes, unsigned window_bits)
{
    size_t suffix = (size_t)(b->data[b->len - 6] | b->data[b->len - 5] << 8), at = header_of(b);
    bool bare = b->data[at + 9] & MODULE_FLAG_DROP_HEADER;
    const uint8_t *inside = bare ? b->data + at + HEADER : b->data;
    size_t inside_len = bare ? b->len - 4 - suffix - at - HEADER : b->len;
    struct built out = {.data = mem_alloc(b->len + 1000)};
    z_stream z = {.next_in = (Bytef *)(uintptr_t)inside,
                  .avail_in = (uInt)inside_len,
                  .next_out = out.data + HEADER + 8,
                  .avail_out = (uInt)b->len + 900};
    must(deflateInit2(&z, 9, Z_DEFLATED, -(int)(window_bits ? window_bits : 15), 8, Z_DEFAULT_STRATEGY) ==
         Z_OK);
    must(deflate(&z, Z_FINISH) == Z_STREAM_END);
    size_t packed = z.total_out;
    must(deflateEnd(&z) == Z_OK);
    memcpy(out.data, b->data + at, HEADER);
    out.data[9] |= MODULE_FLAG_COMPRESSED;
    out.len = HEADER + 8 + packed + suffix + 4;
    put32(out.data + 4, START + (uint32_t)out.len - 4);
    put16(out.data + HEADER, 8);
    out.data[HEADER + 2] = 0;
    out.data[HEADER + 3] = (uint8_t)window_bits;
    put32(out.data + HEADER + 4, original_bytes ? original_bytes : (uint32_t)inside_len);
    memcpy(out.data + HEADER + 8 + packed, b->data + b->len - 4 - suffix, suffix);
    module_rehash(&out);
    return out;
}

struct built module_combine(const struct built *first, const struct built *second)
{
    struct built out = {.data = mem_alloc(first->len + second->len), .len = first->len};
    memcpy(out.data, first->data, first->len);
    out.data[header_of(first) + 9] |= MODULE_FLAG_COMBINED;
    module_rehash(&out);
    if (second->len)
        memcpy(out.data + first->len, second->data, second->len);
    out.len += second->len;
    return out;
}
