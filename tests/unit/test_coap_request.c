/* test_coap_request.c: our requests to a CoAP peer: options, responses, how many are in flight. */
#include "test_coap.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(function_call),
        cmocka_unit_test(empty_query_is_sent),
        cmocka_unit_test(event_with_all_options),
        cmocka_unit_test(further_options),
        cmocka_unit_test(our_non_confirmable_requests),
        cmocka_unit_test(responses_without_acknowledgement),
        cmocka_unit_test(acknowledgement_with_a_wrong_id),
        cmocka_unit_test(request_is_reset),
        cmocka_unit_test(few_are_in_flight),
        cmocka_unit_test(queue_is_bounded),
        cmocka_unit_test(request_that_does_not_fit),
        cmocka_unit_test(cancelled_requests_are_silent),
        cmocka_unit_test(tokens_in_flight_are_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
