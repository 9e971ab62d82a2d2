#include "handshake/session_image.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/bytes.h"
#include "base/random.h"
#include "handshake/hmac.h"

#define VERSION 1
#define SALT_BYTES 16
#define TAG_BYTES 16
#define SEAL_BYTES (SALT_BYTES + TAG_BYTES)
#define LABEL "cyan session image"

enum section { SECTION_RECORD = 'r', SECTION_PATH = 'p', SECTION_SESSION = 's', SECTION_OWNER = 'o' };
enum { HAS_RECORD = 1, HAS_PATH = 2, HAS_SESSION = 4, HAS_ALL = 7 };
enum { FLAG_NAMED = 1 };

/* --- the inner form --- */

static uint8_t *begin(struct bytes_writer *w, enum section tag)
{
    bytes_put_u8(w, (uint8_t)tag);
    uint8_t *len_at = w->at;
    bytes_put_be16(w, 0);
    return len_at;
}

static void end(struct bytes_writer *w, uint8_t *len_at)
{
    if (!w->bad)
        be16_store(len_at, (uint16_t)(w->at - len_at - 2));
}

static void put_record(struct bytes_writer *w, const struct record_state *r, uint64_t send_from)
{
    uint8_t *len_at = begin(w, SECTION_RECORD);
    bytes_put_u8(w, r->cipher);
    bytes_put_u8(w, r->flavour);
    bytes_put_u8(w, r->own_cid_len);
    bytes_put_u8(w, r->peer_cid_len);
    bytes_put(w, r->own_cid, sizeof r->own_cid);
    bytes_put(w, r->peer_cid, sizeof r->peer_cid);
    bytes_put(w, r->read_key, sizeof r->read_key);
    bytes_put(w, r->write_key, sizeof r->write_key);
    bytes_put(w, r->read_iv, sizeof r->read_iv);
    bytes_put(w, r->write_iv, sizeof r->write_iv);
    bytes_put_be64(w, send_from);
    bytes_put_be64(w, r->recv_max);
    bytes_put_be64(w, r->recv_window);
    end(w, len_at);
}

static void get_fixed(struct bytes_reader *r, void *out, size_t len)
{
    const uint8_t *at = bytes_get(r, len);
    if (at)
        memcpy(out, at, len);
}

static bool get_record(struct bytes_reader r, struct record_state *out)
{
    out->cipher = bytes_get_u8(&r);
    out->flavour = bytes_get_u8(&r);
    out->own_cid_len = bytes_get_u8(&r);
    out->peer_cid_len = bytes_get_u8(&r);
    get_fixed(&r, out->own_cid, sizeof out->own_cid);
    get_fixed(&r, out->peer_cid, sizeof out->peer_cid);
    get_fixed(&r, out->read_key, sizeof out->read_key);
    get_fixed(&r, out->write_key, sizeof out->write_key);
    get_fixed(&r, out->read_iv, sizeof out->read_iv);
    get_fixed(&r, out->write_iv, sizeof out->write_iv);
    out->send_seq = bytes_get_be64(&r);
    out->recv_max = bytes_get_be64(&r);
    out->recv_window = bytes_get_be64(&r);
    return !r.bad && out->cipher <= RECORD_GCM && out->flavour <= RECORD_DRAFT05 &&
           (out->own_cid_len == 0 || out->own_cid_len == SESSION_CID_BYTES) &&
           out->peer_cid_len <= RECORD_CID_MAX && out->send_seq >> 48 == 0 && out->recv_max >> 48 == 0;
}

static void put_path(struct bytes_writer *w, const struct net_path *p)
{
    uint8_t *len_at = begin(w, SECTION_PATH);
    bytes_put(w, p->peer_ip, sizeof p->peer_ip);
    bytes_put_be16(w, p->peer_port);
    bytes_put_be32(w, p->scope);
    bytes_put(w, p->local_ip, sizeof p->local_ip);
    bytes_put_be32(w, p->socket);
    end(w, len_at);
}

static bool get_path(struct bytes_reader r, struct net_path *p)
{
    get_fixed(&r, p->peer_ip, sizeof p->peer_ip);
    p->peer_port = bytes_get_be16(&r);
    p->scope = bytes_get_be32(&r);
    get_fixed(&r, p->local_ip, sizeof p->local_ip);
    p->socket = bytes_get_be32(&r);
    return !r.bad;
}

static void put_session(struct bytes_writer *w, const struct session *s, uint64_t heard_wall_ms)
{
    uint8_t *len_at = begin(w, SECTION_SESSION);
    bytes_put_u8(w, s->profile);
    bytes_put_u8(w, s->named ? FLAG_NAMED : 0);
    bytes_put(w, s->name, sizeof s->name);
    bytes_put_be64(w, heard_wall_ms);
    end(w, len_at);
}

static bool get_session(struct bytes_reader r, struct session_image *image)
{
    image->profile = bytes_get_u8(&r);
    image->named = bytes_get_u8(&r) & FLAG_NAMED;
    get_fixed(&r, image->name, sizeof image->name);
    image->heard_wall_ms = bytes_get_be64(&r);
    return !r.bad && image->profile <= SESSION_RPK;
}

static bool get_owner(struct bytes_reader r, struct session_image *image)
{
    image->owner_len = bytes_left(&r);
    if (image->owner_len > sizeof image->owner)
        return false;
    memset(image->owner, 0, sizeof image->owner); /* of two such sections the second one counts */
    get_fixed(&r, image->owner, image->owner_len);
    return true;
}

size_t session_image_write(const struct session *s, uint64_t send_from, uint64_t heard_wall_ms,
                           const uint8_t *owner, size_t owner_len, uint8_t *out, size_t out_size)
{
    struct bytes_writer w;
    bytes_writer_init(&w, out, out_size);
    bytes_put_u8(&w, VERSION);
    put_record(&w, &s->record, send_from);
    put_path(&w, &s->path);
    put_session(&w, s, heard_wall_ms);
    uint8_t *len_at = begin(&w, SECTION_OWNER);
    bytes_put(&w, owner, owner_len);
    end(&w, len_at);
    must(!w.bad);
    return bytes_written(&w);
}

static bool get_section(struct bytes_reader body, uint8_t tag, struct session_image *image, unsigned *seen)
{
    switch (tag) {
    case SECTION_RECORD:
        *seen |= HAS_RECORD;
        return get_record(body, &image->record);
    case SECTION_PATH:
        *seen |= HAS_PATH;
        return get_path(body, &image->path);
    case SECTION_SESSION:
        *seen |= HAS_SESSION;
        return get_session(body, image);
    case SECTION_OWNER:
        return get_owner(body, image);
    default: /* of a newer writer */
        return true;
    }
}

bool session_image_read(const uint8_t *data, size_t data_len, struct session_image *image)
{
    struct bytes_reader r;
    unsigned seen = 0;
    memset(image, 0, sizeof *image);
    bytes_reader_init(&r, data, data_len);
    if (bytes_get_u8(&r) != VERSION)
        return false;
    while (bytes_left(&r) > 0) {
        uint8_t tag = bytes_get_u8(&r);
        struct bytes_reader body = bytes_sub(&r, bytes_get_be16(&r));
        if (r.bad || !get_section(body, tag, image, &seen))
            return false;
    }
    return !r.bad && seen == HAS_ALL;
}

/* --- sealed --- */

/* Each image under a key of its own, so that the nonce can be nothing. */
static void image_key(const uint8_t key[SESSION_IMAGE_KEY_BYTES], uint64_t id, const uint8_t salt[SALT_BYTES],
                      uint8_t out[32])
{
    uint8_t text[sizeof LABEL + 8 + SALT_BYTES];
    memcpy(text, LABEL, sizeof LABEL);
    be64_store(text + sizeof LABEL, id);
    memcpy(text + sizeof LABEL + 8, salt, SALT_BYTES);
    struct hmac_key outer;
    hmac_key_init(&outer, key, SESSION_IMAGE_KEY_BYTES);
    hmac_make(&outer, text, sizeof text, out);
    bytes_wipe(&outer, sizeof outer);
}

static const uint8_t nonce[12];

/* Kept for its allocation alone. Loop thread only. */
static EVP_CIPHER_CTX *scratch(bool seal)
{
    static EVP_CIPHER_CTX *contexts[2];
    if (!contexts[seal]) {
        contexts[seal] = EVP_CIPHER_CTX_new();
        must(contexts[seal] != NULL &&
             EVP_CipherInit_ex(contexts[seal], EVP_aes_128_gcm(), NULL, NULL, NULL, seal) == 1);
    }
    return contexts[seal];
}

size_t session_image_seal(const uint8_t key[SESSION_IMAGE_KEY_BYTES], const struct session *s,
                          uint64_t send_from, uint64_t heard_wall_ms, const uint8_t *owner, size_t owner_len,
                          uint8_t out[SESSION_IMAGE_MAX])
{
    uint8_t *text = out + SALT_BYTES, own_key[32];
    random_bytes(out, SALT_BYTES);
    image_key(key, s->id, out, own_key);
    int text_len = (int)session_image_write(s, send_from, heard_wall_ms, owner, owner_len, text,
                                            SESSION_IMAGE_MAX - SEAL_BYTES),
        len;
    EVP_CIPHER_CTX *ctx = scratch(true);
    must(EVP_EncryptInit_ex(ctx, NULL, NULL, own_key, nonce) == 1 &&
         EVP_EncryptUpdate(ctx, text, &len, text, text_len) == 1 &&
         EVP_EncryptFinal_ex(ctx, text + len, &len) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, text + text_len) == 1);
    bytes_wipe(own_key, sizeof own_key);
    return (size_t)text_len + SEAL_BYTES;
}

bool session_image_open(const uint8_t key[SESSION_IMAGE_KEY_BYTES], uint64_t id, const uint8_t *data,
                        size_t data_len, struct session_image *image)
{
    uint8_t text[SESSION_IMAGE_MAX], own_key[32], tag[TAG_BYTES];
    if (data_len < SEAL_BYTES || data_len > SESSION_IMAGE_MAX)
        return false;
    int text_len = (int)(data_len - SEAL_BYTES), len;
    image_key(key, id, data, own_key);
    memcpy(tag, data + data_len - TAG_BYTES, TAG_BYTES);
    EVP_CIPHER_CTX *ctx = scratch(false);
    bool good = EVP_DecryptInit_ex(ctx, NULL, NULL, own_key, nonce) == 1 &&
                EVP_DecryptUpdate(ctx, text, &len, data + SALT_BYTES, text_len) == 1 &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
                EVP_DecryptFinal_ex(ctx, text + len, &len) == 1 &&
                session_image_read(text, (size_t)text_len, image);
    bytes_wipe(own_key, sizeof own_key);
    bytes_wipe(text, sizeof text);
    return good && (image->record.own_cid_len == 0 || be64_load(image->record.own_cid) == id);
}
