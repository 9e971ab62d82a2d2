/* test_update_window.c: which chunk goes next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/update_window.h"

static struct update_window w;

/* Sends all that may be sent now, whatever the pace; returns the last one. */
static uint32_t send_all(uint64_t now_ms)
{
    uint32_t chunk, last = 0;

    while ((chunk = update_window_next(&w)) != 0) {
        update_window_sent(&w, chunk, now_ms);
        last = chunk;
    }
    return last;
}

static enum update_ack acked(uint32_t count, uint64_t bits, uint64_t now_ms)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(bits >> 8 * i);
    return update_window_acked(&w, count, bytes, bits != 0 ? sizeof(bytes) : 0, now_ms);
}

static void begins_small_and_grows(void **state)
{
    (void)state;
    update_window_init(&w, 1000, 256, 0);
    assert_int_equal(send_all(1000), UPDATE_WINDOW_FIRST);
    assert_int_equal(acked(8, 0, 1050), UPDATE_ACK_NEWS);
    assert_int_equal(send_all(1050), 24); /* one more for each that was acknowledged */
    assert_int_equal(acked(24, 0, 1100), UPDATE_ACK_NEWS);
    assert_int_equal(send_all(1100), 56);
}

static void never_beyond_the_room_of_the_device(void **state)
{
    (void)state;
    update_window_init(&w, 1000, 10, 0);
    assert_int_equal(send_all(0), 8);
    assert_int_equal(acked(8, 0, 50), UPDATE_ACK_NEWS);
    assert_int_equal(send_all(50), 18);
    assert_int_equal(acked(8, 0xfc, 100), UPDATE_ACK_NEWS); /* 9 and 10 are missing */
    assert_int_equal(update_window_next(&w), 9);            /* and nothing above 18 */
    update_window_sent(&w, 9, 100);
    assert_int_equal(update_window_next(&w), 10);
    update_window_sent(&w, 10, 100);
    assert_int_equal(update_window_next(&w), 0);
}

static void a_stated_window_is_cut_to_ours(void **state)
{
    (void)state;
    update_window_init(&w, 100000, 70000, 0);
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(send_all(i) <= w.acked + UPDATE_WINDOW_MAX);
        assert_int_equal(acked(w.sent, 0, i), UPDATE_ACK_NEWS);
    }
    assert_int_equal(send_all(100) - w.acked, UPDATE_WINDOW_MAX);
}

static void three_later_ones_make_a_loss(void **state)
{
    (void)state;
    update_window_init(&w, 1000, 256, 0);
    send_all(1000);
    assert_int_equal(acked(1, 0x2, 1001), UPDATE_ACK_NEWS); /* 3 */
    assert_int_equal(acked(1, 0x6, 1002), UPDATE_ACK_NEWS); /* 4 */
    assert_true(update_window_next(&w) > 8);
    assert_int_equal(acked(1, 0xe, 1003), UPDATE_ACK_NEWS); /* 5 */
    assert_int_equal(update_window_next(&w), 2);
    assert_true(update_window_sent(&w, 2, 1003));
    assert_int_equal(acked(5, 0, 1010), UPDATE_ACK_NEWS);
    assert_int_equal(w.acked, 5);
}

static void or_a_while_after_one_later_one(void **state)
{
    (void)state;
    update_window_init(&w, 8, 256, 0);
    send_all(1000);
    assert_int_equal(acked(7, 0, 1100), UPDATE_ACK_NEWS);
    assert_int_equal(update_window_next(&w), 0);

    update_window_init(&w, 8, 256, 0);
    send_all(1000);
    assert_int_equal(acked(6, 0x2, 1100), UPDATE_ACK_NEWS); /* 8 but not 7 */
    assert_int_equal(update_window_next(&w), 0);
    uint64_t late_ms = update_window_late_ms(&w);
    assert_in_range(late_ms, 1100, 1200); /* a round trip and a quarter after it was sent */
    update_window_late(&w, late_ms);
    assert_int_equal(update_window_next(&w), 7);
}

static void losses_of_one_round_trip_count_once(void **state)
{
    (void)state;
    update_window_init(&w, 1000, 256, 0);
    send_all(1000);
    (void)acked(8, 0, 1050);
    send_all(1050);
    (void)acked(24, 0, 1100);
    send_all(1100); /* 25 to 56 */
    uint32_t before = w.may_be_out;
    (void)acked(24, 0xfff5fffe, 1150); /* 25, 42, 44 are missing */
    uint32_t after = w.may_be_out;
    assert_in_range(after, before * 6 / 10, before * 8 / 10);
    assert_int_equal(update_window_next(&w), 25);
    update_window_sent(&w, 25, 1150);
    update_window_sent(&w, 42, 1150);
    update_window_sent(&w, 44, 1150);
    (void)acked(56, 0, 1200);
    assert_in_range(w.may_be_out, after, after + 256);
}

/* Taken for lost, and it arrives after all: that is seen before it can have been the second sending. */
static void overtaking_is_learned(void **state)
{
    (void)state;
    update_window_init(&w, 1000, 256, 0);
    send_all(1000);
    (void)acked(8, 0, 1100);
    send_all(1100); /* 9 to 24 */
    uint32_t before = w.may_be_out;
    (void)acked(8, 0x1fe, 1200); /* 10 to 17, not 9 */
    assert_true(w.may_be_out < before);
    uint32_t order = w.acked_order;
    assert_int_equal(update_window_next(&w), 9);
    update_window_sent(&w, 9, 1200);
    assert_int_equal(acked(17, 0, 1210), UPDATE_ACK_NEWS);
    assert_int_equal(w.acked_order, order); /* the second sending says nothing of those before it */
    assert_true(w.may_be_out >= before);
    send_all(1210);
    (void)acked(17, 0x1e, 1220); /* 19 to 22, not 18: not yet */
    assert_true(update_window_next(&w) != 18);
    (void)acked(17, 0x7e, 1220); /* 19 to 24: six later ones */
    assert_int_equal(update_window_next(&w), 18);
}

static void asks_then_begins_again(void **state)
{
    (void)state;
    update_window_init(&w, 1000, 256, 100);
    send_all(1000);
    uint64_t probe_ms = update_window_late_ms(&w);
    assert_in_range(probe_ms, 1001, 1000 + UPDATE_RTO_MIN_MS - 1);
    update_window_late(&w, probe_ms);
    assert_int_equal(update_window_next(&w), 1);
    update_window_sent(&w, 1, probe_ms);
    assert_int_equal(update_window_next(&w), 0);

    uint64_t rto_ms = update_window_late_ms(&w);
    assert_int_equal(rto_ms, 1000 + UPDATE_RTO_MIN_MS);
    update_window_late(&w, rto_ms);
    assert_int_equal(w.out_count, 0);
    for (unsigned i = 0; i < UPDATE_WINDOW_LEAST; i++)
        update_window_sent(&w, update_window_next(&w), rto_ms);
    assert_int_equal(update_window_next(&w), 0);
    uint64_t next_ms = update_window_late_ms(&w);
    assert_int_equal(next_ms, rto_ms + 2 * UPDATE_RTO_MIN_MS); /* backs off */
    for (int i = 0; i < 10; i++) {
        update_window_late(&w, next_ms);
        send_all(next_ms);
        uint64_t later_ms = update_window_late_ms(&w);
        assert_in_range(later_ms - next_ms, 1, UPDATE_RTO_MAX_MS);
        next_ms = later_ms;
    }
    /* All had arrived: only acknowledgements were lost. Nothing more is sent again. */
    assert_int_equal(acked(8, 0, next_ms), UPDATE_ACK_NEWS);
    assert_int_equal(w.out_count, 0);
    assert_int_equal(update_window_next(&w), 9);
}

static void does_not_grow_while_it_queues(void **state)
{
    uint64_t now_ms = 1000;

    (void)state;
    update_window_init(&w, 100000, 256, 0);
    send_all(now_ms);
    for (int i = 0; i < 3; i++) {
        now_ms += 20;
        (void)acked(w.sent, 0, now_ms);
        send_all(now_ms);
    }
    for (int i = 0; i < 20; i++) {
        now_ms += 500; /* of which 480 are spent waiting */
        (void)acked(w.sent, 0, now_ms);
        send_all(now_ms);
    }
    assert_true(w.sent - w.acked < UPDATE_WINDOW_MAX);
}

static void spreads_what_it_sends(void **state)
{
    uint64_t now_ms = 1000, first_ms = 0;
    unsigned sent = 0, at_once = 0;

    (void)state;
    update_window_init(&w, 1000, 256, 400);
    for (; update_window_next(&w) != 0; now_ms++) {
        unsigned burst = 0;
        while (update_window_next(&w) != 0 && update_window_pace_ms(&w, now_ms) <= now_ms) {
            update_window_sent(&w, update_window_next(&w), now_ms);
            sent++;
            burst++;
        }
        at_once = burst > at_once ? burst : at_once;
        first_ms = first_ms == 0 ? now_ms : first_ms;
    }
    assert_int_equal(sent, UPDATE_WINDOW_FIRST);
    assert_int_equal(at_once, UPDATE_BURST);
    assert_in_range(now_ms - first_ms, 120, 240); /* the rest over half a round trip */
}

static void nonsense_is_told(void **state)
{
    (void)state;
    update_window_init(&w, 1000, 256, 0);
    send_all(1000);
    assert_int_equal(acked(9, 0, 1050), UPDATE_ACK_NONSENSE);
    assert_int_equal(acked(UINT32_MAX, 0, 1050), UPDATE_ACK_NONSENSE);
    assert_int_equal(acked(4, 0x100, 1050), UPDATE_ACK_NONSENSE); /* 13 was not sent */
    assert_int_equal(w.acked, 4);
    assert_int_equal(acked(2, 0, 1050), UPDATE_ACK_NO_NEWS);
    assert_int_equal(acked(4, 0, 1050), UPDATE_ACK_NO_NEWS);
    assert_int_equal(w.acked, 4);
    assert_int_equal(acked(4, 0xf, 1060), UPDATE_ACK_NEWS); /* bit 0 is never set; it is believed */
    assert_int_equal(w.acked, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_small_and_grows),
        cmocka_unit_test(never_beyond_the_room_of_the_device),
        cmocka_unit_test(a_stated_window_is_cut_to_ours),
        cmocka_unit_test(three_later_ones_make_a_loss),
        cmocka_unit_test(or_a_while_after_one_later_one),
        cmocka_unit_test(losses_of_one_round_trip_count_once),
        cmocka_unit_test(overtaking_is_learned),
        cmocka_unit_test(asks_then_begins_again),
        cmocka_unit_test(does_not_grow_while_it_queues),
        cmocka_unit_test(spreads_what_it_sends),
        cmocka_unit_test(nonsense_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
