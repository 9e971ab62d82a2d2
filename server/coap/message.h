/* message.h: one CoAP message, decoded in place and encoded into a buffer (RFC 7252 3), on libcoap's option
 * codec.
 *
 * Ownership: a decoded message points into the datagram it was decoded from. Building writes to the caller's
 * buffer. */
#ifndef CYAN_COAP_MESSAGE_H
#define CYAN_COAP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

enum coap_type { COAP_CON, COAP_NON, COAP_ACK, COAP_RST };

#define COAP_CODE(class, detail) ((uint8_t)((class) << 5 | (detail)))
enum {
    COAP_EMPTY = 0,
    COAP_GET = 1,
    COAP_POST = 2,
    COAP_PUT = 3,
    COAP_DELETE = 4,
    COAP_201_CREATED = COAP_CODE(2, 1),
    COAP_204_CHANGED = COAP_CODE(2, 4),
    COAP_205_CONTENT = COAP_CODE(2, 5),
    COAP_231_CONTINUE = COAP_CODE(2, 31),
    COAP_400_BAD_REQUEST = COAP_CODE(4, 0),
    COAP_402_BAD_OPTION = COAP_CODE(4, 2),
    COAP_403_FORBIDDEN = COAP_CODE(4, 3),
    COAP_404_NOT_FOUND = COAP_CODE(4, 4),
    COAP_405_NOT_ALLOWED = COAP_CODE(4, 5),
    COAP_408_INCOMPLETE = COAP_CODE(4, 8),
    COAP_413_TOO_LARGE = COAP_CODE(4, 13),
    COAP_500_INTERNAL = COAP_CODE(5, 0),
    COAP_501_NOT_IMPLEMENTED = COAP_CODE(5, 1),
    COAP_503_UNAVAILABLE = COAP_CODE(5, 3),
};
enum {
    COAP_OPT_ETAG = 4,
    COAP_OPT_URI_PATH = 11,
    COAP_OPT_CONTENT_FORMAT = 12,
    COAP_OPT_MAX_AGE = 14,
    COAP_OPT_URI_QUERY = 15,
    COAP_OPT_ACCEPT = 17,
    COAP_OPT_BLOCK2 = 23,
    COAP_OPT_BLOCK1 = 27,
    COAP_OPT_SIZE1 = 60,
    COAP_OPT_NO_RESPONSE = 258,
    COAP_OPT_REQUEST_TAG = 292,
};

#define COAP_TOKEN_MAX 8
#define COAP_MESSAGE_MAX 1152 /* bytes; the largest any Device OS sends (device-protocol 2.9) */
#define COAP_OPTIONS_MAX 64   /* more in one message is refused */

struct coap_message {
    enum coap_type type;
    uint8_t code;
    uint16_t mid;
    uint8_t token[COAP_TOKEN_MAX];
    uint8_t token_len;
    const uint8_t *options; /* borrowed: first option byte; valid, ends before the payload marker */
    size_t options_len;
    /* borrowed; NULL when there is none. Not NULL but empty after a lone payload marker, which old Device OS
     * sends with an empty event and RFC 7252 3 calls a format error: the receiver decides. */
    const uint8_t *payload;
    size_t payload_len;
};

enum coap_decode {
    COAP_DECODED = 0,
    COAP_DECODE_SHORT, /* under 4 bytes or another version: ignore in silence (RFC 7252 3) */
    COAP_DECODE_BAD, /* header readable (type, code, mid filled in), the rest is not: message format error */
};
must_check enum coap_decode coap_message_decode(struct coap_message *m, const uint8_t *data, size_t data_len);

/* Walks the options in order. */
struct coap_option {
    uint16_t number;
    const uint8_t *value; /* borrowed */
    size_t value_len;
};
struct coap_option_iter {
    const uint8_t *at, *end;
    uint16_t number;
};
void coap_options_begin(struct coap_option_iter *it, const struct coap_message *m);
bool coap_options_next(struct coap_option_iter *it, struct coap_option *option);
/* First option with that number; false when absent. */
bool coap_option_find(const struct coap_message *m, uint16_t number, struct coap_option *option);
/* Unsigned option value of 0 to 4 bytes; false when it is longer. */
bool coap_option_uint(const struct coap_option *option, uint32_t *value);
/* Joins the options of one number with sep into out, NUL-terminated; false when it does not fit or holds a
 * NUL. */
bool coap_options_join(const struct coap_message *m, uint16_t number, char sep, char *out, size_t out_size);
/* True when the message carries a critical (odd) option that is not among those this server understands
 * (Uri-Host, Uri-Port, Uri-Path, Uri-Query, Accept, Block1, Block2, and If-None-Match is not): *number is the
 * first. */
bool coap_has_unknown_critical(const struct coap_message *m, uint16_t *number);

/* Building: begin, options in ascending order, payload, finish. */
struct coap_builder {
    uint8_t *out;
    size_t out_size, len;
    uint16_t last_option;
    bool bad; /* something did not fit, or options came out of order */
};
void coap_build(struct coap_builder *b, uint8_t *out, size_t out_size, enum coap_type type, uint8_t code,
                uint16_t mid, const uint8_t *token, size_t token_len);
void coap_build_option(struct coap_builder *b, uint16_t number, const void *value, size_t value_len);
void coap_build_option_uint(struct coap_builder *b, uint16_t number, uint32_t value);
void coap_build_payload(struct coap_builder *b, const void *payload,
                        size_t payload_len); /* 0 bytes: no marker */
/* Length in bytes of the message, 0 when it is bad. */
must_check size_t coap_build_finish(const struct coap_builder *b);

/* Block1 and Block2 values (RFC 7959 2.2): block size is 1 << (szx + 4); szx 7 is invalid. */
struct coap_block {
    uint32_t num;
    bool more;
    uint8_t szx;
};
bool coap_block_decode(const struct coap_option *option, struct coap_block *block);
uint32_t coap_block_encode(const struct coap_block *block);

#endif
