/* test_dtls.c: handshakes of each kind of device, whole, lost in part, with the wrong key and damaged. */
#include "dtls_bench.h"

/* What the server put on the wire: the types of its plain handshake messages, in order. */
static size_t server_messages(uint8_t types[16], uint16_t seqs[16])
{
    size_t count = 0;
    for (size_t i = 0; i < t.trace_count; i++) {
        const uint8_t *at = t.trace[i].data;
        size_t left = t.trace[i].len;
        while (left >= 13) {
            size_t len = 13 + (size_t)be16_load(at + 11);
            assert_true(len <= left);
            if (at[0] == 22 && be16_load(at + 3) == 0) {
                assert_true(count < 16);
                seqs[count] = be16_load(at + 17);
                types[count++] = at[13];
            }
            at += len;
            left -= len;
        }
    }
    return count;
}

static void test_device_os_handshake_has_no_certificate_and_draft_records(void **state)
{
    (void)state;
    start_client(device_os(true));
    pump();
    assert_true(t.client_done);
    assert_int_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.established, 1);
    assert_int_equal(t.attempt.outcome, HANDSHAKE_OK);

    /* HelloVerifyRequest, ServerHello, ServerKeyExchange, CertificateRequest, ServerHelloDone: no 11 */
    static const uint8_t expected[] = {3, 2, 12, 13, 14};
    uint8_t types[16];
    uint16_t seqs[16];
    assert_int_equal(server_messages(types, seqs), sizeof expected);
    assert_memory_equal(types, expected, sizeof expected);
    for (uint16_t i = 0; i < 5; i++)
        assert_int_equal(seqs[i], i);

    assert_int_equal(t.record.cid_len, 8);
    assert_int_equal(t.record.flavour, SWARM_CID_DRAFT05);
    assert_int_equal(t.session->record.flavour, RECORD_DRAFT05);
    assert_int_equal(be64_load(t.record.cid), t.session->id);
    uint8_t spki[SWARM_SPKI_BYTES], digest[32];
    swarm_spki_encode(spki, t.device_key.point);
    swarm_sha256(digest, spki, sizeof spki);
    assert_int_equal(t.proof.spki_len, sizeof spki);
    assert_memory_equal(t.proof.spki, spki, sizeof spki);
    assert_memory_equal(t.proof.key_sha256, digest, sizeof digest);

    client_sends(
        "\x40\x01\x12\x34"); /* type 25, additional data of the draft: the swarm's own code made it */
    assert_received("\x40\x01\x12\x34");
    assert_true(dtls_send(t.session, (const uint8_t *)"hello", 5));
    assert_client_reads("hello");
}

static void test_device_os_before_3_1_has_no_connection_id(void **state)
{
    (void)state;
    start_client(device_os(false));
    pump();
    assert_int_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.record.cid_len, 0);
    assert_int_equal(t.session->record.flavour, RECORD_PLAIN);
    assert_int_equal(t.session->profile, SESSION_DEVICE_OS);
    client_sends("ping");
    assert_received("ping");
}

static void test_psk_with_each_suite_and_cid_choice(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        t.path.peer_port++;
        start_client(
            psk("0123456789abcdef01234567", t.psk, i & 1 ? SWARM_SUITE_GCM : SWARM_SUITE_CCM8, i & 2));
        pump();
        assert_int_equal(t.result, SWARM_DTLS_OK);
        assert_string_equal(t.proof.identity, "0123456789abcdef01234567");
        assert_int_equal(t.session->record.flavour, i & 2 ? RECORD_RFC9146 : RECORD_PLAIN);
        assert_int_equal(t.session->record.cipher, i & 1 ? RECORD_GCM : RECORD_CCM8);
        client_sends("over psk");
        assert_received("over psk");
        assert_true(dtls_send(t.session, (const uint8_t *)"back", 4));
        assert_client_reads("back");
        swarm_dtls_free(t.client);
        t.client = NULL;
    }
    assert_int_equal(t.established, 4);
}

static void test_psk_may_be_answered_later_or_never(void **state)
{
    (void)state;
    t.answer_psk = false;
    start_client(psk("later", t.psk, SWARM_SUITE_CCM8, true));
    pump();
    assert_non_null(t.query);
    assert_string_equal(t.identity, "later");
    assert_int_equal(t.established, 0);
    struct dtls_psk_query *query = t.query;
    t.query = NULL;
    dtls_psk_answer(query, (const uint8_t *)t.psk, strlen(t.psk));
    pump();
    assert_int_equal(t.result, SWARM_DTLS_OK);
    swarm_dtls_free(t.client);

    t.path.peer_port++;
    start_client(psk("nobody", t.psk, SWARM_SUITE_CCM8, true));
    pump();
    query = t.query;
    t.query = NULL;
    dtls_psk_answer(query, NULL, 0);
    pump();
    assert_int_equal(t.result, SWARM_DTLS_ALERT);
    assert_int_equal(t.attempt.outcome, HANDSHAKE_UNKNOWN_IDENTITY);
    assert_int_equal(t.established, 1);
    swarm_dtls_free(t.client);
    t.client = NULL;

    /* the handshake is gone before the answer comes */
    t.path.peer_port++;
    start_client(psk("slow", t.psk, SWARM_SUITE_CCM8, true));
    pump();
    assert_non_null(t.query);
    deadlines_run(&t.deadlines, t.now_ms + 46000);
    query = t.query;
    t.query = NULL;
    dtls_psk_answer(query, (const uint8_t *)t.psk, strlen(t.psk));
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
    assert_int_equal(t.established, 1);
}

static void test_wrong_psk_is_bad_finished(void **state)
{
    (void)state;
    start_client(psk("0123456789abcdef01234567", "fedcba9876543210", SWARM_SUITE_CCM8, true));
    pump();
    assert_true(t.client_done);
    assert_int_not_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.attempt.outcome, HANDSHAKE_BAD_FINISHED);
    assert_int_equal(t.established, 0);
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
}

static void test_wrong_server_key_is_noticed_by_the_device(void **state)
{
    (void)state;
    struct swarm_key other;
    assert_true(swarm_key_generate(t.crypto, &other));
    struct swarm_verifier *verifier = swarm_verifier_new(t.crypto, other.point);
    struct swarm_credentials credentials = device_os(true);
    credentials.server = verifier;
    start_client(credentials);
    pump();
    assert_int_equal(t.result, SWARM_DTLS_SIGNATURE);
    assert_int_equal(t.established, 0);
    swarm_verifier_free(verifier);
}

static void test_lost_last_flight_is_sent_again(void **state)
{
    (void)state;
    start_client(device_os(true));
    while (t.established == 0) {
        struct datagram *up = pop(&t.to_server), *down = up ? NULL : pop(&t.to_client);
        assert_true(up || down);
        if (up)
            to_server(up->data, up->len);
        else
            swarm_dtls_receive(t.client, down->data, down->len, t.now_ms);
    }
    assert_non_null(pop(&t.to_client)); /* our ChangeCipherSpec and Finished are lost */
    assert_false(t.client_done);
    deadlines_run(&t.deadlines, t.now_ms + 3001); /* the client sends flight 5 again */
    pump();
    assert_true(t.client_done);
    assert_int_equal(t.result, SWARM_DTLS_OK);
    assert_int_equal(t.established, 1);
    client_sends("after all");
    assert_received("after all");
    assert_true(dtls_send(t.session, (const uint8_t *)"yes", 3));
    assert_client_reads("yes");
}

static void test_mutated_flights_never_pass(void **state)
{
    (void)state;
    unsigned seed = 1;
    for (int round = 0; round < 300; round++) {
        t.path.peer_port = (uint16_t)(10000 + round);
        t.trace_count = t.to_client.count = t.to_server.count = 0;
        start_client(device_os(true));
        unsigned before = t.established;
        bool mutated = false;
        for (int step = 0; step < 30 && !t.client_done; step++) {
            struct datagram *up = pop(&t.to_server), *down = up ? NULL : pop(&t.to_client);
            if (!up && !down)
                break;
            if (down) {
                swarm_dtls_receive(t.client, down->data, down->len, t.now_ms);
                continue;
            }
            bool last_flight = up->len > 200;
            if (last_flight && !mutated) {
                seed = seed * 1103515245 + 12345;
                size_t at = (seed >> 8) % up->len;
                up->data[at] ^= (uint8_t)(1 + (seed >> 24) % 255);
                mutated = true;
            }
            to_server(up->data, up->len);
        }
        /* a record whose damage lies outside of what is protected may still pass; the handshake as proved
         * must be whole */
        if (t.established > before)
            assert_memory_equal(t.proof.spki + 27, t.device_key.point + 1, 64);
        swarm_dtls_free(t.client);
        t.client = NULL;
    }
    t.trace_count = t.to_client.count = 0;
    deadlines_run(&t.deadlines, t.now_ms + 46000);
    assert_int_equal(dtls_handshake_count(t.dtls), 0);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_device_os_handshake_has_no_certificate_and_draft_records, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_device_os_before_3_1_has_no_connection_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_psk_with_each_suite_and_cid_choice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_psk_may_be_answered_later_or_never, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_psk_is_bad_finished, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_server_key_is_noticed_by_the_device, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_last_flight_is_sent_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mutated_flights_never_pass, setup, teardown),
    };
    return cmocka_run_group_tests_name("dtls", tests, NULL, remove_key);
}
