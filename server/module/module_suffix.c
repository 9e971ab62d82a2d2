/* module_suffix.c: what stands behind the code of a module: extensions, product, SHA-256. */
#include "module/module_inner.h"

#include <openssl/sha.h>
#include <string.h>

#include "base/bytes.h"

#define SHA_AND_SIZE_BYTES 34 /* end the suffix */
#define PRODUCT_BYTES 4       /* id and version, right before the 36 bytes that every suffix has */
#define EXTENSION_HEAD_BYTES 4
#define NO_PRODUCT 0xffff

enum extension {
    EXTENSION_END = 0x0000, /* as long as padding makes it */
    EXTENSION_DEPENDENCY = 0x0003,
};

/* A further dependency: function, index, version (2), which processor (4). */
static bool take_dependency(struct module_part *part, const uint8_t *value, size_t value_len)
{
    struct module_dependency needs;

    if (value_len < 4 || value[0] == MODULE_NONE || value[0] > MODULE_FUNCTION_LAST ||
        part->dependency_count == MODULE_DEPENDENCIES_MAX)
        return false;
    needs = (struct module_dependency){
        .function = value[0], .index = value[1], .version = (uint16_t)(value[2] | value[3] << 8)};
    part->dependencies[part->dependency_count++] = needs;
    return true;
}

/* Walks records of type, length (with this head) and value from *at up to end, or up to one that ends them.
 * *at: what comes after them. */
static bool walk(struct module_part *part, const uint8_t *data, size_t *at, size_t end, bool *has_end,
                 char why[MODULE_WHY_SIZE])
{
    *has_end = false;
    while (!*has_end && end - *at >= EXTENSION_HEAD_BYTES) {
        struct bytes_reader r;
        bytes_reader_init(&r, data + *at, end - *at);
        unsigned type = bytes_get_le16(&r);
        size_t len = bytes_get_le16(&r);
        if (len < EXTENSION_HEAD_BYTES || len > end - *at)
            return module_refuse(why,
                                 "the extension of type %#x at byte %zu has a length of %zu; there are %zu",
                                 type, *at, len, end - *at);
        if (type == EXTENSION_DEPENDENCY &&
            !take_dependency(part, data + *at + EXTENSION_HEAD_BYTES, len - EXTENSION_HEAD_BYTES))
            return module_refuse(why,
                                 "the dependency in the extension at byte %zu names none that is known, or "
                                 "is more than the %dth",
                                 *at, MODULE_DEPENDENCIES_MAX);
        *has_end = type == EXTENSION_END;
        *at += len;
    }
    return true;
}

/* The whole module before the hash; of a co-processor its own image alone, as its tools make it. */
static bool hash_is_right(const struct module_part *part, const uint8_t *data, size_t suffix_at)
{
    size_t image_at = part->header_at + MODULE_HEADER_BYTES;
    uint8_t sha256[32];

    SHA256(data, part->len - MODULE_CRC_BYTES - SHA_AND_SIZE_BYTES, sha256);
    if (memcmp(sha256, part->suffix_sha256, sizeof(sha256)) == 0)
        return true;
    if (part->function != MODULE_NCP)
        return false;
    SHA256(data + image_at, suffix_at - image_at, sha256);
    return memcmp(sha256, part->suffix_sha256, sizeof(sha256)) == 0;
}

static void read_product(struct module_part *part, const uint8_t *at)
{
    part->product_id = (uint16_t)(at[0] | at[1] << 8);
    part->product_version = (uint16_t)(at[2] | at[3] << 8);
    part->has_product = part->product_id != NO_PRODUCT && part->product_id != 0;
}

bool module_suffix_read(struct module_part *part, const uint8_t *data, size_t *suffix_at,
                        char why[MODULE_WHY_SIZE])
{
    size_t crc_at = part->len - MODULE_CRC_BYTES;
    size_t room = crc_at - part->header_at - MODULE_HEADER_BYTES;
    size_t size = data[crc_at - 2] | (size_t)data[crc_at - 1] << 8;
    size_t fixed_at = crc_at - MODULE_SUFFIX_MIN_BYTES;
    bool has_end;

    if (size < MODULE_SUFFIX_MIN_BYTES || size > room)
        return module_refuse(why, "its suffix has a size of %zu bytes; at least %d are needed, %zu are there",
                             size, MODULE_SUFFIX_MIN_BYTES, room);
    *suffix_at = crc_at - size;
    memcpy(part->suffix_sha256, data + crc_at - SHA_AND_SIZE_BYTES, sizeof(part->suffix_sha256));
    if (!hash_is_right(part, data, *suffix_at))
        return module_refuse(why, "the SHA-256 in its suffix is not that of its bytes");
    if (fixed_at - *suffix_at >= PRODUCT_BYTES)
        read_product(part, data + fixed_at - PRODUCT_BYTES);
    if (fixed_at == *suffix_at || fixed_at - *suffix_at == PRODUCT_BYTES)
        return true;
    size_t at = *suffix_at;
    if (!walk(part, data, &at, fixed_at, &has_end, why))
        return false;
    /* the product is an extension of its own, or stands bare behind the last one */
    if (at != fixed_at && !(has_end && fixed_at - at == PRODUCT_BYTES))
        return module_refuse(why, "%zu bytes of its suffix of %zu belong to no extension", fixed_at - at,
                             size);
    return true;
}

bool module_prefix_read(struct module_part *part, const uint8_t *data, size_t suffix_at, size_t *body_at,
                        char why[MODULE_WHY_SIZE])
{
    bool has_end;

    *body_at = part->header_at + MODULE_HEADER_BYTES;
    if ((part->flags & MODULE_FLAG_PREFIX_EXTENSIONS) == 0)
        return true;
    if (!walk(part, data, body_at, suffix_at, &has_end, why))
        return false;
    if (!has_end)
        return module_refuse(why, "the extensions behind its header do not end");
    return true;
}
