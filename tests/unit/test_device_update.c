/* test_device_update.c: an update of version 3, through networks of each kind and to each of its ends
 * (device-protocol 5.3). */
#include "update_bench.h"

#define SHA_TEXT "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void assert_whole(void)
{
    assert_int_equal(sim.ended, 1);
    assert_string_equal(device_update_end_name(sim.result.end), "validated");
    assert_memory_equal(sim.got, sim.file, sim.file_bytes);
    assert_int_equal(sim.result.acked_bytes, sim.file_bytes);
    assert_int_equal(sim.progress_bytes, sim.file_bytes);
    assert_int_equal(sim.started + sim.sent + sim.starts + sim.finishes, 4);
    assert_int_equal(sim.most_beyond, 0);
    assert_true(sim.result.sent_bytes - sim.result.resent_bytes == sim.file_bytes - sim.start_bytes);
}

static void assert_end(enum device_update_end end)
{
    assert_int_equal(sim.ended, 1);
    assert_string_equal(device_update_end_name(sim.result.end), device_update_end_name(end));
    assert_false(sim.is_applied);
}

static unsigned long metric_of(const char *end)
{
    char name[80];

    snprintf(name, sizeof(name), "cyan_device_updates_ended_total{end=\"%s\"}", end);
    return bench_metric(name);
}

/* A message with its message ID, and with_token its token, made zero: those are random. */
static const char *hex_of(const struct sent *sent, bool with_token)
{
    static char hex[2 * 1400 + 1];
    struct sent plain = *sent;

    plain.data[2] = plain.data[3] = 0;
    if (with_token)
        plain.data[4] = 0;
    hex_encode(hex, plain.data, plain.data_len < 60 ? plain.data_len : 60);
    return hex;
}

static void receive_answer(const char *head, const char *tail, const struct sent *to)
{
    char hex[256];

    snprintf(hex, sizeof(hex), "%s%02x%s", head, to->data[4], tail);
    bench_receive(sim.session, hex);
}

static void receive_ack(const struct sent *to)
{
    char hex[16];

    snprintf(hex, sizeof(hex), "6000%02x%02x", to->data[2], to->data[3]);
    bench_receive(sim.session, hex);
}

/* The bytes of device-protocol 5.3 and device-trace 4.1. */
static void test_bytes_on_the_wire(void **state)
{
    const char *why;

    (void)state;
    bench.on_sent = NULL;
    /* Prefers 1024 bytes. */
    sim_says_hello("40020002b168ff000d000300f6000d000ce00fce68ffffffff000000011838048000177000"
                   "0400");
    for (size_t i = 0; i < 32; i++)
        sim.sha256[i] = (uint8_t)i;
    struct device_update_order order = {sim.file, 150000, sim.sha256, 5};
    bench.sent_count = 0;
    sim.update = device_update_start(sim_device(), &order, &sim_ops, &sim, &why);
    assert_non_null(sim.update);
    assert_string_equal(hex_of(&bench.sent[0], true), "4102000000b153e306f10249f04d13" SHA_TEXT "420400");

    receive_ack(&bench.sent[0]);
    receive_answer("41412001", "e106f88040", &bench.sent[0]);
    assert_string_equal(bench_sent_hex(), "60002001");
    assert_int_equal(sim.started, 1);
    bench_run(0);
    for (int i = 0; i < 10 && bench.sent_count < 10; i++) {
        fake_clock_ms += 10;
        bench_run(0);
    }
    assert_int_equal(bench.sent_count, 10); /* the start, an acknowledgement, a window of 8 chunks */
    assert_memory_equal(hex_of(&bench.sent[2], false), "50020000b143e106e901ff", 22);
    assert_int_equal(bench.sent[2].data_len, 11 + 1024);
    assert_memory_equal(bench.sent[2].data + 11, sim.file, 1024);
    assert_memory_equal(hex_of(&bench.sent[9], false), "50020000b143e106e908ff", 22);

    /* 1 to 5, then 7 and more than three of the later ones: 6 and 8 are sent again. */
    bench.sent_count = 0;
    sim.hold_at_bytes = 1;
    bench_receive(sim.session, "50022002b141e106e905ff0a000000");
    for (int i = 0; i < 40; i++) {
        fake_clock_ms += 5;
        bench_run(0);
    }
    assert_memory_equal(hex_of(&bench.sent[0], false), "50020000b143e106e909ff", 22);
    bench_receive(sim.session, "50022003b141e106e905ff7a000000"); /* 9 to 11 too */
    bench.sent_count = 0;
    fake_clock_ms += 5;
    bench_run(0);
    assert_memory_equal(hex_of(&bench.sent[0], false), "50020000b143e106e906ff", 22);
    assert_int_equal(sim.ended, 0);
}

static void test_finish_on_the_wire(void **state)
{
    const char *why;

    (void)state;
    bench.on_sent = NULL;
    sim.finish_at_once = false;
    bench.sent_count = 0;
    struct device_update_order order = {sim.file, 20000, sim.sha256, 9};
    sim.update = device_update_start(sim_device(), &order, &sim_ops, &sim, &why);
    /* The function is said of assets alone. */
    assert_string_equal(hex_of(&bench.sent[0], true),
                        "4102000000b153e206f14e204d13"
                        "0000000000000000000000000000000000000000000000000000000000"
                        "000000420200c109");
    receive_ack(&bench.sent[0]);
    receive_answer("4141000b", "e206f80100424e20", &bench.sent[0]); /* it has the whole file */
    assert_int_equal(sim.sent, 1);
    assert_int_equal(sim.started_bytes, 20000);
    bench.sent_count = 0;
    device_update_finish(sim.update);
    assert_string_equal(hex_of(&bench.sent[0], true), "4102000000b146");
    receive_ack(&bench.sent[0]);
    receive_answer("4144000d", "ff7b22726563765f6368756e6b73223a32307d", &bench.sent[0]);
    assert_string_equal(bench_sent_hex(), "6000000d"); /* at once: with it the device applies the file */
    assert_int_equal(sim.ended, 0);
    bench_run(0);
    assert_int_equal(sim.ended, 1);
    assert_int_equal(sim.result.end, DEVICE_UPDATE_VALIDATED);
    assert_int_equal(sim.result.sent_bytes, 0);
}

static void test_whole_file(void **state)
{
    (void)state;
    sim_start();
    assert_true(device_is_updating(sim_device()));
    assert_int_equal(bench_metric("cyan_device_updates_running"), 1);
    sim_run(600000);
    assert_whole();
    while (sim.event_count > 0) /* the acknowledgement is on its way */
        sim_step();
    assert_true(sim.is_applied);
    assert_false(device_is_updating(sim_device()));
    assert_int_equal(sim.result.resent_bytes, 0);
    assert_int_equal(sim.progress_count, 7); /* every 16 KiB, and at the end */
    assert_int_equal(bench_metric("cyan_device_updates_running"), 0);
    assert_int_equal(metric_of("validated"), 1);
    assert_int_equal(bench_metric("cyan_device_update_sent_bytes_total"), sim.file_bytes);
}

static void test_loss(void **state)
{
    for (unsigned loss = 1; loss <= 40; loss = loss * 2 + 1) {
        sim.loss_percent = loss;
        sim_start();
        sim_run(600000);
        assert_whole();
        /* What is lost has to be sent again, and where acknowledgements are lost a little more. */
        assert_true(sim.result.resent_bytes * 100 <= sim.file_bytes * (2 * loss + 3));
        sim_teardown(state);
        sim_setup(state);
    }
}

static void test_everything_at_once(void **state)
{
    (void)state;
    sim.loss_percent = 20;
    sim.repeat_percent = 30;
    sim.jitter_ms = 60;
    sim.acks_lost_percent = 20;
    sim_start();
    sim_run(600000);
    assert_whole();
}

static void test_reordering_is_no_loss(void **state)
{
    (void)state;
    sim.jitter_ms = 4;
    sim.repeat_percent = 20;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_true(sim.result.resent_bytes * 100 <= sim.file_bytes * 3);
}

/* All that can be lost of acknowledgements: each tells all. */
static void test_lost_acknowledgements(void **state)
{
    (void)state;
    sim.acks_lost_percent = 60;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_true(sim.result.resent_bytes * 100 <= sim.file_bytes * 15);
}

/* One message in each of its turns of 20 ms, however many wait (device-trace 5). */
static void test_slow_device(void **state)
{
    (void)state;
    sim.turn_ms = 20;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_true(sim.result.resent_bytes * 100 <= sim.file_bytes * 5);
    assert_true(sim.ended_ms - sim.begun_ms < 2 * 20 * sim.file_bytes / 512);
}

static void test_far_away_device(void **state)
{
    (void)state;
    sim.delay_ms = 1500;
    sim.jitter_ms = 500;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_true(sim.result.resent_bytes * 100 <= sim.file_bytes * 20);
}

static void test_dark_for_a_while(void **state)
{
    (void)state;
    sim.dark_from_ms = fake_clock_ms + 150;
    sim.dark_to_ms = sim.dark_from_ms + 40000;
    sim_start();
    sim_run(600000);
    assert_whole();
    for (size_t i = 0; i < bench.told_count; i++)
        assert_int_equal(bench.told[i].kind, TOLD_HEARD); /* it was never taken for offline */
}

static void test_small_window(void **state)
{
    (void)state;
    sim.room = 1;
    sim.file_bytes = 10001;
    sim_start();
    sim_run(600000);
    assert_whole();
}

static void test_goes_on_where_it_was(void **state)
{
    (void)state;
    sim.start_bytes = 51200;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_int_equal(sim.started_bytes, 51200);
    assert_int_equal(sim.result.start_bytes, 51200);
    assert_int_equal(sim.result.sent_bytes, sim.file_bytes - 51200);
}

static void test_has_it_all(void **state)
{
    (void)state;
    sim.start_bytes = sim.file_bytes;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_int_equal(sim.chunks_received, 0);
}

static void test_start_refused(void **state)
{
    (void)state;
    sim.start_code = COAP_503_UNAVAILABLE;
    sim.start_error = "{\"code\":-1351,\"message\":\"Invalid\\nsize \xc3\xa9\"}";
    sim_start();
    sim_run(600000);
    assert_end(DEVICE_UPDATE_REFUSED);
    assert_int_equal(sim.result.device_code, -1351);
    assert_int_equal(sim.result.coap_code, COAP_503_UNAVAILABLE);
    assert_string_equal(sim.result.message, "Invalid size \xc3\xa9");
    assert_true(device_update_code_is_final(-1351));
    assert_int_equal(sim.started, 0);
    assert_int_equal(metric_of("refused"), 1);
}

static void test_updates_disabled(void **state)
{
    (void)state;
    sim.start_code = COAP_503_UNAVAILABLE;
    sim.start_error = "{\"code\":-1380}";
    sim_start();
    sim_run(600000);
    assert_end(DEVICE_UPDATE_DISABLED);
    assert_string_equal(sim.result.message, "");
    assert_false(device_update_code_is_final(-1380));
}

static void test_start_answer_makes_no_sense(void **state)
{
    static const char *const errors[] = {"", "{", "[1]", "{\"code\":\"x\",\"message\":3}",
                                         "{\"code\":99999999999}"};

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        sim.start_code = COAP_500_INTERNAL;
        sim.start_error = errors[i];
        sim_start();
        sim_run(600000);
        assert_end(DEVICE_UPDATE_REFUSED);
        assert_int_equal(sim.result.device_code, 0);
        assert_string_equal(sim.result.message, "");
        sim_teardown(state);
        sim_setup(state);
    }
    sim.room = 0;
    sim_start();
    sim_run(600000);
    assert_end(DEVICE_UPDATE_REFUSED);
    sim_teardown(state);
    sim_setup(state);
    sim.start_bytes = sim.file_bytes + 1;
    sim.start_code = COAP_201_CREATED;
    sim_start();
    sim_run(600000);
    assert_end(DEVICE_UPDATE_REFUSED);
}

static void test_no_start(void **state)
{
    (void)state;
    sim.is_gone = true;
    sim_start();
    sim_run(600000);
    assert_end(DEVICE_UPDATE_NO_START);
    assert_in_range(sim.ended_ms - sim.begun_ms, 60000, 90000); /* when all retransmissions are spent */
}

static void test_stalls(void **state)
{
    (void)state;
    sim.hold_at_bytes = 30000;
    sim_start();
    sim_run(600000);
    uint64_t from_ms = fake_clock_ms;
    sim.hold_at_bytes = 0;
    sim.is_gone = true;
    sim_run(600000);
    assert_end(DEVICE_UPDATE_STALLED);
    assert_in_range(sim.ended_ms - from_ms, 59000, 61000);
    assert_in_range(sim.result.acked_bytes, 30000, 99999);
    assert_true(sim.result.resent_bytes <= 64 * 512);
    /* Now its silence counts. */
    fake_clock_ms += OFFLINE_AFTER_MS + 1000;
    bench_run(0);
    bench_run(1000);
    assert_int_equal(bench.told_count, 2);
    assert_int_equal(bench.told[0].kind, TOLD_HEARD); /* when it was last */
    assert_int_equal(bench.told[1].kind, TOLD_OFFLINE);
}

static void test_device_cancels(void **state)
{
    (void)state;
    sim.hold_at_bytes = 30000;
    sim_start();
    sim_run(600000);
    sim.hold_at_bytes = 0;
    sim.is_running = false; /* from now on it answers chunks with RST */
    sim_run(600000);
    assert_end(DEVICE_UPDATE_REFUSED);
    assert_int_equal(sim.result.device_code, -140);
    assert_true(sim.ended_ms - sim.begun_ms < 5000);
}

/* RST and errors that have nothing to do with a chunk. */
static void test_strays(void **state)
{
    (void)state;
    sim.hold_at_bytes = 16384;
    sim_start();
    sim_run(600000);
    char hex[16];
    snprintf(hex, sizeof(hex), "7000%04x", (uint16_t)(sim_device()->peer.next_mid + 5));
    bench_receive(sim.session, hex);
    bench_receive(sim.session, "50440077"); /* 2.04 */
    sim.hold_at_bytes = 0;
    sim_run(600000);
    assert_whole();
}

static void test_finish_refused(void **state)
{
    (void)state;
    sim.finish_code = COAP_503_UNAVAILABLE;
    sim.finish_error = "{\"code\":-1340,\"message\":\"Dependency check failed\"}";
    sim_start();
    sim_run(600000);
    assert_end(DEVICE_UPDATE_REFUSED);
    assert_int_equal(sim.result.device_code, -1340);
    assert_string_equal(sim.result.message, "Dependency check failed");
    assert_int_equal(sim.result.acked_bytes, sim.file_bytes);
}

static void test_finish_unanswered(void **state)
{
    (void)state;
    sim.drops_finish = true;
    sim_start();
    sim_run(600000);
    assert_end(DEVICE_UPDATE_UNKNOWN);
    assert_in_range(sim.ended_ms - sim.sent_ms, 60000, 90000);

    sim_teardown(state);
    sim_setup(state);
    sim.accepts_finish = true; /* acknowledged, and then nothing */
    sim_start();
    sim_run(600000);
    assert_end(DEVICE_UPDATE_UNKNOWN);
    assert_int_equal(sim.ended_ms - sim.sent_ms, 120000);
}

static void test_session_ends(void **state)
{
    static const struct {
        bool finishing;
        enum session_end why;
        enum device_update_end end;
    } ways[] = {
        {false, SESSION_END_PEER_CLOSED, DEVICE_UPDATE_GONE},
        {false, SESSION_END_MOVED, DEVICE_UPDATE_GONE},
        {false, SESSION_END_SHUTDOWN, DEVICE_UPDATE_GONE},
        {true, SESSION_END_PEER_CLOSED, DEVICE_UPDATE_UNKNOWN},
        {true, SESSION_END_REPLACED, DEVICE_UPDATE_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        sim.drops_finish = true;
        sim.hold_at_bytes = ways[i].finishing ? sim.file_bytes : 20000;
        sim_start();
        sim_run(600000);
        assert_int_equal(sim.sent, ways[i].finishing);
        dtls_end(sim.session, ways[i].why, false);
        assert_end(ways[i].end);
        sim_teardown(state);
        sim_setup(state);
    }
}

/* In STARTING too; and a Hello means that the device is not where it was. */
static void test_device_is_back(void **state)
{
    (void)state;
    sim.drops_finish = true;
    sim.hold_at_bytes = sim.file_bytes;
    sim_start();
    sim_run(600000);
    sim_says_hello("40020009b168ff000d000300f6000d000ce00fce68ffffffff000000011838048000177000"
                   "0200");
    sim_step();
    assert_end(DEVICE_UPDATE_UNKNOWN);

    sim_teardown(state);
    sim_setup(state);
    sim_start();
    sim_says_hello("40020009b168ff000d000300f6000d000ce00fce68ffffffff000000011838048000177000"
                   "0200");
    sim_step();
    assert_end(DEVICE_UPDATE_GONE);
}

static void test_stop(void **state)
{
    (void)state;
    sim_start(); /* STARTING */
    device_update_stop(sim.update);
    device_update_stop(sim.update);
    assert_int_equal(sim.ended, 0);
    sim_run(600000);
    assert_end(DEVICE_UPDATE_STOPPED);

    sim_teardown(state);
    sim_setup(state);
    sim.stop_at_bytes = 20000; /* from its own callback */
    sim_start();
    sim_run(600000);
    assert_end(DEVICE_UPDATE_STOPPED);
    assert_in_range(sim.result.acked_bytes, 20000, 99999);
    assert_int_equal(sim.finishes, 0);

    sim_teardown(state);
    sim_setup(state);
    sim.finish_at_once = false;
    sim.hold_at_bytes = sim.file_bytes;
    sim_start();
    sim_run(600000);
    assert_int_equal(sim.sent, 1);
    device_update_stop(sim.update);
    sim.hold_at_bytes = 0;
    sim_run(600000);
    assert_end(DEVICE_UPDATE_STOPPED);
    assert_int_equal(sim.finishes, 0);
}

/* The owner waits for its database: the device is kept waiting too, but not for ever. */
static void test_reminded_while_sent(void **state)
{
    (void)state;
    sim.finish_at_once = false;
    sim_start();
    sim_run(300000);
    assert_int_equal(sim.ended, 0);
    assert_in_range(sim.repeats, 25, 31);
    device_update_finish(sim.update);
    sim_run(300000);
    assert_int_equal(sim.result.end, DEVICE_UPDATE_VALIDATED);

    sim_teardown(state);
    sim_setup(state);
    sim.finish_at_once = false;
    sim_start();
    sim_run(3000000);
    assert_end(DEVICE_UPDATE_STALLED);
    assert_int_equal(sim.ended_ms - sim.sent_ms, 600000);
}

static void test_finish_after_it_ended(void **state)
{
    (void)state;
    sim.finish_at_once = false;
    sim.hold_at_bytes = sim.file_bytes;
    sim_start();
    sim_run(600000);
    struct device_update *update = sim.update;
    sim_says_hello("40020009b168ff000d000300f6000d000ce00fce68ffffffff000000011838048000177000"
                   "0200");
    device_update_finish(update); /* its owner does not know yet */
    sim.hold_at_bytes = 0;
    sim_run(600000);
    assert_end(DEVICE_UPDATE_GONE);
    assert_int_equal(sim.finishes, 0);
}

static unsigned busy_count;

static void on_ping(void *arg, enum device_ask ask, uint32_t rtt_ms)
{
    (void)arg;
    (void)rtt_ms;
    assert_int_equal(ask, DEVICE_ASK_BUSY);
    busy_count++;
}

static void on_describe_pulled(void *arg, enum device_ask ask)
{
    on_ping(arg, ask, 0);
}

static void on_call(void *arg, const struct device_answer *answer)
{
    on_ping(arg, answer->ask, 0);
    assert_false(answer->sent);
}

static void test_nothing_disturbs(void **state)
{
    static const struct device_event event = {.name = "temp", .data = (const uint8_t *)"1", .data_len = 1};
    struct device *device = sim_device();
    const char *why;

    (void)state;
    sim.hold_at_bytes = 20000;
    sim_start();
    sim_run(600000);
    busy_count = 0;
    device_ping(device, 1000, on_ping, NULL);
    device_pull_describe(device, DESCRIBE_SYSTEM, 1000, on_describe_pulled, NULL);
    device_call(device, "f", "", 1000, on_call, NULL);
    device_read_variable(device, "v", 1000, on_call, NULL);
    device_signal(device, true, 1000, on_call, NULL);
    assert_int_equal(busy_count, 0);
    sim_step();
    assert_int_equal(busy_count, 5);
    assert_false(device_deliver(device, &event));
    assert_false(device_publish(device, "spark/device/claim/code", "x"));
    assert_false(device_force_updates(device, true));
    struct device_update_order order = {sim.file, sim.file_bytes, sim.sha256, 5};
    assert_null(device_update_start(device, &order, &sim_ops, &sim, &why));
    assert_string_equal(why, "the device has an update already");
    assert_true(device_update_fits(device, &order)); /* it may be tried again */
    sim.hold_at_bytes = 0;
    sim_run(600000);
    assert_whole();
}

static void test_why_not(void **state)
{
    struct device_update_order order = {sim.file, 0, sim.sha256, 5};
    const char *why;

    (void)state;
    assert_null(device_update_start(sim_device(), &order, &sim_ops, &sim, &why));
    assert_string_equal(why, "the file is empty");
    order.data_len = 1536001; /* its Hello says 1536000 */
    assert_null(device_update_start(sim_device(), &order, &sim_ops, &sim, &why));
    assert_string_equal(why, "the file is larger than the device takes");
    assert_false(device_update_fits(sim_device(), &order));
    order.data_len = 1000;
    bench.on_sent = NULL;
    sim_says_hello("40020002b168ff000d000300f6000d000ce00fce68ffffffff00000001183801f400177000"
                   "0200");
    assert_null(device_update_start(sim_device(), &order, &sim_ops, &sim, &why));
    assert_string_equal(why, "the messages of the device are too small for an update");
    struct device *device = sim_device();
    link_end(device, SESSION_END_REVOKED, false);
    assert_null(device_update_start(device, &order, &sim_ops, &sim, &why));
    assert_string_equal(why, "the device is not connected");
}

static void test_flags(void **state)
{
    (void)state;
    bench.on_sent = NULL;
    bench.sent_count = 0;
    assert_true(device_tell_update_pending(sim_device()));
    assert_string_equal(hex_of(&bench.sent[0], true),
                        "4102000000b1450d127061727469636c652f6465766963652f757064617465732f70656e64696e67"
                        "ff74727565");
    assert_true(device_force_updates(sim_device(), true));
    assert_string_equal(hex_of(&bench.sent[1], true),
                        "4102000000b1450d117061727469636c652f6465766963652f757064617465732f666f72636564"
                        "ff74727565");
    /* Flags 00f2: it does not know these. */
    sim_says_hello("40020002b168ff000d000300f2000d000ce00fce68ffffffff000000011838048000177000"
                   "0200");
    assert_false(device_tell_update_pending(sim_device()));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sim_setup, sim_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_on_the_wire),
        TEST(test_finish_on_the_wire),
        TEST(test_whole_file),
        TEST(test_loss),
        TEST(test_everything_at_once),
        TEST(test_reordering_is_no_loss),
        TEST(test_lost_acknowledgements),
        TEST(test_slow_device),
        TEST(test_far_away_device),
        TEST(test_dark_for_a_while),
        TEST(test_small_window),
        TEST(test_goes_on_where_it_was),
        TEST(test_has_it_all),
        TEST(test_start_refused),
        TEST(test_updates_disabled),
        TEST(test_start_answer_makes_no_sense),
        TEST(test_no_start),
        TEST(test_stalls),
        TEST(test_device_cancels),
        TEST(test_strays),
        TEST(test_finish_refused),
        TEST(test_finish_unanswered),
        TEST(test_session_ends),
        TEST(test_device_is_back),
        TEST(test_stop),
        TEST(test_reminded_while_sent),
        TEST(test_finish_after_it_ended),
        TEST(test_nothing_disturbs),
        TEST(test_why_not),
        TEST(test_flags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
