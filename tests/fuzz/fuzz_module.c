/* fuzz_module.c: module binaries: as they come, and with lengths and checksums made right, so that what lies
 * behind those is reached too. The first byte says where the header of the latter is. */
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/must.h"
#include "module/module_file.h"

#define HEADER_BYTES 24
#define LEAST_BYTES (HEADER_BYTES + 40)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

static void check_part(const struct module_part *p, size_t data_len)
{
    must(p->len > 0 && p->at <= data_len && p->len <= data_len - p->at);
    must(p->dependency_count <= MODULE_DEPENDENCIES_MAX);
    if (!p->has_header)
        return;
    must(p->header_at + LEAST_BYTES <= p->len);
    must((uint64_t)p->end_address - p->start_address + 4 == p->len);
    must(p->function != MODULE_NONE && p->function <= MODULE_ASSET);
    must(((p->flags & MODULE_FLAG_COMPRESSED) != 0) == (p->inflated_bytes != 0));
    must(p->inflated_bytes <= MODULE_FILE_MAX_BYTES);
}

static void look(const uint8_t *data, size_t data_len)
{
    struct module_file file;
    char why[MODULE_WHY_SIZE];

    if (!module_file_parse(&file, data, data_len, why)) {
        must(why[0] != '\0' && memchr(why, '\0', sizeof(why)) != NULL);
        return;
    }
    must(file.part_count >= 1 && file.part_count <= MODULE_PARTS_MAX);
    for (size_t i = 0; i < file.part_count; i++)
        check_part(&file.parts[i], data_len);
    const struct module_part *last = &file.parts[file.part_count - 1];
    must(last->at + last->len == data_len);
}

static void put32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> 8 * i);
}

/* Makes [at, end) a module by its length and checksums. */
static void repair(uint8_t *module, size_t len, size_t header_at)
{
    put32(module + header_at, 0x30000);
    put32(module + header_at + 4, 0x30000 + (uint32_t)len - 4);
    SHA256(module, len - 38, module + len - 38);
    be32_store(module + len - 4, (uint32_t)crc32(0, module, (uInt)(len - 4)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    static const size_t offsets[] = {0, 0x20, 0x10c, 0x184, 0x200};
    size_t header_at, second;
    uint8_t *copy;

    look(data, data_len);
    if (data_len < 1 + 2 * LEAST_BYTES)
        return 0;
    header_at = offsets[(data[0] & 0x7f) % 5];
    copy = mem_copy(data + 1, data_len - 1);
    data_len--;
    if (header_at + LEAST_BYTES > data_len) {
        free(copy);
        return 0;
    }
    if ((data[0] & 0x80) != 0) { /* two halves, of which the second may be anything */
        second = data_len / 2;
        if (header_at + LEAST_BYTES <= second) {
            repair(copy, second, header_at);
            repair(copy + second, data_len - second, 0);
        }
    } else {
        repair(copy, data_len, header_at);
    }
    look(copy, data_len);
    free(copy);
    return 0;
}
