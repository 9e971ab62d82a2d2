/* test_coap_retransmission.c: how often and how long our requests to a CoAP peer are sent again, and what
 * ends that. */
#include "test_coap.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retransmission_schedule),
        cmocka_unit_test(whole_wait_ends_an_acknowledged_request),
        cmocka_unit_test(our_ping),
        cmocka_unit_test(what_was_given_up_is_still_sent_again),
        cmocka_unit_test(what_was_given_up_ends_with_any_reaction),
        cmocka_unit_test(what_was_given_up_is_bounded_and_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
