/* swarm_coap.h: CoAP messages as a device writes and reads them (RFC 7252 3).
 *
 * Our own codec on purpose: it shares nothing with the server's. Memory is the caller's. */
#ifndef CYAN_LOADTEST_SWARM_COAP_H
#define CYAN_LOADTEST_SWARM_COAP_H

#include "base/must.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SWARM_COAP_MAX_BYTES 1280
#define SWARM_COAP_PATH_MAX 4
#define SWARM_COAP_CODE(class, detail) ((uint8_t)((class) << 5 | (detail)))

enum swarm_coap_type { SWARM_CON, SWARM_NON, SWARM_ACK, SWARM_RST };
enum swarm_coap_method { SWARM_GET = 1, SWARM_POST = 2, SWARM_PUT = 3 };
enum swarm_coap_option {
    SWARM_OPT_ETAG = 4,
    SWARM_OPT_PATH = 11,
    SWARM_OPT_FORMAT = 12,
    SWARM_OPT_MAX_AGE = 14,
    SWARM_OPT_QUERY = 15,
    SWARM_OPT_BLOCK2 = 23,
    SWARM_OPT_BLOCK1 = 27
};

/* A message being written. Options in rising order, then the payload. */
struct swarm_coap_out {
    uint8_t bytes[SWARM_COAP_MAX_BYTES];
    size_t len;
    uint16_t last_option;
    bool bad; /* did not fit */
};
struct swarm_coap_token {
    uint8_t bytes[8];
    uint8_t len;
};
void swarm_coap_begin(struct swarm_coap_out *out, enum swarm_coap_type type, uint8_t code, uint16_t mid,
                      const struct swarm_coap_token *token);
void swarm_coap_option(struct swarm_coap_out *out, uint16_t number, const void *value, size_t value_len);
/* As short as it can be; 3-byte values go out as 4, as devices do (device-protocol 3.7). */
void swarm_coap_uint(struct swarm_coap_out *out, uint16_t number, uint32_t value);
void swarm_coap_payload(struct swarm_coap_out *out, const void *data,
                        size_t data_len); /* nothing for no data */

struct swarm_coap_piece {
    const uint8_t *data; /* borrowed from the message */
    size_t len;
};
/* A message read: what devices look at, borrowed from the datagram. */
struct swarm_coap_in {
    struct swarm_coap_token token;
    struct swarm_coap_piece path[SWARM_COAP_PATH_MAX];
    struct swarm_coap_piece query, payload;
    struct swarm_coap_piece options; /* all of them, as they came */
    size_t path_count;
    uint32_t format, block2;
    uint16_t mid;
    uint8_t type, code;
    bool has_query, has_format, has_block2, path_first;
};
/* False when it is no CoAP message. */
bool swarm_coap_parse(struct swarm_coap_in *in, const uint8_t *data, size_t data_len) must_check;

/* The nth (from 0) option of this number; false when there are not so many. */
bool swarm_coap_find(const struct swarm_coap_in *in, uint16_t number, size_t nth,
                     struct swarm_coap_piece *value) must_check;
/* Big-endian; of more than four bytes the first four. */
uint32_t swarm_coap_number(struct swarm_coap_piece value);

#endif
