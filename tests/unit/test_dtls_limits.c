/* test_dtls_limits.c: what strangers may cost the DTLS endpoint: nothing before the cookie, their network's
 * share of handshakes, and no answer to what it refuses. */
#include "dtls_bench.h"

static uint64_t counter(const char *name, const char *label)
{
    return metrics_add(t.metrics, METRIC_COUNTER, name, label, "")->value;
}

/* Handshakes begun and left cost public-key work: a network that does nothing else is stopped, and only that
 * one. */
static void test_network_that_spoils_handshakes_runs_out_of_them(void **state)
{
    (void)state;
    unsigned started = 0;
    for (int i = 0; i < 400; i++) {
        t.trace_count = t.to_client.count = t.to_server.count = 0;
        start_client(device_os(true)); /* same address, other random: the one before is dropped */
        struct datagram *hello = pop(&t.to_server);
        to_server(hello->data, hello->len);
        struct datagram *verify = pop(&t.to_client);
        swarm_dtls_receive(t.client, verify->data, verify->len, t.now_ms);
        hello = pop(&t.to_server);
        to_server(hello->data, hello->len);
        started += t.to_client.count > 0;
        swarm_dtls_free(t.client);
        t.client = NULL;
    }
    assert_in_range(started, 256, 300);
    assert_int_equal(t.attempts, 400); /* each has its outcome: left, or rate_limited */
    assert_int_equal(counter("cyan_handshakes_total", "outcome=\"rate_limited\""), 400 - started);
    t.path.peer_ip[14] = 7;
    t.trace_count = t.to_client.count = t.to_server.count = 0;
    start_client(device_os(true));
    pump();
    assert_int_equal(t.result, SWARM_DTLS_OK);
}

/* Up to the ClientHello that returns the cookie. */
static struct datagram proved_hello(void)
{
    struct datagram *hello = pop(&t.to_server);
    to_server(hello->data, hello->len);
    struct datagram *verify = pop(&t.to_client);
    swarm_dtls_receive(t.client, verify->data, verify->len, t.now_ms);
    return *pop(&t.to_server);
}

/* While the loop is busy a handshake waits, and a device that is connected does not. */
static void test_connected_devices_are_served_first(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    client_sends("one");
    struct swarm_record record = t.record;
    swarm_dtls_free(t.client);
    t.path.peer_port++;
    t.is_busy = true;
    t.trace_count = t.to_client.count = 0;
    start_client(device_os(true));
    struct datagram hello = proved_hello();
    to_server(hello.data, hello.len);
    to_server(hello.data, hello.len);   /* sent again: it waits already */
    assert_int_equal(t.trace_count, 1); /* the HelloVerifyRequest alone */
    assert_int_equal(dtls_handshake_count(t.dtls), 1);
    assert_int_equal(counter("cyan_handshake_queue_dropped_total", "reason=\"repeated\""), 1);
    struct swarm_record beginner = t.record;
    t.record = record;
    t.path.peer_port--;
    client_sends("two");
    assert_received("two");
    t.record = beginner;
    t.path.peer_port++;
    while (dtls_work(t.dtls))
        continue;
    t.is_busy = false;
    pump();
    assert_true(t.client_done);
    assert_int_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.established, 2);
}

/* The peer begins anew while its ClientHello waits: only the newer one is dealt with, in the same place. */
static void test_newer_hello_takes_the_place_of_one_that_waits(void **state)
{
    (void)state;
    t.is_busy = true;
    for (int i = 0; i < 8; i++) {
        start_client(device_os(true));
        struct datagram hello = proved_hello();
        to_server(hello.data, hello.len);
        assert_int_equal(dtls_handshake_count(t.dtls), 1);
        if (i < 7)
            swarm_dtls_free(t.client);
    }
    while (dtls_work(t.dtls))
        continue;
    t.is_busy = false;
    pump();
    assert_int_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.established, 1);
    assert_int_equal(t.attempts, 1);
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
}

static void test_no_state_and_no_amplification_before_the_cookie(void **state)
{
    (void)state;
    start_client(device_os(true));
    struct datagram *hello = pop(&t.to_server);
    for (int i = 0; i < 20; i++) {
        t.path.peer_port = (uint16_t)(1000 + i);
        t.trace_count = t.to_client.count = 0;
        to_server(hello->data, hello->len);
        assert_int_equal(t.trace_count, 1);
        assert_true(t.trace[0].len <= 3 * hello->len);
        assert_int_equal(t.trace[0].data[13], 3);
    }
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
    assert_int_equal(counter("cyan_dtls_refused_total", "reason=\"no_cookie\""), 20);
    /* the cookie of one address is no good at another */
    t.path.peer_port = 2000;
    t.to_client.count = 0;
    to_server(hello->data, hello->len);
    struct datagram *verify = pop(&t.to_client);
    swarm_dtls_receive(t.client, verify->data, verify->len, t.now_ms);
    struct datagram *second = pop(&t.to_server);
    t.path.peer_port = 2001;
    to_server(second->data, second->len);
    assert_int_equal(counter("cyan_dtls_refused_total", "reason=\"bad_cookie\""), 1);
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
}

static void test_peer_that_never_returns_the_cookie_is_noticed(void **state)
{
    (void)state;
    start_client(device_os(true));
    struct datagram *hello = pop(&t.to_server);
    static const uint64_t at_ms[] = {0, 3000, 9000, 21000, 45000};
    uint64_t start_ms = t.now_ms;
    for (size_t i = 0; i < 5; i++) {
        t.to_client.count = 0;
        t.now_ms = start_ms + at_ms[i];
        to_server(hello->data, hello->len);
        assert_int_equal(t.attempts, i < 2 ? 0 : 1); /* said once */
    }
    assert_int_equal(t.attempt.outcome, HANDSHAKE_NO_COOKIE_RETURN);
    struct datagram *verify = pop(&t.to_client);
    swarm_dtls_receive(t.client, verify->data, verify->len, t.now_ms);
    pump();
    assert_int_equal(t.attempt.outcome, HANDSHAKE_OK);
}

static void test_each_network_has_its_share(void **state)
{
    (void)state;
    /* 16 places, 4 for a network once half are taken: network A fills half, B and C still get theirs */
    for (int network = 1; network <= 3; network++)
        for (int i = 0; i < 12; i++) {
            t.path.peer_ip[14] = (uint8_t)network;
            t.path.peer_port = (uint16_t)(3000 + i);
            t.trace_count = t.to_client.count = t.to_server.count = 0;
            start_client(device_os(true));
            struct datagram *hello = pop(&t.to_server);
            to_server(hello->data, hello->len);
            struct datagram *verify = pop(&t.to_client);
            swarm_dtls_receive(t.client, verify->data, verify->len, t.now_ms);
            hello = pop(&t.to_server);
            to_server(hello->data, hello->len);
            swarm_dtls_free(t.client);
            t.client = NULL;
        }
    assert_int_equal(dtls_handshake_count(t.dtls), 16);
    assert_int_equal(counter("cyan_handshakes_total", "outcome=\"rate_limited\""), 36 - 16);
    t.trace_count = t.to_client.count = 0;
    deadlines_run(&t.deadlines, t.now_ms + 46000);
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
    assert_int_equal(counter("cyan_handshakes_total", "outcome=\"timeout_after_flight_4\""), 16);
}

static void test_refusals_are_silent_and_counted(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    client_sends("good");
    t.trace_count = 0;
    static const struct {
        const char *reason;
        uint8_t data[40];
        size_t len;
    } cases[] = {
        {"short", {0}, 1},
        {"not_dtls", {0x99, 0xfe, 0xfd}, 20},
        {"not_dtls", {22, 3, 3}, 20},
        {"unknown_cid", {25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 19}, 40},
        {"unknown_cid", {253, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 19}, 40},
        {"truncated", {25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 20}, 40},
        {"unknown_peer", {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 27}, 40},
        {"stray_handshake", {20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 1}, 14},
        {"bad_client_hello", {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 27, 1}, 40},
    };
    t.path.peer_port = 50000;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char label[64];
        (void)snprintf(label, sizeof label, "reason=\"%s\"", cases[i].reason);
        uint64_t before = counter("cyan_dtls_refused_total", label);
        to_server(cases[i].data, cases[i].len);
        assert_int_equal(counter("cyan_dtls_refused_total", label), before + 1);
    }
    /* replayed and damaged records of the live session */
    uint8_t out[1500];
    struct swarm_bytes plain = {(const uint8_t *)"x", 1};
    size_t len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, out, sizeof out);
    to_server(out, len);
    unsigned count = t.received_count;
    to_server(out, len);
    assert_int_equal(counter("cyan_dtls_refused_total", "reason=\"replayed\""), 1);
    len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, out, sizeof out);
    out[len - 1] ^= 1;
    to_server(out, len);
    assert_int_equal(counter("cyan_dtls_refused_total", "reason=\"bad_tag\""), 1);
    assert_int_equal(t.received_count, count);
    assert_int_equal(t.trace_count, 0);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_network_that_spoils_handshakes_runs_out_of_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_connected_devices_are_served_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_hello_takes_the_place_of_one_that_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_state_and_no_amplification_before_the_cookie, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_peer_that_never_returns_the_cookie_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_network_has_its_share, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals_are_silent_and_counted, setup, teardown),
    };
    return cmocka_run_group_tests_name("dtls limits", tests, NULL, remove_key);
}
