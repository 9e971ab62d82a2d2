#define MBEDTLS_ALLOW_PRIVATE_ACCESS /* the state of a hash is what this is about */
#include "handshake/hmac.h"

#include <mbedtls/md.h>
#include <mbedtls/sha256.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

#define BLOCK_BYTES 64

/* The real functions, and ours that the linker puts in their place. */
int __real_mbedtls_md_hmac_starts(mbedtls_md_context_t *ctx, const unsigned char *key, size_t key_len);
int __wrap_mbedtls_md_hmac_starts(mbedtls_md_context_t *ctx, const unsigned char *key, size_t key_len);
int __real_mbedtls_md_hmac_reset(mbedtls_md_context_t *ctx);
int __wrap_mbedtls_md_hmac_reset(mbedtls_md_context_t *ctx);
int __real_mbedtls_md_hmac_finish(mbedtls_md_context_t *ctx, unsigned char *output);
int __wrap_mbedtls_md_hmac_finish(mbedtls_md_context_t *ctx, unsigned char *output);

static void hash_pad(uint32_t state[8], const uint8_t *key, size_t key_len, uint8_t fill)
{
    mbedtls_sha256_context hash;
    uint8_t pad[BLOCK_BYTES] = {0};
    memcpy(pad, key, key_len);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= fill;
    mbedtls_sha256_init(&hash);
    must(mbedtls_sha256_starts(&hash, 0) == 0 && mbedtls_sha256_update(&hash, pad, sizeof pad) == 0);
    memcpy(state, hash.state, sizeof hash.state);
    bytes_wipe(&hash, sizeof hash);
    bytes_wipe(pad, sizeof pad);
}

void hmac_key_init(struct hmac_key *k, const uint8_t *key, size_t key_len)
{
    uint8_t short_key[HMAC_BYTES];
    if (key_len > BLOCK_BYTES) {
        must(mbedtls_sha256(key, key_len, short_key, 0) == 0);
        key = short_key;
        key_len = sizeof short_key;
    }
    hash_pad(k->inner, key, key_len, 0x36);
    hash_pad(k->outer, key, key_len, 0x5c);
    bytes_wipe(short_key, sizeof short_key);
}

/* As if the pad had just been hashed. */
static void begin(mbedtls_sha256_context *hash, const uint32_t state[8])
{
    memcpy(hash->state, state, sizeof hash->state);
    hash->total[0] = BLOCK_BYTES;
    hash->total[1] = 0;
}

static int finish(mbedtls_sha256_context *hash, const struct hmac_key *k, uint8_t out[HMAC_BYTES])
{
    uint8_t digest[HMAC_BYTES];
    int ret = mbedtls_sha256_finish(hash, digest);
    begin(hash, k->outer);
    if (ret == 0)
        ret = mbedtls_sha256_update(hash, digest, sizeof digest);
    if (ret == 0)
        ret = mbedtls_sha256_finish(hash, out);
    bytes_wipe(digest, sizeof digest);
    return ret;
}

void hmac_make(const struct hmac_key *k, const uint8_t *text, size_t text_len, uint8_t out[HMAC_BYTES])
{
    mbedtls_sha256_context hash;
    mbedtls_sha256_init(&hash);
    begin(&hash, k->inner);
    must(mbedtls_sha256_update(&hash, text, text_len) == 0 && finish(&hash, k, out) == 0);
    mbedtls_sha256_free(&hash);
}

/* --- mbedTLS's own, which keep the pads in hmac_ctx: two blocks, of which we need one --- */

_Static_assert(sizeof(struct hmac_key) <= 2 * BLOCK_BYTES, "hmac_ctx");

static bool is_ours(const mbedtls_md_context_t *ctx)
{
    return ctx->hmac_ctx && mbedtls_md_get_type(ctx->md_info) == MBEDTLS_MD_SHA256;
}

int __wrap_mbedtls_md_hmac_starts(mbedtls_md_context_t *ctx, const unsigned char *key, size_t key_len)
{
    if (!is_ours(ctx))
        return __real_mbedtls_md_hmac_starts(ctx, key, key_len);
    hmac_key_init(ctx->hmac_ctx, key, key_len);
    return __wrap_mbedtls_md_hmac_reset(ctx);
}

int __wrap_mbedtls_md_hmac_reset(mbedtls_md_context_t *ctx)
{
    if (!is_ours(ctx))
        return __real_mbedtls_md_hmac_reset(ctx);
    const struct hmac_key *k = ctx->hmac_ctx;
    begin(ctx->md_ctx, k->inner);
    return 0;
}

int __wrap_mbedtls_md_hmac_finish(mbedtls_md_context_t *ctx, unsigned char *output)
{
    if (!is_ours(ctx))
        return __real_mbedtls_md_hmac_finish(ctx, output);
    return finish(ctx->md_ctx, ctx->hmac_ctx, output);
}
