#include "fleet/token_news.h"

#include <string.h>

#include "fleet/room.h"
#include "fleet/token_cache.h"
#include "store/nodes.h"

/* A version, then the sum of one token, or nothing: all of them. */
#define VERSION 1
#define SUM_BYTES 32

static void tell(struct fleet *f, const uint8_t *sha256, size_t len)
{
    uint8_t message[1 + SUM_BYTES] = {VERSION};
    if (len)
        memcpy(message + 1, sha256, len);
    if (f->nodes) /* false means that Redis is away: see above */
        (void)nodes_send_all(f->nodes, NODES_TOKENS, message, 1 + len);
}

void token_news_one(struct fleet *f, const uint8_t sha256[32])
{
    token_cache_drop(f->tokens, sha256);
    tell(f, sha256, SUM_BYTES);
}

void token_news_all(struct fleet *f)
{
    token_cache_clear(f->tokens);
    tell(f, NULL, 0);
}

static void on_message(void *ctx, uint32_t from, const uint8_t *data, size_t data_len)
{
    struct fleet *f = ctx;
    (void)from;
    if (data_len == 1 + SUM_BYTES && data[0] == VERSION)
        token_cache_drop(f->tokens, data + 1);
    else
        token_cache_clear(f->tokens); /* also what a later version says: forgetting is never wrong */
}

void token_news_set_nodes(struct fleet *f, struct nodes *nodes)
{
    nodes_on(nodes, NODES_TOKENS, on_message, f);
}
