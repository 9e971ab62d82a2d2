#include "swarm_messages.h"
#include "base/bytes.h"
#include "swarm_firmware.h"
#include <string.h>

#define PROTOBUF_SINCE 5500
#define TOKEN_SINCE 3300
#define PRIVATE_EVENTS_SINCE 6200
#define LONG_HELLO_SINCE 3000
#define UPDATE_APPLIED 0x01

void swarm_message_hello(struct swarm_coap_out *out, uint16_t mid, const struct swarm_model *m)
{
    uint16_t version = m->firmware.system_version;
    uint8_t payload[64];
    struct bytes_writer w;

    bytes_writer_init(&w, payload, sizeof(payload));
    if (m->firmware.product_id && !swarm_firmware_is_in_safe_mode(&m->firmware)) {
        bytes_put_be16(&w, m->firmware.product_id);
        bytes_put_be16(&w, m->firmware.product_version);
    } else {
        bytes_put_be16(&w, m->platform->id); /* product: the build's default */
        bytes_put_be16(&w, 0xffff);          /* its version: none */
    }
    bytes_put_be16(&w, (uint16_t)(swarm_platform_hello_flags(m->platform, version) |
                                  (m->update_applied ? UPDATE_APPLIED : 0)));
    bytes_put_be16(&w, m->platform->id);
    bytes_put_be16(&w, DEVICE_ID_BYTES);
    bytes_put(&w, m->id.bytes, DEVICE_ID_BYTES);
    if (version >= LONG_HELLO_SINCE) {
        bytes_put_be16(&w, version);
        bytes_put_be16(&w, swarm_platform_max_message(m->platform, version));
        bytes_put_be32(&w, m->platform->max_binary);
        bytes_put_be16(&w, 512);
    }
    swarm_coap_begin(out, SWARM_CON, SWARM_POST, mid, NULL);
    swarm_coap_option(out, SWARM_OPT_PATH, "h", 1);
    swarm_coap_payload(out, payload, bytes_written(&w));
}

static void put_varint(struct bytes_writer *w, uint32_t v)
{
    while (v >= 0x80) {
        bytes_put_u8(w, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    bytes_put_u8(w, (uint8_t)v);
}

/* device-protocol 4.3: cloud reason, then reset reason or seconds of sleep. */
void swarm_message_goodbye(struct swarm_coap_out *out, uint16_t mid, uint32_t sleep_s)
{
    uint8_t payload[16];
    struct bytes_writer w;

    bytes_writer_init(&w, payload, sizeof(payload));
    put_varint(&w, sleep_s > 0 ? 0x05 : 0x03);
    put_varint(&w, sleep_s > 0 ? 6 : 5);
    put_varint(&w, sleep_s > 0 ? sleep_s : 140);
    swarm_coap_begin(out, SWARM_CON, SWARM_POST, mid, NULL);
    swarm_coap_option(out, SWARM_OPT_PATH, "x", 1);
    swarm_coap_payload(out, payload, bytes_written(&w));
}

void swarm_message_time(struct swarm_coap_out *out, uint16_t mid, const struct swarm_coap_token *token)
{
    swarm_coap_begin(out, SWARM_CON, SWARM_GET, mid, token);
    swarm_coap_option(out, SWARM_OPT_PATH, "t", 1);
}

static bool is_system_name(const char *name)
{
    return strncmp(name, "spark", 5) == 0 || strncmp(name, "particle", 8) == 0;
}

void swarm_message_event(struct swarm_coap_out *out, uint16_t mid, const struct swarm_model *m,
                         const char *name, const char *data)
{
    bool is_private = m->firmware.system_version >= PRIVATE_EVENTS_SINCE || is_system_name(name);

    swarm_coap_begin(out, SWARM_CON, SWARM_POST, mid, NULL);
    swarm_coap_option(out, SWARM_OPT_PATH, is_private ? "E" : "e", 1);
    swarm_coap_option(out, SWARM_OPT_PATH, name, strlen(name));
    swarm_coap_payload(out, data, strlen(data));
}

void swarm_message_subscribe(struct swarm_coap_out *out, uint16_t mid, const struct swarm_model *m,
                             const char *prefix)
{
    swarm_coap_begin(out, SWARM_CON, SWARM_GET, mid, NULL);
    swarm_coap_option(out, SWARM_OPT_PATH, "e", 1);
    swarm_coap_option(out, SWARM_OPT_PATH, prefix, strlen(prefix));
    if (m->firmware.system_version < PRIVATE_EVENTS_SINCE) /* own devices: device-protocol 4.8 */
        swarm_coap_option(out, SWARM_OPT_QUERY, "u", 1);
}

bool swarm_describe_is_protobuf(const struct swarm_model *m, unsigned int flags)
{
    return flags == SWARM_DESCRIBE_SYSTEM && m->firmware.system_version >= PROTOBUF_SINCE;
}

bool swarm_describe_has_token(const struct swarm_model *m)
{
    return m->firmware.system_version >= TOKEN_SINCE;
}
