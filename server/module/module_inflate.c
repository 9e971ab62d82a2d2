/* module_inflate.c: a compressed module: it has to become what it says, and that has to be the same module
 * (device-protocol 5.1). */
#include "module/module_inner.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/mem.h"

#define HEAD_BYTES 8
#define RAW_DEFLATE 0
#define WINDOW_BITS_DEFAULT 15
#define WINDOW_BITS_LEAST 8

struct head { /* of the compressed data */
    size_t size;
    unsigned method, window_bits;
    uint32_t original_bytes;
};

static bool read_head(struct head *head, const uint8_t *data, size_t data_len, char why[MODULE_WHY_SIZE])
{
    struct bytes_reader r;

    if (data_len < HEAD_BYTES)
        return module_refuse(why, "it is compressed, but has %zu bytes where the header of that has %d",
                             data_len, HEAD_BYTES);
    bytes_reader_init(&r, data, data_len);
    head->size = bytes_get_le16(&r);
    head->method = bytes_get_u8(&r);
    head->window_bits = bytes_get_u8(&r);
    head->original_bytes = bytes_get_le32(&r);
    if (head->size < HEAD_BYTES || head->size > data_len)
        return module_refuse(
            why, "the header of its compressed data has a size of %zu bytes; %d to %zu are possible",
            head->size, HEAD_BYTES, data_len);
    if (head->method != RAW_DEFLATE)
        return module_refuse(why, "compression method %u is not known; devices know %d", head->method,
                             RAW_DEFLATE);
    if (head->window_bits == 0)
        head->window_bits = WINDOW_BITS_DEFAULT;
    if (head->window_bits < WINDOW_BITS_LEAST || head->window_bits > WINDOW_BITS_DEFAULT)
        return module_refuse(why, "a compression window of 2^%u bytes is not possible", head->window_bits);
    if (head->original_bytes == 0 || head->original_bytes > MODULE_FILE_MAX_BYTES)
        return module_refuse(why, "it says that it becomes %u bytes; 1 to %u are possible",
                             head->original_bytes, MODULE_FILE_MAX_BYTES);
    return true;
}

/* Never writes more than out_size. */
static bool inflate_all(uint8_t *out, size_t out_size, unsigned window_bits, const uint8_t *data,
                        size_t data_len, char why[MODULE_WHY_SIZE])
{
    z_stream z = {
        .next_in = (Bytef *)data, .avail_in = (uInt)data_len, .next_out = out, .avail_out = (uInt)out_size};

    if (inflateInit2(&z, -(int)window_bits) != Z_OK)
        return module_refuse(why, "a compression window of 2^%u bytes is not possible", window_bits);
    int how = inflate(&z, Z_FINISH);
    size_t made = z.total_out, read = z.total_in;
    (void)inflateEnd(&z);
    if (how == Z_STREAM_END && made == out_size && read == data_len)
        return true;
    if (how == Z_STREAM_END && made == out_size)
        return module_refuse(why, "%zu bytes follow its compressed data", data_len - read);
    if (how == Z_STREAM_END)
        return module_refuse(why, "it says that it becomes %zu bytes, but becomes %zu", out_size, made);
    if (how == Z_BUF_ERROR && made == out_size)
        return module_refuse(why, "it says that it becomes %zu bytes, but becomes more", out_size);
    if (how == Z_BUF_ERROR)
        return module_refuse(why, "its compressed data breaks off after %zu bytes", data_len);
    return module_refuse(why, "its compressed data is damaged near byte %zu of %zu", read, data_len);
}

static bool is_same_module(const struct module_part *part, const uint8_t *inside, size_t inside_len,
                           char why[MODULE_WHY_SIZE])
{
    struct module_part found;
    char inner_why[MODULE_WHY_SIZE];

    switch (module_header_find(&found, inside, inside_len, inner_why)) {
    case MODULE_FOUND:
        break;
    case MODULE_NOT_THERE:
        return module_refuse(why, "what it becomes has no module header");
    case MODULE_DAMAGED:
        return module_refuse(why, "what it becomes: %.160s", inner_why);
    }
    if (found.platform_id == part->platform_id && found.function == part->function &&
        found.index == part->index && found.version == part->version)
        return true;
    return module_refuse(
        why,
        "it becomes another module: platform %u, function %u, index %u, version %u instead of "
        "%u, %u, %u, %u",
        found.platform_id, found.function, found.index, found.version, part->platform_id, part->function,
        part->index, part->version);
}

bool module_inflate_check(struct module_part *part, const uint8_t *data, size_t body_at, size_t suffix_at,
                          char why[MODULE_WHY_SIZE])
{
    struct head head = {0};
    uint8_t *inside;
    bool fine;

    if (!read_head(&head, data + body_at, suffix_at - body_at, why))
        return false;
    part->inflated_bytes = head.original_bytes;
    if ((part->flags & MODULE_FLAG_ENCRYPTED) != 0)
        return module_refuse(why, "it is compressed and encrypted: what it becomes cannot be looked at");
    inside = mem_alloc(head.original_bytes);
    fine = inflate_all(inside, head.original_bytes, head.window_bits, data + body_at + head.size,
                       suffix_at - body_at - head.size, why);
    /* without its header there is nothing left to compare */
    if (fine && (part->flags & MODULE_FLAG_DROP_HEADER) == 0)
        fine = is_same_module(part, inside, head.original_bytes, why);
    free(inside);
    return fine;
}
