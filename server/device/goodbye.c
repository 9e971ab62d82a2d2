#include "device/goodbye.h"

#include "base/bytes.h"

enum { HAS_CLOUD_REASON = 0x01, HAS_RESET_REASON = 0x02, HAS_SLEEP = 0x04, HAS_NETWORK_REASON = 0x08 };

/* Unsigned LEB128 of at most 32 bits; sets r->bad when it is not. */
static uint32_t get_varint(struct bytes_reader *r)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 35; shift += 7) {
        uint8_t byte = bytes_get_u8(r);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            if (value > UINT32_MAX)
                r->bad = true;
            return (uint32_t)value;
        }
    }
    r->bad = true;
    return 0;
}

bool goodbye_parse(struct device_goodbye *goodbye, const uint8_t *payload, size_t payload_len)
{
    struct bytes_reader r;

    *goodbye = (struct device_goodbye){-1, -1, -1, -1};
    if (payload_len == 0)
        return true;
    bytes_reader_init(&r, payload, payload_len);
    uint32_t flags = get_varint(&r);
    if (flags & HAS_CLOUD_REASON)
        goodbye->cloud_reason = get_varint(&r);
    if (flags & HAS_RESET_REASON)
        goodbye->reset_reason = get_varint(&r);
    if (flags & HAS_SLEEP)
        goodbye->sleep_s = get_varint(&r);
    if (flags & HAS_NETWORK_REASON)
        goodbye->network_reason = get_varint(&r);
    return !r.bad;
}
