#include "swarm_coap.h"
#include "base/bytes.h"
#include <string.h>

static void put(struct swarm_coap_out *out, const void *data, size_t len)
{
    if (out->bad || len > sizeof(out->bytes) - out->len) {
        out->bad = true;
        return;
    }
    if (len > 0)
        memcpy(out->bytes + out->len, data, len);
    out->len += len;
}

static void put_u8(struct swarm_coap_out *out, unsigned int v)
{
    uint8_t byte = (uint8_t)v;

    put(out, &byte, 1);
}

void swarm_coap_begin(struct swarm_coap_out *out, enum swarm_coap_type type, uint8_t code, uint16_t mid,
                      const struct swarm_coap_token *token)
{
    uint8_t token_len = token ? token->len : 0;

    out->len = 0;
    out->last_option = 0;
    out->bad = false;
    put_u8(out, 0x40U | (unsigned int)type << 4 | token_len);
    put_u8(out, code);
    put_u8(out, mid >> 8);
    put_u8(out, mid & 0xff);
    if (token_len > 0)
        put(out, token->bytes, token_len);
}

/* RFC 7252 3.1: nibbles 13 and 14 announce one and two more bytes. */
static unsigned int nibble_of(size_t value)
{
    return value < 13 ? (unsigned int)value : value < 269 ? 13 : 14;
}

static void put_extended(struct swarm_coap_out *out, size_t value)
{
    if (value >= 269) {
        put_u8(out, (unsigned int)(value - 269) >> 8);
        put_u8(out, (unsigned int)(value - 269) & 0xff);
    } else if (value >= 13) {
        put_u8(out, (unsigned int)value - 13);
    }
}

void swarm_coap_option(struct swarm_coap_out *out, uint16_t number, const void *value, size_t value_len)
{
    size_t delta = (size_t)number - out->last_option;

    must(number >= out->last_option);
    put_u8(out, nibble_of(delta) << 4 | nibble_of(value_len));
    put_extended(out, delta);
    put_extended(out, value_len);
    put(out, value, value_len);
    out->last_option = number;
}

void swarm_coap_uint(struct swarm_coap_out *out, uint16_t number, uint32_t value)
{
    uint8_t bytes[4];
    size_t len = value == 0 ? 0 : value < 0x100 ? 1 : value < 0x10000 ? 2 : 4;

    be32_store(bytes, value);
    swarm_coap_option(out, number, bytes + sizeof(bytes) - len, len);
}

void swarm_coap_payload(struct swarm_coap_out *out, const void *data, size_t data_len)
{
    if (data_len == 0)
        return;
    put_u8(out, 0xff);
    put(out, data, data_len);
}

static bool read_extended(struct bytes_reader *r, uint32_t *value)
{
    if (*value == 13)
        *value = 13U + bytes_get_u8(r);
    else if (*value == 14)
        *value = 269U + bytes_get_be16(r);
    else if (*value == 15)
        return false;
    return !r->bad;
}

uint32_t swarm_coap_number(struct swarm_coap_piece value)
{
    uint32_t number = 0;

    for (size_t i = 0; i < value.len && i < 4; i++)
        number = number << 8 | value.data[i];
    return number;
}

static void take_option(struct swarm_coap_in *in, uint32_t number, struct swarm_coap_piece value)
{
    switch (number) {
    case SWARM_OPT_PATH:
        if (in->path_count < SWARM_COAP_PATH_MAX)
            in->path[in->path_count++] = value;
        break;
    case SWARM_OPT_FORMAT:
        in->format = swarm_coap_number(value);
        in->has_format = true;
        break;
    case SWARM_OPT_QUERY:
        if (!in->has_query)
            in->query = value;
        in->has_query = true;
        break;
    case SWARM_OPT_BLOCK2:
        in->block2 = swarm_coap_number(value);
        in->has_block2 = true;
        break;
    default:
        break;
    }
}

/* Reads one option; false at the end of options, or with r->bad when it is none. */
static bool next_option(struct bytes_reader *r, uint32_t *number, struct swarm_coap_piece *value)
{
    uint8_t head = bytes_left(r) > 0 ? bytes_get_u8(r) : 0xff;
    uint32_t delta = head >> 4, len = head & 15;

    if (head == 0xff)
        return false;
    if (!read_extended(r, &delta) || !read_extended(r, &len)) {
        r->bad = true;
        return false;
    }
    *number += delta;
    *value = (struct swarm_coap_piece){bytes_get(r, len), len};
    r->bad = r->bad || *number > 0xffff;
    return !r->bad;
}

static bool read_options(struct swarm_coap_in *in, struct bytes_reader *r)
{
    struct swarm_coap_piece value;
    const uint8_t *start = r->at;
    uint32_t number = 0;
    bool first = true;

    while (next_option(r, &number, &value)) {
        if (first) /* devices look for the path letter at one fixed place: device-protocol 3.1 */
            in->path_first = number == SWARM_OPT_PATH && value.len == 1;
        first = false;
        in->options = (struct swarm_coap_piece){start, (size_t)(r->at - start)};
        take_option(in, number, value);
    }
    if (r->bad)
        return false;
    in->payload = (struct swarm_coap_piece){r->at, bytes_left(r)};
    /* RFC 7252 3: a marker without payload is an error */
    return in->payload.len > 0 || (size_t)(r->at - start) == in->options.len;
}

bool swarm_coap_find(const struct swarm_coap_in *in, uint16_t number, size_t nth,
                     struct swarm_coap_piece *value)
{
    struct bytes_reader r;
    uint32_t at = 0;

    bytes_reader_init(&r, in->options.data, in->options.len);
    while (next_option(&r, &at, value))
        if (at == number && nth-- == 0)
            return true;
    return false;
}

bool swarm_coap_parse(struct swarm_coap_in *in, const uint8_t *data, size_t data_len)
{
    struct bytes_reader r;
    uint8_t head;
    const uint8_t *token;

    memset(in, 0, sizeof(*in));
    bytes_reader_init(&r, data, data_len);
    head = bytes_get_u8(&r);
    in->code = bytes_get_u8(&r);
    in->mid = bytes_get_be16(&r);
    in->type = head >> 4 & 3;
    in->token.len = head & 15;
    token = bytes_get(&r, in->token.len);
    if (r.bad || head >> 6 != 1 || in->token.len > 8)
        return false;
    memcpy(in->token.bytes, token, in->token.len);
    if (in->code == 0 && (in->token.len > 0 || bytes_left(&r) > 0))
        return false;
    return read_options(in, &r);
}
