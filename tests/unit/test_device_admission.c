/* test_device_admission.c: who is let in: what the registry says of a session, plain clients, enrolment,
 * quarantine. */
#include "device_bench.h"

#include "device/link.h"

static void admission_decides_what_becomes_of_a_session(void **state)
{
    static const struct {
        enum session_profile profile;
        enum device_admission admission;
        enum handshake_outcome outcome;
        const char *stage;
    } refusals[] = {
        {SESSION_DEVICE_OS, DEVICE_REFUSE_UNKNOWN, HANDSHAKE_UNKNOWN_KEY, "authorise"},
        {SESSION_X509, DEVICE_REFUSE_UNKNOWN, HANDSHAKE_UNKNOWN_KEY, "authorise"},
        {SESSION_PSK, DEVICE_REFUSE_UNKNOWN, HANDSHAKE_UNKNOWN_IDENTITY, "authorise"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct session *s = bench_open(refusals[i].profile);
        uint64_t id = s->id;
        bench_receive(s, BORON_HELLO);
        bench_admit(refusals[i].admission, NULL);
        bench_receive(s, BORON_HELLO); /* nothing it says counts any more */
        assert_int_equal(bench.ended_count, i);
        bench_run(0);
        assert_int_equal(bench.ended_count, i + 1);
        assert_int_equal(bench.ended[i].session_id, id);
        assert_int_equal(bench.ended[i].why, SESSION_END_REFUSED);
        assert_int_equal(bench.ended[i].tell_peer, refusals[i].profile != SESSION_DEVICE_OS);
        assert_int_equal(bench.attempt_count, i + 1);
        assert_int_equal(bench.attempts[i].outcome, refusals[i].outcome);
        assert_string_equal(bench.attempts[i].stage, refusals[i].stage);
        assert_string_equal(bench.attempts[i].profile, session_profile_name(refusals[i].profile));
        assert_int_equal(bench.attempts[i].path.peer_port, 40000);
    }
    assert_int_equal(bench.attempts[0].key_sha256[0], 0xc5);
    assert_string_equal(bench.attempts[2].identity, BORON);
    assert_int_equal(bench.sent_count, 0);
    assert_int_equal(bench.told_count, 0);
    assert_int_equal(bench_refused("unknown_key"), 3);
}

static void the_registry_is_waited_for(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_receive(s, BORON_HELLO);
    for (size_t n = 1; n <= 3; n++) {
        bench_admit(DEVICE_REFUSE_AWAY, NULL);
        bench_run(1000);
        assert_int_equal(bench.asked_count, n);
        bench_run(2100);
        assert_int_equal(bench.asked_count, n + 1);
        assert_int_equal(bench.asked[n].kind, ASKED_ADMISSION);
        assert_int_equal(bench.asked[n].spki_len, 91); /* what was proved is remembered */
        assert_int_equal(bench.ended_count, 0);
    }
    assert_int_equal(bench.sent_count, 0);
    bench_admit(DEVICE_ADMIT, BORON);
    assert_int_equal(bench.asked[4].kind, ASKED_HELLO); /* which was held all the time */
    bench_answer(4, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "60000001");
    assert_int_equal(bench_refused("registry_away"), 0);
}

static void the_registry_is_not_waited_for_without_end(void **state)
{
    static const enum session_profile profiles[] = {SESSION_DEVICE_OS, SESSION_RPK};
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        struct session *s = bench_open(profiles[i]);
        bench_receive(s, BORON_HELLO);
        bench_admit(DEVICE_REFUSE_AWAY, NULL);
        ((struct device *)s->user)->established_ms -= HELLO_TIMEOUT_MS - 1000; /* so long ago */
        bench_run(2100);
        bench_admit(DEVICE_REFUSE_AWAY, NULL);
        bench_run(0);
        assert_int_equal(bench.ended_count, i + 1);
        assert_int_equal(bench.ended[i].why, SESSION_END_REFUSED);
        assert_int_equal(bench.ended[i].tell_peer, profiles[i] != SESSION_DEVICE_OS);
        assert_int_equal(bench.attempts[i].outcome, HANDSHAKE_REFUSED_BY_POLICY);
        assert_string_equal(bench.attempts[i].stage, "registry_away");
    }
    assert_int_equal(bench_refused("registry_away"), 2);
    assert_int_equal(bench.sent_count, 0);

    struct session *s = bench_open(SESSION_DEVICE_OS); /* gone before it is asked again */
    bench_admit(DEVICE_REFUSE_AWAY, NULL);
    dtls_end(s, SESSION_END_PEER_CLOSED, false);
    size_t asked_count = bench.asked_count;
    bench_run(10000);
    assert_int_equal(bench.asked_count, asked_count);
}

#define OTHER "0123456789abcdef01234567"

static void a_plain_client_has_few_sessions(void **state)
{
    uint64_t first_id = 0;
    (void)state;

    for (unsigned i = 0; i < 4; i++) {
        struct session *s = bench_open(i % 2 == 0 ? SESSION_PSK : SESSION_RPK);
        first_id = i == 0 ? s->id : first_id;
        bench_admit(i == 3 ? DEVICE_ADMIT_QUARANTINE : DEVICE_ADMIT, BORON);
    }
    for (unsigned i = 0; i < 10; i++) { /* a Device OS says who it is: these are not counted */
        bench_open(SESSION_DEVICE_OS);
        bench_admit(DEVICE_ADMIT, BORON);
    }
    bench_open(SESSION_PSK);
    bench_admit(DEVICE_ADMIT, OTHER);
    bench_open(SESSION_RPK);
    bench_admit(DEVICE_ADMIT_UNKNOWN, NULL);
    bench_run(0);
    assert_int_equal(bench.ended_count, 0);

    bench_open(SESSION_PSK);
    assert_int_equal(bench.ended_count, 0); /* not admitted yet */
    bench_admit(DEVICE_ADMIT, BORON);
    bench_run(0);
    assert_int_equal(bench.ended_count, 1);
    assert_int_equal(bench.ended[0].session_id, first_id);
    assert_int_equal(bench.ended[0].why, SESSION_END_REPLACED);
    assert_false(bench.ended[0].tell_peer);

    dtls_end(open_sessions[1], SESSION_END_PEER_CLOSED, false); /* makes room by itself */
    bench_open(SESSION_PSK);
    bench_admit(DEVICE_ADMIT, BORON);
    bench_run(0);
    assert_int_equal(bench.ended_count, 2);
    bench_open(SESSION_PSK);
    bench_admit(DEVICE_ADMIT, BORON);
    bench_run(0);
    assert_int_equal(bench.ended_count, 3);
    assert_int_equal(bench.ended[2].session_id, first_id + 2);
}

static void a_plain_client_that_says_hello_is_one_no_longer(void **state)
{
    struct session *named = bench_open(SESSION_PSK);
    (void)state;

    bench_admit(DEVICE_ADMIT, BORON);
    bench_receive(named, BORON_HELLO);
    bench_answer(bench.asked_count - 1, DEVICE_STORED);
    for (unsigned i = 0; i < 20; i++) {
        bench_open(SESSION_PSK);
        bench_admit(DEVICE_ADMIT, BORON);
    }
    bench_run(0);
    assert_int_equal(bench.ended_count, 16);
    struct device_id id = bench_id(BORON);
    assert_ptr_equal(devices_find(bench.all, &id), named->user);
}

static void plain_clients_without_id_are_told_apart_by_key(void **state)
{
    uint64_t first_id = bench_open(SESSION_X509)->id;
    (void)state;

    bench_admit(DEVICE_ADMIT_UNKNOWN, NULL);
    struct session *other = bench_open(SESSION_X509);
    ((struct device *)other->user)->key_sha256[0] = 0x11;
    bench_admit(DEVICE_ADMIT_UNKNOWN, NULL);
    for (unsigned i = 0; i < 4; i++) {
        bench_open(SESSION_RPK);
        bench_admit(i % 2 == 0 ? DEVICE_ADMIT_UNKNOWN : DEVICE_ADMIT_QUARANTINE, NULL);
    }
    bench_run(0);
    assert_int_equal(bench.ended_count, 1);
    assert_int_equal(bench.ended[0].session_id, first_id);
    for (unsigned i = 0; i < 4; i++) /* nobody's key: a Hello is awaited as from a Device OS */
        bench_run(HELLO_TIMEOUT_MS + 10);
    assert_int_equal(bench.ended_count, 6);
    assert_int_equal(bench.ended[1].why, SESSION_END_NO_HELLO);
    assert_true(bench.ended[1].tell_peer);
}

static void waits_with_what_comes_before_admission(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_receive(s, BORON_HELLO);
    bench_receive(s, "40000002"); /* pings */
    bench_receive(s, "40000003");
    bench_receive(s, "40000004");
    bench_receive(s, "40000005");
    assert_int_equal(bench_refused("held_too_many"), 1);
    assert_int_equal(bench.asked_count, 1);
    assert_int_equal(bench.sent_count, 0);
    bench_admit(DEVICE_ADMIT, BORON);
    assert_int_equal(bench.asked_count, 2);
    assert_int_equal(bench.asked[1].kind, ASKED_HELLO);
    assert_int_equal(bench.sent_count, 3);
    assert_string_equal(bench_sent_hex(), "60000004");
}

static void a_session_may_end_before_its_answers_come(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    struct session *t = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_receive(s, BORON_HELLO);
    dtls_end(s, SESSION_END_PEER_CLOSED, false);
    bench_admit(DEVICE_ADMIT, BORON); /* of t: the newest */
    bench_receive(t, BORON_HELLO);
    dtls_end(t, SESSION_END_PEER_CLOSED, false);
    bench_answer(2, DEVICE_STORED);
    assert_int_equal(bench.sent_count, 0);
    assert_int_equal(bench.told_count, 0);
}

static void a_device_is_enrolled_with_its_key_and_one_id(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_admit(DEVICE_ADMIT_UNKNOWN, NULL);
    bench_receive(s, BORON_HELLO);
    assert_true(bench.asked[1].enrol);
    assert_int_equal(bench.asked[1].spki_len, 91);
    bench_receive(s, "40020002b168ff000d000300f6000d000c0123456789abcdef0123456718380480001770000200");
    assert_int_equal(bench.asked_count, 2); /* not a second one with the same key */
    assert_int_equal(bench.attempts[0].outcome, HANDSHAKE_KEY_ID_MISMATCH);
    bench_answer(1, DEVICE_STORED);
    assert_int_equal(bench.told_count, 0); /* it is being ended */

    s = bench_open(SESSION_DEVICE_OS);
    bench_admit(DEVICE_ADMIT_UNKNOWN, NULL);
    bench_receive(s, BORON_HELLO);
    bench_answer(3, DEVICE_STORED);
    assert_int_equal(bench.told_count, 1);
    bench_receive(s, "40020009b168ff000d000300f6000d000ce00fce68ffffffff0000000118380480001770000200");
    assert_false(bench.asked[4].enrol); /* known by now */
    assert_int_equal(bench.asked[4].spki_len, 0);

    s = bench_open(SESSION_DEVICE_OS);
    bench_admit(DEVICE_ADMIT_UNKNOWN, NULL);
    bench_receive(s, BORON_HELLO);
    bench_answer(6, DEVICE_REJECTED); /* the ID has another key */
    assert_int_equal(bench.attempts[1].outcome, HANDSHAKE_KEY_ID_MISMATCH);
}

static void quarantined_devices_are_heard_but_not_passed_on(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_admit(DEVICE_ADMIT_QUARANTINE, NULL);
    assert_int_equal(bench.attempt_count, 0);
    bench_receive(s, BORON_HELLO);
    assert_true(bench.asked[1].facts.quarantined);
    assert_false(bench.asked[1].enrol);
    assert_int_equal(bench.asked[1].spki_len, 91);
    bench_answer(1, DEVICE_STORED);
    assert_int_equal(bench.attempts[0].outcome, HANDSHAKE_QUARANTINED);
    bench_receive(s, "4002000bb14509766465762f7469636bff31");
    assert_string_equal(bench_sent_hex(), "6083000b");
    bench_receive(s, "40010008b16505737061726b");
    assert_string_equal(bench_sent_hex(), "60830008");
    assert_int_equal(bench.asked_count, 2);
    bench_receive(s, "4102000c2eb1644102ff7b2266223a5b5d2c2276223a7b7d7d");
    assert_int_equal(bench.asked_count, 3);
    bench_answer(2, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "6000000c");
    assert_int_equal(bench_refused("quarantined"), 2);
    struct device_id id = bench_id(BORON);
    assert_false(device_publish(devices_find(bench.all, &id), "spark/x", "y"));
}

static void a_foreign_key_does_not_displace_a_device(void **state)
{
    struct session *genuine = bench_online(SESSION_DEVICE_OS);
    struct session *s = bench_open(SESSION_DEVICE_OS);
    struct device_id id = bench_id(BORON);
    (void)state;

    bench_admit(DEVICE_ADMIT_QUARANTINE, NULL);
    bench_receive(s, BORON_HELLO);
    bench_answer(1, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "60830001");
    assert_int_equal(bench.attempts[0].outcome, HANDSHAKE_KEY_ID_MISMATCH);
    bench_run(0);
    assert_int_equal(bench.ended_count, 1);
    assert_int_equal(bench.told_count, 0);
    assert_ptr_equal(devices_find(bench.all, &id), genuine->user);
}

static void a_device_that_was_quarantined_meanwhile_displaces_itself(void **state)
{
    struct device_id id = bench_id(BORON);
    (void)state;

    bench_online(SESSION_DEVICE_OS);
    struct session *s = bench_open(SESSION_DEVICE_OS);
    bench_admit(DEVICE_ADMIT_QUARANTINE, BORON); /* its key is known */
    bench_receive(s, BORON_HELLO);
    bench_answer(1, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "60000001");
    assert_ptr_equal(devices_find(bench.all, &id), s->user);
    assert_int_equal(bench.told[0].reason, DEVICE_OFFLINE_REPLACED);
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(admission_decides_what_becomes_of_a_session),
        bench_test(the_registry_is_waited_for),
        bench_test(the_registry_is_not_waited_for_without_end),
        bench_test(a_plain_client_has_few_sessions),
        bench_test(a_plain_client_that_says_hello_is_one_no_longer),
        bench_test(plain_clients_without_id_are_told_apart_by_key),
        bench_test(waits_with_what_comes_before_admission),
        bench_test(a_session_may_end_before_its_answers_come),
        bench_test(a_device_is_enrolled_with_its_key_and_one_id),
        bench_test(quarantined_devices_are_heard_but_not_passed_on),
        bench_test(a_foreign_key_does_not_displace_a_device),
        bench_test(a_device_that_was_quarantined_meanwhile_displaces_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
