/* test_device_asks.c: what is asked of a device: ping, its describe, an event sent to it. */
#include "device_bench.h"

static struct {
    unsigned calls;
    enum device_ask ask;
    uint32_t rtt_ms;
} answer;

static void on_ping(void *arg, enum device_ask ask_result, uint32_t rtt_ms)
{
    assert_ptr_equal(arg, &answer);
    answer.calls++;
    answer.ask = ask_result;
    answer.rtt_ms = rtt_ms;
}

static void on_described(void *arg, enum device_ask ask_result)
{
    assert_ptr_equal(arg, &answer);
    answer.calls++;
    answer.ask = ask_result;
}

static struct device *find(void)
{
    struct device_id id = bench_id(BORON);

    memset(&answer, 0, sizeof(answer));
    return devices_find(bench.all, &id);
}

/* Like the newest message sent but with that first byte and code, and the token replaced by nothing. */
static void acknowledge(struct session *s)
{
    const struct sent *sent = &bench.sent[bench.sent_count - 1];
    char hex[16];

    snprintf(hex, sizeof(hex), "6000%02x%02x", sent->data[2], sent->data[3]);
    bench_receive(s, hex);
}

static void respond(struct session *s, unsigned mid, const char *code, const char *rest)
{
    const struct sent *sent = &bench.sent[bench.sent_count - 1];
    char hex[512];

    assert_int_equal(sent->data[0], 0x41); /* a token of one byte */
    snprintf(hex, sizeof(hex), "41%s%04x%02x%s", code, mid, sent->data[4], rest);
    bench_receive(s, hex);
}

static void a_ping_is_answered(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    device_ping(find(), 10000, on_ping, &answer);
    assert_int_equal(bench.sent_count, 1);
    assert_memory_equal(bench_sent_hex(), "4000", 4);
    assert_int_equal(answer.calls, 0);
    acknowledge(s);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.ask, DEVICE_ANSWERED);
}

static void a_ping_is_not_answered(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;
    (void)s;

    device_ping(find(), 10000, on_ping, &answer);
    for (uint64_t at = 0; at <= 11000; at += 500)
        bench_run(at);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.ask, DEVICE_NO_ANSWER);
}

static void a_ping_outlives_its_session(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    device_ping(find(), 10000, on_ping, &answer);
    dtls_end(s, SESSION_END_PEER_CLOSED, false);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.ask, DEVICE_NOT_CONNECTED);
}

static void a_device_that_is_being_ended_is_not_connected(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    struct device *device = find();
    struct device_id id = bench_id(BORON);
    (void)state;
    (void)s;

    assert_true(devices_revoke(bench.all, &id));
    device_ping(device, 10000, on_ping, &answer);
    device_pull_describe(device, DESCRIBE_SYSTEM, 10000, on_described, &answer);
    assert_false(device_publish(device, "spark/x", "y"));
    assert_int_equal(answer.calls, 0); /* never from inside the call */
    bench_run(0);
    assert_int_equal(answer.calls, 2);
    assert_int_equal(answer.ask, DEVICE_NOT_CONNECTED);
}

static void a_describe_is_pulled_and_stored(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    device_pull_describe(find(), DESCRIBE_SYSTEM, 30000, on_described, &answer);
    assert_memory_equal(bench_sent_hex(), "4101", 4);
    assert_string_equal(bench_sent_hex() + 10, "b1644101"); /* GET /d?1 */
    acknowledge(s);
    respond(s, 0x201, "45", "c12aff0a060802180a2801");
    assert_string_equal(bench_sent_hex(), "60000201");
    assert_int_equal(bench.asked_count, 1);
    assert_int_equal(bench.asked[0].parts, DESCRIBE_SYSTEM);
    assert_int_equal(answer.calls, 0);
    bench_answer(0, DEVICE_STORED);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.ask, DEVICE_ANSWERED);
}

/* Hello of 1.x: 22 bytes, without flag 0x20. The device waits to be asked (device-protocol 4.1). */
static void a_device_that_does_not_push_is_asked_for_both_parts(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_admit(DEVICE_ADMIT, BORON);
    bench_receive(s, "40020001b168ff000d00030006000d000c" BORON);
    bench_answer(bench.asked_count - 1, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "60000001");
    bench_run(0);
    assert_memory_equal(bench_sent_hex(), "4101", 4);
    assert_string_equal(bench_sent_hex() + 10, "b1644101");
    acknowledge(s);
    respond(s, 0x201, "45", "ff7b226d223a5b5d7d");
    bench_answer(bench.asked_count - 1, DEVICE_BUSY); /* could not be stored: asked again, later */
    bench_run(9000);
    assert_string_equal(bench_sent_hex(), "60000201");
    bench_run(10000);
    assert_string_equal(bench_sent_hex() + 10, "b1644101");
    acknowledge(s);
    respond(s, 0x202, "45", "ff7b226d223a5b5d7d");
    bench_answer(bench.asked_count - 1, DEVICE_STORED);
    assert_string_equal(bench_sent_hex() + 10, "b1644102");
    acknowledge(s);
    respond(s, 0x203, "45", "ff7b2266223a5b5d7d");
    bench_answer(bench.asked_count - 1, DEVICE_STORED);
    size_t sent = bench.sent_count;
    bench_run(200000);
    assert_int_equal(bench.sent_count, sent); /* both are there: no more questions */
}

static void a_pulled_describe_that_comes_to_nothing(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    device_pull_describe(find(), DESCRIBE_METRICS, 30000, on_described, &answer);
    acknowledge(s);
    respond(s, 0x201, "80", "");
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.ask, DEVICE_NO_ANSWER);

    device_pull_describe(find(), DESCRIBE_APPLICATION, 30000, on_described, &answer);
    acknowledge(s);
    respond(s, 0x202, "45", "ff7b");
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.ask, DEVICE_NO_ANSWER);
    assert_int_equal(bench_refused("describe_malformed"), 1);

    device_pull_describe(find(), DESCRIBE_APPLICATION, 30000, on_described, &answer);
    acknowledge(s);
    respond(s, 0x203, "45", "ff7b2266223a5b5d7d");
    bench_answer(0, DEVICE_BUSY);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.ask, DEVICE_NO_ANSWER);

    device_pull_describe(find(), DESCRIBE_APPLICATION, 3000, on_described, &answer);
    for (uint64_t at = 0; at <= 4000; at += 500)
        bench_run(at);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.ask, DEVICE_NO_ANSWER);
}

static void a_pulled_describe_outlives_its_session(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    device_pull_describe(find(), DESCRIBE_APPLICATION, 30000, on_described, &answer);
    acknowledge(s);
    respond(s, 0x203, "45", "ff7b2266223a5b5d7d");
    dtls_end(s, SESSION_END_PEER_CLOSED, false);
    assert_int_equal(answer.calls, 0);
    bench_answer(0, DEVICE_STORED);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.ask, DEVICE_ANSWERED);
}

static void too_many_questions_are_answered_too(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    struct device *device = find();
    unsigned asked = 64;
    (void)state;
    (void)s;

    for (unsigned i = 0; i < asked; i++)
        device_pull_describe(device, DESCRIBE_SYSTEM, 2000, on_described, &answer);
    assert_int_equal(answer.calls, 0);
    bench_run(0);
    for (uint64_t at = 0; at <= 3000; at += 500)
        bench_run(at);
    assert_int_equal(answer.calls, asked);
}

static void an_event_is_published_to_a_device(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    char name[DEVICE_EVENT_NAME_MAX + 2];
    (void)state;

    assert_true(device_publish(find(), "spark/device/claim/code", "done"));
    /* one Uri-Path option for the name, no Content-Format */
    assert_string_equal(bench_sent_hex() + 10,
                        "b1450d0a737061726b2f6465766963652f636c61696d2f636f6465ff646f6e65");
    assert_memory_equal(bench_sent_hex(), "4102", 4);
    acknowledge(s);
    assert_false(device_publish(find(), "spark/x", "")); /* it would crash the device */
    assert_false(device_publish(find(), "", "x"));
    assert_false(device_publish(find(), "a\nb", "x"));
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_false(device_publish(find(), name, "x"));
    assert_int_equal(bench.sent_count, 1);
}

/* The newest message sent, from its options on. */
static const char *delivered(struct device_event event)
{
    assert_true(device_deliver(find(), &event));
    return bench_sent_hex() + 10;
}

static void an_event_is_handed_on(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    struct device_event event = {.name = "temp", .data = (const uint8_t *)"21", .data_len = 2};
    (void)state;

    assert_string_equal(delivered(event), "b1450474656d70ff3231");
    acknowledge(s);
    event.is_public = true;
    event.content_format = 60; /* 6.2 understands it */
    assert_string_equal(delivered(event), "b1650474656d70113cff3231");
    acknowledge(s);
    event.content_format = 0;
    event.data_len = 0; /* an empty text, not none: handlers would be given NULL */
    assert_string_equal(delivered(event), "b1650474656d70ff00");
    acknowledge(s);
    event.content_format = 60;
    assert_string_equal(delivered(event), "b1650474656d70113c");
    acknowledge(s);

    event.name = "particle/device/updates/pending"; /* not from others */
    assert_false(device_deliver(find(), &event));
    event.name = "temp";
    event.data_len = DEVICE_EVENT_DATA_MAX + 1;
    assert_false(device_deliver(find(), &event));
    event.data_len = 2;
    bench_receive(s, "40020110b178ff0506901c"); /* goodbye */
    assert_false(device_deliver(find(), &event));
}

static void an_old_system_gets_no_content_format(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    struct device_event event = {
        .name = "temp", .data = (const uint8_t *)"{}", .data_len = 2, .content_format = 50};
    (void)state;

    bench_admit(DEVICE_ADMIT, BORON);
    bench_receive(
        s, "40020001b168ff000d000300f6000d000ce00fce68ffffffff0000000117d50480001770000200"); /* 6.1.1 */
    bench_answer(bench.asked_count - 1, DEVICE_STORED);
    assert_string_equal(delivered(event), "b1450474656d70ff7b7d");
}

static void a_device_that_acknowledges_nothing_is_offline(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    assert_true(device_publish(find(), "spark/x", "y"));
    s->heard_ms = bench.now_ms - 60000;
    for (uint64_t at = 0; at <= 120000; at += 1000)
        bench_run(at);
    assert_int_equal(bench.told_count, 1);
    assert_int_equal(bench.told[0].reason, DEVICE_OFFLINE_UNREACHABLE);
    assert_int_equal(bench.ended_count, 0); /* the session is kept */
    bench_receive(s, "40000009");
    assert_int_equal(bench.told_count, 2);
    assert_true(bench.told[1].resumed);
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(a_ping_is_answered),
        bench_test(a_ping_is_not_answered),
        bench_test(a_ping_outlives_its_session),
        bench_test(a_device_that_is_being_ended_is_not_connected),
        bench_test(a_describe_is_pulled_and_stored),
        bench_test(a_device_that_does_not_push_is_asked_for_both_parts),
        bench_test(a_pulled_describe_that_comes_to_nothing),
        bench_test(a_pulled_describe_outlives_its_session),
        bench_test(too_many_questions_are_answered_too),
        bench_test(an_event_is_published_to_a_device),
        bench_test(an_event_is_handed_on),
        bench_test(an_old_system_gets_no_content_format),
        bench_test(a_device_that_acknowledges_nothing_is_offline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
