#include "handshake/ccm.h"

#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

static bool is_allowed = true;

void ccm_allow(bool allowed)
{
    is_allowed = allowed;
}

#if defined(__x86_64__)

#include <immintrin.h>

#define WITH_AES __attribute__((target("aes,sse4.1")))
#define ROUNDS 10
#define BLOCK_BYTES 16
#define LENGTH_BYTES 3 /* of the message's length and of the counter: 15 - CCM_NONCE_BYTES */
#define TEXT_MAX                                                                                             \
    (BLOCK_BYTES * (UINT16_MAX - 1)) /* more than any record; of the counter two bytes are used */

struct run {
    __m128i keys[ROUNDS + 1];
    __m128i mac;     /* CBC-MAC so far */
    __m128i mask;    /* of the tag: the key stream's block 0 */
    __m128i stream;  /* the key stream's next block */
    __m128i counter; /* of block 0 */
    uint16_t count;
};

bool ccm_is_available(void)
{
    return is_allowed && __builtin_cpu_supports("aes") && __builtin_cpu_supports("sse4.1");
}

/* FIPS 197 5.2; the instruction wants its constant at compile time. */
#define EXPAND(keys, round, constant)                                                                        \
    (keys)[round] = expand((keys)[(round)-1], _mm_aeskeygenassist_si128((keys)[(round)-1], constant))

WITH_AES static inline __m128i expand(__m128i key, __m128i assist)
{
    assist = _mm_shuffle_epi32(assist, 0xff);
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, assist);
}

WITH_AES static inline void expand_key(__m128i keys[ROUNDS + 1], const uint8_t key[CCM_KEY_BYTES])
{
    keys[0] = _mm_loadu_si128((const __m128i *)(const void *)key);
    EXPAND(keys, 1, 0x01);
    EXPAND(keys, 2, 0x02);
    EXPAND(keys, 3, 0x04);
    EXPAND(keys, 4, 0x08);
    EXPAND(keys, 5, 0x10);
    EXPAND(keys, 6, 0x20);
    EXPAND(keys, 7, 0x40);
    EXPAND(keys, 8, 0x80);
    EXPAND(keys, 9, 0x1b);
    EXPAND(keys, 10, 0x36);
}

/* Two blocks side by side take hardly longer than one: the next of the CBC-MAC and the next of the key
 * stream. */
WITH_AES static inline void encrypt_two(const __m128i keys[ROUNDS + 1], __m128i *a, __m128i *b)
{
    __m128i x = _mm_xor_si128(*a, keys[0]), y = _mm_xor_si128(*b, keys[0]);
    for (int i = 1; i < ROUNDS; i++) {
        x = _mm_aesenc_si128(x, keys[i]);
        y = _mm_aesenc_si128(y, keys[i]);
    }
    *a = _mm_aesenclast_si128(x, keys[ROUNDS]);
    *b = _mm_aesenclast_si128(y, keys[ROUNDS]);
}

/* The MAC takes a block of data in; the stream goes on to its next block. */
WITH_AES static inline void step(struct run *r, __m128i data)
{
    uint16_t count = ++r->count;
    r->mac = _mm_xor_si128(r->mac, data);
    r->stream = _mm_insert_epi16(r->counter, (uint16_t)(count << 8 | count >> 8), 7);
    encrypt_two(r->keys, &r->mac, &r->stream);
}

/* The MAC alone, for the additional data. */
WITH_AES static inline void absorb(struct run *r, __m128i data)
{
    __m128i unused = data;
    r->mac = _mm_xor_si128(r->mac, data);
    encrypt_two(r->keys, &r->mac, &unused);
}

/* Up to 16 bytes, zeros behind them. */
WITH_AES static inline __m128i load(const uint8_t *data, size_t data_len)
{
    uint8_t block[BLOCK_BYTES] = {0};
    if (data_len >= BLOCK_BYTES)
        return _mm_loadu_si128((const __m128i *)(const void *)data);
    memcpy(block, data, data_len);
    return _mm_loadu_si128((const __m128i *)(const void *)block);
}

WITH_AES static inline void store(uint8_t *out, size_t out_len, __m128i data)
{
    uint8_t block[BLOCK_BYTES];
    if (out_len >= BLOCK_BYTES) {
        _mm_storeu_si128((__m128i *)(void *)out, data);
        return;
    }
    _mm_storeu_si128((__m128i *)(void *)block, data);
    memcpy(out, block, out_len);
}

/* RFC 3610 2.2: the first block says how long everything is, the next ones are the additional data after its
 * length. */
WITH_AES static void begin(struct run *r, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
                           size_t aad_len, size_t text_len, size_t tag_len)
{
    uint8_t first[BLOCK_BYTES], data[2 + CCM_AAD_MAX];
    must(aad_len > 0 && aad_len <= CCM_AAD_MAX && text_len <= TEXT_MAX);
    expand_key(r->keys, key);
    first[0] = (uint8_t)(0x40 | (tag_len - 2) / 2 << 3 | (LENGTH_BYTES - 1));
    memcpy(first + 1, nonce, CCM_NONCE_BYTES);
    first[13] = (uint8_t)(text_len >> 16);
    be16_store(first + 14, (uint16_t)text_len);
    r->mac = load(first, sizeof first);
    first[0] = LENGTH_BYTES - 1;
    memset(first + 13, 0, LENGTH_BYTES);
    r->counter = r->mask = load(first, sizeof first);
    r->count = 0;
    encrypt_two(r->keys, &r->mac, &r->mask);
    be16_store(data, (uint16_t)aad_len);
    memcpy(data + 2, aad, aad_len);
    size_t at = 0, len = 2 + aad_len;
    for (; len - at > BLOCK_BYTES; at += BLOCK_BYTES)
        absorb(r, load(data + at, BLOCK_BYTES));
    step(r, load(data + at, len - at));
}

static size_t block_at(size_t text_len, size_t at)
{
    return text_len - at < BLOCK_BYTES ? text_len - at : BLOCK_BYTES;
}

WITH_AES static void finish(struct run *r, uint8_t *tag, size_t tag_len)
{
    store(tag, tag_len, _mm_xor_si128(r->mac, r->mask));
    bytes_wipe(r, sizeof *r);
}

WITH_AES void ccm_seal(const uint8_t key[CCM_KEY_BYTES], const uint8_t nonce[CCM_NONCE_BYTES],
                       const uint8_t *aad, size_t aad_len, uint8_t *text, size_t text_len, uint8_t *tag,
                       size_t tag_len)
{
    struct run r;
    begin(&r, key, nonce, aad, aad_len, text_len, tag_len);
    for (size_t at = 0; at < text_len; at += BLOCK_BYTES) {
        size_t len = block_at(text_len, at);
        __m128i plain = load(text + at, len);
        store(text + at, len, _mm_xor_si128(plain, r.stream));
        step(&r, plain);
    }
    finish(&r, tag, tag_len);
}

WITH_AES bool ccm_open(const uint8_t key[CCM_KEY_BYTES], const uint8_t nonce[CCM_NONCE_BYTES],
                       const uint8_t *aad, size_t aad_len, uint8_t *text, size_t text_len, const uint8_t *tag,
                       size_t tag_len)
{
    struct run r;
    uint8_t expected[BLOCK_BYTES];
    begin(&r, key, nonce, aad, aad_len, text_len, tag_len);
    for (size_t at = 0; at < text_len; at += BLOCK_BYTES) {
        size_t len = block_at(text_len, at);
        store(text + at, len, _mm_xor_si128(load(text + at, len), r.stream));
        step(&r, load(text + at, len));
    }
    finish(&r, expected, tag_len);
    if (bytes_equal_secret(expected, tag, tag_len))
        return true;
    bytes_wipe(text, text_len);
    return false;
}

#else

bool ccm_is_available(void)
{
    return false;
}

void ccm_seal(const uint8_t key[CCM_KEY_BYTES], const uint8_t nonce[CCM_NONCE_BYTES], const uint8_t *aad,
              size_t aad_len, uint8_t *text, size_t text_len, uint8_t *tag, size_t tag_len)
{
    (void)key, (void)nonce, (void)aad, (void)aad_len, (void)text, (void)text_len, (void)tag, (void)tag_len;
    must(false);
}

bool ccm_open(const uint8_t key[CCM_KEY_BYTES], const uint8_t nonce[CCM_NONCE_BYTES], const uint8_t *aad,
              size_t aad_len, uint8_t *text, size_t text_len, const uint8_t *tag, size_t tag_len)
{
    (void)key, (void)nonce, (void)aad, (void)aad_len, (void)text, (void)text_len, (void)tag, (void)tag_len;
    must(false);
}

#endif
