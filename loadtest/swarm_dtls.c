#include "swarm_dtls.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "swarm_hello.h"
#include "swarm_inbox.h"
#include <stdlib.h>
#include <string.h>

#define TRANSCRIPT_MAX_BYTES 6144
#define FLIGHT_MAX_BYTES 1024
#define VERIFY_DATA_BYTES 12
#define MASTER_BYTES 48
#define FLIGHT_MESSAGES 5
#define ALERT_FATAL 2

enum message_type {
    HELLO_REQUEST = 0,
    CLIENT_HELLO = 1,
    SERVER_HELLO = 2,
    HELLO_VERIFY_REQUEST = 3,
    CERTIFICATE = 11,
    SERVER_KEY_EXCHANGE = 12,
    CERTIFICATE_REQUEST = 13,
    SERVER_HELLO_DONE = 14,
    CERTIFICATE_VERIFY = 15,
    CLIENT_KEY_EXCHANGE = 16,
    FINISHED = 20
};

enum dtls_state {
    WAIT_SERVER_HELLO,
    WAIT_KEY_EXCHANGE,
    WAIT_CERTIFICATE_REQUEST,
    WAIT_HELLO_DONE,
    WAIT_FINISHED,
    ENDED
};
static const uint8_t may_enter[] = {
    [WAIT_SERVER_HELLO] = 1 << WAIT_KEY_EXCHANGE | 1 << ENDED,
    [WAIT_KEY_EXCHANGE] =
        1 << WAIT_CERTIFICATE_REQUEST | 1 << WAIT_HELLO_DONE | 1 << WAIT_FINISHED | 1 << ENDED,
    [WAIT_CERTIFICATE_REQUEST] = 1 << WAIT_HELLO_DONE | 1 << ENDED,
    [WAIT_HELLO_DONE] = 1 << WAIT_FINISHED | 1 << ENDED,
    [WAIT_FINISHED] = 1 << ENDED,
};

/* A handshake message of our current flight, with its header, in flight_bytes. */
struct flight_message {
    uint16_t start, len;
};

struct swarm_dtls {
    struct deadline retransmit; /* must stay first: on_retransmit finds us by it */
    struct swarm_dtls_params params;
    struct swarm_randoms randoms;
    struct swarm_key ephemeral;
    struct swarm_inbox inbox;
    uint8_t server_point[SWARM_POINT_BYTES];
    uint8_t master[MASTER_BYTES];
    uint8_t transcript[TRANSCRIPT_MAX_BYTES]; /* handshake messages since the last ClientHello */
    size_t transcript_len;
    uint8_t flight_bytes[FLIGHT_MAX_BYTES];
    size_t flight_bytes_len;
    struct flight_message flight[FLIGHT_MESSAGES];
    uint64_t send_seq; /* epoch 0 */
    uint32_t wait_ms;
    enum dtls_state state;
    uint16_t message_seq;     /* of our next message */
    uint16_t server_last_seq; /* of the server's last message before our current flight */
    uint8_t flight_count;
    bool extended_master_secret, keys_ready;
};

static const char *const result_names[] = {
#define XX(name, text) [SWARM_DTLS_##name] = (text),
    SWARM_DTLS_RESULT_MAP(XX)
#undef XX
};

const char *swarm_dtls_result_name(enum swarm_dtls_result result)
{
    return result_names[result];
}

static void enter(struct swarm_dtls *d, enum dtls_state state)
{
    must(may_enter[d->state] >> state & 1);
    d->state = state;
}

/* --- sending --- */

static size_t put_plain_record(struct swarm_dtls *d, uint8_t *out, enum swarm_record_type type,
                               struct swarm_bytes body)
{
    out[0] = (uint8_t)type;
    be16_store(out + 1, 0xfefd);
    be64_store(out + 3, d->send_seq++);
    be16_store(out + 11, (uint16_t)body.len);
    memcpy(out + SWARM_RECORD_HEADER_BYTES, body.data, body.len);
    return SWARM_RECORD_HEADER_BYTES + body.len;
}

/* The whole flight goes in one datagram, as a device sends it. Every transmission has new record numbers. */
static void flight_send(struct swarm_dtls *d)
{
    static const uint8_t ccs = 1;
    uint8_t out[SWARM_DATAGRAM_MAX_BYTES];
    size_t len = 0;

    for (uint8_t i = 0; i < d->flight_count; i++) {
        struct swarm_bytes message = {d->flight_bytes + d->flight[i].start, d->flight[i].len};

        if (message.data[0] != FINISHED) {
            len += put_plain_record(d, out + len, SWARM_RECORD_HANDSHAKE, message);
            continue;
        }
        len += put_plain_record(d, out + len, SWARM_RECORD_CCS, (struct swarm_bytes){&ccs, 1});
        len += swarm_record_seal(d->params.crypto, d->params.record, SWARM_RECORD_HANDSHAKE, message,
                                 out + len, sizeof(out) - len);
    }
    d->params.send(d->params.owner, out, len);
}

static void alert_send(struct swarm_dtls *d, uint8_t description)
{
    uint8_t out[SWARM_RECORD_HEADER_BYTES + 2];
    uint8_t alert[2] = {ALERT_FATAL, description};

    d->params.send(d->params.owner, out,
                   put_plain_record(d, out, SWARM_RECORD_ALERT, (struct swarm_bytes){alert, 2}));
}

/* Ends the handshake. Last statement of every caller: the owner may free d. */
static void finish(struct swarm_dtls *d, enum swarm_dtls_result result, uint8_t alert)
{
    static const uint8_t alert_of[] = {
        [SWARM_DTLS_CERTIFICATE] = 10, [SWARM_DTLS_UNEXPECTED] = 10, [SWARM_DTLS_MALFORMED] = 50,
        [SWARM_DTLS_SIGNATURE] = 51,   [SWARM_DTLS_FINISHED] = 51,   [SWARM_DTLS_EXTENSION] = 110,
        [SWARM_DTLS_INTERNAL] = 80};

    if (d->state == ENDED)
        return;
    enter(d, ENDED);
    deadline_cancel(d->params.deadlines, &d->retransmit);
    if (result != SWARM_DTLS_OK && result != SWARM_DTLS_TIMEOUT && result != SWARM_DTLS_ALERT)
        alert_send(d, result < sizeof(alert_of) && alert_of[result] ? alert_of[result] : 40);
    d->params.done(d->params.owner, result, alert);
}

static void on_retransmit(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_dtls *d = (struct swarm_dtls *)(void *)deadline;

    if (d->wait_ms >= d->params.retransmit_max_ms) {
        finish(d, SWARM_DTLS_TIMEOUT, 0);
        return;
    }
    d->wait_ms *= 2;
    if (d->wait_ms > d->params.retransmit_max_ms)
        d->wait_ms = d->params.retransmit_max_ms;
    deadline_set(d->params.deadlines, &d->retransmit, now_ms + d->wait_ms, on_retransmit);
    flight_send(d);
}

static void flight_begin(struct swarm_dtls *d)
{
    d->flight_count = 0;
    d->flight_bytes_len = 0;
}

static void flight_start(struct swarm_dtls *d, uint64_t now_ms)
{
    d->server_last_seq = (uint16_t)(d->inbox.next_seq - 1);
    d->wait_ms = d->params.retransmit_ms;
    deadline_set(d->params.deadlines, &d->retransmit, now_ms + d->wait_ms, on_retransmit);
    flight_send(d);
}

static void transcript_add(struct swarm_dtls *d, const void *data, size_t len)
{
    must(d->transcript_len + len <= sizeof(d->transcript));
    memcpy(d->transcript + d->transcript_len, data, len);
    d->transcript_len += len;
}

/* Header of an unfragmented message, as it enters the transcript (RFC 6347 4.2.6). */
static void put_header(uint8_t out[SWARM_HANDSHAKE_HEADER_BYTES], uint8_t type, uint16_t seq, uint32_t len)
{
    memset(out, 0, SWARM_HANDSHAKE_HEADER_BYTES);
    out[0] = type;
    be16_store(out + 2, (uint16_t)len); /* messages are below 64 KB */
    be16_store(out + 4, seq);
    be16_store(out + 10, (uint16_t)len);
}

static void flight_add(struct swarm_dtls *d, enum message_type type, struct swarm_bytes body)
{
    size_t len = SWARM_HANDSHAKE_HEADER_BYTES + body.len;
    uint8_t *at = d->flight_bytes + d->flight_bytes_len;

    must(d->flight_count < FLIGHT_MESSAGES && d->flight_bytes_len + len <= sizeof(d->flight_bytes));
    put_header(at, (uint8_t)type, d->message_seq++, (uint32_t)body.len);
    memcpy(at + SWARM_HANDSHAKE_HEADER_BYTES, body.data, body.len);
    d->flight[d->flight_count++] = (struct flight_message){(uint16_t)d->flight_bytes_len, (uint16_t)len};
    d->flight_bytes_len += len;
    transcript_add(d, at, len);
}

static void client_hello_send(struct swarm_dtls *d, struct swarm_bytes cookie, uint64_t now_ms)
{
    struct swarm_hello_offer offer = {&d->params.credentials, d->randoms.client, cookie};
    uint8_t body[512];
    size_t body_len = swarm_hello_client(&offer, body, sizeof(body));

    must(body_len > 0);
    flight_begin(d);
    d->transcript_len = 0; /* HelloVerifyRequest and the hello before it do not count: RFC 6347 4.2.6 */
    flight_add(d, CLIENT_HELLO, (struct swarm_bytes){body, body_len});
    flight_start(d, now_ms);
}

/* --- keys --- */

static void transcript_hash(const struct swarm_dtls *d, uint8_t hash[SWARM_HASH_BYTES])
{
    swarm_sha256(hash, d->transcript, d->transcript_len);
}

static bool premaster(struct swarm_dtls *d, uint8_t *out, size_t out_size, size_t *out_len)
{
    struct swarm_bytes psk = d->params.credentials.psk;

    if (d->params.credentials.profile == SWARM_PROFILE_DEVICEOS) {
        *out_len = 32;
        return swarm_key_agree(d->params.crypto, out, &d->ephemeral, d->server_point);
    }
    *out_len = 2 * (2 + psk.len); /* RFC 4279 2 */
    if (*out_len > out_size)
        return false;
    be16_store(out, (uint16_t)psk.len);
    memset(out + 2, 0, psk.len);
    be16_store(out + 2 + psk.len, (uint16_t)psk.len);
    memcpy(out + 4 + psk.len, psk.data, psk.len);
    return true;
}

/* After ClientKeyExchange has entered the transcript (RFC 7627 4 hashes up to there). */
static bool derive_keys(struct swarm_dtls *d)
{
    uint8_t secret[160], seed[64], block[40], hash[SWARM_HASH_BYTES];
    struct swarm_record *r = d->params.record;
    struct swarm_bytes master = {d->master, MASTER_BYTES};
    size_t secret_len;

    if (!premaster(d, secret, sizeof(secret), &secret_len))
        return false;
    memcpy(seed, d->randoms.client, 32);
    memcpy(seed + 32, d->randoms.server, 32);
    if (d->extended_master_secret) {
        transcript_hash(d, hash);
        swarm_prf((struct swarm_bytes){secret, secret_len}, "extended master secret",
                  (struct swarm_bytes){hash, sizeof(hash)}, d->master, MASTER_BYTES);
    } else {
        swarm_prf((struct swarm_bytes){secret, secret_len}, "master secret", (struct swarm_bytes){seed, 64},
                  d->master, MASTER_BYTES);
    }
    memcpy(seed, d->randoms.server, 32);
    memcpy(seed + 32, d->randoms.client, 32);
    swarm_prf(master, "key expansion", (struct swarm_bytes){seed, 64}, block, sizeof(block));
    memcpy(r->send_key, block, 16);
    memcpy(r->recv_key, block + 16, 16);
    memcpy(r->send_iv, block + 32, 4);
    memcpy(r->recv_iv, block + 36, 4);
    d->keys_ready = true;
    bytes_wipe(secret, sizeof(secret));
    bytes_wipe(block, sizeof(block));
    return true;
}

static void verify_data(const struct swarm_dtls *d, const char *label, uint8_t out[VERIFY_DATA_BYTES])
{
    uint8_t hash[SWARM_HASH_BYTES];

    transcript_hash(d, hash);
    swarm_prf((struct swarm_bytes){d->master, MASTER_BYTES}, label, (struct swarm_bytes){hash, sizeof(hash)},
              out, VERIFY_DATA_BYTES);
}

/* --- the client's second flight --- */

static void add_certificate(struct swarm_dtls *d)
{
    uint8_t body[3 + SWARM_SPKI_BYTES] = {0, 0, SWARM_SPKI_BYTES}; /* RFC 7250 3: no list around it */

    swarm_spki_encode(body + 3, d->params.credentials.key->point);
    flight_add(d, CERTIFICATE, (struct swarm_bytes){body, sizeof(body)});
}

static bool add_client_key_exchange(struct swarm_dtls *d)
{
    const struct swarm_credentials *c = &d->params.credentials;
    uint8_t body[2 + 255];

    if (c->profile == SWARM_PROFILE_DEVICEOS) {
        if (!swarm_key_generate(d->params.crypto, &d->ephemeral))
            return false;
        body[0] = SWARM_POINT_BYTES;
        memcpy(body + 1, d->ephemeral.point, SWARM_POINT_BYTES);
        flight_add(d, CLIENT_KEY_EXCHANGE, (struct swarm_bytes){body, 1 + SWARM_POINT_BYTES});
        return true;
    }
    must(c->identity.len <= sizeof(body) - 2);
    be16_store(body, (uint16_t)c->identity.len);
    memcpy(body + 2, c->identity.data, c->identity.len);
    flight_add(d, CLIENT_KEY_EXCHANGE, (struct swarm_bytes){body, 2 + c->identity.len});
    return true;
}

static bool add_certificate_verify(struct swarm_dtls *d)
{
    uint8_t hash[SWARM_HASH_BYTES], body[4 + SWARM_SIGNATURE_MAX_BYTES] = {4, 3};
    size_t sig_len;

    transcript_hash(d, hash);
    sig_len = swarm_key_sign(d->params.crypto, body + 4, d->params.credentials.key, hash);
    if (sig_len == 0)
        return false;
    be16_store(body + 2, (uint16_t)sig_len);
    flight_add(d, CERTIFICATE_VERIFY, (struct swarm_bytes){body, 4 + sig_len});
    return true;
}

static enum swarm_dtls_result second_flight(struct swarm_dtls *d, uint64_t now_ms)
{
    bool deviceos = d->params.credentials.profile == SWARM_PROFILE_DEVICEOS;
    uint8_t verify[VERIFY_DATA_BYTES];

    flight_begin(d);
    if (deviceos)
        add_certificate(d);
    if (!add_client_key_exchange(d) || !derive_keys(d))
        return SWARM_DTLS_KEY_EXCHANGE;
    if (deviceos && !add_certificate_verify(d))
        return SWARM_DTLS_INTERNAL;
    verify_data(d, "client finished", verify);
    flight_add(d, FINISHED, (struct swarm_bytes){verify, sizeof(verify)});
    enter(d, WAIT_FINISHED);
    flight_start(d, now_ms);
    return SWARM_DTLS_OK;
}

/* --- the server's messages, in order --- */

static enum swarm_dtls_result on_server_hello(struct swarm_dtls *d, struct swarm_bytes body)
{
    struct swarm_record *r = d->params.record;
    struct swarm_server_hello hello;
    enum swarm_dtls_result result = swarm_hello_server(&d->params.credentials, body, &hello);

    if (result != SWARM_DTLS_OK)
        return result;
    memcpy(d->randoms.server, hello.random, SWARM_RANDOM_BYTES);
    d->extended_master_secret = hello.has_extended_master_secret;
    r->cid_len = (uint8_t)hello.cid_len;
    memcpy(r->cid, hello.cid, hello.cid_len);
    if (hello.cid_len > 0)
        r->flavour =
            d->params.credentials.profile == SWARM_PROFILE_DEVICEOS ? SWARM_CID_DRAFT05 : SWARM_CID_RFC9146;
    enter(d, WAIT_KEY_EXCHANGE);
    return SWARM_DTLS_OK;
}

static enum swarm_dtls_result on_key_exchange(struct swarm_dtls *d, struct swarm_bytes body)
{
    const struct swarm_credentials *c = &d->params.credentials;
    enum swarm_dtls_result result;

    if (c->profile == SWARM_PROFILE_PSK) {
        result = swarm_hello_hint(body);
        if (result == SWARM_DTLS_OK)
            enter(d, WAIT_HELLO_DONE);
        return result;
    }
    result = swarm_hello_key_exchange(c->server, &d->randoms, body, d->server_point);
    if (result == SWARM_DTLS_OK)
        enter(d, WAIT_CERTIFICATE_REQUEST);
    return result;
}

static enum swarm_dtls_result on_certificate_request(struct swarm_dtls *d, struct swarm_bytes body)
{
    enum swarm_dtls_result result = swarm_hello_certificate_request(body);

    if (result == SWARM_DTLS_OK)
        enter(d, WAIT_HELLO_DONE);
    return result;
}

static bool is_expected(const struct swarm_dtls *d, uint8_t type)
{
    switch (d->state) {
    case WAIT_SERVER_HELLO:
        return type == SERVER_HELLO;
    case WAIT_KEY_EXCHANGE: /* a PSK server without a hint sends none */
        return type == SERVER_KEY_EXCHANGE ||
               (type == SERVER_HELLO_DONE && d->params.credentials.profile == SWARM_PROFILE_PSK);
    case WAIT_CERTIFICATE_REQUEST:
        return type == CERTIFICATE_REQUEST;
    case WAIT_HELLO_DONE:
        return type == SERVER_HELLO_DONE;
    case WAIT_FINISHED:
        return type == FINISHED;
    case ENDED:
        return false;
    }
    return false;
}

static enum swarm_dtls_result on_finished(struct swarm_dtls *d, const struct swarm_message *m)
{
    uint8_t expected[VERIFY_DATA_BYTES];

    verify_data(d, "server finished", expected);
    if (m->len != sizeof(expected) || !bytes_equal_secret(expected, m->body, sizeof(expected)))
        return SWARM_DTLS_FINISHED;
    return SWARM_DTLS_OK;
}

static enum swarm_dtls_result on_message(struct swarm_dtls *d, const struct swarm_message *m)
{
    struct swarm_bytes body = {m->body, m->len};
    uint8_t header[SWARM_HANDSHAKE_HEADER_BYTES];

    if (m->type == CERTIFICATE) /* device-protocol 2.4 */
        return SWARM_DTLS_CERTIFICATE;
    if (!is_expected(d, m->type))
        return SWARM_DTLS_UNEXPECTED;
    if (m->type == FINISHED)
        return on_finished(d, m);
    if (d->transcript_len + sizeof(header) + m->len + FLIGHT_MAX_BYTES > sizeof(d->transcript))
        return SWARM_DTLS_MALFORMED;
    put_header(header, m->type, m->seq, m->len);
    transcript_add(d, header, sizeof(header));
    transcript_add(d, m->body, m->len);
    switch (m->type) {
    case SERVER_HELLO:
        return on_server_hello(d, body);
    case SERVER_KEY_EXCHANGE:
        return on_key_exchange(d, body);
    case CERTIFICATE_REQUEST:
        return on_certificate_request(d, body);
    default:
        return m->len == 0 ? SWARM_DTLS_OK : SWARM_DTLS_MALFORMED; /* ServerHelloDone */
    }
}

/* A new ClientHello with the cookie; the message after it is numbered one higher. */
static enum swarm_dtls_result on_verify_request(struct swarm_dtls *d, const struct swarm_message *m,
                                                uint64_t now_ms)
{
    struct swarm_bytes cookie;
    uint8_t copy[SWARM_COOKIE_MAX_BYTES];

    if (d->state != WAIT_SERVER_HELLO)
        return SWARM_DTLS_UNEXPECTED;
    if (!swarm_hello_cookie((struct swarm_bytes){m->body, m->len}, &cookie))
        return SWARM_DTLS_MALFORMED;
    memcpy(copy, cookie.data, cookie.len);
    cookie.data = copy;
    swarm_inbox_pop(&d->inbox);
    client_hello_send(d, cookie, now_ms);
    return SWARM_DTLS_OK;
}

/* Works off all whole messages. Last statement of its caller. */
static void advance(struct swarm_dtls *d, uint64_t now_ms)
{
    struct swarm_message m;
    enum swarm_dtls_result result;

    while (d->state != ENDED && swarm_inbox_next(&d->inbox, &m)) {
        uint8_t type = m.type;

        if (type == HELLO_VERIFY_REQUEST) {
            result = on_verify_request(d, &m, now_ms);
        } else {
            result = on_message(d, &m);
            swarm_inbox_pop(&d->inbox);
            if (result == SWARM_DTLS_OK && type == SERVER_HELLO_DONE)
                result = second_flight(d, now_ms);
        }
        if (result != SWARM_DTLS_OK || type == FINISHED) {
            finish(d, result, 0);
            return;
        }
    }
}

/* --- records --- */

/* The server has repeated the last message of its flight: it has not got ours. */
static bool asks_again(const struct swarm_dtls *d, const struct swarm_fragment *f)
{
    return d->state == WAIT_FINISHED && f->seq == d->server_last_seq && f->offset == 0;
}

/* False ends the handshake as malformed. */
static bool take_fragments(struct swarm_dtls *d, const uint8_t *body, size_t body_len, bool sealed)
{
    struct swarm_fragment f;
    bool again = false;

    while (swarm_fragment_next(&body, &body_len, &f)) {
        if ((f.type == FINISHED) != sealed || f.type == HELLO_REQUEST)
            continue;
        again = again || asks_again(d, &f);
        if (!swarm_inbox_put(&d->inbox, &f))
            return false;
    }
    if (again)
        flight_send(d);
    return body_len == 0;
}

/* What of one record ends the handshake: OK = nothing. */
static enum swarm_dtls_result take_record(struct swarm_dtls *d, const struct swarm_record_view *view,
                                          uint8_t *alert)
{
    uint8_t plain[SWARM_DATAGRAM_MAX_BYTES];
    const uint8_t *body = view->body;
    size_t body_len = view->body_len;
    bool sealed = view->seq >> 48 == 1;

    if (view->seq >> 48 > 1 || (sealed && !d->keys_ready))
        return SWARM_DTLS_OK;
    if (sealed) {
        enum swarm_open opened =
            swarm_record_open(d->params.crypto, d->params.record, view, plain, &body_len);

        if (d->params.opened)
            d->params.opened(d->params.owner, view, opened);
        if (opened != SWARM_OPEN_OK)
            return SWARM_DTLS_OK;
        body = plain;
    }
    if (view->type == SWARM_RECORD_ALERT && body_len == 2 && body[0] == ALERT_FATAL) {
        *alert = body[1];
        return SWARM_DTLS_ALERT;
    }
    if (view->type == SWARM_RECORD_HANDSHAKE && !take_fragments(d, body, body_len, sealed))
        return SWARM_DTLS_MALFORMED;
    return SWARM_DTLS_OK;
}

void swarm_dtls_receive(struct swarm_dtls *d, const uint8_t *datagram, size_t datagram_len, uint64_t now_ms)
{
    struct swarm_record_view view;

    while (d->state != ENDED && swarm_record_next(&datagram, &datagram_len, &view)) {
        uint8_t alert = 0;
        enum swarm_dtls_result result = take_record(d, &view, &alert);

        if (result != SWARM_DTLS_OK) {
            finish(d, result, alert);
            return;
        }
    }
    advance(d, now_ms);
}

struct swarm_dtls *swarm_dtls_start(const struct swarm_dtls_params *params, uint64_t now_ms)
{
    struct swarm_dtls *d = mem_alloc(sizeof(*d));

    d->params = *params;
    memset(params->record, 0, sizeof(*params->record));
    params->record->suite = params->credentials.profile == SWARM_PROFILE_DEVICEOS
                                ? SWARM_SUITE_CCM8
                                : (uint8_t)params->credentials.suite;
    swarm_random(d->randoms.client, sizeof(d->randoms.client));
    client_hello_send(d, (struct swarm_bytes){NULL, 0}, now_ms);
    return d;
}

void swarm_dtls_free(struct swarm_dtls *d)
{
    if (!d)
        return;
    deadline_cancel(d->params.deadlines, &d->retransmit);
    swarm_inbox_deinit(&d->inbox);
    bytes_wipe(d->master, sizeof(d->master));
    bytes_wipe(&d->ephemeral, sizeof(d->ephemeral));
    free(d);
}
