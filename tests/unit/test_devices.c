/* test_devices.c: who is let in, who is who, and who is online. */
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
        bench_test(admission_decides_what_becomes_of_a_session),
        bench_test(the_registry_is_waited_for),
        bench_test(the_registry_is_not_waited_for_without_end),
        bench_test(a_plain_client_has_few_sessions),
        bench_test(a_plain_client_that_says_hello_is_one_no_longer),
        bench_test(plain_clients_without_id_are_told_apart_by_key),
        bench_test(waits_with_what_comes_before_admission),
        bench_test(a_session_may_end_before_its_answers_come),
        bench_test(hello_is_acknowledged_once_it_is_stored),
        bench_test(hello_is_taken_again_when_the_store_was_busy),
        bench_test(an_id_that_is_not_the_keys_ends_the_session),
        bench_test(an_online_device_that_claims_another_id_goes_offline),
        bench_test(a_rejected_hello_ends_the_session),
        bench_test(malformed_hellos_are_answered_and_counted),
        bench_test(a_device_is_enrolled_with_its_key_and_one_id),
        bench_test(quarantined_devices_are_heard_but_not_passed_on),
        bench_test(a_foreign_key_does_not_displace_a_device),
        bench_test(a_device_that_was_quarantined_meanwhile_displaces_itself),
        bench_test(a_new_session_replaces_the_old_one_once_its_hello_is_stored),
        bench_test(a_device_that_says_no_hello_is_ended),
        bench_test(hello_within_a_session_refreshes_it),
        bench_test(goodbye_and_what_comes_after),
        bench_test(silence_is_offline_and_any_word_is_online),
        bench_test(heard_is_told_once_a_second),
        bench_test(the_time_of_silence_can_be_changed),
        bench_test(each_end_has_its_reason),
        bench_test(a_revoked_key_ends_every_session_made_with_it),
        bench_test(the_dtls_endpoints_other_questions_are_passed_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
