/* test_dtls_sessions.c: what becomes of DTLS sessions: they move with their devices, live beside new
 * handshakes, expire and close. */
#include "dtls_bench.h"

static void test_resumed_record_moves_the_session(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    client_sends("one");
    t.path.peer_port = 40001;
    t.record.resumed = true; /* content type 253 */
    client_sends("two");
    assert_received("two");
    assert_true(t.session->resumed);
    assert_int_equal(t.session->path.peer_port, 40001);
    assert_int_equal(t.established, 1);
    /* an older record from elsewhere is read, but does not take the session along */
    uint8_t late[1500], newer[1500];
    struct swarm_bytes plain = {(const uint8_t *)"late", 4};
    size_t late_len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, late, sizeof late);
    plain.data = (const uint8_t *)"newr";
    size_t newer_len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, newer, sizeof newer);
    to_server(newer, newer_len);
    t.path.peer_port = 40002;
    to_server(late, late_len);
    assert_received("late");
    assert_int_equal(t.session->path.peer_port, 40001);
}

static void test_moved_record_is_found_by_its_device_id(void **state)
{
    (void)state;
    static const uint8_t id[12] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67};
    start_client(device_os(false));
    pump();
    dtls_name(t.session, id);
    t.path.peer_port = 40009;
    uint8_t out[1500];
    struct swarm_bytes plain = {(const uint8_t *)"moved", 5};
    size_t len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, out, sizeof out);
    out[0] = 254;
    memcpy(out + len, id, 12);
    out[len + 12] = 12;
    out[len + 3] ^= 1; /* somebody else's id */
    to_server(out, len + 13);
    assert_int_equal(t.received_count, 0);
    out[len + 3] ^= 1;
    to_server(out, len + 13);
    assert_received("moved");
    assert_int_equal(t.session->path.peer_port, 40009);
    client_sends("at home"); /* from now on found by the new address */
    assert_received("at home");
    assert_true(dtls_send(t.session, (const uint8_t *)"hi", 2));
    assert_client_reads("hi");
}

static void test_handshake_does_not_harm_a_live_session(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    struct session *first = t.session;
    struct swarm_record first_record = t.record;
    client_sends("before");
    swarm_dtls_free(t.client);
    /* a new handshake from the very same address, left half way */
    start_client(device_os(true));
    for (int i = 0; i < 3; i++) {
        struct datagram *up = pop(&t.to_server);
        if (up)
            to_server(up->data, up->len);
        struct datagram *down = pop(&t.to_client);
        if (down && i < 1)
            swarm_dtls_receive(t.client, down->data, down->len, t.now_ms);
    }
    assert_int_equal(t.established, 1);
    struct swarm_record second = t.record;
    t.record = first_record;
    t.record.send_seq++; /* one was sent since the copy */
    client_sends("still here");
    assert_received("still here");
    assert_ptr_equal(t.session, first);
    assert_int_equal(t.ended, 0);
    t.record = second;
}

/* A client without connection ID comes back from its old address, its Finished in a datagram of its own. */
static void test_finished_alone_from_the_address_of_an_old_session(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        t.trace_count = 0;
        start_client(psk("0123456789abcdef01234567", t.psk, SWARM_SUITE_CCM8, false));
        for (;;) {
            struct datagram *up = pop(&t.to_server), *down = up ? NULL : pop(&t.to_client);
            if (!up && !down)
                break;
            if (down) {
                swarm_dtls_receive(t.client, down->data, down->len, t.now_ms);
                continue;
            }
            uint8_t *at = up->data;
            for (size_t left = up->len; left >= 13;) { /* each record on its own */
                size_t len = 13 + (size_t)be16_load(at + 11);
                to_server(at, len);
                at += len;
                left -= len;
            }
        }
        assert_true(t.client_done);
        assert_int_equal(t.result, SWARM_DTLS_OK);
        assert_int_equal(t.established, round + 1);
        swarm_dtls_free(t.client);
        t.client = NULL;
    }
    assert_int_equal(dtls_session_count(t.dtls), 1); /* the owner took the newcomer in: the old one is gone */
    assert_int_equal(t.why, SESSION_END_REPLACED);
}

static void test_newcomer_that_is_refused_gives_the_address_back(void **state)
{
    (void)state;
    start_client(device_os(false));
    pump();
    struct swarm_record first_record = t.record;
    swarm_dtls_free(t.client);
    t.undecided = true;
    start_client(device_os(false)); /* from the same address, with a handshake of its own */
    pump();
    assert_int_equal(t.established, 2);
    assert_int_equal(t.ended, 0);
    dtls_conclude(t.session, HANDSHAKE_UNKNOWN_KEY, "authorise");
    dtls_end(t.session, SESSION_END_REFUSED, false);
    t.record = first_record;
    client_sends("still mine");
    assert_received("still mine");
    assert_int_equal(t.ended, 1);
    assert_int_equal(dtls_session_count(t.dtls), 1);
}

static void test_moved_record_does_not_take_an_address_in_use(void **state)
{
    (void)state;
    static const uint8_t id[12] = {9};
    start_client(device_os(false));
    pump();
    struct session *victim = t.session;
    swarm_dtls_free(t.client);
    t.path.peer_port = 41000;
    start_client(device_os(false));
    pump();
    struct session *mover = t.session;
    dtls_name(mover, id);
    uint8_t out[1500];
    struct swarm_bytes plain = {(const uint8_t *)"mine", 4};
    size_t len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_DATA, plain, out, sizeof out);
    out[0] = 254;
    memcpy(out + len, id, 12);
    out[len + 12] = 12;
    t.path.peer_port = 40000; /* the victim's */
    to_server(out, len + 13);
    assert_int_equal(t.ended, 0);
    assert_int_equal(mover->path.peer_port, 41000);
    assert_int_equal(victim->path.peer_port, 40000);
}

static void test_sessions_expire_and_close(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    assert_int_equal(dtls_session_count(t.dtls), 1);
    deadlines_run(&t.deadlines, t.now_ms + 1060000); /* it was heard some time after the test began */
    assert_int_equal(t.ended, 1);
    assert_int_equal(t.why, SESSION_END_EXPIRED);
    swarm_dtls_free(t.client);

    t.path.peer_port++;
    start_client(psk("x", t.psk, SWARM_SUITE_CCM8, false));
    pump();
    uint8_t out[200];
    struct swarm_bytes close_notify = {(const uint8_t *)"\x01\x00", 2};
    size_t len = swarm_record_seal(t.crypto, &t.record, SWARM_RECORD_ALERT, close_notify, out, sizeof out);
    t.trace_count = 0;
    to_server(out, len);
    assert_int_equal(t.ended, 2);
    assert_int_equal(t.why, SESSION_END_PEER_CLOSED);
    assert_int_equal(t.trace_count, 1); /* answered in kind */
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_resumed_record_moves_the_session, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moved_record_is_found_by_its_device_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handshake_does_not_harm_a_live_session, setup, teardown),
        cmocka_unit_test_setup_teardown(test_finished_alone_from_the_address_of_an_old_session, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_newcomer_that_is_refused_gives_the_address_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_moved_record_does_not_take_an_address_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sessions_expire_and_close, setup, teardown),
    };
    return cmocka_run_group_tests_name("dtls sessions", tests, NULL, remove_key);
}
