/* test_devices.c: who is online: Hello, silence, goodbye, sessions that replace each other, and each end. */
#include "device_bench.h"

#include "device/link.h"

static void hello_is_acknowledged_once_it_is_stored(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    struct device_id id = bench_id(BORON);
    (void)state;

    bench_admit(DEVICE_ADMIT, BORON);
    bench_receive(s, BORON_HELLO);
    bench_receive(s, BORON_HELLO); /* sent again meanwhile */
    assert_int_equal(bench.asked_count, 2);
    const struct asked *asked = &bench.asked[1];
    assert_int_equal(asked->kind, ASKED_HELLO);
    assert_int_equal(asked->hello.system_version, 6200);
    assert_int_equal(asked->hello.platform_id, 13);
    assert_true(device_id_equal(&asked->facts.id, &id));
    assert_int_equal(asked->facts.session_id, s->id);
    assert_int_equal(asked->facts.profile, SESSION_DEVICE_OS);
    char address[NET_ADDRESS_TEXT_SIZE];
    assert_string_equal(net_path_format(address, &asked->facts.path), "10.0.0.7:40000");
    assert_false(asked->enrol);
    assert_int_equal(bench.sent_count, 0);
    assert_null(devices_find(bench.all, &id));
    assert_int_equal(devices_online_count(bench.all), 0);

    bench_answer(1, DEVICE_STORED);
    assert_int_equal(bench.sent_count, 1);
    assert_string_equal(bench_sent_hex(), "60000001");
    assert_int_equal(bench.told_count, 1);
    assert_int_equal(bench.told[0].kind, TOLD_ONLINE);
    assert_false(bench.told[0].resumed);
    assert_non_null(devices_find(bench.all, &id));
    assert_int_equal(devices_online_count(bench.all), 1);
    assert_int_equal(bench_metric("cyan_devices_online"), 1);
    assert_int_equal(bench_metric("cyan_device_messages_total{message=\"hello\"}"), 1);

    bench_receive(s, BORON_HELLO); /* our acknowledgement was lost */
    assert_int_equal(bench.asked_count, 2);
    assert_int_equal(bench.sent_count, 2);
    assert_string_equal(bench_sent_hex(), "60000001");
    assert_int_equal(bench.attempt_count, 0);
}

static void hello_is_taken_again_when_the_store_was_busy(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_admit(DEVICE_ADMIT, BORON);
    bench_receive(s, BORON_HELLO);
    bench_answer(1, DEVICE_BUSY);
    assert_int_equal(bench.sent_count, 0);
    assert_int_equal(bench_refused("store_busy"), 1);
    bench_receive(s, BORON_HELLO);
    assert_int_equal(bench.asked_count, 3);
    bench_answer(2, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "60000001");
    assert_int_equal(bench.told_count, 1);
}

static void an_id_that_is_not_the_keys_ends_the_session(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_admit(DEVICE_ADMIT, "0123456789abcdef01234567");
    bench_receive(s, BORON_HELLO);
    assert_int_equal(bench.asked_count, 1);
    assert_string_equal(bench_sent_hex(), "60830001"); /* 4.03 */
    assert_int_equal(bench.attempt_count, 1);
    assert_int_equal(bench.attempts[0].outcome, HANDSHAKE_KEY_ID_MISMATCH);
    assert_string_equal(bench.attempts[0].stage, "hello");
    assert_int_equal(bench.attempts[0].key_sha256[31], 0xc5);
    assert_int_equal(bench_refused("key_id_mismatch"), 1);
    bench_receive(s, BORON_HELLO);
    bench_run(0);
    assert_int_equal(bench.ended_count, 1);
    assert_int_equal(bench.ended[0].why, SESSION_END_REFUSED);
    assert_false(bench.ended[0].tell_peer); /* or it would be back at once */
    assert_int_equal(bench.told_count, 0);
}

static void an_online_device_that_claims_another_id_goes_offline(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    bench_receive(s, "40020002b168ff000d000300f6000d000c0123456789abcdef0123456718380480001770000200");
    assert_string_equal(bench_sent_hex(), "60830002");
    assert_int_equal(bench.told_count, 1);
    assert_int_equal(bench.told[0].kind, TOLD_OFFLINE);
    bench_run(0);
    assert_int_equal(bench.ended_count, 1);
    assert_int_equal(bench.told_count, 1);
}

static void a_rejected_hello_ends_the_session(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_admit(DEVICE_ADMIT, BORON);
    bench_receive(s, BORON_HELLO);
    bench_answer(1, DEVICE_REJECTED);
    assert_string_equal(bench_sent_hex(), "60800001");
    assert_int_equal(bench.attempts[0].outcome, HANDSHAKE_REFUSED_BY_POLICY);
    assert_string_equal(bench.attempts[0].stage, "hello");
    bench_run(0);
    assert_int_equal(bench.ended[0].why, SESSION_END_REFUSED);
    assert_false(bench.ended[0].tell_peer);
    assert_int_equal(bench_refused("hello_rejected"), 1);
}

static void malformed_hellos_are_answered_and_counted(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_admit(DEVICE_ADMIT_UNKNOWN, NULL);
    bench_receive(s, "40020001b168ff000d0003");
    assert_string_equal(bench_sent_hex(), "60800001");
    bench_receive(s, "40020002b168ff000d000300f6000d"); /* no ID, and nobody knows whose key it is */
    assert_string_equal(bench_sent_hex(), "60800002");
    assert_int_equal(bench_refused("hello_malformed"), 1);
    assert_int_equal(bench_refused("hello_without_id"), 1);
    assert_int_equal(bench.asked_count, 1);
}

static void a_new_session_replaces_the_old_one_once_its_hello_is_stored(void **state)
{
    struct session *old = bench_online(SESSION_DEVICE_OS);
    uint64_t old_id = old->id;
    struct session *s = bench_open(SESSION_DEVICE_OS);
    struct device_id id = bench_id(BORON);
    (void)state;

    bench_admit(DEVICE_ADMIT, BORON);
    bench_receive(s, BORON_HELLO);
    bench_run(0);
    assert_int_equal(bench.ended_count, 0);
    assert_ptr_equal(devices_find(bench.all, &id), old->user);
    bench_answer(1, DEVICE_STORED);
    assert_int_equal(bench.told_count, 2);
    assert_int_equal(bench.told[0].kind, TOLD_OFFLINE); /* first the old, then the new */
    assert_int_equal(bench.told[0].reason, DEVICE_OFFLINE_REPLACED);
    assert_int_equal(bench.told[0].facts.session_id, old_id);
    assert_int_equal(bench.told[1].kind, TOLD_ONLINE);
    assert_int_equal(bench.told[1].facts.session_id, s->id);
    assert_ptr_equal(devices_find(bench.all, &id), s->user);
    bench_run(0);
    assert_int_equal(bench.ended_count, 1);
    assert_int_equal(bench.ended[0].session_id, old_id);
    assert_int_equal(bench.ended[0].why, SESSION_END_REPLACED);
    assert_false(bench.ended[0].tell_peer);
    assert_int_equal(bench.told_count, 2);
    assert_int_equal(devices_online_count(bench.all), 1);
}

static void a_device_that_says_no_hello_is_ended(void **state)
{
    struct session *silent = bench_open(SESSION_DEVICE_OS);
    uint64_t silent_id = silent->id;
    (void)state;

    bench_admit(DEVICE_ADMIT, BORON);
    bench_open(SESSION_PSK); /* a plain client need not say it */
    bench_admit(DEVICE_ADMIT, "0123456789abcdef01234567");
    struct session *slow = bench_open(SESSION_DEVICE_OS); /* said it, but the store takes long */
    bench_admit(DEVICE_ADMIT, "0123456789abcdef01234568");
    bench_receive(slow, "40020002b168ff000d000300f6000d000c0123456789abcdef0123456818380480001770000200");
    bench_run(HELLO_TIMEOUT_MS - 1000);
    assert_int_equal(bench.ended_count, 0);
    bench_run(HELLO_TIMEOUT_MS + 10);
    bench_run(HELLO_TIMEOUT_MS + 10);
    assert_int_equal(bench.ended_count, 1);
    assert_int_equal(bench.ended[0].session_id, silent_id);
    assert_int_equal(bench.ended[0].why, SESSION_END_NO_HELLO);
    assert_false(bench.ended[0].tell_peer);
    assert_int_equal(bench_refused("no_hello"), 1);
}

static void hello_within_a_session_refreshes_it(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    bench_receive(s, "40010104b16505737061726b");
    bench_receive(s, "40010105b165087061727469636c65");
    assert_int_equal(bench.asked[1].generation, 1);
    bench_answer(0, DEVICE_STORED);
    bench_answer(1, DEVICE_STORED);
    /* 6.1.1 now, with an update applied and messages of at most 512 bytes */
    bench_receive(s, "40020106b168ff000d000300f7000d000ce00fce68ffffffff0000000117d50200001770000200");
    bench_answer(2, DEVICE_STORED);
    assert_int_equal(bench.told_count, 0); /* still online */
    assert_int_equal(bench.sent_count, 4);

    const struct sent *hello = &bench.sent[3]; /* the server's own, as an update was applied */
    struct coap_message m;
    assert_int_equal(coap_message_decode(&m, hello->data, hello->data_len), COAP_DECODED);
    assert_int_equal(m.type, COAP_CON);
    assert_int_equal(m.code, COAP_POST);
    assert_int_equal(m.options_len, 2);
    assert_memory_equal(m.options, "\xb1h", 2);
    assert_int_equal(m.payload_len, 0);

    bench_receive(s, "40010107b1650474656d704175");
    assert_int_equal(bench.asked[3].generation, 2); /* the list begins anew */
    assert_string_equal(bench.asked[3].subscription.prefix, "temp");
    assert_int_equal(bench.asked[3].subscription.scope, 'o');
    struct device *device = s->user;
    assert_int_equal(device->peer.max_message_bytes, 512);
}

static void goodbye_and_what_comes_after(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    bench_receive(s, "40020110b178ff0506901c");
    assert_string_equal(bench_sent_hex(), "60000110");
    assert_int_equal(bench.told_count, 1);
    assert_int_equal(bench.told[0].kind, TOLD_OFFLINE);
    assert_int_equal(bench.told[0].reason, DEVICE_OFFLINE_GOODBYE);
    assert_true(bench.told[0].has_goodbye);
    assert_int_equal(bench.told[0].goodbye.cloud_reason, 6);
    assert_int_equal(bench.told[0].goodbye.sleep_s, 3600);
    assert_int_equal(bench.told[0].goodbye.reset_reason, -1);
    assert_int_equal(devices_online_count(bench.all), 0);

    bench_receive(s, "40020110b178ff0506901c"); /* our acknowledgement was lost */
    bench_receive(s, "60004711");               /* an acknowledgement that was on its way */
    assert_int_equal(bench.told_count, 1);
    assert_int_equal(bench.sent_count, 2);

    bench_receive(s, "40000111"); /* awake again, in the same session */
    assert_int_equal(bench.told_count, 2);
    assert_int_equal(bench.told[1].kind, TOLD_ONLINE);
    assert_true(bench.told[1].resumed);
    assert_string_equal(bench_sent_hex(), "60000111");

    bench_receive(s, "40020112b178ff01"); /* cut off */
    assert_string_equal(bench_sent_hex(), "60800112");
    assert_int_equal(bench.told_count, 2);
    assert_int_equal(bench_refused("goodbye_malformed"), 1);
}

static void silence_is_offline_and_any_word_is_online(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    bench_run(OFFLINE_AFTER_MS / 2);
    bench_receive(s, "40000002");
    assert_int_equal(bench.told_count, 1); /* heard */
    assert_int_equal(bench.told[0].kind, TOLD_HEARD);
    bench_run(OFFLINE_AFTER_MS + 1000); /* the deadline looks, and looks again later */
    assert_int_equal(bench.told_count, 1);
    bench_run(OFFLINE_AFTER_MS / 2 + OFFLINE_AFTER_MS + 1000);
    assert_int_equal(bench.told_count, 2);
    assert_int_equal(bench.told[1].kind, TOLD_OFFLINE);
    assert_int_equal(bench.told[1].reason, DEVICE_OFFLINE_SILENT);
    assert_false(bench.told[1].has_goodbye);
    assert_int_equal(bench.ended_count, 0);
    bench_receive(s, "40000003");
    assert_int_equal(bench.told_count, 3);
    assert_int_equal(bench.told[2].kind, TOLD_ONLINE);
    assert_true(bench.told[2].resumed);
    bench_run(OFFLINE_AFTER_MS * 4);
    assert_int_equal(bench.told[3].reason, DEVICE_OFFLINE_SILENT);
}

static void heard_is_told_once_a_second(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    uint64_t start_ms = bench.now_ms;
    (void)state;

    for (unsigned i = 0; i < 50; i++) {
        bench.now_ms = start_ms + 1100 + i * 100; /* five seconds */
        bench_receive(s, "40000002");
    }
    assert_int_equal(bench.told_count, 5);
    assert_int_equal(bench.told[4].kind, TOLD_HEARD);
}

static void the_last_word_is_told_with_the_end(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    uint64_t start_ms = bench.now_ms;
    (void)state;

    bench.now_ms = start_ms + 1100;
    bench_receive(s, "40000002");
    assert_int_equal(bench.told_count, 1);
    bench.now_ms = start_ms + 1500;
    bench_receive(s, "40000003");
    assert_int_equal(bench.told_count, 1); /* within the second */
    bench_run(OFFLINE_AFTER_MS + 2000);
    assert_int_equal(bench.told_count, 3);
    assert_int_equal(bench.told[1].kind, TOLD_HEARD);
    assert_int_equal(bench.told[2].kind, TOLD_OFFLINE);
}

static void the_time_of_silence_can_be_changed(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;
    (void)s;

    devices_set_offline_after(bench.all, 5000);
    bench_run(4000);
    assert_int_equal(bench.told_count, 0);
    bench_run(6000);
    assert_int_equal(bench.told_count, 1);
    assert_int_equal(bench.told[0].reason, DEVICE_OFFLINE_SILENT);
}

static void each_end_has_its_reason(void **state)
{
    static const struct {
        enum session_end why;
        enum device_offline_reason reason;
        const char *name;
    } ends[] = {
        {SESSION_END_PEER_CLOSED, DEVICE_OFFLINE_CLOSED, "closed"},
        {SESSION_END_REPLACED, DEVICE_OFFLINE_REPLACED, "replaced"},
        {SESSION_END_EXPIRED, DEVICE_OFFLINE_EXPIRED, "expired"},
        {SESSION_END_REVOKED, DEVICE_OFFLINE_REVOKED, "revoked"},
        {SESSION_END_SHUTDOWN, DEVICE_OFFLINE_SHUTDOWN, "shutdown"},
    };
    struct device_id id = bench_id(BORON);
    (void)state;

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        dtls_end(bench_online(SESSION_DEVICE_OS), ends[i].why, false);
        assert_int_equal(bench.told_count, 1);
        assert_int_equal(bench.told[0].kind, TOLD_OFFLINE);
        assert_int_equal(bench.told[0].reason, ends[i].reason);
        assert_string_equal(device_offline_reason_name(ends[i].reason), ends[i].name);
        assert_null(devices_find(bench.all, &id));
        assert_int_equal(devices_online_count(bench.all), 0);
    }
}

static void a_revoked_key_ends_every_session_made_with_it(void **state)
{
    struct device_id id = bench_id(BORON);
    struct device_id other = bench_id("0123456789abcdef01234567");
    (void)state;

    bench_open(SESSION_PSK); /* has not said Hello */
    bench_admit(DEVICE_ADMIT, BORON);
    bench_online(SESSION_DEVICE_OS);
    assert_false(devices_revoke(bench.all, &other));
    assert_true(devices_revoke(bench.all, &id));
    assert_null(devices_find(bench.all, &id));
    assert_int_equal(bench.told[0].reason, DEVICE_OFFLINE_REVOKED);
    assert_false(devices_revoke(bench.all, &id));
    bench_run(0);
    assert_int_equal(bench.ended_count, 2);
    assert_int_equal(bench.ended[0].why, SESSION_END_REVOKED);
    assert_true(bench.ended[0].tell_peer);
}

/* What was an online device before the process died; its image may be behind. */
static struct session *taken_up(void)
{
    struct session *before = bench_online(SESSION_DEVICE_OS), *s = mem_copy(before, sizeof(*before));
    uint8_t saved[SESSION_OWNER_MAX];
    size_t saved_len = devices_dtls_ops.save(bench.all, before, saved);

    dtls_end(before, SESSION_END_SHUTDOWN, false);
    s->id = bench.next_session_id++;
    s->user = NULL;
    open_sessions[open_count] = s;
    open_ids[open_count++] = s->id;
    assert_true(devices_dtls_ops.restored(bench.all, s, saved, saved_len, false));
    bench.asked_count = bench.told_count = bench.sent_count = 0;
    return s;
}

/* The ping that was just sent is acknowledged. */
static void answer_ping(struct session *s)
{
    char ack[] = "60000000";

    assert_memory_equal(bench_sent_hex(), "4000", 4);
    memcpy(ack + 4, bench_sent_hex() + 4, 4);
    bench_receive(s, ack);
    assert_int_equal(bench.proved_count, 1);
}

static void a_challenged_device_is_pinged_after_its_hello(void **state)
{
    struct session *s = taken_up();
    (void)state;

    bench_receive(s, BORON_HELLO);
    bench_admit(DEVICE_ADMIT, BORON);
    assert_int_equal(bench.sent_count, 0); /* it would not answer */
    assert_int_equal(bench.asked[1].kind, ASKED_HELLO);
    bench_answer(1, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "60000001");
    bench_receive(s, "40020002b1450161ff31");
    assert_int_equal(bench.asked_count, 2); /* dropped: it will say it again */
    answer_ping(s);
    bench_receive(s, "40020002b1450161ff31");
    bench_answer(2, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "60000002");
}

static void the_dtls_endpoints_other_questions_are_passed_up(void **state)
{
    uint64_t before = bench.next_session_id;
    struct handshake_attempt attempt = {.outcome = HANDSHAKE_BAD_FINISHED};
    (void)state;

    devices_dtls_ops.find_psk(bench.all, BORON, (struct dtls_psk_query *)&bench);
    assert_int_equal(bench.next_session_id, before + 1000);
    devices_dtls_ops.attempted(bench.all, &attempt);
    assert_int_equal(bench.attempts[0].outcome, HANDSHAKE_BAD_FINISHED);
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(hello_is_acknowledged_once_it_is_stored),
        bench_test(hello_is_taken_again_when_the_store_was_busy),
        bench_test(an_id_that_is_not_the_keys_ends_the_session),
        bench_test(an_online_device_that_claims_another_id_goes_offline),
        bench_test(a_rejected_hello_ends_the_session),
        bench_test(malformed_hellos_are_answered_and_counted),
        bench_test(a_new_session_replaces_the_old_one_once_its_hello_is_stored),
        bench_test(a_device_that_says_no_hello_is_ended),
        bench_test(hello_within_a_session_refreshes_it),
        bench_test(goodbye_and_what_comes_after),
        bench_test(silence_is_offline_and_any_word_is_online),
        bench_test(heard_is_told_once_a_second),
        bench_test(the_last_word_is_told_with_the_end),
        bench_test(the_time_of_silence_can_be_changed),
        bench_test(each_end_has_its_reason),
        bench_test(a_revoked_key_ends_every_session_made_with_it),
        bench_test(a_challenged_device_is_pinged_after_its_hello),
        bench_test(the_dtls_endpoints_other_questions_are_passed_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
