#include "swarm_hello.h"
#include "base/bytes.h"
#include <string.h>

#define VERSION_DTLS12 0xfefd
#define SUITE_ECDHE_ECDSA_CCM8 0xc0ae
#define SUITE_PSK_CCM8 0xc0a8
#define SUITE_PSK_GCM 0x00a8
#define SUITE_SCSV 0x00ff /* RFC 5746 3.3 */
#define CURVE_P256 0x0017
#define ECDSA_SHA256 0x0403
#define TYPE_ECDSA_SIGN 0x40
#define TYPE_RAW_PUBLIC_KEY 2
#define DEVICEOS_CID_BYTES 8

enum extension {
    EXT_GROUPS = 10,
    EXT_POINT_FORMATS = 11,
    EXT_SIGNATURE_ALGORITHMS = 13,
    EXT_CLIENT_TYPE = 19,
    EXT_SERVER_TYPE = 20,
    EXT_EXTENDED_MASTER_SECRET = 23,
    EXT_CID_RFC9146 = 54,
    EXT_CID_DRAFT05 = 254,
    EXT_RENEGOTIATION_INFO = 0xff01
};

/* Order and contents as captured from a device (device-trace 2); 254 goes between the two. */
static const uint8_t deviceos_head[] = {0x00, 0x0d, 0x00, 0x0a, 0x00, 0x08, 0x04, 0x03, 0x04, 0x01,
                                        0x03, 0x03, 0x03, 0x01, 0x00, 0x0a, 0x00, 0x04, 0x00, 0x02,
                                        0x00, 0x17, 0x00, 0x0b, 0x00, 0x02, 0x01, 0x00};
static const uint8_t deviceos_cid[] = {0x00, 0xfe, 0x00, 0x01, 0x00};
static const uint8_t deviceos_tail[] = {0x00, 0x13, 0x00, 0x02, 0x01, 0x02,
                                        0x00, 0x14, 0x00, 0x02, 0x01, 0x02};
static const uint8_t psk_head[] = {0x00, 0x17, 0x00, 0x00};
static const uint8_t psk_cid[] = {0x00, 0x36, 0x00, 0x01, 0x00};

static uint16_t suite_number(const struct swarm_credentials *c)
{
    if (c->profile == SWARM_PROFILE_DEVICEOS)
        return SUITE_ECDHE_ECDSA_CCM8;
    return c->suite == SWARM_SUITE_CCM8 ? SUITE_PSK_CCM8 : SUITE_PSK_GCM;
}

static void put_extensions(struct bytes_writer *w, const struct swarm_credentials *c)
{
    if (c->profile == SWARM_PROFILE_DEVICEOS) {
        bytes_put_be16(w, (uint16_t)(sizeof(deviceos_head) + sizeof(deviceos_tail) +
                                     (c->cid ? sizeof(deviceos_cid) : 0)));
        bytes_put(w, deviceos_head, sizeof(deviceos_head));
        if (c->cid)
            bytes_put(w, deviceos_cid, sizeof(deviceos_cid));
        bytes_put(w, deviceos_tail, sizeof(deviceos_tail));
        return;
    }
    bytes_put_be16(w, (uint16_t)(sizeof(psk_head) + (c->cid ? sizeof(psk_cid) : 0)));
    bytes_put(w, psk_head, sizeof(psk_head));
    if (c->cid)
        bytes_put(w, psk_cid, sizeof(psk_cid));
}

size_t swarm_hello_client(const struct swarm_hello_offer *offer, uint8_t *out, size_t out_size)
{
    struct bytes_writer w;

    bytes_writer_init(&w, out, out_size);
    bytes_put_be16(&w, VERSION_DTLS12);
    bytes_put(&w, offer->random, SWARM_RANDOM_BYTES);
    bytes_put_u8(&w, 0); /* session id: none */
    bytes_put_u8(&w, (uint8_t)offer->cookie.len);
    bytes_put(&w, offer->cookie.data, offer->cookie.len);
    bytes_put_be16(&w, 4);
    bytes_put_be16(&w, suite_number(offer->credentials));
    bytes_put_be16(&w, SUITE_SCSV);
    bytes_put_u8(&w, 1);
    bytes_put_u8(&w, 0); /* compression: null */
    put_extensions(&w, offer->credentials);
    return w.bad ? 0 : bytes_written(&w);
}

bool swarm_hello_cookie(struct swarm_bytes body, struct swarm_bytes *cookie)
{
    struct bytes_reader r;

    bytes_reader_init(&r, body.data, body.len);
    bytes_get_be16(&r); /* may be DTLS 1.0: RFC 6347 4.2.1 */
    cookie->len = bytes_get_u8(&r);
    cookie->data = bytes_get(&r, cookie->len);
    return !r.bad && bytes_left(&r) == 0;
}

static bool is_one_byte(const struct bytes_reader *ext, uint8_t value)
{
    return bytes_left(ext) == 1 && ext->at[0] == value;
}

static enum swarm_dtls_result take_cid(struct bytes_reader *ext, struct swarm_server_hello *out)
{
    const uint8_t *cid;

    out->cid_len = bytes_get_u8(ext);
    cid = bytes_get(ext, out->cid_len);
    if (ext->bad || bytes_left(ext) != 0 || out->cid_len > sizeof(out->cid))
        return SWARM_DTLS_CONNECTION_ID;
    memcpy(out->cid, cid, out->cid_len);
    out->has_cid = true;
    return SWARM_DTLS_OK;
}

static enum swarm_dtls_result take_extension(const struct swarm_credentials *c, uint16_t number,
                                             struct bytes_reader *ext, struct swarm_server_hello *out)
{
    bool deviceos = c->profile == SWARM_PROFILE_DEVICEOS;

    if (number == EXT_RENEGOTIATION_INFO) /* the SCSV allows it */
        return is_one_byte(ext, 0) ? SWARM_DTLS_OK : SWARM_DTLS_SERVER_HELLO;
    if (c->cid && number == (deviceos ? EXT_CID_DRAFT05 : EXT_CID_RFC9146))
        return take_cid(ext, out);
    if (deviceos && number == EXT_POINT_FORMATS)
        return SWARM_DTLS_OK;
    if (deviceos && (number == EXT_CLIENT_TYPE || number == EXT_SERVER_TYPE)) {
        if (!is_one_byte(ext, TYPE_RAW_PUBLIC_KEY))
            return SWARM_DTLS_KEY_TYPE;
        if (number == EXT_CLIENT_TYPE)
            out->has_client_type = true;
        else
            out->has_server_type = true;
        return SWARM_DTLS_OK;
    }
    if (!deviceos && number == EXT_EXTENDED_MASTER_SECRET && bytes_left(ext) == 0) {
        out->has_extended_master_secret = true;
        return SWARM_DTLS_OK;
    }
    return SWARM_DTLS_EXTENSION;
}

static enum swarm_dtls_result check_deviceos(const struct swarm_credentials *c,
                                             const struct swarm_server_hello *hello)
{
    if (!hello->has_client_type || !hello->has_server_type)
        return SWARM_DTLS_KEY_TYPE;
    if (c->cid && (!hello->has_cid || hello->cid_len != DEVICEOS_CID_BYTES))
        return SWARM_DTLS_CONNECTION_ID;
    return SWARM_DTLS_OK;
}

enum swarm_dtls_result swarm_hello_server(const struct swarm_credentials *c, struct swarm_bytes body,
                                          struct swarm_server_hello *out)
{
    struct bytes_reader r;
    const uint8_t *random;
    uint16_t version, suite;
    uint8_t compression, session_len;

    memset(out, 0, sizeof(*out));
    bytes_reader_init(&r, body.data, body.len);
    version = bytes_get_be16(&r);
    random = bytes_get(&r, SWARM_RANDOM_BYTES);
    session_len = bytes_get_u8(&r);
    bytes_get(&r, session_len);
    suite = bytes_get_be16(&r);
    compression = bytes_get_u8(&r);
    if (r.bad)
        return SWARM_DTLS_MALFORMED;
    if (version != VERSION_DTLS12 || session_len > 32 || suite != suite_number(c) || compression != 0)
        return SWARM_DTLS_SERVER_HELLO;
    memcpy(out->random, random, SWARM_RANDOM_BYTES);
    if (bytes_left(&r) > 0) {
        uint16_t extensions_len = bytes_get_be16(&r);

        if (extensions_len != bytes_left(&r))
            return SWARM_DTLS_MALFORMED;
    }
    while (bytes_left(&r) > 0) {
        uint16_t number = bytes_get_be16(&r);
        struct bytes_reader ext = bytes_sub(&r, bytes_get_be16(&r));
        enum swarm_dtls_result result;

        if (r.bad)
            return SWARM_DTLS_MALFORMED;
        result = take_extension(c, number, &ext, out);
        if (result != SWARM_DTLS_OK)
            return result;
    }
    return c->profile == SWARM_PROFILE_DEVICEOS ? check_deviceos(c, out) : SWARM_DTLS_OK;
}

enum swarm_dtls_result swarm_hello_key_exchange(const struct swarm_verifier *server,
                                                const struct swarm_randoms *randoms, struct swarm_bytes body,
                                                uint8_t point[SWARM_POINT_BYTES])
{
    uint8_t hash[SWARM_HASH_BYTES], signed_part[2 * SWARM_RANDOM_BYTES + 4 + SWARM_POINT_BYTES];
    struct bytes_reader r;
    const uint8_t *params, *sig;
    size_t sig_len;

    bytes_reader_init(&r, body.data, body.len);
    params = bytes_get(&r, 4 + SWARM_POINT_BYTES);
    if (r.bad || params[0] != 3 || be16_load(params + 1) != CURVE_P256 || params[3] != SWARM_POINT_BYTES ||
        params[4] != 4)
        return SWARM_DTLS_KEY_EXCHANGE;
    if (bytes_get_be16(&r) != ECDSA_SHA256)
        return SWARM_DTLS_KEY_EXCHANGE;
    sig_len = bytes_get_be16(&r);
    sig = bytes_get(&r, sig_len);
    if (r.bad || bytes_left(&r) != 0)
        return SWARM_DTLS_MALFORMED;
    memcpy(signed_part, randoms->client, SWARM_RANDOM_BYTES); /* RFC 8422 5.4 */
    memcpy(signed_part + SWARM_RANDOM_BYTES, randoms->server, SWARM_RANDOM_BYTES);
    memcpy(signed_part + (size_t)2 * SWARM_RANDOM_BYTES, params, 4 + SWARM_POINT_BYTES);
    swarm_sha256(hash, signed_part, sizeof(signed_part));
    if (!swarm_verifier_check(server, hash, sig, sig_len))
        return SWARM_DTLS_SIGNATURE;
    memcpy(point, params + 4, SWARM_POINT_BYTES);
    return SWARM_DTLS_OK;
}

enum swarm_dtls_result swarm_hello_hint(struct swarm_bytes body)
{
    if (body.len < 2 || be16_load(body.data) != body.len - 2)
        return SWARM_DTLS_KEY_EXCHANGE;
    return SWARM_DTLS_OK;
}

enum swarm_dtls_result swarm_hello_certificate_request(struct swarm_bytes body)
{
    struct bytes_reader r, types, algorithms;
    bool has_type = false, has_algorithm = false;
    size_t authorities_len;

    bytes_reader_init(&r, body.data, body.len);
    types = bytes_sub(&r, bytes_get_u8(&r));
    algorithms = bytes_sub(&r, bytes_get_be16(&r));
    authorities_len = bytes_get_be16(&r);
    bytes_get(&r, authorities_len);
    if (r.bad || bytes_left(&r) != 0)
        return SWARM_DTLS_MALFORMED;
    while (bytes_left(&types) > 0)
        has_type |= bytes_get_u8(&types) == TYPE_ECDSA_SIGN;
    while (bytes_left(&algorithms) >= 2)
        has_algorithm |= bytes_get_be16(&algorithms) == ECDSA_SHA256;
    return has_type && has_algorithm ? SWARM_DTLS_OK : SWARM_DTLS_CERTIFICATE_REQUEST;
}
