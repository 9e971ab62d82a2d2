/* The DTLS endpoint against the swarm's client, which was written apart from it on other primitives: whole
 * handshakes in memory, with a trace of every datagram. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "handshake/dtls.h"
#include "net/udp.h"
#include "swarm_dtls.h"

#define QUEUE_MAX 64

struct datagram {
    uint8_t data[1500];
    size_t len;
};
struct queue {
    struct datagram items[QUEUE_MAX];
    size_t head, count;
};

static struct {
    char dir[64];
    struct server_key *key;
    struct deadlines deadlines;
    struct metrics *metrics;
    struct dtls *dtls;
    struct net_path path;
    uint64_t now_ms;

    struct queue to_client;
    struct datagram trace[QUEUE_MAX]; /* everything the server sent */
    size_t trace_count;

    struct session *session; /* newest established */
    struct session_proof proof;
    unsigned established, ended;
    bool undecided; /* the owner has not yet said whether the session is welcome */
    enum session_end why;
    struct handshake_attempt attempt; /* last */
    unsigned attempts;
    uint8_t received[1500];
    size_t received_len;
    unsigned received_count;
    struct dtls_psk_query *query;
    char identity[80];
    bool answer_psk;
    const char *psk;

    struct swarm_crypto *crypto;
    struct swarm_key device_key;
    struct swarm_verifier *server;
    struct swarm_record record;
    struct swarm_dtls *client;
    bool client_done;
    bool is_busy; /* the loop does not come to the work of handshakes */
    enum swarm_dtls_result result;
    uint8_t alert;
    struct queue to_server;
} t;

/* Stands in for the endpoint of net/udp.c, which is not linked. */
bool udp_fit_path(const struct udp *udp, struct net_path *path)
{
    (void)udp;
    (void)path;
    return true;
}

bool udp_send(struct udp *udp, const struct net_path *path, const uint8_t *data, size_t data_len)
{
    (void)udp;
    (void)path;
    assert_true(t.to_client.count < QUEUE_MAX && data_len <= 1500 && t.trace_count < QUEUE_MAX);
    struct datagram *d = &t.to_client.items[(t.to_client.head + t.to_client.count++) % QUEUE_MAX];
    memcpy(d->data, data, data_len);
    d->len = data_len;
    t.trace[t.trace_count++] = *d;
    return true;
}

static void on_find_psk(void *ctx, const char *identity, struct dtls_psk_query *query)
{
    (void)ctx;
    (void)snprintf(t.identity, sizeof t.identity, "%s", identity);
    t.query = query;
    if (t.answer_psk) {
        t.query = NULL;
        dtls_psk_answer(query, (const uint8_t *)t.psk, t.psk ? strlen(t.psk) : 0);
    }
}

static void on_established(void *ctx, struct session *s, const struct session_proof *proof)
{
    (void)ctx;
    t.session = s;
    t.proof = *proof;
    t.established++;
    if (!t.undecided)
        dtls_conclude(s, HANDSHAKE_OK, "authorise");
}

static void on_receive(void *ctx, struct session *s, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    (void)ctx;
    (void)s;
    (void)now_ms;
    memcpy(t.received, data, data_len);
    t.received_len = data_len;
    t.received_count++;
}

static void on_ended(void *ctx, struct session *s, enum session_end why)
{
    (void)ctx;
    if (t.session == s)
        t.session = NULL;
    t.ended++;
    t.why = why;
}

static void on_attempted(void *ctx, const struct handshake_attempt *attempt)
{
    (void)ctx;
    t.attempt = *attempt;
    t.attempts++;
}

static const struct dtls_ops ops = {.find_psk = on_find_psk,
                                    .established = on_established,
                                    .receive = on_receive,
                                    .ended = on_ended,
                                    .attempted = on_attempted};

static void on_client_send(void *owner, const uint8_t *datagram, size_t datagram_len)
{
    (void)owner;
    assert_true(t.to_server.count < QUEUE_MAX && datagram_len <= 1500);
    struct datagram *d = &t.to_server.items[(t.to_server.head + t.to_server.count++) % QUEUE_MAX];
    memcpy(d->data, datagram, datagram_len);
    d->len = datagram_len;
}

static void on_client_done(void *owner, enum swarm_dtls_result result, uint8_t alert)
{
    (void)owner;
    t.client_done = true;
    t.result = result;
    t.alert = alert;
}

static struct datagram *pop(struct queue *q)
{
    if (q->count == 0)
        return NULL;
    struct datagram *d = &q->items[q->head];
    q->head = (q->head + 1) % QUEUE_MAX;
    q->count--;
    return d;
}

static void to_server(const uint8_t *data, size_t data_len)
{
    uint8_t copy[2048];
    memcpy(copy, data, data_len);
    dtls_receive(t.dtls, &t.path, copy, data_len, t.now_ms);
    if (!t.is_busy)
        while (dtls_work(t.dtls))
            continue;
}

/* Carries datagrams both ways until nothing is left. */
static void pump(void)
{
    for (;;) {
        struct datagram *up = pop(&t.to_server), *down = up ? NULL : pop(&t.to_client);
        if (up)
            to_server(up->data, up->len);
        else if (down && t.client && !t.client_done)
            swarm_dtls_receive(t.client, down->data, down->len, t.now_ms);
        else if (!down)
            return;
    }
}

static void start_client(struct swarm_credentials credentials)
{
    struct swarm_dtls_params params = {
        .crypto = t.crypto,
        .deadlines = &t.deadlines,
        .record = &t.record,
        .credentials = credentials,
        .retransmit_ms = 3000,
        .retransmit_max_ms = 24000,
        .send = on_client_send,
        .done = on_client_done,
    };
    memset(&t.record, 0, sizeof t.record);
    t.client_done = false;
    t.client = swarm_dtls_start(&params, t.now_ms);
}

static struct swarm_credentials device_os(bool cid)
{
    return (struct swarm_credentials){
        .key = &t.device_key, .server = t.server, .profile = SWARM_PROFILE_DEVICEOS, .cid = cid};
}

static struct swarm_credentials psk(const char *identity, const char *key, enum swarm_suite suite, bool cid)
{
    return (struct swarm_credentials){
        .profile = SWARM_PROFILE_PSK,
        .identity = {(const uint8_t *)identity, strlen(identity)},
        .psk = {(const uint8_t *)key, strlen(key)},
        .suite = suite,
        .cid = cid,
    };
}

static void client_sends(const char *text)
{
    uint8_t out[1500];
    struct swarm_bytes plain = {(const uint8_t *)text, strlen(text)};
    size_t len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, out, sizeof out);
    assert_true(len > 0);
    to_server(out, len);
}

static void assert_received(const char *text)
{
    assert_int_equal(t.received_len, strlen(text));
    assert_memory_equal(t.received, text, strlen(text));
}

/* The next datagram to the client opens to this text. */
static void assert_client_reads(const char *text)
{
    struct datagram *d = pop(&t.to_client);
    assert_non_null(d);
    const uint8_t *at = d->data;
    size_t left = d->len, out_len;
    uint8_t out[1500];
    struct swarm_record_view view;
    assert_true(swarm_record_next(&at, &left, &view));
    assert_int_equal(view.type, SWARM_RECORD_DATA);
    assert_int_equal(swarm_record_open(t.crypto, &t.record, &view, out, &out_len), SWARM_OPEN_OK);
    assert_int_equal(out_len, strlen(text));
    assert_memory_equal(out, text, out_len);
}

static uint64_t counter(const char *name, const char *label)
{
    return metrics_add(t.metrics, METRIC_COUNTER, name, label, "")->value;
}

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    char why[256];
    (void)snprintf(t.dir, sizeof t.dir, "/tmp/cyan-test-dtls-%d", (int)getpid());
    if (!server_key_exists(t.dir))
        assert_int_equal(server_key_make(t.dir, why, sizeof why), 0);
    t.key = server_key_load(t.dir, why, sizeof why);
    assert_non_null(t.key);
    t.now_ms = clock_ms();
    deadlines_init(&t.deadlines);
    t.metrics = metrics_new();
    struct dtls_settings settings = {.max_in_flight = 16,
                                     .per_source = 4,
                                     .handshake_timeout_ms = 45000,
                                     .max_sessions = 100,
                                     .expiry_ms = 1000000,
                                     .ca_file = ""};
    t.dtls = dtls_new(&settings, t.key, &t.deadlines, t.metrics, &ops, NULL, why, sizeof why);
    assert_non_null(t.dtls);
    dtls_set_udp(t.dtls, (struct udp *)(uintptr_t)1); /* never looked into: udp_send is ours */
    t.path = (struct net_path){.peer_port = 40000};
    memset(t.path.peer_ip + 10, 0xff, 2);
    t.path.peer_ip[12] = 127;
    t.path.peer_ip[15] = 1;

    uint8_t point[SWARM_POINT_BYTES];
    t.crypto = swarm_crypto_new();
    assert_true(swarm_key_generate(t.crypto, &t.device_key));
    assert_true(swarm_spki_decode(point, server_key_spki(t.key), SERVER_KEY_SPKI_BYTES));
    t.server = swarm_verifier_new(t.crypto, point);
    t.answer_psk = true;
    t.psk = "0123456789abcdef";
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (t.client)
        swarm_dtls_free(t.client);
    dtls_free(t.dtls);
    if (t.query)
        dtls_psk_answer(t.query, NULL, 0);
    deadlines_deinit(&t.deadlines);
    metrics_free(t.metrics);
    server_key_free(t.key);
    swarm_verifier_free(t.server);
    swarm_crypto_free(t.crypto);
    return 0;
}

static int remove_key(void **state)
{
    char path[128];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/server_key.pem", t.dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/server_key.der", t.dir);
    (void)unlink(path);
    return rmdir(t.dir);
}

/* What the server put on the wire: the types of its plain handshake messages, in order. */
static size_t server_messages(uint8_t types[16], uint16_t seqs[16])
{
    size_t count = 0;
    for (size_t i = 0; i < t.trace_count; i++) {
        const uint8_t *at = t.trace[i].data;
        size_t left = t.trace[i].len;
        while (left >= 13) {
            size_t len = 13 + (size_t)be16_load(at + 11);
            assert_true(len <= left);
            if (at[0] == 22 && be16_load(at + 3) == 0) {
                assert_true(count < 16);
                seqs[count] = be16_load(at + 17);
                types[count++] = at[13];
            }
            at += len;
            left -= len;
        }
    }
    return count;
}

static void test_device_os_handshake_has_no_certificate_and_draft_records(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    assert_true(t.client_done);
    assert_int_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.established, 1);
    assert_int_equal(t.attempt.outcome, HANDSHAKE_OK);

    /* HelloVerifyRequest, ServerHello, ServerKeyExchange, CertificateRequest, ServerHelloDone: no 11 */
    static const uint8_t expected[] = {3, 2, 12, 13, 14};
    uint8_t types[16];
    uint16_t seqs[16];
    assert_int_equal(server_messages(types, seqs), sizeof expected);
    assert_memory_equal(types, expected, sizeof expected);
    for (uint16_t i = 0; i < 5; i++)
        assert_int_equal(seqs[i], i);

    assert_int_equal(t.record.cid_len, 8);
    assert_int_equal(t.record.flavour, SWARM_CID_DRAFT05);
    assert_int_equal(t.session->record.flavour, RECORD_DRAFT05);
    assert_int_equal(be64_load(t.record.cid), t.session->id);
    uint8_t spki[SWARM_SPKI_BYTES], digest[32];
    swarm_spki_encode(spki, t.device_key.point);
    swarm_sha256(digest, spki, sizeof spki);
    assert_int_equal(t.proof.spki_len, sizeof spki);
    assert_memory_equal(t.proof.spki, spki, sizeof spki);
    assert_memory_equal(t.proof.key_sha256, digest, sizeof digest);

    client_sends(
        "\x40\x01\x12\x34"); /* type 25, additional data of the draft: the swarm's own code made it */
    assert_received("\x40\x01\x12\x34");
    assert_true(dtls_send(t.session, (const uint8_t *)"hello", 5));
    assert_client_reads("hello");
}

static void test_device_os_before_3_1_has_no_connection_id(void **state)
{
    (void)state;
    start_client(device_os(false));
    pump();
    assert_int_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.record.cid_len, 0);
    assert_int_equal(t.session->record.flavour, RECORD_PLAIN);
    assert_int_equal(t.session->profile, SESSION_DEVICE_OS);
    client_sends("ping");
    assert_received("ping");
}

static void test_resumed_record_moves_the_session(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    client_sends("one");
    t.path.peer_port = 40001;
    t.record.resumed = true; /* content type 253 */
    client_sends("two");
    assert_received("two");
    assert_true(t.session->resumed);
    assert_int_equal(t.session->path.peer_port, 40001);
    assert_int_equal(t.established, 1);
    /* an older record from elsewhere is read, but does not take the session along */
    uint8_t late[1500], newer[1500];
    struct swarm_bytes plain = {(const uint8_t *)"late", 4};
    size_t late_len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, late, sizeof late);
    plain.data = (const uint8_t *)"newr";
    size_t newer_len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, newer, sizeof newer);
    to_server(newer, newer_len);
    t.path.peer_port = 40002;
    to_server(late, late_len);
    assert_received("late");
    assert_int_equal(t.session->path.peer_port, 40001);
}

static void test_moved_record_is_found_by_its_device_id(void **state)
{
    (void)state;
    static const uint8_t id[12] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67};
    start_client(device_os(false));
    pump();
    dtls_name(t.session, id);
    t.path.peer_port = 40009;
    uint8_t out[1500];
    struct swarm_bytes plain = {(const uint8_t *)"moved", 5};
    size_t len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, out, sizeof out);
    out[0] = 254;
    memcpy(out + len, id, 12);
    out[len + 12] = 12;
    out[len + 3] ^= 1; /* somebody else's id */
    to_server(out, len + 13);
    assert_int_equal(t.received_count, 0);
    out[len + 3] ^= 1;
    to_server(out, len + 13);
    assert_received("moved");
    assert_int_equal(t.session->path.peer_port, 40009);
    client_sends("at home"); /* from now on found by the new address */
    assert_received("at home");
    assert_true(dtls_send(t.session, (const uint8_t *)"hi", 2));
    assert_client_reads("hi");
}

static void test_psk_with_each_suite_and_cid_choice(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        t.path.peer_port++;
        start_client(
            psk("0123456789abcdef01234567", t.psk, i & 1 ? SWARM_SUITE_GCM : SWARM_SUITE_CCM8, i & 2));
        pump();
        assert_int_equal(t.result, SWARM_DTLS_OK);
        assert_string_equal(t.proof.identity, "0123456789abcdef01234567");
        assert_int_equal(t.session->record.flavour, i & 2 ? RECORD_RFC9146 : RECORD_PLAIN);
        assert_int_equal(t.session->record.cipher, i & 1 ? RECORD_GCM : RECORD_CCM8);
        client_sends("over psk");
        assert_received("over psk");
        assert_true(dtls_send(t.session, (const uint8_t *)"back", 4));
        assert_client_reads("back");
        swarm_dtls_free(t.client);
        t.client = NULL;
    }
    assert_int_equal(t.established, 4);
}

static void test_psk_may_be_answered_later_or_never(void **state)
{
    (void)state;
    t.answer_psk = false;
    start_client(psk("later", t.psk, SWARM_SUITE_CCM8, true));
    pump();
    assert_non_null(t.query);
    assert_string_equal(t.identity, "later");
    assert_int_equal(t.established, 0);
    struct dtls_psk_query *query = t.query;
    t.query = NULL;
    dtls_psk_answer(query, (const uint8_t *)t.psk, strlen(t.psk));
    pump();
    assert_int_equal(t.result, SWARM_DTLS_OK);
    swarm_dtls_free(t.client);

    t.path.peer_port++;
    start_client(psk("nobody", t.psk, SWARM_SUITE_CCM8, true));
    pump();
    query = t.query;
    t.query = NULL;
    dtls_psk_answer(query, NULL, 0);
    pump();
    assert_int_equal(t.result, SWARM_DTLS_ALERT);
    assert_int_equal(t.attempt.outcome, HANDSHAKE_UNKNOWN_IDENTITY);
    assert_int_equal(t.established, 1);
    swarm_dtls_free(t.client);
    t.client = NULL;

    /* the handshake is gone before the answer comes */
    t.path.peer_port++;
    start_client(psk("slow", t.psk, SWARM_SUITE_CCM8, true));
    pump();
    assert_non_null(t.query);
    deadlines_run(&t.deadlines, t.now_ms + 46000);
    query = t.query;
    t.query = NULL;
    dtls_psk_answer(query, (const uint8_t *)t.psk, strlen(t.psk));
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
    assert_int_equal(t.established, 1);
}

static void test_wrong_psk_is_bad_finished(void **state)
{
    (void)state;
    start_client(psk("0123456789abcdef01234567", "fedcba9876543210", SWARM_SUITE_CCM8, true));
    pump();
    assert_true(t.client_done);
    assert_int_not_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.attempt.outcome, HANDSHAKE_BAD_FINISHED);
    assert_int_equal(t.established, 0);
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
}

static void test_wrong_server_key_is_noticed_by_the_device(void **state)
{
    (void)state;
    struct swarm_key other;
    assert_true(swarm_key_generate(t.crypto, &other));
    struct swarm_verifier *verifier = swarm_verifier_new(t.crypto, other.point);
    struct swarm_credentials credentials = device_os(true);
    credentials.server = verifier;
    start_client(credentials);
    pump();
    assert_int_equal(t.result, SWARM_DTLS_SIGNATURE);
    assert_int_equal(t.established, 0);
    swarm_verifier_free(verifier);
}

static void test_lost_last_flight_is_sent_again(void **state)
{
    (void)state;
    start_client(device_os(true));
    while (t.established == 0) {
        struct datagram *up = pop(&t.to_server), *down = up ? NULL : pop(&t.to_client);
        assert_true(up || down);
        if (up)
            to_server(up->data, up->len);
        else
            swarm_dtls_receive(t.client, down->data, down->len, t.now_ms);
    }
    assert_non_null(pop(&t.to_client)); /* our ChangeCipherSpec and Finished are lost */
    assert_false(t.client_done);
    deadlines_run(&t.deadlines, t.now_ms + 3001); /* the client sends flight 5 again */
    pump();
    assert_true(t.client_done);
    assert_int_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.established, 1);
    client_sends("after all");
    assert_received("after all");
    assert_true(dtls_send(t.session, (const uint8_t *)"yes", 3));
    assert_client_reads("yes");
}

static void test_handshake_does_not_harm_a_live_session(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    struct session *first = t.session;
    struct swarm_record first_record = t.record;
    client_sends("before");
    swarm_dtls_free(t.client);
    /* a new handshake from the very same address, left half way */
    start_client(device_os(true));
    for (int i = 0; i < 3; i++) {
        struct datagram *up = pop(&t.to_server);
        if (up)
            to_server(up->data, up->len);
        struct datagram *down = pop(&t.to_client);
        if (down && i < 1)
            swarm_dtls_receive(t.client, down->data, down->len, t.now_ms);
    }
    assert_int_equal(t.established, 1);
    struct swarm_record second = t.record;
    t.record = first_record;
    t.record.send_seq++; /* one was sent since the copy */
    client_sends("still here");
    assert_received("still here");
    assert_ptr_equal(t.session, first);
    assert_int_equal(t.ended, 0);
    t.record = second;
}

/* A client without connection ID comes back from its old address, its Finished in a datagram of its own. */
static void test_finished_alone_from_the_address_of_an_old_session(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        t.trace_count = 0;
        start_client(psk("0123456789abcdef01234567", t.psk, SWARM_SUITE_CCM8, false));
        for (;;) {
            struct datagram *up = pop(&t.to_server), *down = up ? NULL : pop(&t.to_client);
            if (!up && !down)
                break;
            if (down) {
                swarm_dtls_receive(t.client, down->data, down->len, t.now_ms);
                continue;
            }
            uint8_t *at = up->data;
            for (size_t left = up->len; left >= 13;) { /* each record on its own */
                size_t len = 13 + (size_t)be16_load(at + 11);
                to_server(at, len);
                at += len;
                left -= len;
            }
        }
        assert_true(t.client_done);
        assert_int_equal(t.result, SWARM_DTLS_OK);
        assert_int_equal(t.established, round + 1);
        swarm_dtls_free(t.client);
        t.client = NULL;
    }
    assert_int_equal(dtls_session_count(t.dtls), 1); /* the owner took the newcomer in: the old one is gone */
    assert_int_equal(t.why, SESSION_END_REPLACED);
}

static void test_newcomer_that_is_refused_gives_the_address_back(void **state)
{
    (void)state;
    start_client(device_os(false));
    pump();
    struct swarm_record first_record = t.record;
    swarm_dtls_free(t.client);
    t.undecided = true;
    start_client(device_os(false)); /* from the same address, with a handshake of its own */
    pump();
    assert_int_equal(t.established, 2);
    assert_int_equal(t.ended, 0);
    dtls_conclude(t.session, HANDSHAKE_UNKNOWN_KEY, "authorise");
    dtls_end(t.session, SESSION_END_REFUSED, false);
    t.record = first_record;
    client_sends("still mine");
    assert_received("still mine");
    assert_int_equal(t.ended, 1);
    assert_int_equal(dtls_session_count(t.dtls), 1);
}

static void test_moved_record_does_not_take_an_address_in_use(void **state)
{
    (void)state;
    static const uint8_t id[12] = {9};
    start_client(device_os(false));
    pump();
    struct session *victim = t.session;
    swarm_dtls_free(t.client);
    t.path.peer_port = 41000;
    start_client(device_os(false));
    pump();
    struct session *mover = t.session;
    dtls_name(mover, id);
    uint8_t out[1500];
    struct swarm_bytes plain = {(const uint8_t *)"mine", 4};
    size_t len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, out, sizeof out);
    out[0] = 254;
    memcpy(out + len, id, 12);
    out[len + 12] = 12;
    t.path.peer_port = 40000; /* the victim's */
    to_server(out, len + 13);
    assert_int_equal(t.ended, 0);
    assert_int_equal(mover->path.peer_port, 41000);
    assert_int_equal(victim->path.peer_port, 40000);
}

/* Handshakes begun and left cost public-key work: a network that does nothing else is stopped, and only that
 * one. */
static void test_network_that_spoils_handshakes_runs_out_of_them(void **state)
{
    (void)state;
    unsigned started = 0;
    for (int i = 0; i < 400; i++) {
        t.trace_count = t.to_client.count = t.to_server.count = 0;
        start_client(device_os(true)); /* same address, other random: the one before is dropped */
        struct datagram *hello = pop(&t.to_server);
        to_server(hello->data, hello->len);
        struct datagram *verify = pop(&t.to_client);
        swarm_dtls_receive(t.client, verify->data, verify->len, t.now_ms);
        hello = pop(&t.to_server);
        to_server(hello->data, hello->len);
        started += t.to_client.count > 0;
        swarm_dtls_free(t.client);
        t.client = NULL;
    }
    assert_in_range(started, 256, 300);
    assert_int_equal(t.attempts, 400); /* each has its outcome: left, or rate_limited */
    assert_int_equal(counter("cyan_handshakes_total", "outcome=\"rate_limited\""), 400 - started);
    t.path.peer_ip[14] = 7;
    t.trace_count = t.to_client.count = t.to_server.count = 0;
    start_client(device_os(true));
    pump();
    assert_int_equal(t.result, SWARM_DTLS_OK);
}

/* Up to the ClientHello that returns the cookie. */
static struct datagram proved_hello(void)
{
    struct datagram *hello = pop(&t.to_server);
    to_server(hello->data, hello->len);
    struct datagram *verify = pop(&t.to_client);
    swarm_dtls_receive(t.client, verify->data, verify->len, t.now_ms);
    return *pop(&t.to_server);
}

/* While the loop is busy a handshake waits, and a device that is connected does not. */
static void test_connected_devices_are_served_first(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    client_sends("one");
    struct swarm_record record = t.record;
    swarm_dtls_free(t.client);
    t.path.peer_port++;
    t.is_busy = true;
    t.trace_count = t.to_client.count = 0;
    start_client(device_os(true));
    struct datagram hello = proved_hello();
    to_server(hello.data, hello.len);
    to_server(hello.data, hello.len);   /* sent again: it waits already */
    assert_int_equal(t.trace_count, 1); /* the HelloVerifyRequest alone */
    assert_int_equal(dtls_handshake_count(t.dtls), 1);
    assert_int_equal(counter("cyan_handshake_queue_dropped_total", "reason=\"repeated\""), 1);
    struct swarm_record beginner = t.record;
    t.record = record;
    t.path.peer_port--;
    client_sends("two");
    assert_received("two");
    t.record = beginner;
    t.path.peer_port++;
    while (dtls_work(t.dtls))
        continue;
    t.is_busy = false;
    pump();
    assert_true(t.client_done);
    assert_int_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.established, 2);
}

/* The peer begins anew while its ClientHello waits: only the newer one is dealt with, in the same place. */
static void test_newer_hello_takes_the_place_of_one_that_waits(void **state)
{
    (void)state;
    t.is_busy = true;
    for (int i = 0; i < 8; i++) {
        start_client(device_os(true));
        struct datagram hello = proved_hello();
        to_server(hello.data, hello.len);
        assert_int_equal(dtls_handshake_count(t.dtls), 1);
        if (i < 7)
            swarm_dtls_free(t.client);
    }
    while (dtls_work(t.dtls))
        continue;
    t.is_busy = false;
    pump();
    assert_int_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.established, 1);
    assert_int_equal(t.attempts, 1);
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
}

static void test_no_state_and_no_amplification_before_the_cookie(void **state)
{
    (void)state;
    start_client(device_os(true));
    struct datagram *hello = pop(&t.to_server);
    for (int i = 0; i < 20; i++) {
        t.path.peer_port = (uint16_t)(1000 + i);
        t.trace_count = t.to_client.count = 0;
        to_server(hello->data, hello->len);
        assert_int_equal(t.trace_count, 1);
        assert_true(t.trace[0].len <= 3 * hello->len);
        assert_int_equal(t.trace[0].data[13], 3);
    }
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
    assert_int_equal(counter("cyan_dtls_refused_total", "reason=\"no_cookie\""), 20);
    /* the cookie of one address is no good at another */
    t.path.peer_port = 2000;
    t.to_client.count = 0;
    to_server(hello->data, hello->len);
    struct datagram *verify = pop(&t.to_client);
    swarm_dtls_receive(t.client, verify->data, verify->len, t.now_ms);
    struct datagram *second = pop(&t.to_server);
    t.path.peer_port = 2001;
    to_server(second->data, second->len);
    assert_int_equal(counter("cyan_dtls_refused_total", "reason=\"bad_cookie\""), 1);
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
}

static void test_peer_that_never_returns_the_cookie_is_noticed(void **state)
{
    (void)state;
    start_client(device_os(true));
    struct datagram *hello = pop(&t.to_server);
    static const uint64_t at_ms[] = {0, 3000, 9000, 21000, 45000};
    uint64_t start_ms = t.now_ms;
    for (size_t i = 0; i < 5; i++) {
        t.to_client.count = 0;
        t.now_ms = start_ms + at_ms[i];
        to_server(hello->data, hello->len);
        assert_int_equal(t.attempts, i < 2 ? 0 : 1); /* said once */
    }
    assert_int_equal(t.attempt.outcome, HANDSHAKE_NO_COOKIE_RETURN);
    struct datagram *verify = pop(&t.to_client);
    swarm_dtls_receive(t.client, verify->data, verify->len, t.now_ms);
    pump();
    assert_int_equal(t.attempt.outcome, HANDSHAKE_OK);
}

static void test_each_network_has_its_share(void **state)
{
    (void)state;
    /* 16 places, 4 for a network once half are taken: network A fills half, B and C still get theirs */
    for (int network = 1; network <= 3; network++)
        for (int i = 0; i < 12; i++) {
            t.path.peer_ip[14] = (uint8_t)network;
            t.path.peer_port = (uint16_t)(3000 + i);
            t.trace_count = t.to_client.count = t.to_server.count = 0;
            start_client(device_os(true));
            struct datagram *hello = pop(&t.to_server);
            to_server(hello->data, hello->len);
            struct datagram *verify = pop(&t.to_client);
            swarm_dtls_receive(t.client, verify->data, verify->len, t.now_ms);
            hello = pop(&t.to_server);
            to_server(hello->data, hello->len);
            swarm_dtls_free(t.client);
            t.client = NULL;
        }
    assert_int_equal(dtls_handshake_count(t.dtls), 16);
    assert_int_equal(counter("cyan_handshakes_total", "outcome=\"rate_limited\""), 36 - 16);
    t.trace_count = t.to_client.count = 0;
    deadlines_run(&t.deadlines, t.now_ms + 46000);
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
    assert_int_equal(counter("cyan_handshakes_total", "outcome=\"timeout_after_flight_4\""), 16);
}

static void test_refusals_are_silent_and_counted(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    client_sends("good");
    t.trace_count = 0;
    static const struct {
        const char *reason;
        uint8_t data[40];
        size_t len;
    } cases[] = {
        {"short", {0}, 1},
        {"not_dtls", {0x99, 0xfe, 0xfd}, 20},
        {"not_dtls", {22, 3, 3}, 20},
        {"unknown_cid", {25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 19}, 40},
        {"unknown_cid", {253, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 19}, 40},
        {"truncated", {25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 20}, 40},
        {"unknown_peer", {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 27}, 40},
        {"stray_handshake", {20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 1}, 14},
        {"bad_client_hello", {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 27, 1}, 40},
    };
    t.path.peer_port = 50000;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char label[64];
        (void)snprintf(label, sizeof label, "reason=\"%s\"", cases[i].reason);
        uint64_t before = counter("cyan_dtls_refused_total", label);
        to_server(cases[i].data, cases[i].len);
        assert_int_equal(counter("cyan_dtls_refused_total", label), before + 1);
    }
    /* replayed and damaged records of the live session */
    uint8_t out[1500];
    struct swarm_bytes plain = {(const uint8_t *)"x", 1};
    size_t len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, out, sizeof out);
    to_server(out, len);
    unsigned count = t.received_count;
    to_server(out, len);
    assert_int_equal(counter("cyan_dtls_refused_total", "reason=\"replayed\""), 1);
    len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, out, sizeof out);
    out[len - 1] ^= 1;
    to_server(out, len);
    assert_int_equal(counter("cyan_dtls_refused_total", "reason=\"bad_tag\""), 1);
    assert_int_equal(t.received_count, count);
    assert_int_equal(t.trace_count, 0);
}

static void test_sessions_expire_and_close(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    assert_int_equal(dtls_session_count(t.dtls), 1);
    deadlines_run(&t.deadlines, t.now_ms + 1060000); /* it was heard some time after the test began */
    assert_int_equal(t.ended, 1);
    assert_int_equal(t.why, SESSION_END_EXPIRED);
    swarm_dtls_free(t.client);

    t.path.peer_port++;
    start_client(psk("x", t.psk, SWARM_SUITE_CCM8, false));
    pump();
    uint8_t out[200];
    struct swarm_bytes close_notify = {(const uint8_t *)"\x01\x00", 2};
    size_t len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_ALERT, close_notify, out, sizeof out);
    t.trace_count = 0;
    to_server(out, len);
    assert_int_equal(t.ended, 2);
    assert_int_equal(t.why, SESSION_END_PEER_CLOSED);
    assert_int_equal(t.trace_count, 1); /* answered in kind */
}

static void test_mutated_flights_never_pass(void **state)
{
    (void)state;
    unsigned seed = 1;
    for (int round = 0; round < 300; round++) {
        t.path.peer_port = (uint16_t)(10000 + round);
        t.trace_count = t.to_client.count = t.to_server.count = 0;
        start_client(device_os(true));
        unsigned before = t.established;
        bool mutated = false;
        for (int step = 0; step < 30 && !t.client_done; step++) {
            struct datagram *up = pop(&t.to_server), *down = up ? NULL : pop(&t.to_client);
            if (!up && !down)
                break;
            if (down) {
                swarm_dtls_receive(t.client, down->data, down->len, t.now_ms);
                continue;
            }
            bool last_flight = up->len > 200;
            if (last_flight && !mutated) {
                seed = seed * 1103515245 + 12345;
                size_t at = (seed >> 8) % up->len;
                up->data[at] ^= (uint8_t)(1 + (seed >> 24) % 255);
                mutated = true;
            }
            to_server(up->data, up->len);
        }
        /* a record whose damage lies outside of what is protected may still pass; the handshake as proved
         * must be whole */
        if (t.established > before)
            assert_memory_equal(t.proof.spki + 27, t.device_key.point + 1, 64);
        swarm_dtls_free(t.client);
        t.client = NULL;
    }
    t.trace_count = t.to_client.count = 0;
    deadlines_run(&t.deadlines, t.now_ms + 46000);
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_device_os_handshake_has_no_certificate_and_draft_records, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_device_os_before_3_1_has_no_connection_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resumed_record_moves_the_session, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moved_record_is_found_by_its_device_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_psk_with_each_suite_and_cid_choice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_psk_may_be_answered_later_or_never, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_psk_is_bad_finished, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_server_key_is_noticed_by_the_device, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_last_flight_is_sent_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handshake_does_not_harm_a_live_session, setup, teardown),
        cmocka_unit_test_setup_teardown(test_finished_alone_from_the_address_of_an_old_session, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_newcomer_that_is_refused_gives_the_address_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_moved_record_does_not_take_an_address_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_network_that_spoils_handshakes_runs_out_of_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_connected_devices_are_served_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_hello_takes_the_place_of_one_that_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_state_and_no_amplification_before_the_cookie, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_peer_that_never_returns_the_cookie_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_network_has_its_share, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals_are_silent_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sessions_expire_and_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mutated_flights_never_pass, setup, teardown),
    };
    return cmocka_run_group_tests_name("dtls", tests, NULL, remove_key);
}
