/* test_coap_peer.c: requests of a CoAP peer: duplicates, acknowledgement, separate responses, rejection, and
 * the end of the peer. */
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
        cmocka_unit_test(everything_open_at_the_end),
        cmocka_unit_test(callbacks_may_end_the_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
