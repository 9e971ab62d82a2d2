#include "handshake/client_hello.h"

#include <string.h>

#include "base/bytes.h"

enum {
    EXT_SUPPORTED_GROUPS = 10,
    EXT_CLIENT_CERT_TYPE = 19,
    EXT_SERVER_CERT_TYPE = 20,
    EXT_EMS = 23,
    EXT_CID = 54,
    EXT_DRAFT_CID = 254
};
enum { GROUP_P256 = 0x0017, CERT_TYPE_RPK = 2, SUITE_SCSV = 0x00ff, SUITE_FALLBACK_SCSV = 0x5600 };

static void read_suites(struct client_hello *hello, struct bytes_reader list)
{
    while (bytes_left(&list) >= 2) {
        switch (bytes_get_be16(&list)) {
        case 0xc0ae:
            hello->suites |= SUITE_ECDSA_CCM8;
            break;
        case 0xc0ac:
            hello->suites |= SUITE_ECDSA_CCM;
            break;
        case 0xc02b:
            hello->suites |= SUITE_ECDSA_GCM;
            break;
        case 0xc0a8:
            hello->suites |= SUITE_PSK_CCM8;
            break;
        case 0x00a8:
            hello->suites |= SUITE_PSK_GCM;
            break;
        case SUITE_SCSV:
        case SUITE_FALLBACK_SCSV:
            break;
        default:
            hello->other_suites = true;
        }
    }
}

static void read_groups(struct client_hello *hello, struct bytes_reader body)
{
    struct bytes_reader list = bytes_sub(&body, bytes_get_be16(&body));
    hello->has_groups = true;
    while (bytes_left(&list) >= 2)
        if (bytes_get_be16(&list) == GROUP_P256)
            hello->has_p256 = true;
}

/* RFC 7250 3: a list of one-byte certificate types. */
static void read_cert_types(struct bytes_reader body, bool *rpk, bool *rpk_only)
{
    struct bytes_reader list = bytes_sub(&body, bytes_get_u8(&body));
    size_t count = bytes_left(&list);
    while (bytes_left(&list) > 0)
        if (bytes_get_u8(&list) == CERT_TYPE_RPK)
            *rpk = true;
    *rpk_only = *rpk && count == 1;
}

static bool read_extensions(struct client_hello *hello, struct bytes_reader *r)
{
    if (bytes_left(r) == 0)
        return true; /* none at all is allowed, RFC 5246 7.4.1.2 */
    struct bytes_reader list = bytes_sub(r, bytes_get_be16(r));
    while (bytes_left(&list) > 0 && !list.bad) {
        uint16_t number = bytes_get_be16(&list);
        struct bytes_reader body = bytes_sub(&list, bytes_get_be16(&list));
        if (number == EXT_SUPPORTED_GROUPS)
            read_groups(hello, body);
        else if (number == EXT_CLIENT_CERT_TYPE)
            read_cert_types(body, &hello->client_rpk, &hello->client_rpk_only);
        else if (number == EXT_SERVER_CERT_TYPE)
            read_cert_types(body, &hello->server_rpk, &hello->server_rpk_only);
        else if (number == EXT_EMS)
            hello->extended_master_secret = true;
        else if (number == EXT_CID)
            hello->rfc9146_cid = true;
        else if (number == EXT_DRAFT_CID) {
            hello->draft_cid = true;
            hello->draft_cid_empty = bytes_left(&body) == 1 && bytes_get_u8(&body) == 0;
        }
    }
    return !list.bad && bytes_left(r) == 0;
}

bool client_hello_parse(struct client_hello *hello, const uint8_t *datagram, size_t datagram_len)
{
    struct bytes_reader r;
    memset(hello, 0, sizeof *hello);
    bytes_reader_init(&r, datagram, datagram_len);
    (void)bytes_get(&r, 11); /* type, version, epoch, sequence: looked at by the caller */
    struct bytes_reader record = bytes_sub(&r, bytes_get_be16(&r));
    uint8_t message = bytes_get_u8(&record);
    uint32_t length = bytes_get_be24(&record);
    hello->message_seq = bytes_get_be16(&record);
    uint32_t offset = bytes_get_be24(&record), fragment = bytes_get_be24(&record);
    /* A fragmented ClientHello would need memory before the address is proved: refused, as RFC 6347 4.2.1
     * allows. */
    if (record.bad || message != 1 || offset != 0 || fragment != length || bytes_left(&record) != length)
        return false;
    hello->version = bytes_get_be16(&record);
    hello->random = bytes_get(&record, 32);
    (void)bytes_get(&record, bytes_get_u8(&record)); /* session id */
    hello->cookie_len = bytes_get_u8(&record);
    hello->cookie = bytes_get(&record, hello->cookie_len);
    uint16_t suites_len = bytes_get_be16(&record);
    struct bytes_reader suites = bytes_sub(&record, suites_len);
    uint8_t compressions = bytes_get_u8(&record);
    (void)bytes_get(&record, compressions);
    if (record.bad || suites_len % 2 != 0 || compressions == 0)
        return false;
    read_suites(hello, suites);
    return read_extensions(hello, &record);
}

enum handshake_outcome client_hello_profile(const struct client_hello *hello, enum session_profile *profile)
{
    if (hello->version >> 8 != 0xfe || (hello->version & 0xff) > 0xfd) /* versions count down: feff is 1.0 */
        return HANDSHAKE_UNSUPPORTED_VERSION;
    if (hello->suites == 0)
        return HANDSHAKE_NO_COMMON_SUITE;
    if (!(hello->suites & SUITES_ECDSA)) {
        *profile = SESSION_PSK;
        return HANDSHAKE_OK;
    }
    if (hello->has_groups && !hello->has_p256) {
        if (!(hello->suites & SUITES_PSK))
            return HANDSHAKE_NO_COMMON_CURVE;
        *profile = SESSION_PSK;
        return HANDSHAKE_OK;
    }
    bool only_device_suite = hello->suites == SUITE_ECDSA_CCM8 && !hello->other_suites;
    bool rpk_lists = hello->client_rpk_only && hello->server_rpk_only;
    if (hello->draft_cid ||
        (rpk_lists && only_device_suite && !hello->extended_master_secret && !hello->rfc9146_cid))
        *profile = SESSION_DEVICE_OS;
    else if (hello->client_rpk && hello->server_rpk)
        *profile = SESSION_RPK;
    else
        *profile = SESSION_X509;
    return HANDSHAKE_OK;
}
