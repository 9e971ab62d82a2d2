/* test_device_update_legacy.c: updates of versions 1 and 2 (device-protocol 5.2). */
#include "update_bench.h"

/* Product 13, flags 0076, nothing behind the ID: a Boron of before 3.0. */
#define BORON_2_HELLO "40020002b168ff000d00030076000d000ce00fce68ffffffff00000001"

static int setup(void **state)
{
    sim_setup(state);
    bench.on_sent = NULL;
    sim_says_hello(BORON_2_HELLO);
    bench.on_sent = on_server_sends;
    return 0;
}

static void assert_whole(void)
{
    assert_int_equal(sim.ended, 1);
    assert_string_equal(device_update_end_name(sim.result.end), "validated");
    assert_memory_equal(sim.got, sim.file, sim.file_bytes);
    assert_int_equal(sim.result.acked_bytes, sim.file_bytes);
    assert_int_equal(sim.progress_bytes, sim.file_bytes);
    assert_int_equal(sim.started + sim.sent + sim.starts + sim.finishes, 4);
    assert_true(sim.result.sent_bytes - sim.result.resent_bytes == sim.file_bytes);
    assert_true(sim.is_applied);
}

static void test_fast(void **state)
{
    (void)state;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_int_equal(sim.result.resent_bytes, 0);
    assert_string_equal(sim.result.message, "{\"r\":0}");
}

static void test_slow(void **state)
{
    (void)state;
    sim.is_slow = true;
    sim.bad_chunks = 5;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_int_equal(sim.result.resent_bytes, 5 * 512);
}

static void test_loss(void **state)
{
    for (unsigned loss = 1; loss <= 15; loss = loss * 2 + 1) {
        sim.loss_percent = loss;
        sim_start();
        sim_run(6000000);
        assert_whole();
        assert_true(sim.result.resent_bytes * 100 <= sim.file_bytes * (2 * loss + 3));
        sim_teardown(state);
        setup(state);
    }
}

/* A fifth each way: a question, its answer or the list is lost in every second round, and none of that ends
 * it. Only of the last answer, that all is there, it may stay unknown whether it was given. */
static void test_heavy_loss(void **state)
{
    unsigned unknown = 0;

    for (unsigned seed = 1; seed <= 20; seed++) {
        sim.loss_percent = 20;
        sim.delay_ms = 5 * seed;
        sim.random = seed * 0x9E3779B97F4A7C15ULL;
        sim_start();
        sim_run(6000000);
        assert_int_equal(sim.sent, 1);
        assert_int_equal(sim.result.acked_bytes, sim.file_bytes);
        if (sim.result.end == DEVICE_UPDATE_UNKNOWN)
            unknown++;
        else
            assert_whole();
        /* 195 chunks of which each is sent 1.25 times, 50 ms apart; wide gaps would take four times as long.
         */
        assert_in_range(sim.sent_ms - sim.begun_ms, 10000, 120000);
        sim_teardown(state);
        setup(state);
    }
    assert_in_range(unknown, 0, 4);
}

static void assert_end(enum device_update_end end)
{
    assert_int_equal(sim.ended, 1);
    assert_string_equal(device_update_end_name(sim.result.end), device_update_end_name(end));
}

static const struct sent *newest(void)
{
    assert_true(bench.sent_count > 0);
    return &bench.sent[bench.sent_count - 1];
}

/* With message ID and token zero: those are random. */
static const char *hex_of(const struct sent *sent)
{
    static char hex[2 * 1400 + 1];
    struct sent plain = *sent;

    plain.data[2] = plain.data[3] = plain.data[4] = 0;
    hex_encode(hex, plain.data, plain.data_len < 24 ? plain.data_len : 24);
    return hex;
}

/* Acknowledged at once. */
static void receive_piggybacked(const struct sent *to, const char *code, const char *tail)
{
    char hex[64];

    snprintf(hex, sizeof(hex), "61%s%02x%02x%02x%s", code, to->data[2], to->data[3], to->data[4], tail);
    bench_receive(sim.session, hex);
}

static void receive_separate(const struct sent *to, const char *head, const char *tail)
{
    char hex[64];

    snprintf(hex, sizeof(hex), "6000%02x%02x", to->data[2], to->data[3]);
    bench_receive(sim.session, hex);
    snprintf(hex, sizeof(hex), "%s%02x%s", head, to->data[4], tail);
    bench_receive(sim.session, hex);
}

static void run_wire(unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 5) {
        fake_clock_ms += 5;
        bench_run(0);
    }
}

/* The answer to UpdateDone was lost; the list says as much, and what it asks for is asked after at once. */
static void test_list_without_answer(void **state)
{
    const char *why;

    (void)state;
    bench.on_sent = NULL;
    struct device_update_order order = {sim.file, 5 * 512 + 100, sim.sha256, 5};
    sim.update = device_update_start(sim_device(), &order, &sim_ops, &sim, &why);
    assert_non_null(sim.update);
    receive_separate(newest(), "41440201", "ff01");
    run_wire(1000);
    assert_string_equal(hex_of(newest()), "4103000000b175");
    const struct sent question = *newest();
    bench_receive(sim.session, "40010202b163ff00030005");
    bench.sent_count = 0;
    run_wire(1000);
    assert_int_equal(bench.sent_count, 2);
    assert_string_equal(hex_of(newest()), "4103000000b175");
    assert_true(newest()->data[2] != question.data[2] || newest()->data[3] != question.data[3]);
    receive_piggybacked(&question, "80", ""); /* late: nobody waits for it */
    run_wire(100);
    assert_int_equal(bench.sent_count, 2);
    assert_int_equal(sim.ended, 0);
    /* Nothing comes: the same once more, then anew. */
    bench.sent_count = 0;
    run_wire(6000);
    assert_int_equal(bench.sent_count, 1);
    run_wire(2000);
    assert_int_equal(bench.sent_count, 2);
    assert_string_equal(hex_of(newest()), "4103000000b175");
    receive_piggybacked(newest(), "80", "");
    bench_receive(sim.session, "40010203b163ff0005");
    assert_int_equal(sim.sent, 1);
    run_wire(1000);
    receive_piggybacked(newest(), "44", "");
    run_wire(5);
    assert_end(DEVICE_UPDATE_VALIDATED);
}

/* The bytes of device-protocol 5.2. */
static void test_bytes_on_the_wire(void **state)
{
    const char *why;
    char crc[9];

    (void)state;
    bench.on_sent = NULL;
    bench.sent_count = 0;
    struct device_update_order order = {sim.file, 5 * 512 + 100, sim.sha256, 5};
    sim.update = device_update_start(sim_device(), &order, &sim_ops, &sim, &why);
    assert_non_null(sim.update);
    assert_string_equal(hex_of(newest()), "4102000000b175ff01020000000a640000000000");
    receive_separate(newest(), "41440201", "ff01");
    assert_string_equal(bench_sent_hex(), "60000201");

    bench.sent_count = 0;
    run_wire(1000); /* five chunks, the last one is kept back, and the question */
    assert_int_equal(bench.sent_count, 6);
    snprintf(crc, sizeof(crc), "%08lx", crc32(0, sim.file, 512));
    char chunk[64];
    snprintf(chunk, sizeof(chunk), "5102000000b16344%s020000ff", crc);
    assert_memory_equal(hex_of(&bench.sent[0]), chunk, strlen(chunk));
    assert_int_equal(bench.sent[0].data_len, 16 + 512);
    assert_memory_equal(bench.sent[0].data + 16, sim.file, 512);
    assert_string_equal(hex_of(newest()), "4103000000b175");

    /* Chunks 3 and 5 are missing. */
    receive_piggybacked(newest(), "80", "");
    bench_receive(sim.session, "40010202b163ff00030005");
    assert_string_equal(bench_sent_hex(), "60000202");
    bench.sent_count = 0;
    run_wire(1000);
    assert_int_equal(bench.sent_count, 2);
    assert_memory_equal(hex_of(&bench.sent[0]) + 24, "020003ff", 8);
    receive_piggybacked(newest(), "80", "");
    bench_receive(sim.session, "40010203b163ff0005");
    assert_int_equal(sim.sent, 1); /* and the owner wants it */
    bench.sent_count = 0;
    run_wire(1000);
    assert_int_equal(bench.sent_count, 2);
    assert_memory_equal(hex_of(&bench.sent[0]) + 24, "020005ff", 8);
    assert_int_equal(bench.sent[0].data_len, 16 + 100);
    receive_piggybacked(newest(), "44", "ff7b2272223a307d");
    run_wire(5);
    assert_end(DEVICE_UPDATE_VALIDATED);
    assert_string_equal(sim.result.message, "{\"r\":0}");
    assert_int_equal(sim.result.resent_bytes, 512);
}

static void test_confirmed_on_the_wire(void **state)
{
    const char *why;
    char hex[64], crc[9];

    (void)state;
    bench.on_sent = NULL;
    bench.sent_count = 0;
    struct device_update_order order = {sim.file, 700, sim.sha256, 5};
    sim.update = device_update_start(sim_device(), &order, &sim_ops, &sim, &why);
    receive_separate(newest(), "41440201", "ff00");
    run_wire(5);
    snprintf(crc, sizeof(crc), "%08lx", crc32(0, sim.file, 512));
    snprintf(hex, sizeof(hex), "4102000000b16344%sff", crc);
    assert_memory_equal(hex_of(newest()), hex, strlen(hex));
    size_t count = bench.sent_count;
    run_wire(1000);
    assert_int_equal(bench.sent_count, count); /* one at a time */
    receive_separate(newest(), "41800202", "");
    run_wire(5);
    assert_memory_equal(hex_of(newest()), hex, strlen(hex)); /* it arrived broken: once more */
    receive_separate(newest(), "41440203", "");
    run_wire(5);
    assert_int_equal(newest()->data_len, 13 + 188);
    receive_separate(newest(), "41440204", "");
    assert_int_equal(sim.sent, 1);
    assert_string_equal(hex_of(newest()), "4103000000b175");
    receive_piggybacked(newest(), "44", "");
    run_wire(5);
    assert_end(DEVICE_UPDATE_VALIDATED);
}

static void test_one_chunk(void **state)
{
    (void)state;
    sim.file_bytes = 300;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_int_equal(sim.chunks_received, 1);
}

/* The bench's device fails when a flight is longer than 40. */
static void test_short_flights_for_argon(void **state)
{
    (void)state;
    bench.on_sent = NULL;
    sim_says_hello("40020003b168ff000c00030076000c000ce00fce68ffffffff00000001");
    bench.on_sent = on_server_sends;
    sim.flight_most = 20;
    sim_start();
    sim_run(600000);
    assert_whole();
}

static void test_refused(void **state)
{
    (void)state;
    sim.start_code = COAP_503_UNAVAILABLE;
    sim_start();
    sim_run(600000);
    assert_end(DEVICE_UPDATE_REFUSED);
    assert_int_equal(sim.result.coap_code, COAP_503_UNAVAILABLE);
    assert_int_equal(sim.result.device_code, 0);
}

static void test_no_start(void **state)
{
    (void)state;
    sim.is_gone = true;
    sim_start();
    sim_run(600000);
    assert_end(DEVICE_UPDATE_NO_START);
}

static void test_aborts(void **state)
{
    (void)state;
    sim.hold_at_bytes = 20000;
    sim_start();
    sim_run(600000);
    bench_receive(sim.session, "50800777ff19"); /* UpdateAbort */
    sim.hold_at_bytes = 0;
    sim_run(600000);
    assert_end(DEVICE_UPDATE_REFUSED);
    assert_int_equal(sim.result.device_code, -140);
    assert_int_equal(sim.result.coap_code, COAP_400_BAD_REQUEST);
}

static void test_silence(void **state)
{
    (void)state;
    for (int slow = 0; slow <= 1; slow++) {
        sim.is_slow = slow;
        sim.hold_at_bytes = 20000;
        sim_start();
        sim_run(600000);
        sim.hold_at_bytes = 0;
        sim.is_gone = true;
        sim_run(600000);
        assert_end(DEVICE_UPDATE_STALLED);
        sim_teardown(state);
        setup(state);
        sim.is_slow = slow;
        sim.drops_finish = slow;
        sim.hold_at_bytes = sim.file_bytes;
        sim_start();
        sim_run(600000);
        assert_int_equal(sim.sent, 1);
        sim.hold_at_bytes = 0;
        sim.is_gone = true;
        sim_run(600000);
        assert_end(DEVICE_UPDATE_UNKNOWN);
        sim_teardown(state);
        setup(state);
    }
}

/* Lists that name what there is not, are cut, or come when nobody asked. */
static void test_bad_lists(void **state)
{
    (void)state;
    sim.hold_at_bytes = 20000;
    sim_start();
    sim_run(600000);
    bench_receive(sim.session, "40010701b163ff000300ff"); /* there are 196 */
    bench_receive(sim.session, "40010702b163ff0003ff");
    bench_receive(sim.session, "40010703b163");
    assert_int_equal(bench_refused("update_malformed"), 3);
    bench_receive(sim.session, "40010704b163ff00010001");
    sim.hold_at_bytes = 0;
    sim_run(600000);
    assert_whole();
    bench_receive(sim.session, "40010705b163ff0003"); /* no update any more */
    bench_receive(sim.session, "40030706b175");
    assert_int_equal(bench_refused("update_malformed"), 3);
}

/* Old systems say by themselves that they have all. */
static void test_says_so_itself(void **state)
{
    (void)state;
    sim.drops_finish = true;
    sim.hold_at_bytes = 99999;
    sim.finish_at_once = false;
    sim.file_bytes = 300;
    sim_start();
    sim_run(1000);
    assert_int_equal(sim.sent, 1);
    device_update_finish(sim.update);
    sim_run(1000);
    bench_receive(sim.session, "40030706b175ff7b7d");
    sim_run(1000);
    assert_end(DEVICE_UPDATE_VALIDATED);
    assert_string_equal(sim.result.message, "{}");
}

static void test_takes_no_assets(void **state)
{
    const char *why;
    struct device_update_order order = {sim.file, 1000, sim.sha256, 9};

    (void)state;
    assert_null(device_update_start(sim_device(), &order, &sim_ops, &sim, &why));
    assert_string_equal(why, "the device takes no assets");
}

/* What an older system says of itself in events (device-protocol 4.11). */
static void test_limits_from_events(void **state)
{
    const char *why;
    struct device_update_order order = {sim.file, 102401, sim.sha256, 5};

    (void)state;
    bench.on_sent = NULL;
    /* spark/hardware/max_binary 102400, spark/hardware/ota_chunk_size 256 */
    bench_receive(sim.session,
                  "40020701b1450d0c737061726b2f68617264776172652f6d61785f62696e617279ff313032343030");
    assert_null(device_update_start(sim_device(), &order, &sim_ops, &sim, &why));
    assert_string_equal(why, "the file is larger than the device takes");
    bench_receive(sim.session,
                  "40020702b1450d10737061726b2f68617264776172652f6f74615f6368756e6b5f73697a65ff323536");
    order.data_len = 1000;
    sim.update = device_update_start(sim_device(), &order, &sim_ops, &sim, &why);
    assert_non_null(sim.update);
    assert_string_equal(hex_of(newest()), "4102000000b175ff010100000003e80000000000");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, sim_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_on_the_wire),
        TEST(test_confirmed_on_the_wire),
        TEST(test_fast),
        TEST(test_slow),
        TEST(test_loss),
        TEST(test_heavy_loss),
        TEST(test_list_without_answer),
        TEST(test_one_chunk),
        TEST(test_short_flights_for_argon),
        TEST(test_refused),
        TEST(test_no_start),
        TEST(test_aborts),
        TEST(test_silence),
        TEST(test_bad_lists),
        TEST(test_says_so_itself),
        TEST(test_takes_no_assets),
        TEST(test_limits_from_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
