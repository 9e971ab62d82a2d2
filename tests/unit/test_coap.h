/* test_coap.h: a bench for one CoAP peer: what it sends is a list of messages in hex, what it hands on a list
 * of requests, the time is a number. Included by the test_coap_*.c files, one bench per test. */
#ifndef CYAN_TEST_COAP_H
#define CYAN_TEST_COAP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "coap/peer.h"

#define BENCH_SENT_MAX 1024
#define BENCH_REQUESTS_MAX 64

struct bench_request {
    struct coap_inbound *in;
    enum coap_type type;
    uint8_t code;
    char path[128];
    uint8_t *body;
    size_t body_len;
};
struct bench_done { /* how the outbound requests ended */
    unsigned count;
    enum coap_outcome outcome;
    int code; /* -1: no response */
    uint8_t *body;
    size_t body_len;
    uint32_t rtt_ms;
};
struct bench {
    struct coap_room room;
    struct coap_peer peer;
    struct deadlines deadlines;
    struct metrics *registry;
    struct coap_metrics metrics;
    uint64_t now_ms;
    struct {
        uint64_t at_ms;
        uint8_t data[COAP_MESSAGE_MAX];
        size_t data_len;
    } sent[BENCH_SENT_MAX];
    unsigned sent_count, sent_read;
    struct bench_request requests[BENCH_REQUESTS_MAX];
    unsigned request_count, dropped_count, unreachable_count;
    struct bench_done done;
    unsigned stray_count;
    struct coap_message stray; /* the newest */
    bool end_peer_in_callback;
    uint8_t refuse_blocks; /* the code; COAP_EMPTY: all are admitted */
    unsigned admits_count;
};

static inline struct bench *bench_of(struct coap_peer *peer)
{
    return (struct bench *)((char *)peer - offsetof(struct bench, peer));
}

static inline void bench_send(struct coap_peer *peer, const uint8_t *data, size_t data_len)
{
    struct bench *b = bench_of(peer);

    assert_true(data_len <= COAP_MESSAGE_MAX);
    assert_true(b->sent_count < BENCH_SENT_MAX);
    b->sent[b->sent_count].at_ms = b->now_ms;
    b->sent[b->sent_count].data_len = data_len;
    memcpy(b->sent[b->sent_count++].data, data, data_len);
}

static inline void bench_request(struct coap_peer *peer, struct coap_inbound *in,
                                 const struct coap_message *m, const char *path, const uint8_t *body,
                                 size_t body_len)
{
    struct bench *b = bench_of(peer);

    assert_true(b->request_count < BENCH_REQUESTS_MAX);
    struct bench_request *r = &b->requests[b->request_count++];
    r->in = in;
    r->type = m->type;
    r->code = m->code;
    snprintf(r->path, sizeof(r->path), "%s", path);
    r->body = malloc(body_len + 1);
    r->body_len = body_len;
    if (body_len > 0)
        memcpy(r->body, body, body_len);
    if (b->end_peer_in_callback)
        coap_peer_deinit(peer);
}

static inline uint8_t bench_admits(struct coap_peer *peer, const struct coap_message *m, const char *path)
{
    struct bench *b = bench_of(peer);

    assert_int_equal(m->code >> 5, 0);
    assert_non_null(path);
    b->admits_count++;
    return b->refuse_blocks;
}

static inline void bench_dropped(struct coap_peer *peer, struct coap_inbound *in)
{
    assert_non_null(in);
    bench_of(peer)->dropped_count++;
}

static inline void bench_unreachable(struct coap_peer *peer)
{
    struct bench *b = bench_of(peer);

    b->unreachable_count++;
    if (b->end_peer_in_callback)
        coap_peer_deinit(peer);
}

static inline void bench_stray(struct coap_peer *peer, const struct coap_message *m)
{
    struct bench *b = bench_of(peer);

    b->stray_count++;
    b->stray = *m;
    if (b->end_peer_in_callback)
        coap_peer_deinit(peer);
}

static inline void bench_on_done(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                                 const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    struct bench *b = arg;

    b->done.count++;
    b->done.outcome = outcome;
    b->done.code = response != NULL ? response->code : -1;
    free(b->done.body);
    b->done.body = malloc(body_len + 1);
    if (body_len > 0)
        memcpy(b->done.body, body, body_len);
    b->done.body_len = body_len;
    b->done.rtt_ms = rtt_ms;
    if (b->end_peer_in_callback)
        coap_peer_deinit(&b->peer);
}

static const struct coap_peer_ops bench_ops = {.send = bench_send,
                                               .request = bench_request,
                                               .admits = bench_admits,
                                               .inbound_dropped = bench_dropped,
                                               .unreachable = bench_unreachable,
                                               .stray = bench_stray};

static inline struct bench *bench_new(enum coap_dialect dialect)
{
    struct bench *b = calloc(1, sizeof(*b));

    b->now_ms = 1000000;
    b->registry = metrics_new();
    coap_metrics_init(&b->metrics, b->registry);
    deadlines_init(&b->deadlines);
    b->room = (struct coap_room){&bench_ops, &b->deadlines, &b->metrics};
    coap_peer_init(&b->peer, &b->room, dialect, 0x1000, 0x10);
    return b;
}

static inline void bench_free(struct bench *b)
{
    coap_peer_deinit(&b->peer);
    assert_int_equal(deadlines_next(&b->deadlines, 0), UINT64_MAX); /* nothing left ticking */
    deadlines_deinit(&b->deadlines);
    metrics_free(b->registry);
    for (unsigned i = 0; i < b->request_count; i++)
        free(b->requests[i].body);
    free(b->done.body);
    free(b);
}

/* Lets time pass, deadline by deadline. */
static inline void bench_pass(struct bench *b, uint64_t ms)
{
    uint64_t end_ms = b->now_ms + ms;

    for (;;) {
        uint64_t next_ms = deadlines_next(&b->deadlines, b->now_ms);
        if (next_ms > end_ms - b->now_ms)
            break;
        b->now_ms += next_ms;
        deadlines_run(&b->deadlines, b->now_ms);
    }
    b->now_ms = end_ms;
}

/* Hex with spaces; returns the bytes. */
static inline size_t bench_bytes(uint8_t *out, size_t out_size, const char *hex)
{
    char packed[2 * COAP_MESSAGE_MAX + 1];
    size_t len = 0;

    for (; *hex != '\0'; hex++) {
        assert_true(len < sizeof(packed) - 1);
        if (*hex != ' ')
            packed[len++] = *hex;
    }
    assert_true(len / 2 <= out_size);
    assert_true(hex_decode(out, len / 2, packed, len));
    return len / 2;
}

/* In a block of its own size, so that reading past its end is seen by the address sanitizer. */
static inline void bench_receive_bytes(struct bench *b, const uint8_t *data, size_t data_len)
{
    uint8_t *copy = malloc(data_len);

    if (data_len > 0)
        memcpy(copy, data, data_len);
    coap_peer_receive(&b->peer, copy, data_len, b->now_ms);
    free(copy);
}

static inline void bench_receive(struct bench *b, const char *hex)
{
    uint8_t data[COAP_MESSAGE_MAX];

    bench_receive_bytes(b, data, bench_bytes(data, sizeof(data), hex));
}

static inline void bench_expect_sent(struct bench *b, const char *hex)
{
    uint8_t expected[COAP_MESSAGE_MAX];
    char want[2 * COAP_MESSAGE_MAX + 1], have[2 * COAP_MESSAGE_MAX + 1];

    hex_encode(want, expected, bench_bytes(expected, sizeof(expected), hex));
    assert_true(b->sent_read < b->sent_count);
    hex_encode(have, b->sent[b->sent_read].data, b->sent[b->sent_read].data_len);
    b->sent_read++;
    assert_string_equal(have, want);
}

static inline void bench_expect_quiet(const struct bench *b)
{
    assert_int_equal(b->sent_count - b->sent_read, 0);
}

static inline struct coap_message bench_sent_message(struct bench *b)
{
    struct coap_message m;

    assert_true(b->sent_read < b->sent_count);
    assert_int_equal(coap_message_decode(&m, b->sent[b->sent_read].data, b->sent[b->sent_read].data_len),
                     COAP_DECODED);
    b->sent_read++;
    return m;
}

static inline void bench_answer(struct bench *b, unsigned request, uint8_t code, const void *body,
                                size_t body_len)
{
    assert_true(request < b->request_count);
    coap_answer(&b->peer, b->requests[request].in, code, UINT16_MAX, body, body_len, b->now_ms);
}

static inline void bench_expect_nothing_held(const struct bench *b)
{
    assert_null(b->peer.dedup);
    assert_null(b->peer.inbound);
    assert_null(b->peer.outbound);
    assert_null(b->peer.bodies);
    assert_int_equal(b->metrics.gathered->value, 0);
    assert_false(deadline_is_set(&b->peer.expiry));
}

/* A request with nothing but a method and a path. */
static inline struct coap_request bench_get(const char *letter, const char *name)
{
    return (struct coap_request){.method = COAP_GET,
                                 .path = {letter, name},
                                 .content_format = UINT16_MAX,
                                 .max_age_s = UINT32_MAX,
                                 .timeout_ms = 200000};
}

#endif
