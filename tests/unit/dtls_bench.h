/* dtls_bench.h: the DTLS endpoint against the swarm's client, which was written apart from it on other
 * primitives: whole handshakes in memory, with a trace of every datagram.
 *
 * Included by one .c file of a test program: it defines udp_fit_path and udp_send. */
#ifndef CYAN_TESTS_DTLS_BENCH_H
#define CYAN_TESTS_DTLS_BENCH_H

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

static inline void on_find_psk(void *ctx, const char *identity, struct dtls_psk_query *query)
{
    (void)ctx;
    (void)snprintf(t.identity, sizeof t.identity, "%s", identity);
    t.query = query;
    if (t.answer_psk) {
        t.query = NULL;
        dtls_psk_answer(query, (const uint8_t *)t.psk, t.psk ? strlen(t.psk) : 0);
    }
}

static inline void on_established(void *ctx, struct session *s, const struct session_proof *proof)
{
    (void)ctx;
    t.session = s;
    t.proof = *proof;
    t.established++;
    if (!t.undecided)
        dtls_conclude(s, HANDSHAKE_OK, "authorise");
}

static inline void on_receive(void *ctx, struct session *s, const uint8_t *data, size_t data_len,
                              uint64_t now_ms)
{
    (void)ctx;
    (void)s;
    (void)now_ms;
    memcpy(t.received, data, data_len);
    t.received_len = data_len;
    t.received_count++;
}

static inline void on_ended(void *ctx, struct session *s, enum session_end why)
{
    (void)ctx;
    if (t.session == s)
        t.session = NULL;
    t.ended++;
    t.why = why;
}

static inline void on_attempted(void *ctx, const struct handshake_attempt *attempt)
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

static inline void on_client_send(void *owner, const uint8_t *datagram, size_t datagram_len)
{
    (void)owner;
    assert_true(t.to_server.count < QUEUE_MAX && datagram_len <= 1500);
    struct datagram *d = &t.to_server.items[(t.to_server.head + t.to_server.count++) % QUEUE_MAX];
    memcpy(d->data, datagram, datagram_len);
    d->len = datagram_len;
}

static inline void on_client_done(void *owner, enum swarm_dtls_result result, uint8_t alert)
{
    (void)owner;
    t.client_done = true;
    t.result = result;
    t.alert = alert;
}

static inline struct datagram *pop(struct queue *q)
{
    if (q->count == 0)
        return NULL;
    struct datagram *d = &q->items[q->head];
    q->head = (q->head + 1) % QUEUE_MAX;
    q->count--;
    return d;
}

static inline void to_server(const uint8_t *data, size_t data_len)
{
    uint8_t copy[2048];
    memcpy(copy, data, data_len);
    dtls_receive(t.dtls, &t.path, copy, data_len, t.now_ms);
    if (!t.is_busy)
        while (dtls_work(t.dtls))
            continue;
}

/* Carries datagrams both ways until nothing is left. */
static inline void pump(void)
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

static inline void start_client(struct swarm_credentials credentials)
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

static inline struct swarm_credentials device_os(bool cid)
{
    return (struct swarm_credentials){
        .key = &t.device_key, .server = t.server, .profile = SWARM_PROFILE_DEVICEOS, .cid = cid};
}

static inline struct swarm_credentials psk(const char *identity, const char *key, enum swarm_suite suite,
                                           bool cid)
{
    return (struct swarm_credentials){
        .profile = SWARM_PROFILE_PSK,
        .identity = {(const uint8_t *)identity, strlen(identity)},
        .psk = {(const uint8_t *)key, strlen(key)},
        .suite = suite,
        .cid = cid,
    };
}

static inline void client_sends(const char *text)
{
    uint8_t out[1500];
    struct swarm_bytes plain = {(const uint8_t *)text, strlen(text)};
    size_t len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, out, sizeof out);
    assert_true(len > 0);
    to_server(out, len);
}

static inline void assert_received(const char *text)
{
    assert_int_equal(t.received_len, strlen(text));
    assert_memory_equal(t.received, text, strlen(text));
}

/* The next datagram to the client opens to this text. */
static inline void assert_client_reads(const char *text)
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline int remove_key(void **state)
{
    char path[128];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/server_key.pem", t.dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/server_key.der", t.dir);
    (void)unlink(path);
    return rmdir(t.dir);
}

#endif
