#include "hook/seal.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"

#define SALT_BYTES 16
#define TAG_BYTES 16
_Static_assert(SALT_BYTES + TAG_BYTES == SEAL_MORE_BYTES, "a sealed text is salt, text, tag");

static const uint8_t nonce[12]; /* nothing: no key is used twice */

static void own_key(const uint8_t key[SEAL_KEY_BYTES], const uint8_t salt[SALT_BYTES], uint8_t out[32])
{
    must(HMAC(EVP_sha256(), key, SEAL_KEY_BYTES, salt, SALT_BYTES, out, NULL) != NULL);
}

uint8_t *seal_close(const uint8_t key[SEAL_KEY_BYTES], const void *text, size_t text_len)
{
    uint8_t *out = mem_alloc(text_len + SEAL_MORE_BYTES), one_key[32];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0, end_len = 0;
    random_bytes(out, SALT_BYTES);
    own_key(key, out, one_key);
    must(text_len <= INT32_MAX && ctx != NULL &&
         EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, one_key, nonce) == 1 &&
         EVP_EncryptUpdate(ctx, out + SALT_BYTES, &len, text, (int)text_len) == 1 &&
         EVP_EncryptFinal_ex(ctx, out + SALT_BYTES + len, &end_len) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, out + SALT_BYTES + text_len) == 1);
    EVP_CIPHER_CTX_free(ctx);
    bytes_wipe(one_key, sizeof one_key);
    return out;
}

char *seal_open(const uint8_t key[SEAL_KEY_BYTES], const uint8_t *sealed, size_t sealed_len)
{
    uint8_t one_key[32], tag[TAG_BYTES];
    int len = 0, end_len = 0;
    if (sealed_len < SEAL_MORE_BYTES || sealed_len > INT32_MAX)
        return NULL;
    size_t text_len = sealed_len - SEAL_MORE_BYTES;
    char *text = mem_alloc(text_len + 1);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    must(ctx != NULL);
    own_key(key, sealed, one_key);
    memcpy(tag, sealed + SALT_BYTES + text_len, sizeof tag);
    bool good = EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, one_key, nonce) == 1 &&
                EVP_DecryptUpdate(ctx, (uint8_t *)text, &len, sealed + SALT_BYTES, (int)text_len) == 1 &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
                EVP_DecryptFinal_ex(ctx, (uint8_t *)text + len, &end_len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    bytes_wipe(one_key, sizeof one_key);
    if (good)
        return text;
    bytes_wipe(text, text_len);
    free(text);
    return NULL;
}

void seal_sign(const char *secret, int64_t at_s, const void *body, size_t body_len,
               char out[SEAL_SIGNATURE_SIZE])
{
    char head[32];
    uint8_t mac[32];
    int head_len = snprintf(head, sizeof head, "%" PRId64 ".", at_s);
    uint8_t *text = mem_alloc((size_t)head_len + body_len + 1);
    memcpy(text, head, (size_t)head_len);
    if (body_len)
        memcpy(text + head_len, body, body_len);
    must(HMAC(EVP_sha256(), secret, (int)strlen(secret), text, (size_t)head_len + body_len, mac, NULL) !=
         NULL);
    hex_encode(out, mac, sizeof mac);
    free(text);
}
