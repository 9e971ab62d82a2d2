/* test_update_pacer.c: many updates at once leave room for everything else. */
#include "fake_clock.h"

#include "device_bench.h"

#include "device/update.h"
#include "device/update_pacer.h"

#define DEVICES 60
#define FILE_BYTES 100000

static uint8_t file[FILE_BYTES], sha256[32];
static struct session *sessions[DEVICES];
static unsigned chunks_sent, pings_answered, chunks_of[DEVICES], started;

static void on_started(void *arg, uint32_t start_bytes)
{
    (void)arg;
    (void)start_bytes;
    started++;
}

static void on_progress(void *arg, uint32_t acked_bytes, uint64_t sent_bytes)
{
    (void)arg;
    (void)acked_bytes;
    (void)sent_bytes;
}

static void on_sent_all(void *arg)
{
    (void)arg;
}

static void on_update_ended(void *arg, const struct device_update_result *result)
{
    (void)arg;
    (void)result;
}

static const struct device_update_ops update_ops = {on_started, on_progress, on_sent_all, on_update_ended};

/* Answers the start at once; acknowledges nothing. */
static void on_server_sends(struct session *s, const uint8_t *data, size_t data_len)
{
    (void)data;
    if (data_len == 4) {
        pings_answered++;
        return;
    }
    for (size_t i = 0; i < DEVICES; i++) {
        if (sessions[i] == s)
            chunks_of[i]++;
    }
    chunks_sent++;
}

static void receive(struct session *s, const uint8_t *data, size_t data_len)
{
    s->heard_ms = fake_clock_ms;
    devices_dtls_ops.receive(bench.all, s, data, data_len, fake_clock_ms);
}

static void connect_device(size_t i)
{
    char id[DEVICE_ID_TEXT_SIZE], hello[160];

    snprintf(id, sizeof(id), "e00fce68ffffffff%08zx", i + 1);
    snprintf(hello, sizeof(hello), "40020001b168ff000d000300f6000d000c%s18380480001770000200", id);
    sessions[i] = bench_open(SESSION_DEVICE_OS);
    bench_admit(DEVICE_ADMIT, id);
    bench_receive(sessions[i], hello);
    bench_answer(bench.asked_count - 1, DEVICE_STORED);
    bench.asked_count = bench.told_count = 0;

    struct device_id parsed = bench_id(id);
    struct device_update_order order = {file, sizeof(file), sha256, 5};
    const char *why;
    bench.sent_count = 0;
    assert_non_null(device_update_start(devices_find(bench.all, &parsed), &order, &update_ops, NULL, &why));
    uint8_t answer[] = {0x41, 0x41, 0x20, 0x01, bench.sent[0].data[4], 0xe1, 0x06, 0xf8, 0x80, 0x40};
    receive(sessions[i], answer, sizeof(answer));
    assert_int_equal(started, i + 1);
}

static int setup(void **state)
{
    chunks_sent = pings_answered = started = 0;
    memset(chunks_of, 0, sizeof(chunks_of));
    bench_setup(state);
    for (size_t i = 0; i < DEVICES; i++)
        connect_device(i);
    bench.on_sent = on_server_sends;
    return 0;
}

static int teardown(void **state)
{
    bench.on_sent = NULL;
    return bench_teardown(state);
}

static void run_turn(void)
{
    deadlines_run_some(&bench.deadlines, fake_clock_ms, 256);
}

static void a_turn_is_bounded(void **state)
{
    static const uint8_t ping[] = {0x40, 0x00, 0x77, 0x01};
    unsigned turns = 0;

    (void)state;
    while (deadlines_next(&bench.deadlines, fake_clock_ms) < 3 && turns++ < 1000) {
        unsigned before = chunks_sent, answered = pings_answered;
        run_turn();
        assert_in_range(chunks_sent - before, 0, UPDATE_TURN_CHUNKS);
        run_turn(); /* not before the time has gone on */
        assert_in_range(chunks_sent - before, 0, UPDATE_TURN_CHUNKS);
        receive(sessions[turns % DEVICES], ping, sizeof(ping)); /* in between others are served */
        assert_int_equal(pings_answered, answered + 1);
        fake_clock_ms++;
    }
    assert_true(turns > DEVICES * 8 / UPDATE_TURN_CHUNKS);
    for (size_t i = 0; i < DEVICES; i++)
        assert_int_equal(chunks_of[i], 8); /* each its whole window */
}

static void shares_are_even(void **state)
{
    (void)state;
    run_turn();
    for (size_t i = 0; i < DEVICES; i++)
        assert_in_range(chunks_of[i], 0, UPDATE_SHARE_CHUNKS);
    fake_clock_ms++;
    for (int i = 0; i < 6; i++, fake_clock_ms++)
        run_turn();
    for (size_t i = 0; i < DEVICES; i++)
        assert_in_range(chunks_of[i], UPDATE_SHARE_CHUNKS, 8);
}

static void one_that_ends_leaves_the_queue(void **state)
{
    (void)state;
    dtls_end(sessions[0], SESSION_END_PEER_CLOSED, false);
    dtls_end(sessions[DEVICES - 1], SESSION_END_PEER_CLOSED, false);
    for (int i = 0; i < 100; i++, fake_clock_ms++)
        run_turn();
    assert_int_equal(chunks_of[0], 0);
    assert_int_equal(chunks_of[DEVICES - 1], 0);
    assert_int_equal(chunks_of[1], 8);
    assert_int_equal(bench_metric("cyan_device_updates_running"), DEVICES - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_turn_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(shares_are_even, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_ends_leaves_the_queue, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
