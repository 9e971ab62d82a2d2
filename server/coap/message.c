#include "coap/message.h"

#include <string.h>

/* The only file that sees libcoap: option encoding and parsing, unsigned option values. */
#include <coap3/coap.h>

#define VERSION 1
#define HEADER_BYTES 4
#define PAYLOAD_MARKER 0xff
#define EXTENDED_DELTA_MIN 269 /* smallest delta that nibble 14 can mean (RFC 7252 3.1) */

/* What this server understands of the critical options, with the bounds of RFC 7252 5.10 and RFC 7959 2.1. */
static const struct known_option {
    uint16_t number;
    uint16_t min_bytes, max_bytes;
    bool repeatable;
} known_critical[] = {
    {3 /* Uri-Host */, 1, 255, false},  {7 /* Uri-Port */, 0, 2, false}, {COAP_OPT_URI_PATH, 0, 255, true},
    {COAP_OPT_URI_QUERY, 0, 255, true}, {COAP_OPT_ACCEPT, 0, 2, false},  {COAP_OPT_BLOCK2, 0, 3, false},
    {COAP_OPT_BLOCK1, 0, 3, false},
};

/* Parses one option of [at, end); returns its bytes, 0 when it is malformed or its number passes 65535. */
static size_t parse_option(const uint8_t *at, const uint8_t *end, uint16_t previous,
                           struct coap_option *option)
{
    coap_option_t parsed;
    size_t used = coap_opt_parse(at, (size_t)(end - at), &parsed);

    if (used == 0)
        return 0;
    if (*at >> 4 == 14 && parsed.delta < EXTENDED_DELTA_MIN) /* the 16 bits of libcoap's delta wrapped */
        return 0;
    if (parsed.delta > UINT16_MAX - previous)
        return 0;
    option->number = (uint16_t)(previous + parsed.delta);
    option->value = parsed.value;
    option->value_len = parsed.length;
    return used;
}

/* Walks options and payload; false on a message format error. */
static bool split_body(struct coap_message *m, const uint8_t *at, const uint8_t *end)
{
    struct coap_option option;
    uint16_t number = 0;

    m->options = at;
    for (size_t count = 0; at < end && *at != PAYLOAD_MARKER; count++) {
        size_t used = parse_option(at, end, number, &option);
        if (used == 0 || count == COAP_OPTIONS_MAX)
            return false;
        number = option.number;
        at += used;
    }
    m->options_len = (size_t)(at - m->options);
    if (at < end) {
        m->payload = at + 1;
        m->payload_len = (size_t)(end - m->payload);
    }
    return true;
}

enum coap_decode coap_message_decode(struct coap_message *m, const uint8_t *data, size_t data_len)
{
    memset(m, 0, sizeof(*m));
    m->options = data;
    if (data_len < HEADER_BYTES || data[0] >> 6 != VERSION)
        return COAP_DECODE_SHORT;
    m->type = (enum coap_type)(data[0] >> 4 & 3);
    m->code = data[1];
    m->mid = (uint16_t)(data[2] << 8 | data[3]);

    size_t token_len = data[0] & 15;
    if (token_len > COAP_TOKEN_MAX || token_len > data_len - HEADER_BYTES)
        return COAP_DECODE_BAD;
    memcpy(m->token, data + HEADER_BYTES, token_len);
    m->token_len = (uint8_t)token_len;

    if (m->code == COAP_EMPTY) /* nothing may follow the message ID (RFC 7252 4.1) */
        return data_len == HEADER_BYTES ? COAP_DECODED : COAP_DECODE_BAD;
    uint8_t class = m->code >> 5;
    if (class == 1 || class > 5) /* reserved (RFC 7252 4.2) */
        return COAP_DECODE_BAD;
    if (!split_body(m, data + HEADER_BYTES + token_len, data + data_len)) {
        m->options_len = 0;
        return COAP_DECODE_BAD;
    }
    return COAP_DECODED;
}

void coap_options_begin(struct coap_option_iter *it, const struct coap_message *m)
{
    it->at = m->options;
    it->end = m->options + m->options_len;
    it->number = 0;
}

bool coap_options_next(struct coap_option_iter *it, struct coap_option *option)
{
    if (it->at == it->end)
        return false;
    size_t used = parse_option(it->at, it->end, it->number, option);
    if (used == 0)
        return false;
    it->at += used;
    it->number = option->number;
    return true;
}

bool coap_option_find(const struct coap_message *m, uint16_t number, struct coap_option *option)
{
    struct coap_option_iter it;

    coap_options_begin(&it, m);
    while (coap_options_next(&it, option)) {
        if (option->number == number)
            return true;
    }
    return false;
}

bool coap_option_uint(const struct coap_option *option, uint32_t *value)
{
    if (option->value_len > sizeof(*value))
        return false;
    *value = coap_decode_var_bytes(option->value, option->value_len);
    return true;
}

bool coap_options_join(const struct coap_message *m, uint16_t number, char sep, char *out, size_t out_size)
{
    struct coap_option_iter it;
    struct coap_option option;
    size_t len = 0;
    bool first = true;

    must(out_size > 0);
    coap_options_begin(&it, m);
    while (coap_options_next(&it, &option)) {
        if (option.number != number)
            continue;
        if (option.value_len + !first >= out_size - len)
            return false;
        if (option.value_len > 0 && memchr(option.value, 0, option.value_len) != NULL)
            return false;
        if (!first)
            out[len++] = sep;
        memcpy(out + len, option.value, option.value_len);
        len += option.value_len;
        first = false;
    }
    out[len] = '\0';
    return true;
}

/* An option out of its bounds or repeated without leave counts as unknown (RFC 7252 5.4.3, 5.4.5). */
static bool is_understood(const struct coap_option *option, bool repeated)
{
    for (size_t i = 0; i < sizeof(known_critical) / sizeof(known_critical[0]); i++) {
        const struct known_option *known = &known_critical[i];
        if (known->number == option->number)
            return option->value_len >= known->min_bytes && option->value_len <= known->max_bytes &&
                   (known->repeatable || !repeated);
    }
    return false;
}

bool coap_has_unknown_critical(const struct coap_message *m, uint16_t *number)
{
    struct coap_option_iter it;
    struct coap_option option;
    uint16_t previous = 0;

    coap_options_begin(&it, m);
    while (coap_options_next(&it, &option)) {
        if ((option.number & 1) != 0 && !is_understood(&option, option.number == previous)) {
            *number = option.number;
            return true;
        }
        previous = option.number;
    }
    return false;
}

void coap_build(struct coap_builder *b, uint8_t *out, size_t out_size, enum coap_type type, uint8_t code,
                uint16_t mid, const uint8_t *token, size_t token_len)
{
    must(token_len <= COAP_TOKEN_MAX);
    *b = (struct coap_builder){.out = out, .out_size = out_size};
    if (out_size < HEADER_BYTES + token_len) {
        b->bad = true;
        return;
    }
    out[0] = (uint8_t)(VERSION << 6 | (unsigned)type << 4 | (unsigned)token_len);
    out[1] = code;
    out[2] = (uint8_t)(mid >> 8);
    out[3] = (uint8_t)mid;
    if (token_len > 0)
        memcpy(out + HEADER_BYTES, token, token_len);
    b->len = HEADER_BYTES + token_len;
}

void coap_build_option(struct coap_builder *b, uint16_t number, const void *value, size_t value_len)
{
    size_t used = 0;

    if (!b->bad && number >= b->last_option && b->len < b->out_size && value_len <= UINT16_MAX)
        used = coap_opt_encode(b->out + b->len, b->out_size - b->len, (uint16_t)(number - b->last_option),
                               value, value_len);
    if (used == 0) {
        b->bad = true;
        return;
    }
    b->len += used;
    b->last_option = number;
}

void coap_build_option_uint(struct coap_builder *b, uint16_t number, uint32_t value)
{
    uint8_t bytes[sizeof(value)];

    coap_build_option(b, number, bytes, coap_encode_var_safe(bytes, sizeof(bytes), value));
}

void coap_build_payload(struct coap_builder *b, const void *payload, size_t payload_len)
{
    if (b->bad || payload_len == 0)
        return;
    if (payload_len >= b->out_size - b->len) { /* one more for the marker */
        b->bad = true;
        return;
    }
    b->out[b->len++] = PAYLOAD_MARKER;
    memcpy(b->out + b->len, payload, payload_len);
    b->len += payload_len;
}

size_t coap_build_finish(const struct coap_builder *b)
{
    return b->bad ? 0 : b->len;
}

bool coap_block_decode(const struct coap_option *option, struct coap_block *block)
{
    uint32_t value;

    if (option->value_len > 3 || !coap_option_uint(option, &value))
        return false;
    block->num = value >> 4;
    block->more = (value & 8) != 0;
    block->szx = value & 7;
    return block->szx != 7;
}

uint32_t coap_block_encode(const struct coap_block *block)
{
    must(block->num < 1u << 20 && block->szx < 7);
    return block->num << 4 | (block->more ? 8u : 0u) | block->szx;
}
