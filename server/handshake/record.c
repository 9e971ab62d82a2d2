#include "handshake/record.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/bytes.h"

#define RECORD_NONCE_BYTES 12
#define RECORD_AAD_MAX (8 + 1 + 1 + 1 + 2 + 8 + RECORD_CID_MAX + 2)
#define RECORD_SEQ_LIMIT ((uint64_t)1 << 48)
#define RECORD_WINDOW 64    /* records, RFC 6347 4.1.2.6 */
#define RECORD_PAD_BYTES 16 /* records under a connection ID are padded to this, as Device OS does */

static size_t tag_bytes_of(uint8_t cipher)
{
    return cipher == RECORD_CCM8 ? 8 : 16;
}

static size_t tag_bytes(const struct record_state *s)
{
    return tag_bytes_of(s->cipher);
}

/* Scratch contexts, one per cipher and direction: they carry nothing from one record to the next but their
 * allocation and the lengths of nonce and tag. Loop thread only. */
static EVP_CIPHER_CTX *scratch(uint8_t cipher, bool seal)
{
    static EVP_CIPHER_CTX *contexts[3][2];
    EVP_CIPHER_CTX **slot = &contexts[cipher][seal];
    if (*slot)
        return *slot;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    must(ctx != NULL);
    must(EVP_CipherInit_ex(ctx, cipher == RECORD_GCM ? EVP_aes_128_gcm() : EVP_aes_128_ccm(), NULL, NULL,
                           NULL, seal) == 1);
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, RECORD_NONCE_BYTES, NULL) == 1);
    if (cipher != RECORD_GCM && seal)
        must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)tag_bytes_of(cipher), NULL) == 1);
    *slot = ctx;
    return ctx;
}

static bool aead_open(const struct record_state *s, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                      uint8_t *text, size_t text_len, uint8_t *tag)
{
    EVP_CIPHER_CTX *ctx = scratch(s->cipher, false);
    int len;
    if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)tag_bytes(s), tag) != 1 ||
        EVP_DecryptInit_ex(ctx, NULL, NULL, s->read_key, nonce) != 1)
        return false;
    if (s->cipher != RECORD_GCM && EVP_DecryptUpdate(ctx, NULL, &len, NULL, (int)text_len) != 1)
        return false;
    if (EVP_DecryptUpdate(ctx, NULL, &len, aad, (int)aad_len) != 1 ||
        EVP_DecryptUpdate(ctx, text, &len, text, (int)text_len) != 1)
        return false;
    return s->cipher != RECORD_GCM || EVP_DecryptFinal_ex(ctx, text + len, &len) == 1;
}

static bool aead_seal(const struct record_state *s, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                      uint8_t *text, size_t text_len, uint8_t *tag)
{
    EVP_CIPHER_CTX *ctx = scratch(s->cipher, true);
    int len;
    if (EVP_EncryptInit_ex(ctx, NULL, NULL, s->write_key, nonce) != 1)
        return false;
    if (s->cipher != RECORD_GCM && EVP_EncryptUpdate(ctx, NULL, &len, NULL, (int)text_len) != 1)
        return false;
    if (EVP_EncryptUpdate(ctx, NULL, &len, aad, (int)aad_len) != 1 ||
        EVP_EncryptUpdate(ctx, text, &len, text, (int)text_len) != 1 ||
        EVP_EncryptFinal_ex(ctx, text + len, &len) != 1)
        return false;
    return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, (int)tag_bytes(s), tag) == 1;
}

/* RFC 5246 6.2.3.3, RFC 9146 5.3, or draft-ietf-tls-dtls-connection-id-05 5 (device-protocol 2.6). */
static size_t additional_data(uint8_t out[RECORD_AAD_MAX], uint8_t flavour, uint64_t epoch_seq, uint8_t type,
                              const uint8_t *cid, size_t cid_len, size_t text_len)
{
    struct bytes_writer w;
    bytes_writer_init(&w, out, RECORD_AAD_MAX);
    if (cid_len > 0 && flavour == RECORD_RFC9146) {
        bytes_put_be64(&w, UINT64_MAX);
        bytes_put_u8(&w, RECORD_CID);
        bytes_put_u8(&w, (uint8_t)cid_len);
        bytes_put_u8(&w, RECORD_CID);
        bytes_put_be16(&w, 0xfefd);
        bytes_put_be64(&w, epoch_seq);
        bytes_put(&w, cid, cid_len);
    } else {
        bytes_put_be64(&w, epoch_seq);
        bytes_put_u8(&w, type);
        bytes_put_be16(&w, 0xfefd);
        if (cid_len > 0) {
            bytes_put(&w, cid, cid_len);
            bytes_put_u8(&w, (uint8_t)cid_len);
        }
    }
    bytes_put_be16(&w, (uint16_t)text_len);
    must(!w.bad);
    return bytes_written(&w);
}

static bool replayed(const struct record_state *s, uint64_t seq)
{
    if (s->recv_window == 0 || seq > s->recv_max)
        return false;
    uint64_t age = s->recv_max - seq;
    return age >= RECORD_WINDOW || (s->recv_window >> age & 1);
}

static bool accept_seq(struct record_state *s, uint64_t seq)
{
    if (s->recv_window != 0 && seq <= s->recv_max) {
        s->recv_window |= (uint64_t)1 << (s->recv_max - seq);
        return false;
    }
    uint64_t ahead = seq - s->recv_max;
    s->recv_window = s->recv_window == 0 || ahead >= RECORD_WINDOW ? 1 : s->recv_window << ahead | 1;
    s->recv_max = seq;
    return true;
}

/* The inner plaintext of a record with connection ID ends in its real type and zeros (RFC 9146 4). */
static bool strip_inner(const uint8_t *content, size_t *content_len, uint8_t *type)
{
    size_t len = *content_len;
    while (len > 0 && content[len - 1] == 0)
        len--;
    if (len == 0)
        return false;
    *type = content[len - 1];
    *content_len = len - 1;
    return true;
}

enum record_open record_open(struct record_state *s, uint8_t *record, size_t record_len, uint8_t **content,
                             size_t *content_len, uint8_t *type, uint64_t *seq, bool *newest)
{
    if (record_len < RECORD_HEADER_BYTES)
        return RECORD_MALFORMED;
    uint8_t outer = record[0] == RECORD_RESUMED_CID ? RECORD_CID : record[0];
    if (outer == RECORD_MOVED)
        outer = RECORD_APPLICATION;
    bool has_cid = outer == RECORD_CID;
    size_t cid_len = has_cid ? s->own_cid_len : 0;
    size_t header = RECORD_HEADER_BYTES + cid_len;
    size_t overhead = header + 8 + tag_bytes(s);
    if (has_cid != (s->own_cid_len > 0))
        return RECORD_WRONG_CID;
    if (record_len < overhead || be16_load(record + 1) != 0xfefd ||
        be16_load(record + 11 + cid_len) != record_len - header)
        return RECORD_MALFORMED;
    if (be16_load(record + 3) != 1)
        return RECORD_WRONG_EPOCH;
    if (has_cid && memcmp(record + 11, s->own_cid, cid_len) != 0)
        return RECORD_WRONG_CID;
    uint64_t epoch_seq = be64_load(record + 3);
    *seq = epoch_seq & (RECORD_SEQ_LIMIT - 1);
    if (replayed(s, *seq))
        return RECORD_REPLAYED;

    uint8_t aad[RECORD_AAD_MAX], nonce[RECORD_NONCE_BYTES];
    uint8_t *text = record + header + 8;
    size_t text_len = record_len - overhead;
    size_t aad_len = additional_data(aad, s->flavour, epoch_seq, outer, record + 11, cid_len, text_len);
    memcpy(nonce, s->read_iv, 4);
    memcpy(nonce + 4, record + header, 8); /* explicit part, RFC 6655 3 */
    if (!aead_open(s, nonce, aad, aad_len, text, text_len, text + text_len))
        return RECORD_BAD_TAG;
    *type = outer;
    if (has_cid && !strip_inner(text, &text_len, type))
        return RECORD_MALFORMED;
    *content = text;
    *content_len = text_len;
    *newest = accept_seq(s, *seq);
    return RECORD_OPENED;
}

static size_t inner_plaintext(uint8_t *text, uint8_t type, size_t content_len)
{
    size_t len = content_len + 1;
    size_t padded = (len + RECORD_PAD_BYTES - 1) / RECORD_PAD_BYTES * RECORD_PAD_BYTES;
    text[content_len] = type;
    memset(text + len, 0, padded - len);
    return padded;
}

size_t record_seal(struct record_state *s, uint8_t type, const uint8_t *content, size_t content_len,
                   uint8_t *out, size_t out_size)
{
    size_t cid_len = s->peer_cid_len;
    size_t header = RECORD_HEADER_BYTES + cid_len;
    size_t room = header + 8 + content_len + (cid_len > 0 ? RECORD_PAD_BYTES : 0) + tag_bytes(s);
    if (room > out_size || content_len > 16384 || s->send_seq >= RECORD_SEQ_LIMIT)
        return 0;
    uint64_t epoch_seq = RECORD_SEQ_LIMIT | s->send_seq; /* epoch 1 in the upper 16 bits */
    uint8_t aad[RECORD_AAD_MAX], nonce[RECORD_NONCE_BYTES];
    uint8_t *text = out + header + 8;
    memcpy(text, content, content_len);
    size_t text_len = cid_len > 0 ? inner_plaintext(text, type, content_len) : content_len;

    out[0] = cid_len > 0 ? RECORD_CID : type;
    be16_store(out + 1, 0xfefd);
    be64_store(out + 3, epoch_seq);
    memcpy(out + 11, s->peer_cid, cid_len);
    be16_store(out + 11 + cid_len, (uint16_t)(8 + text_len + tag_bytes(s)));
    be64_store(out + header, epoch_seq);
    memcpy(nonce, s->write_iv, 4);
    be64_store(nonce + 4, epoch_seq);
    size_t aad_len = additional_data(aad, s->flavour, epoch_seq, out[0], s->peer_cid, cid_len, text_len);
    if (!aead_seal(s, nonce, aad, aad_len, text, text_len, text + text_len))
        return 0;
    s->send_seq++;
    return header + 8 + text_len + tag_bytes(s);
}
