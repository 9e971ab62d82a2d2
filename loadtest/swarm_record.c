#include "swarm_record.h"
#include "base/bytes.h"
#include <string.h>

#define EPOCH_1 (1ULL << 48)
#define NONCE_BYTES 8 /* explicit part, RFC 6655 3 and RFC 5288 3 */
#define PAD_TO_BYTES 16

bool swarm_record_next(const uint8_t **at, size_t *left, struct swarm_record_view *view)
{
    size_t body_len;

    if (*left < SWARM_RECORD_HEADER_BYTES || (*at)[1] != 0xfe)
        return false;
    body_len = be16_load(*at + 11);
    if (body_len > *left - SWARM_RECORD_HEADER_BYTES)
        return false;
    view->type = (*at)[0];
    view->seq = be64_load(*at + 3);
    view->body = *at + SWARM_RECORD_HEADER_BYTES;
    view->body_len = body_len;
    *at += SWARM_RECORD_HEADER_BYTES + body_len;
    *left -= SWARM_RECORD_HEADER_BYTES + body_len;
    return true;
}

static size_t aad_plain(uint8_t *aad, uint64_t seq, uint8_t type, size_t plain_len)
{
    be64_store(aad, seq);
    aad[8] = type;
    aad[9] = 0xfe;
    aad[10] = 0xfd;
    be16_store(aad + 11, (uint16_t)plain_len);
    return 13;
}

/* draft-ietf-tls-dtls-connection-id-05 5.2, device-protocol 2.6 */
static size_t aad_draft05(uint8_t *aad, const struct swarm_record *r, uint64_t seq, size_t inner_len)
{
    be64_store(aad, seq);
    aad[8] = SWARM_RECORD_CID;
    aad[9] = 0xfe;
    aad[10] = 0xfd;
    memcpy(aad + 11, r->cid, r->cid_len);
    aad[11 + r->cid_len] = r->cid_len;
    be16_store(aad + 12 + r->cid_len, (uint16_t)inner_len);
    return (size_t)14 + r->cid_len;
}

/* RFC 9146 5.3 */
static size_t aad_rfc9146(uint8_t *aad, const struct swarm_record *r, uint64_t seq, size_t inner_len)
{
    memset(aad, 0xff, 8);
    aad[8] = SWARM_RECORD_CID;
    aad[9] = r->cid_len;
    aad[10] = SWARM_RECORD_CID;
    aad[11] = 0xfe;
    aad[12] = 0xfd;
    be64_store(aad + 13, seq);
    memcpy(aad + 21, r->cid, r->cid_len);
    be16_store(aad + 21 + r->cid_len, (uint16_t)inner_len);
    return (size_t)23 + r->cid_len;
}

static void nonce_set(struct swarm_aead *a, const uint8_t iv[4], const uint8_t *explicit_part)
{
    memcpy(a->nonce, iv, 4);
    memcpy(a->nonce + 4, explicit_part, NONCE_BYTES);
}

/* Device OS: the record's first byte is changed after encryption (device-protocol 2.5). */
static uint8_t first_byte(const struct swarm_record *r, enum swarm_record_type type)
{
    if (r->flavour == SWARM_CID_NONE)
        return (uint8_t)type;
    return r->resumed && r->flavour == SWARM_CID_DRAFT05 ? SWARM_RECORD_RESUMED_CID : SWARM_RECORD_CID;
}

size_t swarm_record_seal(struct swarm_crypto *c, struct swarm_record *r, enum swarm_record_type type,
                         struct swarm_bytes plain, uint8_t *out, size_t out_size)
{
    uint8_t aad[32 + SWARM_CID_MAX_BYTES];
    uint8_t inner[SWARM_PLAINTEXT_MAX_BYTES + PAD_TO_BYTES];
    struct swarm_aead a = {.key = r->send_key, .aad = aad, .suite = (enum swarm_suite)r->suite};
    size_t inner_len = plain.len, body_len;
    uint64_t seq = EPOCH_1 | r->send_seq;
    uint8_t *at = out;

    if (plain.len > SWARM_PLAINTEXT_MAX_BYTES || plain.len + SWARM_RECORD_OVERHEAD_BYTES > out_size)
        return 0;
    memcpy(inner, plain.data, plain.len);
    if (r->flavour != SWARM_CID_NONE) {
        inner_len = (plain.len + 1 + PAD_TO_BYTES - 1) / PAD_TO_BYTES * PAD_TO_BYTES;
        memset(inner + plain.len, 0, inner_len - plain.len);
        inner[plain.len] = (uint8_t)type;
    }
    if (r->flavour == SWARM_CID_DRAFT05)
        a.aad_len = aad_draft05(aad, r, seq, inner_len);
    else if (r->flavour == SWARM_CID_RFC9146)
        a.aad_len = aad_rfc9146(aad, r, seq, inner_len);
    else
        a.aad_len = aad_plain(aad, seq, (uint8_t)type, inner_len);
    body_len = NONCE_BYTES + inner_len + swarm_suite_tag_bytes(a.suite);

    *at++ = first_byte(r, type);
    *at++ = 0xfe;
    *at++ = 0xfd;
    be64_store(at, seq);
    at += 8;
    if (r->flavour != SWARM_CID_NONE) {
        memcpy(at, r->cid, r->cid_len);
        at += r->cid_len;
    }
    be16_store(at, (uint16_t)body_len);
    at += 2;
    be64_store(at, seq);
    nonce_set(&a, r->send_iv, at);
    at += NONCE_BYTES;
    if (!swarm_aead_seal(c, &a, inner, inner_len, at))
        return 0;
    r->send_seq++;
    return (size_t)(at - out) + body_len - NONCE_BYTES;
}

static bool is_replay(const struct swarm_record *r, uint64_t seq)
{
    if (r->recv_window == 0 || seq > r->recv_max)
        return false;
    return r->recv_max - seq >= 64 || (r->recv_window >> (r->recv_max - seq) & 1);
}

static void note_received(struct swarm_record *r, uint64_t seq)
{
    if (r->recv_window == 0) {
        r->recv_max = seq;
        r->recv_window = 1;
    } else if (seq > r->recv_max) {
        uint64_t ahead = seq - r->recv_max;

        r->recv_window = (ahead >= 64 ? 0 : r->recv_window << ahead) | 1;
        r->recv_max = seq;
    } else {
        r->recv_window |= 1ULL << (r->recv_max - seq);
    }
}

enum swarm_open swarm_record_open(struct swarm_crypto *c, struct swarm_record *r,
                                  const struct swarm_record_view *view, uint8_t *out, size_t *out_len)
{
    uint8_t aad[16];
    struct swarm_aead a = {.key = r->recv_key, .aad = aad, .suite = (enum swarm_suite)r->suite};
    size_t overhead = NONCE_BYTES + swarm_suite_tag_bytes(a.suite);
    uint64_t seq = view->seq & (EPOCH_1 - 1);

    if (view->seq >> 48 != 1 || view->type < SWARM_RECORD_CCS || view->type > SWARM_RECORD_DATA ||
        view->body_len <= overhead || view->body_len > SWARM_DATAGRAM_MAX_BYTES)
        return SWARM_OPEN_BAD;
    *out_len = view->body_len - overhead;
    a.aad_len = aad_plain(aad, view->seq, view->type, *out_len);
    nonce_set(&a, r->recv_iv, view->body);
    if (!swarm_aead_open(c, &a, view->body + NONCE_BYTES, view->body_len - NONCE_BYTES, out))
        return SWARM_OPEN_BAD;
    if (is_replay(r, seq))
        return SWARM_OPEN_REPLAY;
    note_received(r, seq);
    r->resumed = false;
    return SWARM_OPEN_OK;
}
