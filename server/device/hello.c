#include "device/hello.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

bool hello_parse(struct hello *hello, const uint8_t *payload, size_t payload_len)
{
    struct bytes_reader r;

    *hello = (struct hello){0};
    bytes_reader_init(&r, payload, payload_len);
    hello->product_id = bytes_get_be16(&r);
    hello->product_version = bytes_get_be16(&r);
    hello->flags = bytes_get_be16(&r);
    hello->platform_id = bytes_get_be16(&r);
    if (r.bad)
        return false;
    if (bytes_left(&r) == 0) /* TCP up to 2.x: no ID at all */
        return true;

    uint16_t id_len = bytes_get_be16(&r); /* since 3.0 a reserved 0 and one byte: the same two bytes */
    if (r.bad || (id_len != 0 && id_len != DEVICE_ID_BYTES))
        return false;
    const uint8_t *id = bytes_get(&r, id_len);
    if (r.bad)
        return false;
    if (id_len > 0) {
        memcpy(hello->id.bytes, id, DEVICE_ID_BYTES);
        hello->has_id = true;
    }
    if (bytes_left(&r) >= 2)
        hello->system_version = bytes_get_be16(&r);
    if (bytes_left(&r) >= 2)
        hello->max_message_bytes = bytes_get_be16(&r);
    if (bytes_left(&r) >= 4)
        hello->max_binary_bytes = bytes_get_be32(&r);
    else
        return true;
    if (bytes_left(&r) >= 2)
        hello->chunk_bytes = bytes_get_be16(&r);
    return true;
}

/* device-protocol 7.1 and 7.3; the narrower range comes first. */
static const struct release {
    uint16_t first, last;
    const char *name;
} releases[] = {
    {110, 110, "0.6.4"},   {207, 207, "0.7.0"},   {1000, 1000, "1.0.0"}, {2302, 2302, "2.3.1"},
    {3103, 3103, "3.1.0"}, {3201, 3201, "3.2.0"}, {3302, 3302, "3.3.1"}, {4003, 4003, "4.0.0"},
    {4200, 4200, "4.2.0"}, {5002, 5002, "5.0.0"}, {5501, 5501, "5.5.0"}, {5802, 5802, "5.8.2"},
    {5901, 5901, "5.9.0"}, {6000, 6000, "6.0.0"}, {6101, 6101, "6.1.1"}, {6200, 6200, "6.2.0"},
    {1, 11, "0.4.x"},      {12, 23, "0.5.x"},     {100, 109, "0.6.x"},   {200, 206, "0.7.x"},
    {300, 326, "0.8.x"},   {400, 403, "0.9.x"},   {1100, 1102, "1.1.x"}, {1200, 1213, "1.2.x"},
    {1300, 1321, "1.3.x"}, {1400, 1408, "1.4.x"}, {1500, 1515, "1.5.x"}, {2000, 2011, "2.0.x"},
    {2100, 2199, "2.1.x"}, {2200, 2299, "2.2.x"}, {3000, 3005, "3.0.x"},
};

const char *hello_system_release(uint16_t system_version, char out[16])
{
    out[0] = '\0';
    if (system_version == 0)
        return out;
    for (size_t i = 0; i < sizeof(releases) / sizeof(releases[0]); i++) {
        if (system_version >= releases[i].first && system_version <= releases[i].last) {
            (void)snprintf(out, 16, "%s", releases[i].name);
            return out;
        }
    }
    (void)snprintf(out, 16, "v%u", system_version);
    return out;
}
