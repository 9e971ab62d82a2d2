#include "swarm_binary.h"
#include "base/bytes.h"
#include <string.h>
#include <zlib.h>

#define HEADER_BYTES 24
#define CRC_BYTES 4
#define SUFFIX_MIN_BYTES 36 /* reserved, SHA-256, its own size */
#define SUFFIX_PRODUCT_BYTES 40
#define VECTORS_MAX_BYTES 1024 /* the header may stand behind a vector table */
#define FUNCTION_MONOLITHIC 3
#define FUNCTION_MAX 9

const char *swarm_code_text(int code)
{
    switch (code) {
    case SWARM_CODE_STATE:
        return "Invalid state";
    case SWARM_CODE_PROTOCOL:
        return "Incomplete file transfer";
    case SWARM_CODE_ARGUMENT:
        return "Invalid argument";
    case SWARM_CODE_UNSUPPORTED:
        return "Unsupported module";
    case SWARM_CODE_INTEGRITY:
        return "Integrity check failed";
    case SWARM_CODE_RESUMED_FAILED:
        return "Resumed update failed";
    case SWARM_CODE_DEPENDENCY:
        return "Dependency check failed";
    case SWARM_CODE_SIZE:
        return "Invalid size";
    case SWARM_CODE_PLATFORM:
        return "Invalid platform";
    case SWARM_CODE_FORMAT:
        return "Invalid format";
    case SWARM_CODE_DISABLED:
        return "Updates are disabled";
    default:
        return "";
    }
}

static char letter_of(uint8_t function)
{
    static const char letters[] = "_rbmsu_ca_";

    return letters[function <= FUNCTION_MAX ? function : 0];
}

static uint32_t le32(const uint8_t *p)
{
    struct bytes_reader r;

    bytes_reader_init(&r, p, 4);
    return bytes_get_le32(&r);
}

static uint16_t le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* The header's end address points at the CRC. 0 when no module of data_len bytes or less can begin so. */
static size_t length_of(const uint8_t *header, size_t data_len)
{
    uint32_t start = le32(header), end = le32(header + 4);
    size_t len = (size_t)(end - start) + CRC_BYTES;

    if (end <= start || len > data_len || len < HEADER_BYTES + SUFFIX_MIN_BYTES + CRC_BYTES)
        return 0;
    if (len < data_len && !(header[9] & SWARM_BINARY_COMBINED))
        return 0;
    return header[14] >= 1 && header[14] <= FUNCTION_MAX && header[15] <= 9 ? len : 0;
}

static bool crc_fits(const uint8_t *data, size_t len)
{
    return crc32(0, data, (uInt)(len - CRC_BYTES)) == be32_load(data + len - CRC_BYTES);
}

/* Sets where the header is, and the length it gives; also when the CRC of the last candidate is wrong. */
static bool find_header(const uint8_t *data, size_t data_len, size_t *header_at, size_t *len)
{
    bool found = false;

    for (size_t at = 0; at <= VECTORS_MAX_BYTES && at + HEADER_BYTES <= data_len; at += 4) {
        size_t candidate = length_of(data + at, data_len);

        if (candidate == 0)
            continue;
        found = true;
        *header_at = at;
        *len = candidate;
        if (crc_fits(data, candidate))
            break;
    }
    return found;
}

static void read_dependency(struct swarm_dependency *depends, const uint8_t *at)
{
    if (at[0] == 0)
        return;
    *depends =
        (struct swarm_dependency){.f = letter_of(at[0]), .n = (char)('0' + at[1] % 10), .v = le16(at + 2)};
}

static void read_header(struct swarm_part *part, const uint8_t *header)
{
    part->mcu = header[8];
    part->flags = header[9];
    part->version = le16(header + 10);
    part->platform = le16(header + 12);
    part->function = header[14];
    part->f = letter_of(header[14]);
    part->n = (char)('0' + header[15]);
    read_dependency(&part->depends[0], header + 16);
    read_dependency(&part->depends[1], header + 20);
}

/* The last bytes: [product id and version,] reserved, SHA-256, suffix size, CRC-32. Devices describe that
 * hash and do not look whether it is right. */
static enum swarm_code read_suffix(struct swarm_part *part, const uint8_t *data)
{
    size_t len = part->len, hash_at = len - CRC_BYTES - 2 - SWARM_HASH_BYTES;
    uint16_t suffix_bytes = le16(data + len - CRC_BYTES - 2);

    if (suffix_bytes < SUFFIX_MIN_BYTES || suffix_bytes > len - CRC_BYTES)
        return SWARM_CODE_FORMAT;
    memcpy(part->hash, data + hash_at, SWARM_HASH_BYTES);
    part->product_id = part->product_version = 0xffff;
    if (suffix_bytes >= SUFFIX_PRODUCT_BYTES) {
        part->product_id = le16(data + hash_at - 6);
        part->product_version = le16(data + hash_at - 4);
    }
    return SWARM_CODE_OK;
}

/* A Core's firmware of before modules says nothing of itself; it begins with a stack in RAM and code in
 * flash. */
static bool is_headless(const uint8_t *data, size_t data_len)
{
    return crc_fits(data, data_len) || (le32(data) >> 20 == 0x200 && le32(data + 4) >> 20 == 0x080);
}

static void read_headless(struct swarm_part *part)
{
    part->function = FUNCTION_MONOLITHIC;
    part->f = letter_of(FUNCTION_MONOLITHIC);
    part->n = '0';
    part->product_id = part->product_version = 0xffff;
}

static enum swarm_code parse_part(struct swarm_part *part, const uint8_t *data, size_t data_len)
{
    size_t header_at = 0;

    if (data_len < HEADER_BYTES + SUFFIX_MIN_BYTES + CRC_BYTES)
        return SWARM_CODE_FORMAT;
    part->len = data_len;
    if (!find_header(data, data_len, &header_at, &part->len)) {
        read_headless(part);
        return is_headless(data, data_len) ? SWARM_CODE_OK : SWARM_CODE_FORMAT;
    }
    if (!crc_fits(data, part->len))
        return SWARM_CODE_INTEGRITY;
    read_header(part, data + header_at);
    return read_suffix(part, data);
}

enum swarm_code swarm_binary_parse(struct swarm_binary *b, const uint8_t *data, size_t data_len)
{
    size_t at = 0;

    memset(b, 0, sizeof(*b));
    while (at < data_len && b->part_count < SWARM_PARTS_MAX) {
        struct swarm_part *part = &b->parts[b->part_count];
        enum swarm_code code = parse_part(part, data + at, data_len - at);

        if (code != SWARM_CODE_OK)
            return code;
        b->part_count++;
        at += part->len;
    }
    return b->part_count > 0 ? SWARM_CODE_OK : SWARM_CODE_FORMAT;
}
