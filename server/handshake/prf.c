#include "handshake/prf.h"

#include <mbedtls/ssl.h>
#include <string.h>

#include "base/bytes.h"
#include "handshake/hmac.h"

/* text: room for A(i), then label and seed. */
static void expand(const struct hmac_key *key, uint8_t *text, size_t text_len, unsigned char *out,
                   size_t out_len)
{
    uint8_t block[HMAC_BYTES];

    hmac_make(key, text + HMAC_BYTES, text_len - HMAC_BYTES, text); /* A(1) */
    for (size_t at = 0; at < out_len; at += HMAC_BYTES) {
        size_t len = out_len - at < HMAC_BYTES ? out_len - at : HMAC_BYTES;
        hmac_make(key, text, text_len, block);
        memcpy(out + at, block, len);
        if (len == HMAC_BYTES && at + len < out_len)
            hmac_make(key, text, HMAC_BYTES, text);
    }
    bytes_wipe(block, sizeof block);
}

int prf_tls12(const unsigned char *secret, size_t secret_len, const char *label, const unsigned char *seed,
              size_t seed_len, unsigned char *out, size_t out_len)
{
    uint8_t text[HMAC_BYTES + PRF_SEED_MAX];
    size_t label_len = strlen(label), used = out_len;
    struct hmac_key key;

    if (label_len > PRF_SEED_MAX || seed_len > PRF_SEED_MAX - label_len)
        return MBEDTLS_ERR_SSL_BAD_INPUT_DATA;
    if (used > PRF_KEY_BLOCK_BYTES && strcmp(label, "key expansion") == 0)
        used = PRF_KEY_BLOCK_BYTES;
    memcpy(text + HMAC_BYTES, label, label_len);
    memcpy(text + HMAC_BYTES + label_len, seed, seed_len);
    hmac_key_init(&key, secret, secret_len);
    expand(&key, text, HMAC_BYTES + label_len + seed_len, out, used);
    memset(out + used, 0, out_len - used);
    bytes_wipe(&key, sizeof key);
    bytes_wipe(text, sizeof text);
    return 0;
}
