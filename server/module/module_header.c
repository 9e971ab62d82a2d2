/* module_header.c: where the header of a module is, and what it says. */
#include "module/module_inner.h"

#include <zlib.h>

#include "base/bytes.h"

#define KNOWN_FLAGS                                                                                          \
    (MODULE_FLAG_DROP_HEADER | MODULE_FLAG_COMPRESSED | MODULE_FLAG_COMBINED | MODULE_FLAG_ENCRYPTED |       \
     MODULE_FLAG_PREFIX_EXTENSIONS)

/* At the start, or behind the vector table of the processor: RTL872x, Core, STM32F2, nRF52840. */
static const size_t offsets[] = {0, 0x20, 0x10c, 0x184, 0x200};
#define OFFSET_COUNT (sizeof(offsets) / sizeof(offsets[0]))

enum fit {
    FIT_NOT,
    FIT_SENSE, /* a header by all it says, but of a module of another length */
    FIT_LENGTH,
};

static uint64_t length_of(const struct module_part *part)
{
    return (uint64_t)part->end_address - part->start_address + MODULE_CRC_BYTES;
}

static void add_dependency(struct module_part *part, struct module_dependency needs)
{
    if (needs.function != MODULE_NONE)
        part->dependencies[part->dependency_count++] = needs;
}

static void read_header(struct module_part *part, const uint8_t *at)
{
    struct bytes_reader r;

    bytes_reader_init(&r, at, MODULE_HEADER_BYTES);
    part->start_address = bytes_get_le32(&r);
    part->end_address = bytes_get_le32(&r); /* of the CRC */
    part->mcu = bytes_get_u8(&r);
    part->flags = bytes_get_u8(&r);
    part->version = bytes_get_le16(&r);
    part->platform_id = bytes_get_le16(&r);
    part->function = bytes_get_u8(&r);
    part->index = bytes_get_u8(&r);
    for (int i = 0; i < 2; i++) {
        struct module_dependency needs = {.function = bytes_get_u8(&r), .index = bytes_get_u8(&r)};
        needs.version = bytes_get_le16(&r);
        add_dependency(part, needs);
    }
}

static bool makes_sense(const struct module_part *part)
{
    if (part->function == MODULE_NONE || part->function > MODULE_FUNCTION_LAST ||
        (part->flags & ~KNOWN_FLAGS) != 0 || module_platform_name(part->platform_id) == NULL)
        return false;
    for (size_t i = 0; i < part->dependency_count; i++) {
        if (part->dependencies[i].function > MODULE_FUNCTION_LAST)
            return false;
    }
    return true;
}

static enum fit fit_of(const struct module_part *part, size_t left)
{
    uint64_t len = length_of(part);

    if (part->end_address <= part->start_address)
        return FIT_NOT;
    if (len == left)
        return FIT_LENGTH;
    if (!makes_sense(part))
        return FIT_NOT;
    return len < left && (part->flags & MODULE_FLAG_COMBINED) != 0 ? FIT_LENGTH : FIT_SENSE;
}

/* Needs a length that fits. */
static bool crc_is_right(struct module_part *part, const uint8_t *data, uint32_t *computed)
{
    part->len = (size_t)length_of(part);
    if (part->len < part->header_at + MODULE_HEADER_BYTES + MODULE_SUFFIX_MIN_BYTES + MODULE_CRC_BYTES)
        return false;
    part->crc32 = be32_load(data + part->len - MODULE_CRC_BYTES);
    *computed = (uint32_t)crc32(0, data, (uInt)(part->len - MODULE_CRC_BYTES));
    return part->crc32 == *computed;
}

static bool explain(const struct module_part *part, enum fit fit, size_t left, uint32_t computed,
                    char why[MODULE_WHY_SIZE])
{
    unsigned long long len = length_of(part);

    if (fit == FIT_SENSE && len > left)
        return module_refuse(why,
                             "by its header at offset %#zx the module has %llu bytes, but there are %zu: "
                             "is the file cut off?",
                             part->header_at, len, left);
    if (fit == FIT_SENSE)
        return module_refuse(why,
                             "by its header at offset %#zx the module has %llu bytes, but %zu more follow, "
                             "which it does not announce",
                             part->header_at, len, left - (size_t)len);
    if (len < part->header_at + MODULE_HEADER_BYTES + MODULE_SUFFIX_MIN_BYTES + MODULE_CRC_BYTES)
        return module_refuse(why, "a module of %llu bytes has no room for header, suffix and CRC-32", len);
    return module_refuse(why, "its CRC-32 is %08x, that of its %llu bytes is %08x", part->crc32, len,
                         computed);
}

enum module_found module_header_find(struct module_part *part, const uint8_t *data, size_t left,
                                     char why[MODULE_WHY_SIZE])
{
    struct module_part best = {0};
    enum fit best_fit = FIT_NOT;
    uint32_t best_computed = 0;

    for (size_t i = 0; i < OFFSET_COUNT && offsets[i] + MODULE_HEADER_BYTES <= left; i++) {
        struct module_part seen = {.header_at = offsets[i], .has_header = true};
        uint32_t computed = 0;
        read_header(&seen, data + offsets[i]);
        enum fit fit = fit_of(&seen, left);
        if (fit == FIT_LENGTH && crc_is_right(&seen, data, &computed)) {
            *part = seen;
            return MODULE_FOUND;
        }
        if (fit > best_fit) {
            best = seen;
            best_fit = fit;
            best_computed = computed;
        }
    }
    if (best_fit == FIT_NOT)
        return MODULE_NOT_THERE;
    *part = best;
    (void)explain(&best, best_fit, left, best_computed, why);
    return MODULE_DAMAGED;
}

bool module_header_check(const struct module_part *part, char why[MODULE_WHY_SIZE])
{
    if (part->function == MODULE_NONE || part->function > MODULE_FUNCTION_LAST)
        return module_refuse(why, "module function %u is none of 1 to %u", part->function,
                             MODULE_FUNCTION_LAST);
    if ((part->flags & ~KNOWN_FLAGS) != 0)
        return module_refuse(why, "module flags %#04x: %#04x has no known meaning", part->flags,
                             part->flags & ~KNOWN_FLAGS);
    for (size_t i = 0; i < part->dependency_count; i++) {
        if (part->dependencies[i].function > MODULE_FUNCTION_LAST)
            return module_refuse(why, "it depends on module function %u, which is none of 1 to %u",
                                 part->dependencies[i].function, MODULE_FUNCTION_LAST);
    }
    /* device-protocol 5.5 */
    if ((part->flags & MODULE_FLAG_COMPRESSED) != 0 && part->function != MODULE_SYSTEM &&
        part->function != MODULE_USER && part->function != MODULE_ASSET)
        return module_refuse(why,
                             "it is compressed, which devices take of system parts, user parts and assets, "
                             "not of function %u (%s)",
                             part->function, module_function_name(part->function));
    return true;
}
