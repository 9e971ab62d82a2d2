#include "module/module_file.h"

#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "module/module_inner.h"

/* A Core (STM32F103CB): its RAM, and the flash behind its bootloader. */
#define CORE_RAM_START 0x20000000u
#define CORE_RAM_END 0x20005000u
#define CORE_FLASH_START 0x08005000u
#define CORE_FLASH_END 0x08020000u
#define CORE_VECTORS_BYTES 0x10cu

bool module_refuse(char why[MODULE_WHY_SIZE], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, MODULE_WHY_SIZE, format, args);
    va_end(args);
    return false;
}

/* Words of a vector table: where the stack is, where to begin (in Thumb code, so odd). */
static bool is_core_image(const uint8_t *data, size_t data_len)
{
    struct bytes_reader r;
    uint32_t stack, reset;

    bytes_reader_init(&r, data, data_len);
    stack = bytes_get_le32(&r);
    reset = bytes_get_le32(&r);
    return data_len > CORE_VECTORS_BYTES && data_len <= CORE_FLASH_END - CORE_FLASH_START &&
           stack > CORE_RAM_START && stack <= CORE_RAM_END && stack % 4 == 0 && reset % 2 == 1 &&
           reset >= CORE_FLASH_START && reset < CORE_FLASH_START + data_len;
}

/* A module whose header is damaged beyond recognition would pass for an old Core's image. */
static bool ends_like_a_module(const uint8_t *data, size_t data_len)
{
    uint8_t sha256[32];
    size_t hash_at;

    if (data_len < MODULE_SUFFIX_MIN_BYTES + MODULE_CRC_BYTES)
        return false;
    hash_at = data_len - MODULE_CRC_BYTES - 2 - sizeof(sha256);
    unsigned size = data[data_len - MODULE_CRC_BYTES - 2] | data[data_len - MODULE_CRC_BYTES - 1] << 8u;
    SHA256(data, hash_at, sha256);
    return size == MODULE_SUFFIX_MIN_BYTES || size == MODULE_SUFFIX_MIN_BYTES + 4 ||
           memcmp(sha256, data + hash_at, sizeof(sha256)) == 0;
}

static bool read_part(struct module_part *part, const uint8_t *data, size_t left, char why[MODULE_WHY_SIZE])
{
    size_t suffix_at, body_at;

    switch (module_header_find(part, data, left, why)) {
    case MODULE_FOUND:
        break;
    case MODULE_NOT_THERE:
        return module_refuse(why, "there is no module header at offset 0, 0x20, 0x10c, 0x184 or 0x200");
    case MODULE_DAMAGED:
        return false;
    }
    if (!module_header_check(part, why) || !module_suffix_read(part, data, &suffix_at, why) ||
        !module_prefix_read(part, data, suffix_at, &body_at, why))
        return false;
    return (part->flags & MODULE_FLAG_COMPRESSED) == 0 ||
           module_inflate_check(part, data, body_at, suffix_at, why);
}

static bool read_second(struct module_file *file, const uint8_t *data, size_t data_len,
                        char why[MODULE_WHY_SIZE])
{
    const struct module_part *first = &file->parts[0];
    struct module_part *second = &file->parts[1];
    size_t at = first->len;
    char second_why[MODULE_WHY_SIZE];

    if (at == data_len)
        return module_refuse(why, "its header announces another module behind byte %zu, where the file ends",
                             at);
    if (!read_part(second, data + at, data_len - at, second_why))
        return module_refuse(why, "the second module, at byte %zu: %.150s", at, second_why);
    second->at = at;
    file->part_count = 2;
    if (second->platform_id != first->platform_id)
        return module_refuse(why, "its modules are for different platforms: %u and %u", first->platform_id,
                             second->platform_id);
    if ((second->flags & MODULE_FLAG_COMBINED) != 0)
        return module_refuse(why, "its second module announces a third one; devices take %d of a file",
                             MODULE_PARTS_MAX);
    return true;
}

bool module_file_parse(struct module_file *file, const uint8_t *data, size_t data_len,
                       char why[MODULE_WHY_SIZE])
{
    *file = (struct module_file){0};
    why[0] = '\0';
    if (data_len == 0)
        return module_refuse(why, "the file is empty");
    if (data_len > MODULE_FILE_MAX_BYTES)
        return module_refuse(why, "the file has %zu bytes; at most %u are taken", data_len,
                             MODULE_FILE_MAX_BYTES);
    SHA256(data, data_len, file->sha256);
    file->part_count = 1;
    if (!read_part(&file->parts[0], data, data_len, why)) {
        if (file->parts[0].has_header || !is_core_image(data, data_len) || ends_like_a_module(data, data_len))
            return false;
        file->parts[0] = (struct module_part){.len = data_len, .function = MODULE_MONOLITHIC};
        return true;
    }
    return (file->parts[0].flags & MODULE_FLAG_COMBINED) == 0 || read_second(file, data, data_len, why);
}
