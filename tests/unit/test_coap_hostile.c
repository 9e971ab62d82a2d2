/* Whatever a peer sends, in both dialects: nothing breaks, nothing grows without bound, everything is let go
 * in the end. Fixed seeds, so a failure can be had again. */
#include "test_coap.h"

#define ROUNDS 100000

static const char *const seeds[] = {
    "40020001b168ff000d000300f6000d000ce00fce68ffffffff0000000118380480001770000200",
    "4102000680b1644102c108ff00112233445566778899aabbccddeeff",
    "4102000b81b1644102c116ff00",
    "410200022cb164112a3101ff0a19080218e807",
    "40020103b1450474656d70113c22012cffa0",
    "4101010655b174c116",
    "4145000d10ff00000007",
    "4145000e10410183c10effaa",
    "6144100010",
    "60001000",
    "70001001",
    "4000000b",
    "4102000303b14cd10310d1fc01ff21",
};

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13; /* xorshift32 */
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* The owner of a peer: answers, forgets or leaves waiting as the dice say. */
struct owner {
    struct coap_peer peer;
    struct coap_inbound *waiting[COAP_INBOUND_MAX];
    unsigned waiting_count;
    unsigned started, ended;
    uint32_t seed;
    uint64_t now_ms;
    uint8_t body[3000];
};

static struct owner *owner_of(struct coap_peer *peer)
{
    return (struct owner *)((char *)peer - offsetof(struct owner, peer));
}

static void on_send(struct coap_peer *peer, const uint8_t *data, size_t data_len)
{
    struct coap_message m;

    assert_true(data_len >= 4 && data_len <= COAP_MESSAGE_MAX);
    assert_int_equal(coap_message_decode(&m, data, data_len), COAP_DECODED); /* what we send is well-formed */
    if (peer->dialect == COAP_DEVICE_OS)
        assert_int_not_equal(m.type, COAP_RST);
}

static void settle(struct owner *o, struct coap_inbound *in)
{
    static const uint8_t codes[] = {COAP_EMPTY, COAP_204_CHANGED, COAP_205_CONTENT, COAP_404_NOT_FOUND};
    uint32_t dice = next_random(&o->seed);

    if (dice % 8 == 0)
        coap_forget(&o->peer, in);
    else
        coap_answer(&o->peer, in, codes[dice % 4], dice % 3 == 0 ? 40 : UINT16_MAX, o->body,
                    dice % sizeof(o->body), o->now_ms);
}

static void on_request(struct coap_peer *peer, struct coap_inbound *in, const struct coap_message *m,
                       const char *path, const uint8_t *body, size_t body_len)
{
    struct owner *o = owner_of(peer);
    volatile uint8_t touched = 0;

    assert_true(strlen(path) < 512);
    assert_true(body_len <= COAP_BODY_MAX);
    for (size_t i = 0; i < body_len; i++)
        touched = (uint8_t)(touched ^ body[i]); /* all of it is readable */
    (void)touched;
    (void)m;
    if (next_random(&o->seed) % 2 == 0) {
        settle(o, in);
        return;
    }
    assert_true(o->waiting_count < COAP_INBOUND_MAX);
    o->waiting[o->waiting_count++] = in;
}

static void on_dropped(struct coap_peer *peer, struct coap_inbound *in)
{
    struct owner *o = owner_of(peer);

    for (unsigned i = 0; i < o->waiting_count; i++) {
        if (o->waiting[i] == in) {
            o->waiting[i] = o->waiting[--o->waiting_count];
            return;
        }
    }
    fail();
}

static void on_done(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                    const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    struct owner *o = arg;

    (void)rtt_ms;
    o->ended++;
    if (outcome != COAP_RESPONDED)
        assert_null(response);
    assert_true(body_len <= COAP_BODY_MAX);
    assert_true(body_len == 0 || body != NULL);
}

static void act(struct owner *o, struct deadlines *deadlines)
{
    uint32_t dice = next_random(&o->seed);
    struct coap_request r = bench_get("d", "name");

    if (o->waiting_count > 0 && dice % 2 == 0)
        settle(o, o->waiting[--o->waiting_count]);
    r.timeout_ms = dice % 60000;
    r.ack_is_enough = dice % 5 == 0;
    if (dice % 16 == 1)
        o->started += coap_request(&o->peer, &r, on_done, o, o->now_ms);
    if (dice % 64 == 2) {
        coap_ping(&o->peer, 5000, on_done, o, o->now_ms);
        o->started++;
    }
    if (dice % 512 == 3) {
        coap_cancel(&o->peer, o);
        o->started = o->ended; /* those end without a word */
    }
    if (dice % 4 == 0) {
        o->now_ms += dice >> 8 & 0x3fff;
        deadlines_run(deadlines, o->now_ms);
    }
}

static size_t random_datagram(uint32_t *seed, uint8_t *data, size_t data_size)
{
    size_t len = next_random(seed) % 48;

    must(len <= data_size);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)next_random(seed);
    if (len > 0 && next_random(seed) % 4 != 0)
        data[0] =
            (uint8_t)(0x40 | (data[0] & 0x32)); /* mostly the right version and a believable token length */
    return len;
}

static size_t mutated_datagram(uint32_t *seed, uint8_t *data, size_t data_size)
{
    size_t len = bench_bytes(data, data_size, seeds[next_random(seed) % (sizeof(seeds) / sizeof(seeds[0]))]);

    for (uint32_t flips = next_random(seed) % 4; flips > 0; flips--)
        data[next_random(seed) % len] ^= (uint8_t)(1u << next_random(seed) % 8);
    if (next_random(seed) % 2 == 0) {
        data[2] = (uint8_t)(next_random(seed) % 2 == 0 ? 0x00 : 0x10); /* an ID of ours as often as not */
        data[3] = (uint8_t)next_random(seed);
    }
    if (next_random(seed) % 8 == 0)
        len = next_random(seed) % (len + 1);
    return len;
}

typedef size_t datagram_fn(uint32_t *seed, uint8_t *data, size_t data_size);

static void assault(enum coap_dialect dialect, datagram_fn *datagram, uint32_t seed)
{
    static const struct coap_peer_ops ops = {
        .send = on_send, .request = on_request, .inbound_dropped = on_dropped};
    struct deadlines deadlines;
    struct metrics *registry = metrics_new();
    struct coap_metrics metrics;
    struct owner *o = calloc(1, sizeof(*o));

    coap_metrics_init(&metrics, registry);
    deadlines_init(&deadlines);
    o->seed = seed;
    struct coap_room room = {&ops, &deadlines, &metrics};
    coap_peer_init(&o->peer, &room, dialect, 0x1000, 0x10);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t data[COAP_MESSAGE_MAX];
        size_t len = datagram(&seed, data, sizeof(data));
        uint8_t *copy = malloc(len);
        if (len > 0)
            memcpy(copy, data, len);
        coap_peer_receive(&o->peer, copy, len, o->now_ms);
        free(copy);
        act(o, &deadlines);
        assert_true(o->peer.dedup_count <= COAP_DEDUP_MAX);
        assert_int_equal(o->peer.inbound_count, o->waiting_count);
    }
    assert_int_equal(metrics.received->value, ROUNDS);
    while (o->waiting_count > 0)
        coap_forget(&o->peer, o->waiting[--o->waiting_count]);
    for (unsigned i = 0; i < 1000; i++) { /* and then it is quiet */
        o->now_ms += 1000;
        deadlines_run(&deadlines, o->now_ms);
    }
    assert_null(o->peer.dedup);
    assert_null(o->peer.inbound);
    assert_null(o->peer.outbound);
    assert_null(o->peer.bodies);
    assert_int_equal(o->ended, o->started);
    assert_int_equal(deadlines_next(&deadlines, o->now_ms), UINT64_MAX);
    coap_peer_deinit(&o->peer);
    deadlines_deinit(&deadlines);
    metrics_free(registry);
    free(o);
}

static void random_bytes(void **state)
{
    (void)state;
    assault(COAP_DEVICE_OS, random_datagram, 0x1234567);
    assault(COAP_RFC7252, random_datagram, 0x7654321);
}

static void mutated_messages(void **state)
{
    (void)state;
    assault(COAP_DEVICE_OS, mutated_datagram, 0x2345678);
    assault(COAP_RFC7252, mutated_datagram, 0x8765432);
}

static void every_truncation(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        uint8_t data[COAP_MESSAGE_MAX];
        size_t len = bench_bytes(data, sizeof(data), seeds[i]);
        for (size_t cut = 0; cut <= len; cut++) {
            struct bench *b = bench_new(i % 2 == 0 ? COAP_DEVICE_OS : COAP_RFC7252);
            bench_receive_bytes(b, data, cut);
            assert_true(b->sent_count <= 1);
            bench_free(b);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_bytes),
        cmocka_unit_test(mutated_messages),
        cmocka_unit_test(every_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
