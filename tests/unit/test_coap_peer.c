/* Requests both ways: duplicates, acknowledgement, retransmission, separate responses, rejection, the end of
 * a peer. */
#include "test_coap.h"

#define HELLO "40020001b168ff000d000300f6000d000ce00fce68ffffffff0000000118380480001770000200"

/* --- requests of the peer --- */

static void answered_duplicate_is_replayed(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    bench_receive(b, HELLO);
    assert_int_equal(b->request_count, 1);
    assert_string_equal(b->requests[0].path, "h");
    assert_int_equal(b->requests[0].body_len, 32);
    bench_receive(b, HELLO); /* not answered yet: not handed on again, and no promise made */
    bench_expect_quiet(b);
    bench_answer(b, 0, COAP_EMPTY, NULL, 0);
    bench_expect_sent(b, "60000001");
    bench_pass(b, 90000);
    bench_receive(b, HELLO);
    bench_expect_sent(b, "60000001");
    assert_int_equal(b->request_count, 1);
    assert_int_equal(b->metrics.duplicates->value, 2);
    bench_pass(b, COAP_DEDUP_MS);
    bench_expect_nothing_held(b);
    bench_receive(b, HELLO); /* the counter has come round */
    assert_int_equal(b->request_count, 2);
    bench_free(b);
}

static void long_answer_is_replayed_whole(void **state)
{
    char body[300];
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    memset(body, 'x', sizeof(body));
    bench_receive(b, "410200015bb174");
    bench_answer(b, 0, COAP_205_CONTENT, body, sizeof(body));
    bench_receive(b, "410200015bb174");
    assert_int_equal(b->sent_count, 2);
    assert_int_equal(b->sent[1].data_len, 6 + sizeof(body));
    assert_memory_equal(b->sent[0].data, b->sent[1].data, b->sent[0].data_len);
    bench_free(b);
}

/* RFC 7252 4.5: what only reads is read again, not remembered for 4 minutes. */
static void reading_is_not_remembered(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    bench_receive(b, "410100015bb174");
    bench_receive(b, "410100015bb174"); /* not answered yet: not handed on again */
    assert_int_equal(b->request_count, 1);
    bench_answer(b, 0, COAP_205_CONTENT, "1", 1);
    bench_expect_sent(b, "614500015bff31");
    bench_expect_nothing_held(b);
    bench_receive(b, "410100015bb174");
    assert_int_equal(b->request_count, 2);
    bench_answer(b, 1, COAP_205_CONTENT, "2", 1);
    bench_expect_sent(b, "614500015bff32");
    bench_free(b);

    b = bench_new(COAP_DEVICE_OS); /* its GET may call, describe, update */
    bench_receive(b, "410100015bb174");
    bench_answer(b, 0, COAP_205_CONTENT, "1", 1);
    bench_expect_sent(b, "614500015bff31");
    bench_receive(b, "410100015bb174");
    assert_int_equal(b->request_count, 1);
    bench_expect_sent(b, "614500015bff31");
    bench_free(b);
}

static void forgotten_request_is_taken_again(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    bench_receive(b, HELLO);
    coap_forget(&b->peer, b->requests[0].in);
    bench_expect_quiet(b);
    bench_expect_nothing_held(b);
    bench_pass(b, 5000);
    bench_receive(b, HELLO);
    assert_int_equal(b->request_count, 2);
    bench_answer(b, 1, COAP_EMPTY, NULL, 0);
    bench_expect_sent(b, "60000001");
    bench_free(b);
}

static void device_waits_for_its_promise(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    bench_receive(b, "4002000bb14509766465762f7469636bff31");
    bench_pass(b, 20000);
    bench_expect_quiet(b); /* an acknowledgement would say that it is durable */
    bench_answer(b, 0, COAP_EMPTY, NULL, 0);
    bench_expect_sent(b, "6000000b");
    bench_free(b);
}

static void time_is_piggybacked(void **state)
{
    static const uint8_t now[] = {0x65, 0x53, 0xf1, 0x00};
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    bench_receive(b, "4101010655b174");
    bench_answer(b, 0, COAP_205_CONTENT, now, sizeof(now));
    bench_expect_sent(b, "6145010655ff6553f100");
    bench_free(b);
}

static void error_to_device_carries_the_token(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    bench_receive(b, "4102000b98b14cff08");
    bench_answer(b, 0, COAP_501_NOT_IMPLEMENTED, NULL, 0);
    bench_expect_sent(b, "61a1000b98");
    bench_free(b);
}

static void non_confirmable_requests(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    bench_receive(b, "5002000bb14509766465762f7469636bff31");
    assert_int_equal(b->requests[0].type, COAP_NON);
    bench_answer(b, 0, COAP_EMPTY, NULL, 0);
    bench_expect_quiet(b);
    bench_receive(b, "5002000bb14509766465762f7469636bff31"); /* a duplicate is dropped in silence */
    assert_int_equal(b->request_count, 1);
    bench_expect_quiet(b);
    bench_receive(b, "5101000c77b174");
    bench_answer(b, 1, COAP_404_NOT_FOUND, NULL, 0);
    bench_expect_sent(b, "5184100077"); /* NON, an ID of our own */
    bench_free(b);

    b = bench_new(COAP_RFC7252);
    bench_receive(b, "5102000b77b174");
    bench_pass(b, 5000);
    bench_answer(b, 0, COAP_EMPTY, NULL, 0);
    bench_expect_sent(b, "5144100077");
    bench_free(b);
}

static void slow_answer_is_separate(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    bench_receive(b, "420212345566b174");
    bench_pass(b, 999);
    bench_expect_quiet(b);
    bench_pass(b, 1);
    bench_expect_sent(b, "60001234");
    bench_receive(b, "420212345566b174"); /* the ACK was lost */
    bench_expect_sent(b, "60001234");
    assert_int_equal(b->request_count, 1);
    bench_answer(b, 0, COAP_205_CONTENT, "hi", 2);
    bench_expect_sent(b, "424510005566ff6869");
    bench_pass(b, 3000);
    bench_expect_sent(b, "424510005566ff6869"); /* sent again */
    bench_receive(b, "60001000");
    bench_pass(b, 100000);
    bench_expect_quiet(b);
    bench_receive(b, "420212345566b174");
    bench_expect_sent(b, "60001234");
    assert_int_equal(b->unreachable_count, 0);
    bench_free(b);
}

static void separate_answer_never_taken(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    bench_receive(b, "410112345ab174");
    bench_pass(b, 1000);
    bench_answer(b, 0, COAP_205_CONTENT, "x", 1);
    bench_pass(b, 100000);
    assert_int_equal(b->sent_count, 1 + 5); /* MAX_RETRANSMIT 4 */
    assert_int_equal(b->unreachable_count, 1);
    assert_null(b->peer.outbound);
    bench_receive(b, "70001000"); /* much too late */
    bench_free(b);

    b = bench_new(COAP_RFC7252);
    bench_receive(b, "410112345ab174");
    bench_pass(b, 1000);
    bench_answer(b, 0, COAP_205_CONTENT, "x", 1);
    bench_receive(b, "70001000"); /* the client is no longer interested */
    assert_null(b->peer.outbound);
    bench_free(b);
}

static void no_acknowledgement_for_a_peer_that_turned_out_a_device(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    bench_receive(b, HELLO);
    b->peer.dialect = COAP_DEVICE_OS;
    bench_pass(b, 4000);
    bench_expect_quiet(b);
    bench_answer(b, 0, COAP_EMPTY, NULL, 0);
    bench_expect_sent(b, "60000001");
    bench_free(b);
}

static void too_many_unanswered(void **state)
{
    char hex[32];
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    for (unsigned i = 0; i <= COAP_INBOUND_MAX; i++) {
        snprintf(hex, sizeof(hex), "4002%04xb14501 61", i);
        bench_receive(b, hex);
    }
    assert_int_equal(b->request_count, COAP_INBOUND_MAX);
    assert_int_equal(b->metrics.overflow->value, 1);
    bench_expect_quiet(b);
    bench_answer(b, 0, COAP_EMPTY, NULL, 0);
    bench_expect_sent(b, "60000000");
    bench_receive(b, hex); /* sent again: now there is room */
    assert_int_equal(b->request_count, COAP_INBOUND_MAX + 1);
    bench_free(b);
}

static void memory_of_exchanges_is_bounded(void **state)
{
    char hex[32];
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    for (unsigned i = 0; i < COAP_DEDUP_MAX + 1; i++) {
        snprintf(hex, sizeof(hex), "4103%04x01b173",
                 i); /* answered at once, each with what needs its own block */
        bench_receive(b, hex);
        bench_answer(b, b->request_count - 1, COAP_204_CHANGED, "an answer of many bytes", 23);
        free(b->requests[--b->request_count].body);
        assert_int_equal(b->sent[b->sent_count - 1].data_len, 4 + 1 + 1 + 23);
    }
    assert_int_equal(b->peer.dedup_count, COAP_DEDUP_MAX);
    unsigned before = b->sent_count;
    bench_receive(b, "4103000101b173"); /* the second is remembered */
    assert_int_equal(b->request_count, 0);
    assert_int_equal(b->sent_count, before + 1);
    bench_receive(b, "4103000001b173"); /* the first made room */
    assert_int_equal(b->request_count, 1);
    bench_free(b);
}

/* A device that publishes two events a second, each acknowledged at once: what it sends again after the
 * longest time is still known. */
static void a_busy_peer_is_remembered_for_the_whole_time(void **state)
{
    char hex[32];
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    for (unsigned i = 0; i < 390; i++) {
        snprintf(hex, sizeof(hex), "4002%04xb145016f", i);
        bench_receive(b, hex);
        bench_answer(b, b->request_count - 1, COAP_EMPTY, NULL, 0);
        free(b->requests[--b->request_count].body);
        bench_pass(b, 250);
    }
    unsigned before = b->sent_count;
    bench_receive(b, "40020000b145016f");
    assert_int_equal(b->request_count, 0);
    assert_int_equal(b->sent_count, before + 1);
    assert_int_equal(b->peer.dedup_count, 390);
    bench_pass(b, COAP_DEDUP_DEVICE_OS_MS);
    bench_expect_nothing_held(b);
    bench_free(b);
}

/* --- rejection --- */

static void pings(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    bench_receive(b, "4000000b");
    bench_expect_sent(b, "6000000b");
    bench_expect_nothing_held(b);
    bench_receive(b, "5000000c");
    bench_expect_quiet(b);
    bench_free(b);

    b = bench_new(COAP_RFC7252);
    bench_receive(b, "4000000b");
    bench_expect_sent(b, "7000000b");
    bench_free(b);
}

static void what_an_rfc_peer_may_not_send(void **state)
{
    static const struct {
        const char *hex, *answer; /* answer "": none */
    } cases[] = {
        {"40010001b2", "70000001"},     /* malformed */
        {"40200001", "70000001"},       /* reserved class */
        {"40020001b165ff", "70000001"}, /* marker without payload */
        {"50010001b2", ""},
        {"60010001b2", ""},
        {"4101000155d10001", "6182000155"}, /* unknown critical option */
        {"5101000255d10001", ""},
        {"4101000355d11661", "61a5000355"},   /* Proxy-Uri */
        {"4101000455b174c107", "6180000455"}, /* SZX 7 */
        {"4145000555ff00", "70000005"},       /* a response to nothing */
        {"5145000655ff00", ""},
        {"60010007b174", ""}, /* an ACK with a request */
        {"7101000855b174", ""},
        {"00", ""},
    };
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench_receive(b, cases[i].hex);
        if (cases[i].answer[0] != '\0')
            bench_expect_sent(b, cases[i].answer);
        bench_expect_quiet(b);
    }
    assert_int_equal(b->request_count, 0);
    assert_int_equal(b->metrics.malformed->value, 6);
    bench_free(b);
}

static void what_a_device_may_send(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    bench_receive(b, "4101000155b2");
    bench_expect_sent(b, "6180000155"); /* never RST: it would end the session */
    bench_receive(b, "4a010002");
    bench_expect_sent(b, "60800002");
    bench_receive(b, "4145000555ff00");
    bench_expect_sent(b, "60000005");
    bench_receive(b, "4002000ab145066d6574686f64ff"); /* old: an empty event ends in a marker */
    assert_string_equal(b->requests[0].path, "E/method");
    assert_int_equal(b->requests[0].body_len, 0);
    bench_receive(b, "4102000b31b141d1f400"); /* its own critical option of a firmware transfer */
    assert_int_equal(b->request_count, 2);
    bench_free(b);
}

static void path_that_does_not_fit(void **state)
{
    uint8_t data[4 + 3 * 258];
    size_t len = 4;
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    memcpy(data, "\x40\x01\x00\x01", 4);
    for (int i = 0; i < 3; i++) {
        data[len++] = i == 0 ? 0xbd : 0x0d;
        data[len++] = 255 - 13;
        memset(data + len, 'p', 255);
        len += 255;
    }
    bench_receive_bytes(b, data, len);
    bench_expect_sent(b, "60840001");
    assert_int_equal(b->request_count, 0);
    bench_free(b);
}

/* --- our requests --- */

static void function_call(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("f", "digitalwrite");
    r.method = COAP_POST;
    r.query = (const uint8_t *)"D7,HIGH";
    r.query_len = 7;
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_expect_sent(b, "4102100010b1660c6469676974616c77726974654744372c48494748");
    bench_pass(b, 250);
    bench_receive(b, "60001000");
    assert_int_equal(b->done.count, 0);
    bench_pass(b, 30000);
    bench_expect_quiet(b); /* acknowledged: not sent again */
    bench_receive(b, "4144000b10ff0000002a");
    bench_expect_sent(b, "6000000b");
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.outcome, COAP_RESPONDED);
    assert_int_equal(b->done.code, COAP_204_CHANGED);
    assert_int_equal(b->done.rtt_ms, 250);
    assert_int_equal(b->done.body_len, 4);
    assert_memory_equal(b->done.body, "\0\0\0\x2a", 4);
    bench_receive(b, "4144000b10ff0000002a"); /* our ACK was lost */
    bench_expect_sent(b, "6000000b");
    assert_int_equal(b->done.count, 1);
    bench_free(b);
}

static void empty_query_is_sent(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("f", "go");
    r.method = COAP_POST;
    r.query = (const uint8_t *)"";
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_expect_sent(b, "4102100010b16602676f40");
    bench_free(b);
}

static void event_with_all_options(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("E", "temp");
    r.method = COAP_POST;
    r.content_format = 60;
    r.max_age_s = 300;
    r.payload = (const uint8_t *)"\xa0";
    r.payload_len = 1;
    r.ack_is_enough = true;
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_expect_sent(b, "4102100010b1450474656d70113c22012cffa0");
    bench_receive(b, "60001000");
    assert_int_equal(b->done.outcome, COAP_RESPONDED);
    assert_int_equal(b->done.code, COAP_EMPTY);
    bench_free(b);
}

/* The options of firmware updates (device-protocol 5.3), and Uri-Query twice (5.2). */
static void further_options(void **state)
{
    static const struct coap_option numbers[] = {{2057, (const uint8_t *)"\x02\x49\xf0", 3}, {2073, NULL, 0}};
    static const struct coap_option queries[] = {
        {COAP_OPT_URI_QUERY, (const uint8_t *)"\xcb\xf4\x39\x26", 4},
        {COAP_OPT_URI_QUERY, (const uint8_t *)"\x00\x03", 2},
    };
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("F", NULL);
    r.method = COAP_POST;
    r.options = numbers;
    r.option_count = 2;
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_expect_sent(b, "4102100010b146e306f10249f0d003");
    bench_receive(b, "6144100010");
    assert_int_equal(b->done.count, 1);

    r = bench_get("c", NULL);
    r.method = COAP_POST;
    r.options = queries;
    r.option_count = 2;
    r.payload = (const uint8_t *)"x";
    r.payload_len = 1;
    uint16_t mid;
    assert_true(coap_send_non(&b->peer, &r, true, &mid));
    assert_int_equal(mid, 0x1001);
    bench_expect_sent(b, "5102100111b16344cbf43926020003ff78");
    bench_free(b);
}

static void our_non_confirmable_requests(void **state)
{
    static uint8_t payload[COAP_MESSAGE_MAX];
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("C", NULL);
    uint16_t mid;
    r.method = COAP_POST;
    assert_true(coap_send_non(&b->peer, &r, false, &mid));
    bench_expect_sent(b, "50021000b143");
    bench_pass(b, 300000); /* once, and nothing is kept */
    bench_expect_quiet(b);
    bench_expect_nothing_held(b);
    r.payload = payload;
    r.payload_len = sizeof(payload);
    assert_false(coap_send_non(&b->peer, &r, false, &mid));
    bench_expect_quiet(b);

    bench_receive(b, "70001000");
    assert_int_equal(b->stray_count, 1);
    assert_int_equal(b->stray.type, COAP_RST);
    assert_int_equal(b->stray.mid, 0x1000);
    bench_receive(b, "51800707aaff19");
    assert_int_equal(b->stray_count, 2);
    assert_int_equal(b->stray.code, COAP_400_BAD_REQUEST);
    bench_receive(b, "70020707"); /* no RST */
    bench_receive(b, "60000707");
    bench_receive(b, "41440708aa"); /* a confirmable one is acknowledged, and that is all */
    assert_int_equal(b->stray_count, 2);
    bench_expect_sent(b, "60000708");

    r = bench_get("v", "x"); /* what belongs to something is none */
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    (void)bench_sent_message(b);
    bench_receive(b, "70001002");
    assert_int_equal(b->done.outcome, COAP_RESET);
    assert_int_equal(b->stray_count, 2);
    b->end_peer_in_callback = true;
    bench_receive(b, "70001000");
    assert_int_equal(b->stray_count, 3);
    bench_free(b);
}

static void responses_without_acknowledgement(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("v", "temp");

    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_expect_sent(b, "4101100010b1760474656d70");
    bench_receive(b, "6145100010ff00000007"); /* piggybacked */
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.code, COAP_205_CONTENT);

    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_expect_sent(b, "4101100111b1760474656d70");
    bench_receive(b, "4184000911"); /* the ACK was lost, the response was not */
    bench_expect_sent(b, "60000009");
    assert_int_equal(b->done.count, 2);
    assert_int_equal(b->done.code, COAP_404_NOT_FOUND);

    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_expect_sent(b, "4101100212b1760474656d70");
    bench_receive(b, "60801002"); /* a rejection without token */
    assert_int_equal(b->done.count, 3);
    assert_int_equal(b->done.code, COAP_400_BAD_REQUEST);

    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_receive(b, "51450fff13ff01"); /* non-confirmable */
    assert_int_equal(b->done.count, 4);
    bench_pass(b, 300000);
    assert_int_equal(b->done.count, 4);
    bench_free(b);
}

static void acknowledgement_with_a_wrong_id(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("k", NULL);
    r.method = COAP_PUT;
    r.query = (const uint8_t *)"\x01";
    r.query_len = 1;
    r.ack_is_enough = true;
    r.timeout_ms = 10000;
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_expect_sent(b, "4103100010b16b4101");
    bench_receive(b, "6000000b"); /* the device's own counter */
    assert_int_equal(b->done.count, 0);
    bench_pass(b, 10000);
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.outcome, COAP_TIMED_OUT);
    assert_int_equal(b->unreachable_count, 0);

    b->sent_read = b->sent_count;
    r = bench_get("v", "temp");
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_receive(b, "6145777711ff07"); /* the token says which */
    assert_int_equal(b->done.code, COAP_205_CONTENT);
    bench_free(b);

    b = bench_new(COAP_RFC7252);
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_receive(b, "6145777710ff07");
    assert_int_equal(b->done.count, 0); /* RFC 7252 5.3.2: both must match */
    bench_receive(b, "6145100010ff07");
    assert_int_equal(b->done.count, 1);
    bench_free(b);
}

/* Every gap between transmissions is the one before doubled; the first within the factor of 1 to 1.5. */
static void check_schedule(enum coap_dialect dialect, unsigned transmissions, uint64_t timeout_ms)
{
    struct bench *b = bench_new(dialect);
    struct coap_request r = bench_get("v", "temp");
    uint64_t begin_ms = b->now_ms;

    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    while (b->unreachable_count == 0) {
        uint64_t next_ms = deadlines_next(&b->deadlines, b->now_ms);
        assert_true(next_ms < 200000);
        bench_pass(b, next_ms);
    }
    uint64_t lost_ms = b->now_ms;
    assert_int_equal(b->sent_count, transmissions);
    uint64_t gap_ms = b->sent[1].at_ms - b->sent[0].at_ms;
    assert_true(gap_ms >= timeout_ms && gap_ms <= timeout_ms + timeout_ms / 2);
    for (unsigned i = 1; i < transmissions; i++) {
        assert_int_equal(b->sent[i].at_ms - b->sent[i - 1].at_ms, gap_ms << (i - 1));
        assert_memory_equal(b->sent[i].data, b->sent[0].data,
                            b->sent[0].data_len); /* the same bytes, the same ID */
    }
    assert_int_equal(lost_ms - b->sent[transmissions - 1].at_ms, gap_ms << (transmissions - 1));
    assert_int_equal(b->metrics.retransmits->value, transmissions - 1);
    bench_pass(b, 0);
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.outcome, COAP_TIMED_OUT);
    assert_int_equal(b->unreachable_count, 1);
    assert_in_range(lost_ms - begin_ms, timeout_ms * ((1u << transmissions) - 1),
                    timeout_ms * 3 / 2 * ((1u << transmissions) - 1));
    bench_expect_nothing_held(b);
    bench_free(b);
}

static void retransmission_schedule(void **state)
{
    (void)state;
    check_schedule(COAP_DEVICE_OS, 4, 4000);
    check_schedule(COAP_RFC7252, 5, 2000);
}

static void whole_wait_ends_an_acknowledged_request(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("f", "unknown");
    r.timeout_ms = 30000;
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_receive(b, "60001000");
    bench_pass(b, 29999);
    assert_int_equal(b->done.count, 0);
    bench_pass(b, 1);
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.outcome, COAP_TIMED_OUT);
    assert_int_equal(b->sent_count, 1);
    assert_int_equal(b->unreachable_count, 0);
    bench_free(b);
}

static void our_ping(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    coap_ping(&b->peer, 10000, bench_on_done, b, b->now_ms);
    bench_expect_sent(b, "40001000");
    bench_pass(b, 120);
    bench_receive(b, "60001000");
    assert_int_equal(b->done.outcome, COAP_RESPONDED);
    assert_int_equal(b->done.code, -1);
    assert_int_equal(b->done.rtt_ms, 120);
    coap_ping(&b->peer, 10000, bench_on_done, b, b->now_ms);
    bench_pass(b, 10000);
    assert_int_equal(b->done.count, 2);
    assert_int_equal(b->done.outcome, COAP_TIMED_OUT);
    bench_free(b);

    b = bench_new(COAP_RFC7252);
    coap_ping(&b->peer, 10000, bench_on_done, b, b->now_ms);
    bench_receive(b, "70001000");
    assert_int_equal(b->done.outcome, COAP_RESPONDED);
    bench_free(b);
}

/* Whoever asks waits no longer than he said; whether the peer is there shows later. */
static void what_was_given_up_is_still_sent_again(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    uint64_t begin_ms = b->now_ms;
    coap_ping(&b->peer, 10000, bench_on_done, b, b->now_ms);
    bench_pass(b, 10000);
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.outcome, COAP_TIMED_OUT);
    assert_int_equal(b->unreachable_count, 0);
    bench_pass(b, 90000);
    assert_int_equal(b->sent_count, 4);
    assert_int_equal(b->unreachable_count, 1);
    assert_true(b->sent[3].at_ms - begin_ms >= 28000);
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->metrics.timeouts->value, 1);
    bench_expect_nothing_held(b);

    coap_ping(&b->peer, 10000, bench_on_done, b, b->now_ms); /* the answer comes late, but it comes */
    bench_pass(b, 15000);
    assert_int_equal(b->done.count, 2);
    bench_receive(b, "60001001");
    bench_expect_nothing_held(b);
    bench_pass(b, 90000);
    assert_int_equal(b->done.count, 2);
    assert_int_equal(b->unreachable_count, 1);
    bench_free(b);
}

static void what_was_given_up_ends_with_any_reaction(void **state)
{
    static const char *const reactions[] = {
        "60001000",               /* acknowledged: nobody waits for the response */
        "70001000",               /* reset */
        "6145100010ff07",         /* piggybacked */
        "41457777 10 ff07",       /* separate */
        "41457777 10 d10a0eff07", /* the first block of many: the others are not asked for */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(reactions) / sizeof(reactions[0]); i++) {
        struct bench *b = bench_new(COAP_DEVICE_OS);
        struct coap_request r = bench_get("v", "temp");
        r.timeout_ms = 3000;
        assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
        bench_pass(b, 3000);
        assert_int_equal(b->done.count, 1);
        assert_non_null(b->peer.outbound);
        bench_receive(b, reactions[i]);
        assert_null(b->peer.outbound);
        assert_int_equal(b->done.count, 1);
        bench_pass(b, 300000);
        assert_int_equal(b->sent_count, i < 3 ? 1 : 2); /* at most the acknowledgement of the response */
        assert_int_equal(b->unreachable_count, 0);
        bench_free(b);
    }
}

static void what_was_given_up_is_bounded_and_can_be_cancelled(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    for (unsigned i = 0; i < 20; i++)
        coap_ping(&b->peer, 1000, bench_on_done, b, b->now_ms);
    bench_pass(b, 1000);
    assert_int_equal(b->done.count, 20);
    unsigned before = b->sent_count;
    bench_pass(b, 8000);
    assert_int_equal(b->sent_count, before + 1);     /* one is enough to see whether the peer is there */
    for (unsigned i = 0; i < COAP_OUTBOUND_MAX; i++) /* and no other waits for it */
        coap_ping(&b->peer, 1000, bench_on_done, b, b->now_ms);
    assert_int_equal(b->sent_count, before + 1 + COAP_OUTBOUND_MAX);
    bench_pass(b, 1000);
    assert_int_equal(b->done.count, 20 + COAP_OUTBOUND_MAX);
    assert_non_null(b->peer.outbound);
    before = b->sent_count;
    coap_cancel(&b->peer, b);
    assert_null(b->peer.outbound);
    bench_pass(b, 300000);
    assert_int_equal(b->sent_count, before);
    assert_int_equal(b->unreachable_count, 0);
    bench_free(b);

    b = bench_new(COAP_DEVICE_OS); /* the callback ends the peer, with it what is still sent again */
    coap_ping(&b->peer, 1000, bench_on_done, b, b->now_ms);
    b->end_peer_in_callback = true;
    bench_pass(b, 1000);
    assert_int_equal(b->done.count, 1);
    bench_expect_nothing_held(b);
    bench_free(b);
}

static void request_is_reset(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    struct coap_request r = bench_get("v", "temp");
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_receive(b, "70000fff"); /* of another */
    assert_int_equal(b->done.count, 0);
    bench_receive(b, "70001000");
    assert_int_equal(b->done.outcome, COAP_RESET);
    bench_free(b);
}

static void few_are_in_flight(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("v", "temp");
    for (unsigned i = 0; i < COAP_OUTBOUND_MAX + 2; i++)
        assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    assert_int_equal(b->sent_count, COAP_OUTBOUND_MAX);
    bench_pass(b, 1000);
    bench_receive(b, "60001002"); /* acknowledged is no longer outstanding */
    assert_int_equal(b->sent_count, COAP_OUTBOUND_MAX + 1);
    bench_receive(b, "6145100110ff01"); /* mid and token of different requests: the token decides */
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.rtt_ms, 1000);
    assert_int_equal(b->sent_count, COAP_OUTBOUND_MAX + 2);
    for (unsigned i = 0; i < COAP_OUTBOUND_MAX + 2; i++) {
        struct coap_message m = bench_sent_message(b);
        assert_int_equal(m.mid, 0x1000 + i);
        assert_int_equal(m.token[0], 0x10 + i);
    }
    bench_free(b);
}

static void queue_is_bounded(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("v", "temp");
    r.timeout_ms = 5000;
    for (unsigned i = 0; i < COAP_QUEUE_MAX; i++)
        assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    assert_false(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_pass(b, 5000);
    assert_int_equal(b->done.count, COAP_QUEUE_MAX); /* those that never left wait no longer either */
    bench_free(b);
}

static void request_that_does_not_fit(void **state)
{
    uint8_t payload[COAP_MESSAGE_MAX] = {0};
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("E", "e");
    r.payload = payload;
    r.payload_len = COAP_MESSAGE_MAX - 10;
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    assert_int_equal(b->sent[0].data_len, COAP_MESSAGE_MAX);
    r.payload_len++;
    assert_false(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    b->peer.max_message_bytes = 512;
    r.payload_len = 512;
    assert_false(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_free(b);
}

static void cancelled_requests_are_silent(void **state)
{
    int other;
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("v", "temp");
    for (unsigned i = 0; i < COAP_OUTBOUND_MAX; i++)
        assert_true(coap_request(&b->peer, &r, bench_on_done, &other, b->now_ms));
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    assert_int_equal(b->sent_count, COAP_OUTBOUND_MAX);
    coap_cancel(&b->peer, &other);
    assert_int_equal(b->done.count, 0);
    bench_pass(b, 0); /* the freed slot goes to the one that waits */
    assert_int_equal(b->sent_count, COAP_OUTBOUND_MAX + 1);
    bench_receive(b, "4145000110ff01"); /* late: acknowledged all the same */
    assert_int_equal(b->sent_count, COAP_OUTBOUND_MAX + 2);
    assert_int_equal(b->done.count, 0);
    bench_receive(b, "4145000214ff01");
    assert_int_equal(b->done.count, 1);
    bench_free(b);
}

static void tokens_in_flight_are_unique(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_DEVICE_OS);
    struct coap_request r = bench_get("v", "temp");
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms)); /* 0x10, stays open */
    b->peer.next_token = 0x0f;
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_sent_message(b);
    assert_int_equal(bench_sent_message(b).token[0], 0x0f);
    assert_int_equal(bench_sent_message(b).token[0], 0x11);
    bench_free(b);
}

/* --- the end of a peer --- */

static void everything_open_at_the_end(void **state)
{
    (void)state;
    struct bench *b = bench_new(COAP_RFC7252);
    struct coap_request r = bench_get("v", "temp");
    for (unsigned i = 0; i < COAP_OUTBOUND_MAX + 2; i++)
        assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    coap_ping(&b->peer, 10000, bench_on_done, b, b->now_ms);
    bench_receive(b, "60001001"); /* one acknowledged */
    bench_receive(b, "4101000155b174");
    bench_receive(b, "4101000256b174");
    bench_receive(b, "4101000357b174");
    bench_pass(b, 1000);
    bench_answer(b, 0, COAP_205_CONTENT, "x", 1); /* separate, not yet taken */
    bench_receive(b,
                  "4102000458b16441 01 c108 ff 00112233445566778899aabbccddeeff"); /* one block of a body */
    coap_peer_deinit(&b->peer);
    assert_int_equal(b->done.count, COAP_OUTBOUND_MAX + 3);
    assert_int_equal(b->done.outcome, COAP_PEER_GONE);
    assert_int_equal(b->dropped_count, 2);
    bench_expect_nothing_held(b);
    bench_free(b);
}

static void callbacks_may_end_the_peer(void **state)
{
    (void)state;
    struct coap_request r = bench_get("v", "temp");

    struct bench *b = bench_new(COAP_DEVICE_OS); /* in the request callback, with a body of blocks */
    b->end_peer_in_callback = true;
    bench_receive(b, "41020001 01 b1644101c108ff00112233445566778899aabbccddeeff");
    bench_receive(b, "41020002 02 b1644101c110ff4455");
    assert_int_equal(b->request_count, 1);
    assert_int_equal(b->dropped_count, 1);
    bench_expect_nothing_held(b);
    bench_free(b);

    b = bench_new(COAP_DEVICE_OS); /* in an outbound's callback, others being open */
    b->end_peer_in_callback = true;
    for (unsigned i = 0; i < COAP_OUTBOUND_MAX + 2; i++)
        assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_receive(b, "4145000110ff01");
    assert_int_equal(b->done.count, COAP_OUTBOUND_MAX + 2);
    bench_expect_nothing_held(b);
    bench_free(b);

    b = bench_new(COAP_DEVICE_OS); /* when it is unreachable */
    b->end_peer_in_callback = true;
    assert_true(coap_request(&b->peer, &r, bench_on_done, b, b->now_ms));
    bench_pass(b, 100000);
    assert_int_equal(b->unreachable_count, 1);
    assert_int_equal(b->done.count, 1);
    assert_int_equal(b->done.outcome, COAP_PEER_GONE);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answered_duplicate_is_replayed),
        cmocka_unit_test(long_answer_is_replayed_whole),
        cmocka_unit_test(reading_is_not_remembered),
        cmocka_unit_test(forgotten_request_is_taken_again),
        cmocka_unit_test(device_waits_for_its_promise),
        cmocka_unit_test(time_is_piggybacked),
        cmocka_unit_test(error_to_device_carries_the_token),
        cmocka_unit_test(non_confirmable_requests),
        cmocka_unit_test(slow_answer_is_separate),
        cmocka_unit_test(separate_answer_never_taken),
        cmocka_unit_test(no_acknowledgement_for_a_peer_that_turned_out_a_device),
        cmocka_unit_test(too_many_unanswered),
        cmocka_unit_test(memory_of_exchanges_is_bounded),
        cmocka_unit_test(a_busy_peer_is_remembered_for_the_whole_time),
        cmocka_unit_test(pings),
        cmocka_unit_test(what_an_rfc_peer_may_not_send),
        cmocka_unit_test(what_a_device_may_send),
        cmocka_unit_test(path_that_does_not_fit),
        cmocka_unit_test(function_call),
        cmocka_unit_test(empty_query_is_sent),
        cmocka_unit_test(event_with_all_options),
        cmocka_unit_test(further_options),
        cmocka_unit_test(our_non_confirmable_requests),
        cmocka_unit_test(responses_without_acknowledgement),
        cmocka_unit_test(acknowledgement_with_a_wrong_id),
        cmocka_unit_test(retransmission_schedule),
        cmocka_unit_test(whole_wait_ends_an_acknowledged_request),
        cmocka_unit_test(our_ping),
        cmocka_unit_test(what_was_given_up_is_still_sent_again),
        cmocka_unit_test(what_was_given_up_ends_with_any_reaction),
        cmocka_unit_test(what_was_given_up_is_bounded_and_can_be_cancelled),
        cmocka_unit_test(request_is_reset),
        cmocka_unit_test(few_are_in_flight),
        cmocka_unit_test(queue_is_bounded),
        cmocka_unit_test(request_that_does_not_fit),
        cmocka_unit_test(cancelled_requests_are_silent),
        cmocka_unit_test(tokens_in_flight_are_unique),
        cmocka_unit_test(everything_open_at_the_end),
        cmocka_unit_test(callbacks_may_end_the_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
