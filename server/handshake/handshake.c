#define MBEDTLS_ALLOW_PRIVATE_ACCESS /* ssl_misc.h below needs the library's own view of its structs */
#include "handshake/handshake.h"

#include <mbedtls/sha256.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <ssl_misc.h> /* private header of the same tree: states and counters */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "handshake/handshake_shared.h"

#define MTU_BYTES 1150 /* device-protocol 2.9 */

static int on_send(void *ctx, const unsigned char *data, size_t data_len)
{
    struct handshake *h = ctx;
    (void)h->send(h->owner, &h->path, data, data_len); /* a datagram that is not taken is a lost one */
    if (h->ssl.state == MBEDTLS_SSL_CLIENT_CERTIFICATE || h->ssl.state == MBEDTLS_SSL_CLIENT_KEY_EXCHANGE)
        h->flight_4_sent = true;
    return (int)data_len;
}

static int on_receive(void *ctx, unsigned char *out, size_t out_size)
{
    struct handshake *h = ctx;
    if (h->input_len == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    size_t len = h->input_len < out_size ? h->input_len : out_size;
    memcpy(out, h->input, len);
    h->input_len = 0; /* a datagram is read once */
    return (int)len;
}

static void on_retransmit_deadline(struct deadline *d, uint64_t now_ms)
{
    struct handshake *h = (struct handshake *)((char *)d - offsetof(struct handshake, retransmit));
    h->on_retransmit(h, now_ms);
}

static void on_set_timer(void *ctx, uint32_t intermediate_ms, uint32_t final_ms)
{
    struct handshake *h = ctx;
    h->timer_intermediate_ms = h->timer_final_ms = 0;
    deadline_cancel(h->deadlines, &h->retransmit);
    if (final_ms == 0)
        return;
    uint64_t now_ms = clock_ms();
    h->timer_intermediate_ms = now_ms + intermediate_ms;
    h->timer_final_ms = now_ms + final_ms;
    deadline_set(h->deadlines, &h->retransmit, h->timer_final_ms, on_retransmit_deadline);
}

/* mbedtls_ssl_get_timer_t: -1 cancelled, 0 running, 1 intermediate passed, 2 final passed. */
static int on_get_timer(void *ctx)
{
    const struct handshake *h = ctx;
    if (h->timer_final_ms == 0)
        return -1;
    uint64_t now_ms = clock_ms();
    if (now_ms >= h->timer_final_ms)
        return 2;
    return now_ms >= h->timer_intermediate_ms ? 1 : 0;
}

struct handshake *handshake_new(struct handshake_shared *shared, const struct client_hello *hello,
                                enum session_profile profile, const struct net_path *path,
                                const uint8_t cid[SESSION_CID_BYTES], struct deadlines *deadlines,
                                uint64_t now_ms)
{
    struct handshake *h = mem_alloc(sizeof *h);
    h->profile = profile;
    h->path = *path;
    h->network = net_path_network(path);
    h->started_ms = now_ms;
    h->deadlines = deadlines;
    memcpy(h->cid, cid, sizeof h->cid);
    memcpy(h->client_random, hello->random, sizeof h->client_random);
    h->hooks.profile = profile;
    h->hooks.draft_cid = profile == SESSION_DEVICE_OS && hello->draft_cid && hello->draft_cid_empty;
    h->hooks.server_spki = shared->spki;
    h->hooks.server_spki_len = SERVER_KEY_SPKI_BYTES;

    mbedtls_ssl_init(&h->ssl);
    must(mbedtls_ssl_setup(&h->ssl, handshake_shared_config(shared, profile)) == 0);
    hooks_attach(&h->ssl, &h->hooks);
    mbedtls_ssl_set_bio(&h->ssl, h, on_send, on_receive, NULL);
    mbedtls_ssl_set_timer_cb(&h->ssl, h, on_set_timer, on_get_timer);
    mbedtls_ssl_set_mtu(&h->ssl, MTU_BYTES);
    must(mbedtls_ssl_set_client_transport_id(&h->ssl, (const unsigned char *)path, sizeof *path) == 0);
    must(mbedtls_ssl_set_cid(&h->ssl, MBEDTLS_SSL_CID_ENABLED, h->cid, sizeof h->cid) == 0);
    if (profile == SESSION_X509)
        mbedtls_ssl_set_verify(&h->ssl, handshake_on_verify, h);
    return h;
}

void handshake_free(struct handshake *h)
{
    deadline_cancel(h->deadlines, &h->retransmit);
    deadline_cancel(h->deadlines, &h->give_up);
    mbedtls_ssl_free(&h->ssl);
    if (h->held)
        bytes_wipe(h->held, h->held_len);
    free(h->held);
    bytes_wipe(h, sizeof *h);
    free(h);
}

static enum handshake_outcome outcome_of(const struct handshake *h, int ret)
{
    int state = h->ssl.state;
    switch (ret) {
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        return HANDSHAKE_CLIENT_ALERT;
    case MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY:
        return HANDSHAKE_UNKNOWN_IDENTITY;
    case MBEDTLS_ERR_SSL_TIMEOUT:
        return h->flight_4_sent ? HANDSHAKE_TIMEOUT_AFTER_FLIGHT_4 : HANDSHAKE_NO_COOKIE_RETURN;
    case MBEDTLS_ERR_ECP_VERIFY_FAILED:
    case MBEDTLS_ERR_PK_SIG_LEN_MISMATCH:
        return HANDSHAKE_BAD_SIGNATURE;
    case MBEDTLS_ERR_SSL_INVALID_MAC:
    case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
        return state >= MBEDTLS_SSL_CLIENT_CHANGE_CIPHER_SPEC ? HANDSHAKE_BAD_FINISHED
                                                              : HANDSHAKE_NO_COMMON_SUITE;
    default:
        /* a signature that is no valid DER comes out as one of the ASN.1 errors */
        return state == MBEDTLS_SSL_CLIENT_CHANGE_CIPHER_SPEC && h->profile != SESSION_PSK
                   ? HANDSHAKE_BAD_SIGNATURE
                   : HANDSHAKE_MALFORMED;
    }
}

static void fail(struct handshake *h, enum handshake_outcome outcome)
{
    h->state = HANDSHAKE_FAILED;
    h->outcome = outcome;
    deadline_cancel(h->deadlines, &h->retransmit);
    deadline_cancel(h->deadlines, &h->give_up);
}

static void run(struct handshake *h)
{
    hooks_enter(&h->hooks);
    int ret = mbedtls_ssl_handshake(&h->ssl);
    hooks_leave();
    if (ret == MBEDTLS_ERR_SSL_WANT_READ || ret == MBEDTLS_ERR_SSL_WANT_WRITE)
        return;
    if (ret != 0 || !h->hooks.has_read_key || !h->hooks.has_write_key) {
        if (ret == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
            h->alert = h->ssl.in_msg[1];
        fail(h, ret == 0 ? HANDSHAKE_MALFORMED : outcome_of(h, ret));
        return;
    }
    h->state = HANDSHAKE_COMPLETE;
    h->outcome = HANDSHAKE_OK;
    deadline_cancel(h->deadlines, &h->retransmit);
}

/* The identity in a plaintext ClientKeyExchange (RFC 4279 2) of an epoch-0 record in this datagram. */
static bool peek_identity(const uint8_t *datagram, size_t datagram_len, char out[SESSION_IDENTITY_MAX + 1])
{
    struct bytes_reader r;
    bytes_reader_init(&r, datagram, datagram_len);
    while (bytes_left(&r) >= RECORD_HEADER_BYTES) {
        uint8_t type = bytes_get_u8(&r);
        (void)bytes_get_be16(&r);
        uint16_t epoch = bytes_get_be16(&r);
        (void)bytes_get_be48(&r);
        struct bytes_reader record = bytes_sub(&r, bytes_get_be16(&r));
        if (type != RECORD_HANDSHAKE || epoch != 0 ||
            bytes_get_u8(&record) != MBEDTLS_SSL_HS_CLIENT_KEY_EXCHANGE)
            continue;
        (void)bytes_get(&record, 11); /* length, message_seq, fragment offset and length */
        uint16_t len = bytes_get_be16(&record);
        const uint8_t *identity = bytes_get(&record, len);
        if (!identity || len == 0 || len > SESSION_IDENTITY_MAX)
            return false;
        for (uint16_t i = 0; i < len; i++)
            if (identity[i] < 0x21 || identity[i] > 0x7e)
                return false;
        memcpy(out, identity, len);
        out[len] = '\0';
        return true;
    }
    return false;
}

void handshake_feed(struct handshake *h, const uint8_t *datagram, size_t datagram_len, uint64_t now_ms)
{
    (void)now_ms;
    if (h->state != HANDSHAKE_RUNNING)
        return; /* WAIT_PSK: the peer sends again */
    if (h->profile == SESSION_PSK && h->psk_len == 0 && peek_identity(datagram, datagram_len, h->identity)) {
        h->held = mem_copy(datagram, datagram_len);
        h->held_len = datagram_len;
        h->state = HANDSHAKE_WAIT_PSK;
        deadline_cancel(h->deadlines, &h->retransmit);
        return;
    }
    h->input = datagram;
    h->input_len = datagram_len;
    run(h);
    h->input = NULL;
    h->input_len = 0;
}

void handshake_give_psk(struct handshake *h, const uint8_t *psk, size_t psk_len, uint64_t now_ms)
{
    must(h->state == HANDSHAKE_WAIT_PSK);
    uint8_t *held = h->held;
    size_t held_len = h->held_len;
    h->held = NULL;
    h->state = HANDSHAKE_RUNNING;
    if (psk && psk_len > 0 && psk_len <= sizeof h->psk) {
        memcpy(h->psk, psk, psk_len);
        h->psk_len = psk_len;
    }
    (void)now_ms;
    h->input = held;
    h->input_len = held_len;
    run(h); /* without a key handshake_on_psk refuses, and mbedTLS sends alert 115 */
    h->input = NULL;
    h->input_len = 0;
    free(held);
}

void handshake_tick(struct handshake *h, uint64_t now_ms)
{
    (void)now_ms;
    if (h->state == HANDSHAKE_RUNNING)
        run(h);
}

void handshake_resend(struct handshake *h)
{
    if (h->state != HANDSHAKE_COMPLETE || h->resends >= HANDSHAKE_RESERVED_SEQ / 2)
        return;
    h->resends++;
    hooks_enter(&h->hooks);
    int ret = mbedtls_ssl_resend(&h->ssl);
    hooks_leave();
    if (ret != 0) /* for want of memory: the peer asks again */
        h->resends = HANDSHAKE_RESERVED_SEQ;
}

void handshake_refuse(struct handshake *h)
{
    must(h->state == HANDSHAKE_COMPLETE);
    hooks_enter(&h->hooks);
    /* If it is lost, so is the peer's next message. */
    (void)mbedtls_ssl_send_alert_message(&h->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                         MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED);
    hooks_leave();
}

void handshake_expire(struct handshake *h)
{
    fail(h, h->flight_4_sent ? HANDSHAKE_TIMEOUT_AFTER_FLIGHT_4 : HANDSHAKE_MALFORMED);
}

void handshake_take_record(const struct handshake *h, struct record_state *record)
{
    const mbedtls_ssl_transform *transform = h->ssl.transform_in;
    memset(record, 0, sizeof *record);
    memcpy(record->read_key, h->hooks.read_key, sizeof record->read_key);
    memcpy(record->write_key, h->hooks.write_key, sizeof record->write_key);
    memcpy(record->read_iv, transform->iv_dec, sizeof record->read_iv); /* the implicit part, RFC 5288 3 */
    memcpy(record->write_iv, transform->iv_enc, sizeof record->write_iv);
    record->own_cid_len = transform->in_cid_len;
    memcpy(record->own_cid, transform->in_cid, transform->in_cid_len);
    record->peer_cid_len = transform->out_cid_len;
    memcpy(record->peer_cid, transform->out_cid, transform->out_cid_len);
    record->flavour = h->hooks.draft_cid                                        ? RECORD_DRAFT05
                      : transform->in_cid_len > 0 || transform->out_cid_len > 0 ? RECORD_RFC9146
                                                                                : RECORD_PLAIN;
    switch (mbedtls_ssl_get_ciphersuite_id_from_ssl(&h->ssl)) {
    case MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
    case MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256:
        record->cipher = RECORD_GCM;
        break;
    case MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM:
        record->cipher = RECORD_CCM;
        break;
    default:
        record->cipher = RECORD_CCM8;
    }
    record->send_seq = HANDSHAKE_RESERVED_SEQ;
    record->recv_max = h->ssl.in_window_top & 0xffffffffffff;
    record->recv_window = h->ssl.in_window | 1;
}

void handshake_take_proof(const struct handshake *h, struct session_proof *proof)
{
    memset(proof, 0, sizeof *proof);
    proof->profile = h->profile;
    const uint8_t *spki = h->profile == SESSION_X509 ? h->leaf_spki : h->hooks.peer_spki;
    proof->spki_len = h->profile == SESSION_X509 ? h->leaf_spki_len : h->hooks.peer_spki_len;
    if (proof->spki_len > 0) {
        memcpy(proof->spki, spki, proof->spki_len);
        must(mbedtls_sha256(spki, proof->spki_len, proof->key_sha256, 0) == 0);
    }
    memcpy(proof->identity, h->identity, sizeof proof->identity);
    memcpy(proof->subject_cn, h->leaf_cn, sizeof proof->subject_cn);
    proof->ca_signed =
        h->profile == SESSION_X509 && h->verified_leaf_seen && mbedtls_ssl_get_verify_result(&h->ssl) == 0;
}

static const char *stage_name(const struct handshake *h)
{
    if (h->outcome == HANDSHAKE_OK)
        return "finished";
    switch (h->ssl.state) {
    case MBEDTLS_SSL_HELLO_REQUEST:
    case MBEDTLS_SSL_CLIENT_HELLO:
        return "client_hello";
    case MBEDTLS_SSL_CLIENT_CERTIFICATE:
        return "certificate";
    case MBEDTLS_SSL_CLIENT_KEY_EXCHANGE:
        return "key_exchange";
    case MBEDTLS_SSL_CERTIFICATE_VERIFY:
    case MBEDTLS_SSL_CLIENT_CHANGE_CIPHER_SPEC:
        return "certificate_verify";
    default:
        return "finished";
    }
}

void handshake_describe(const struct handshake *h, struct handshake_attempt *attempt, uint64_t now_ms)
{
    struct session_proof proof;
    handshake_take_proof(h, &proof);
    memset(attempt, 0, sizeof *attempt);
    attempt->outcome = h->outcome;
    attempt->alert = h->alert;
    attempt->stage = stage_name(h);
    attempt->profile = session_profile_name(h->profile);
    attempt->path = h->path;
    attempt->took_ms = (uint32_t)(now_ms - h->started_ms);
    memcpy(attempt->key_sha256, proof.key_sha256, sizeof attempt->key_sha256);
    memcpy(attempt->identity, proof.identity, sizeof attempt->identity);
}
