#include "coap/gather.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "coap/peer.h"

#define FIRST_SIZE 4096

/* False when the message's ETag is longer than the RFC allows (RFC 7252 5.10.6). */
static bool read_etag(const struct coap_message *m, struct coap_option *etag)
{
    if (!coap_option_find(m, COAP_OPT_ETAG, etag)) {
        *etag = (struct coap_option){.value = m->options};
        return true;
    }
    return etag->value_len <= COAP_ETAG_MAX;
}

static bool is_same_etag(const struct coap_gather *g, const struct coap_option *etag)
{
    return g->etag_len == etag->value_len && memcmp(g->etag, etag->value, etag->value_len) == 0;
}

static void append(struct coap_gather *g, const uint8_t *payload, size_t payload_len)
{
    size_t need = g->data_len + payload_len;

    if (need > g->data_size) {
        size_t size = g->data_size > 0 ? g->data_size * 2 : FIRST_SIZE;
        g->data_size = size < need ? need : size;
        g->data = mem_grow(g->data, g->data_size, 1);
    }
    if (payload_len > 0)
        memcpy(g->data + g->data_len, payload, payload_len);
    g->data_len = need;
}

enum coap_gather_step coap_gather_take(struct coap_gather *g, const struct coap_message *m,
                                       const struct coap_block *block)
{
    size_t block_bytes = (size_t)16 << block->szx;
    size_t at = block->num * block_bytes;
    struct coap_option etag;

    if (!read_etag(m, &etag) || m->payload_len > block_bytes ||
        (block->more && m->payload_len != block_bytes))
        return COAP_GATHER_BROKEN;
    if (g->started &&
        !is_same_etag(g, &etag)) { /* another representation: what we have is worthless (RFC 7959 2.4) */
        if (g->restarts++ == COAP_GATHER_RESTARTS_MAX)
            return COAP_GATHER_BROKEN;
        g->started = false;
        g->data_len = 0;
        if (block->num != 0)
            return COAP_GATHER_MORE;
    }
    if (!g->started) {
        if (block->num != 0)
            return COAP_GATHER_BROKEN;
        g->started = true;
        g->szx = block->szx;
        g->etag_len = (uint8_t)etag.value_len;
        memcpy(g->etag, etag.value, etag.value_len);
    }
    if (at < g->data_len)
        return COAP_GATHER_REPEATED;
    if (at > g->data_len || block->szx != g->szx)
        return COAP_GATHER_BROKEN;
    if (at + m->payload_len > COAP_BODY_MAX)
        return COAP_GATHER_TOO_LARGE;
    append(g, m->payload, m->payload_len);
    return block->more ? COAP_GATHER_MORE : COAP_GATHER_WHOLE;
}

struct coap_block coap_gather_next(const struct coap_gather *g)
{
    return (struct coap_block){.num = (uint32_t)(g->data_len >> (g->szx + 4)), .szx = g->szx};
}

void coap_gather_free(struct coap_gather *g)
{
    free(g->data);
    memset(g, 0, sizeof(*g));
}
