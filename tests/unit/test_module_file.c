/* Module binaries: where everything is, and the reason why a file is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "module/module_file.h"
#include "module_builder.h"

static const uint8_t no_product[] = {0xff, 0xff, 0xff, 0xff};
static const struct module_recipe system_part = {
    .header_at = 0x200,
    .body_len = 3000,
    .function = MODULE_SYSTEM,
    .index = 1,
    .platform_id = 12,
    .version = 6200,
    .needs = {{MODULE_BOOTLOADER, 0, 3100}, {MODULE_RADIO, 0, 202}},
    .suffix = no_product,
    .suffix_len = sizeof no_product,
};

static struct module_file parsed(struct built b)
{
    struct module_file file;
    char why[MODULE_WHY_SIZE];
    if (!module_file_parse(&file, b.data, b.len, why))
        fail_msg("%s", why);
    free(b.data);
    return file;
}

/* b is freed. */
static void refused(struct built b, const char *reason)
{
    struct module_file file;
    char why[MODULE_WHY_SIZE];
    if (module_file_parse(&file, b.data, b.len, why))
        fail_msg("taken; expected: %s", reason);
    free(b.data);
    if (strstr(why, reason) == NULL)
        fail_msg("the reason is `%s`, expected `%s`", why, reason);
}

static void reads_every_field(void **state)
{
    struct built b = module_build(&system_part);
    (void)state;
    b.data[0x200 + 8] = 0x21;
    module_rehash(&b);
    size_t len = b.len;
    uint32_t crc = be32_load(b.data + b.len - 4);
    uint8_t hash[32];
    memcpy(hash, b.data + b.len - 38, 32);
    struct module_file file = parsed(b);
    const struct module_part *p = &file.parts[0];
    assert_int_equal(file.part_count, 1);
    assert_true(p->has_header);
    assert_int_equal(p->at, 0);
    assert_int_equal(p->len, len);
    assert_int_equal(p->header_at, 0x200);
    assert_int_equal(p->start_address, 0x30000);
    assert_int_equal(p->end_address, 0x30000 + len - 4);
    assert_int_equal(p->platform_id, 12);
    assert_int_equal(p->version, 6200);
    assert_int_equal(p->function, MODULE_SYSTEM);
    assert_int_equal(p->index, 1);
    assert_int_equal(p->mcu, 0x21);
    assert_int_equal(p->flags, 0);
    assert_int_equal(p->dependency_count, 2);
    assert_int_equal(p->dependencies[0].function, MODULE_BOOTLOADER);
    assert_int_equal(p->dependencies[0].version, 3100);
    assert_int_equal(p->dependencies[1].function, MODULE_RADIO);
    assert_int_equal(p->dependencies[1].version, 202);
    assert_false(p->has_product);
    assert_int_equal(p->crc32, crc);
    assert_memory_equal(p->suffix_sha256, hash, 32);
    assert_int_equal(p->inflated_bytes, 0);
}

static void finds_the_header_behind_each_vector_table(void **state)
{
    static const size_t offsets[] = {0, 0x20, 0x10c, 0x184, 0x200};
    (void)state;
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct module_recipe r = system_part;
        r.header_at = offsets[i];
        struct module_file file = parsed(module_build(&r));
        assert_int_equal(file.parts[0].header_at, offsets[i]);
    }
    struct module_recipe elsewhere = system_part;
    elsewhere.header_at = 0x40;
    refused(module_build(&elsewhere), "there is no module header at offset 0, 0x20, 0x10c, 0x184 or 0x200");
}

static void an_empty_dependency_is_none(void **state)
{
    struct module_recipe r = system_part;
    (void)state;
    r.needs[0] = (struct module_dependency){0};
    struct module_file file = parsed(module_build(&r));
    assert_int_equal(file.parts[0].dependency_count, 1);
    assert_int_equal(file.parts[0].dependencies[0].function, MODULE_RADIO);
    r.needs[1].function = 200;
    refused(module_build(&r), "it depends on module function 200, which is none of 1 to 9");
}

static void reads_the_product_wherever_it_stands(void **state)
{
    static const uint8_t bare[] = {0x39, 0x30, 7, 0};
    static const uint8_t extension[] = {1, 0, 10, 0, 0xff, 0xff, 0x39, 0x30, 7, 0};
    static const uint8_t behind_others[] = {0x11, 0, 7, 0, 'a', 'b', 'c', 0, 0, 6, 0, 9, 9, 0x39, 0x30, 7, 0};
    static const struct {
        const uint8_t *bytes;
        size_t len;
    } cases[] = {{bare, sizeof bare}, {extension, sizeof extension}, {behind_others, sizeof behind_others}};
    struct module_recipe r = system_part;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        r.suffix = cases[i].bytes;
        r.suffix_len = cases[i].len;
        struct module_file file = parsed(module_build(&r));
        assert_true(file.parts[0].has_product);
        assert_int_equal(file.parts[0].product_id, 12345);
        assert_int_equal(file.parts[0].product_version, 7);
    }
    r.suffix_len = 0;
    assert_false(parsed(module_build(&r)).parts[0].has_product);
}

static void reads_dependencies_in_extensions(void **state)
{
    static const uint8_t more[] = {3, 0, 12, 0,  MODULE_NCP, 0,   7,   0,   0x21, 0,   0,
                                   0, 1, 0,  10, 0,          255, 255, 255, 255,  255, 255};
    static const uint8_t before[] = {3, 0, 12, 0, MODULE_NCP, 1, 8, 1, 0, 0, 0, 0, 0, 0, 4, 0};
    struct module_recipe r = system_part;
    (void)state;
    r.suffix = more;
    r.suffix_len = sizeof more;
    r.prefix = before;
    r.prefix_len = sizeof before;
    r.flags = MODULE_FLAG_PREFIX_EXTENSIONS;
    struct module_file file = parsed(module_build(&r));
    assert_int_equal(file.parts[0].dependency_count, 4);
    assert_int_equal(file.parts[0].dependencies[2].version, 7);
    assert_int_equal(file.parts[0].dependencies[3].index, 1);
    assert_int_equal(file.parts[0].dependencies[3].version, 264);
}

static void refuses_malformed_extensions(void **state)
{
    static const uint8_t no_length[] = {0x11, 0, 3, 0, 0, 0, 0, 0};
    static const uint8_t too_long[] = {0x11, 0, 9, 0, 0, 0, 0, 0};
    static const uint8_t left_over[] = {0x11, 0, 7, 0, 1, 1, 1, 0, 0};
    static const uint8_t no_end[] = {0x11, 0, 4, 0};
    struct module_recipe r = system_part;
    (void)state;
    r.suffix = no_length;
    r.suffix_len = sizeof no_length;
    refused(module_build(&r), "the extension of type 0x11 at byte 3536 has a length of 3; there are 8");
    r.suffix = too_long;
    refused(module_build(&r), "has a length of 9; there are 8");
    r.suffix = left_over;
    r.suffix_len = sizeof left_over;
    refused(module_build(&r), "2 bytes of its suffix of 45 belong to no extension");
    r = system_part;
    r.flags = MODULE_FLAG_PREFIX_EXTENSIONS;
    r.prefix = no_end;
    r.prefix_len = sizeof no_end;
    r.body_len = 0;
    refused(module_build(&r), "the extensions behind its header do not end");
}

static void a_co_processor_hashes_its_own_image(void **state)
{
    struct module_recipe r = {.body_len = 5000,
                              .function = MODULE_NCP,
                              .mcu = 0x21,
                              .platform_id = 12,
                              .version = 5,
                              .hash_of_body = true};
    (void)state;
    struct module_file file = parsed(module_build(&r));
    assert_int_equal(file.parts[0].mcu, 0x21);
    r.function = MODULE_USER;
    refused(module_build(&r), "the SHA-256 in its suffix is not that of its bytes");
}

static void refuses_what_is_damaged(void **state)
{
    struct built b = module_build(&system_part);
    (void)state;
    b.data[1000] ^= 1;
    refused(b, "its CRC-32 is ");
    b = module_build(&system_part);
    b.data[1000] ^= 1;
    module_recrc(&b);
    refused(b, "the SHA-256 in its suffix is not that of its bytes");
    b = module_build(&system_part);
    b.data[b.len - 6] = 35;
    module_recrc(&b);
    refused(b, "its suffix has a size of 35 bytes; at least 36 are needed, 3040 are there");
    b = module_build(&system_part);
    b.data[b.len - 5] = 0xff;
    module_recrc(&b);
    refused(b, "bytes; at least 36 are needed");
    b = module_build(&system_part);
    b.data[0x200 + 14] = 77;
    module_rehash(&b);
    refused(b, "module function 77 is none of 1 to 9");
    b = module_build(&system_part);
    b.data[0x200 + 14] = 0;
    module_rehash(&b);
    refused(b, "module function 0 is none of 1 to 9");
    b = module_build(&system_part);
    b.data[0x200 + 9] = 0x41;
    module_rehash(&b);
    refused(b, "module flags 0x41: 0x40 has no known meaning");
}

static void refuses_wrong_lengths_with_numbers(void **state)
{
    struct built b = module_build(&system_part);
    (void)state;
    b.len -= 100;
    refused(
        b,
        "by its header at offset 0x200 the module has 3580 bytes, but there are 3480: is the file cut off?");
    b = module_build(&system_part);
    b.data = mem_grow(b.data, b.len + 10, 1);
    memset(b.data + b.len, 0, 10);
    b.len += 10;
    refused(b, "by its header at offset 0x200 the module has 3580 bytes, but 10 more follow, which it does "
               "not announce");
    refused((struct built){.data = mem_alloc(1)}, "the file is empty");
    refused((struct built){.data = mem_alloc(MODULE_FILE_MAX_BYTES + 1), .len = MODULE_FILE_MAX_BYTES + 1},
            "the file has 2097153 bytes; at most 2097152 are taken");
    refused((struct built){.data = mem_alloc(100), .len = 100},
            "there is no module header at offset 0, 0x20, 0x10c, 0x184 or 0x200");
    /* too short for its own suffix, whatever its header says */
    uint8_t *small = mem_alloc(40);
    small[4] = 36;
    refused((struct built){.data = small, .len = 40}, "a module of 40 bytes has no room");
}

static void inflates_and_looks_inside(void **state)
{
    (void)state;
    for (unsigned window_bits = 0; window_bits <= 15; window_bits += window_bits ? 1 : 9) {
        struct built b = module_build(&system_part);
        struct module_file file = parsed(module_compress(&b, 0, window_bits));
        assert_int_equal(file.parts[0].flags, MODULE_FLAG_COMPRESSED);
        assert_int_equal(file.parts[0].inflated_bytes, b.len);
        assert_int_equal(file.parts[0].version, 6200);
        assert_int_equal(file.parts[0].dependency_count, 2);
        free(b.data);
    }
    struct module_recipe asset = {
        .body_len = 500, .function = MODULE_ASSET, .flags = MODULE_FLAG_DROP_HEADER, .platform_id = 12};
    struct built b = module_build(&asset);
    assert_int_equal(parsed(module_compress(&b, 0, 0)).parts[0].inflated_bytes, 500);
    free(b.data);
}

/* Each change is made to a compressed module whose checksums are right again afterwards. */
static void refuses_compression_that_lies(void **state)
{
    struct built whole = module_build(&system_part);
    uint32_t size = (uint32_t)whole.len;
    (void)state;
    refused(module_compress(&whole, size - 1, 0), "it says that it becomes 3579 bytes, but becomes more");
    refused(module_compress(&whole, size + 1, 0), "it says that it becomes 3581 bytes, but becomes 3580");
    refused(module_compress(&whole, MODULE_FILE_MAX_BYTES + 1, 0),
            "it says that it becomes 2097153 bytes; 1 to 2097152 are possible");
    struct built b = module_compress(&whole, 0, 0);
    b.data[24] = 7;
    module_rehash(&b);
    refused(b, "the header of its compressed data has a size of 7 bytes");
    b = module_compress(&whole, 0, 0);
    b.data[26] = 1;
    module_rehash(&b);
    refused(b, "compression method 1 is not known; devices know 0");
    b = module_compress(&whole, 0, 0);
    b.data[27] = 16;
    module_rehash(&b);
    refused(b, "a compression window of 2^16 bytes is not possible");
    b = module_compress(&whole, 0, 0);
    b.data[32] = 0xff; /* no such kind of block */
    module_rehash(&b);
    refused(b, "its compressed data is damaged near byte");
    b = module_compress(&whole, 0, 0);
    b.data[9] |= MODULE_FLAG_ENCRYPTED;
    module_rehash(&b);
    refused(b, "it is compressed and encrypted");
    b = module_compress(&whole, 0, 0);
    b.data[14] = MODULE_BOOTLOADER;
    module_rehash(&b);
    refused(b, "it is compressed, which devices take of system parts, user parts and assets, not of function "
               "2 (bootloader)");
    b = module_compress(&whole, 0, 0);
    b.data[10] = 0x39; /* version */
    module_rehash(&b);
    refused(b, "it becomes another module: platform 12, function 4, index 1, version 6200 instead of 12, 4, "
               "1, 6201");
    whole.data[2000] ^= 1; /* the CRC inside */
    refused(module_compress(&whole, 0, 0), "what it becomes: its CRC-32 is");
    free(whole.data);
}

static void refuses_compressed_data_of_another_length(void **state)
{
    struct built whole = module_build(&system_part);
    struct built b = module_compress(&whole, 0, 0);
    (void)state;
    /* four bytes more behind the stream: the suffix begins later */
    struct built longer = {.data = mem_alloc(b.len + 4), .len = b.len + 4};
    memcpy(longer.data, b.data, b.len - 44);
    memcpy(longer.data + b.len - 40, b.data + b.len - 44, 44);
    uint32_t end = 0x30000 + (uint32_t)longer.len - 4;
    for (int i = 0; i < 4; i++)
        longer.data[4 + i] = (uint8_t)(end >> 8 * i);
    module_rehash(&longer);
    refused(longer, "4 bytes follow its compressed data");
    struct built shorter = {.data = mem_alloc(b.len - 4), .len = b.len - 4};
    memcpy(shorter.data, b.data, b.len - 48);
    memcpy(shorter.data + b.len - 48, b.data + b.len - 44, 44);
    end -= 8;
    for (int i = 0; i < 4; i++)
        shorter.data[4 + i] = (uint8_t)(end >> 8 * i);
    module_rehash(&shorter);
    refused(shorter, "its compressed data breaks off after ");
    free(b.data);
    free(whole.data);
}

static void takes_two_modules_of_a_file(void **state)
{
    struct module_recipe radio = {.body_len = 700,
                                  .function = MODULE_RADIO,
                                  .flags = MODULE_FLAG_DROP_HEADER,
                                  .platform_id = 12,
                                  .version = 202};
    struct built first = module_build(&radio), second = module_build(&system_part);
    (void)state;
    struct module_file file = parsed(module_combine(&first, &second));
    assert_int_equal(file.part_count, 2);
    assert_int_equal(file.parts[0].len, first.len);
    assert_int_equal(file.parts[0].flags, MODULE_FLAG_DROP_HEADER | MODULE_FLAG_COMBINED);
    assert_int_equal(file.parts[1].at, first.len);
    assert_int_equal(file.parts[1].function, MODULE_SYSTEM);
    assert_int_equal(file.parts[1].header_at, 0x200);

    struct built alone = module_combine(&first, &(struct built){0});
    refused(alone, "its header announces another module behind byte 764, where the file ends");
    second.data[1500] ^= 1;
    refused(module_combine(&first, &second), "the second module, at byte 764: its CRC-32 is");
    second.data[1500] ^= 1;
    struct built two = module_combine(&first, &second), three = module_combine(&first, &two);
    refused(three, "its second module announces a third one; devices take 2 of a file");
    free(two.data);
    struct module_recipe other = system_part;
    other.platform_id = 13;
    struct built foreign = module_build(&other);
    refused(module_combine(&first, &foreign), "its modules are for different platforms: 12 and 13");
    free(foreign.data);
    struct built packed = module_compress(&second, 0, 0);
    assert_int_equal(parsed(module_combine(&first, &packed)).parts[1].inflated_bytes, second.len);
    free(packed.data);
    free(first.data);
    free(second.data);
}

static struct built core_image(void)
{
    struct built b = {.data = mem_alloc(80000), .len = 80000};
    memset(b.data + 8, 0xa5, b.len - 8);
    memcpy(b.data, "\x00\x50\x00\x20\x41\x5a\x00\x08", 8); /* as the Tinker of 2015 begins */
    return b;
}

static void takes_a_core_image_from_before_modules(void **state)
{
    (void)state;
    struct module_file file = parsed(core_image());
    assert_int_equal(file.part_count, 1);
    assert_false(file.parts[0].has_header);
    assert_int_equal(file.parts[0].function, MODULE_MONOLITHIC);
    assert_int_equal(file.parts[0].platform_id, 0);
    assert_int_equal(file.parts[0].version, 0);
    assert_int_equal(file.parts[0].len, 80000);

    struct built b = core_image();
    b.data[4] ^= 1; /* even: no Thumb code begins there */
    refused(b, "there is no module header");
    b = core_image();
    b.data[1] = 0x51; /* beyond its RAM */
    refused(b, "there is no module header");
    b = core_image();
    b.data = mem_grow(b.data, 120000, 1);
    memset(b.data + b.len, 0, 120000 - b.len);
    b.len = 120000; /* beyond its flash */
    refused(b, "there is no module header");
    /* a module of a Core whose header is gone is not taken for one */
    struct module_recipe mono = {.header_at = 0x10c,
                                 .body_len = 9000,
                                 .function = MODULE_MONOLITHIC,
                                 .suffix = no_product,
                                 .suffix_len = 4};
    b = module_build(&mono);
    memcpy(b.data, "\x00\x50\x00\x20\x41\x5a\x00\x08", 8);
    memset(b.data + 0x10c, 0, 24);
    refused(b, "there is no module header");
    b = module_build(&mono);
    memcpy(b.data, "\x00\x50\x00\x20\x41\x5a\x00\x08", 8);
    refused(b, "its CRC-32 is");
}

static void names_and_letters_agree(void **state)
{
    (void)state;
    for (uint8_t function = MODULE_RESOURCE; function <= MODULE_ASSET; function++) {
        char letter = module_function_letter(function);
        assert_int_equal(module_function_of_letter(letter), letter == '_' ? MODULE_NONE : function);
        assert_true(strlen(module_function_name(function)) > 1);
    }
    assert_int_equal(module_function_letter(10), '?');
    assert_string_equal(module_function_name(10), "?");
    assert_int_equal(module_function_of_letter('?'), MODULE_NONE);
    assert_int_equal(module_function_of_letter('\0'), MODULE_NONE);
    assert_string_equal(module_platform_name(12), "Argon");
    assert_null(module_platform_name(11));
}

/* --- images of real devices, where the machine has them --- */

static const struct {
    const char *name;
    size_t header_at;
    uint16_t platform_id, version;
    uint8_t function, index, mcu, flags;
    struct module_dependency needs[2];
    int product_id, product_version; /* -1 = none */
} real[] = {
    {"043_system-part1.bin", 0x184, 6, 3, MODULE_SYSTEM, 1, 0, 0, {{0}}, -1, -1},
    {"044_Core_Tinker_P5_V10.bin", 0x10c, 0, 0, MODULE_MONOLITHIC, 0, 0, 0, {{0}}, 5, 10},
    {"080_bootloader-xenon.bin", 0x200, 14, 211, MODULE_BOOTLOADER, 0, 0, 0, {{0}}, -1, -1},
    {"080_user-part-xenon.bin", 0, 14, 5, MODULE_USER, 1, 0, 0, {{MODULE_SYSTEM, 1, 312}}, -1, -1},
    {"argon-ncp-firmware-0.0.5-ota.bin", 0, 12, 5, MODULE_NCP, 0, 0x21, 0, {{0}}, -1, -1},
    {"argon-softdevice-6.1.1.bin",
     0,
     12,
     182,
     MODULE_RADIO,
     0,
     0,
     MODULE_FLAG_DROP_HEADER,
     {{MODULE_SYSTEM, 1, 1300}, {MODULE_BOOTLOADER, 0, 311}},
     -1,
     -1},
    {"boron-som-system-part1@1.1.0-rc.1.bin",
     0x200,
     23,
     1100,
     MODULE_SYSTEM,
     1,
     0,
     0,
     {{MODULE_BOOTLOADER, 0, 201}},
     -1,
     -1},
};

static struct built read_real(const char *name)
{
    const char *folder = getenv("CYAN_FIRMWARE");
    char *path = mem_printf("%s/%s", folder ? folder : CYAN_SOURCE_DIR "/../shared/firmware", name);
    FILE *file = fopen(path, "rb");
    struct built b = {0};
    free(path);
    if (file == NULL)
        return b;
    b.data = mem_alloc(MODULE_FILE_MAX_BYTES);
    b.len = fread(b.data, 1, MODULE_FILE_MAX_BYTES, file);
    assert_int_equal(fclose(file), 0);
    return b;
}

static void reads_images_of_real_devices(void **state)
{
    size_t seen = 0;
    (void)state;
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
        struct built b = read_real(real[i].name);
        if (b.data == NULL)
            continue;
        size_t len = b.len, needs = 0;
        struct module_file file = parsed(b);
        const struct module_part *p = &file.parts[0];
        assert_int_equal(file.part_count, 1);
        assert_int_equal(p->len, len);
        assert_int_equal(p->header_at, real[i].header_at);
        assert_int_equal(p->platform_id, real[i].platform_id);
        assert_int_equal(p->version, real[i].version);
        assert_int_equal(p->function, real[i].function);
        assert_int_equal(p->index, real[i].index);
        assert_int_equal(p->mcu, real[i].mcu);
        assert_int_equal(p->flags, real[i].flags);
        for (int n = 0; n < 2 && real[i].needs[n].function != MODULE_NONE; n++, needs++) {
            assert_int_equal(p->dependencies[n].function, real[i].needs[n].function);
            assert_int_equal(p->dependencies[n].index, real[i].needs[n].index);
            assert_int_equal(p->dependencies[n].version, real[i].needs[n].version);
        }
        assert_int_equal(p->dependency_count, needs);
        assert_int_equal(p->has_product ? p->product_id : -1, real[i].product_id);
        assert_int_equal(p->has_product ? p->product_version : -1, real[i].product_version);
        seen++;
    }
    if (seen == 0)
        skip();
}

static void real_images_damaged_anywhere_are_refused(void **state)
{
    size_t seen = 0;
    (void)state;
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
        struct built b = read_real(real[i].name);
        struct module_file file;
        char why[MODULE_WHY_SIZE];
        if (b.data == NULL)
            continue;
        for (size_t at = 0; at < b.len; at += b.len / 16) {
            b.data[at] ^= 0x10;
            assert_false(module_file_parse(&file, b.data, b.len, why));
            assert_true(strlen(why) > 10);
            b.data[at] ^= 0x10;
        }
        assert_false(module_file_parse(&file, b.data, b.len - 1, why));
        free(b.data);
        seen++;
    }
    if (seen == 0)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_field),
        cmocka_unit_test(finds_the_header_behind_each_vector_table),
        cmocka_unit_test(an_empty_dependency_is_none),
        cmocka_unit_test(reads_the_product_wherever_it_stands),
        cmocka_unit_test(reads_dependencies_in_extensions),
        cmocka_unit_test(refuses_malformed_extensions),
        cmocka_unit_test(a_co_processor_hashes_its_own_image),
        cmocka_unit_test(refuses_what_is_damaged),
        cmocka_unit_test(refuses_wrong_lengths_with_numbers),
        cmocka_unit_test(inflates_and_looks_inside),
        cmocka_unit_test(refuses_compression_that_lies),
        cmocka_unit_test(refuses_compressed_data_of_another_length),
        cmocka_unit_test(takes_two_modules_of_a_file),
        cmocka_unit_test(takes_a_core_image_from_before_modules),
        cmocka_unit_test(names_and_letters_agree),
        cmocka_unit_test(reads_images_of_real_devices),
        cmocka_unit_test(real_images_damaged_anywhere_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
