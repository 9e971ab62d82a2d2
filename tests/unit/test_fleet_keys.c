/* test_fleet_keys.c: whom a key, a pre-shared key or a certificate lets in, how keys are rotated and
 * enrolled, and the record of attempts. */
#include "fleet_key_bench.h"

#include <stdio.h>

#include "fleet/attempts.h"

#define LOCK_WAITS "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

static void test_key_decides(void **state)
{
    struct fleet_fixture *fx = *state;
    struct key_pair a = new_key(), stranger = new_key();
    assert_int_equal(provision(fx, &fx->admin, 1, &a).err, FLEET_OK);
    struct admitted known = authorise_key(fx, &a);
    assert_is(&known, 1);
    assert_int_equal(authorise_key(fx, &stranger).admission, DEVICE_REFUSE_UNKNOWN);
    assert_int_equal(provision(fx, &fx->admin, 2, &a).err, FLEET_CONFLICT); /* one key, one device */
    assert_string_equal(fleet_sql("SELECT count(*) FROM device"), "1");
}

static void test_two_keys_live_a_third_retires_the_oldest(void **state)
{
    struct fleet_fixture *fx = *state;
    struct key_pair k[4] = {new_key(), new_key(), new_key(), new_key()};
    provision(fx, &fx->admin, 1, &k[0]);
    provision(fx, &fx->admin, 1, &k[1]);
    struct admitted a = authorise_key(fx, &k[0]);
    assert_is(&a, 1);
    a = authorise_key(fx, &k[1]); /* the session it has now */
    assert_is(&a, 1);
    provision(fx, &fx->admin, 1, &k[2]);
    assert_int_equal(authorise_key(fx, &k[0]).admission, DEVICE_REFUSE_UNKNOWN);
    assert_int_equal(fx->revoked, 0); /* its session was made with a key that still lives */
    provision(fx, &fx->admin, 1, &k[3]);
    assert_int_equal(fx->revoked, 1);
    struct device_id id = fleet_test_id(1);
    assert_true(device_id_equal(&fx->revoked_id, &id));
    assert_int_equal(authorise_key(fx, &k[1]).admission, DEVICE_REFUSE_UNKNOWN);
    a = authorise_key(fx, &k[2]);
    assert_is(&a, 1);
    a = authorise_key(fx, &k[3]);
    assert_is(&a, 1);
    assert_int_equal(provision(fx, &fx->admin, 2, &k[0]).err, FLEET_OK); /* a retired key is free again */
}

/* A call whose answer was lost is made again: it must end the session as the first one would have. */
static void test_provisioning_again_answers_the_same(void **state)
{
    struct fleet_fixture *fx = *state;
    struct key_pair k[3] = {new_key(), new_key(), new_key()};
    provision(fx, &fx->admin, 1, &k[0]);
    struct admitted a = authorise_key(fx, &k[0]);
    assert_is(&a, 1);
    provision(fx, &fx->admin, 1, &k[1]);
    provision(fx, &fx->admin, 1, &k[2]);
    assert_int_equal(fx->revoked, 1);
    provision(fx, &fx->admin, 1, &k[2]);
    assert_int_equal(fx->revoked, 2);
    a = authorise_key(fx, &k[2]); /* back with a key that lives */
    assert_is(&a, 1);
    provision(fx, &fx->admin, 1, &k[2]);
    assert_int_equal(fx->revoked, 2);
}

static void test_a_lost_answer_ends_the_session(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_answer a = {0};
    struct fleet_key key;
    struct device_id id = fleet_test_id(1);
    const char *why;
    fleet_enrol(fx, 1);
    assert_true(fleet_key_from_hex(&key, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &why));
    private_postgres_freeze(&fleet_postgres);
    fleet_provision_device(fx->fleet, &fx->admin, &id, &key, -1, fleet_on_change, &a);
    fleet_run_until(fx, pg_waiting(fx->pg) == 0); /* sent */
    assert_int_equal(fx->revoked, 0);
    private_postgres_kill(&fleet_postgres);
    fleet_run_until(fx, a.calls);
    assert_int_equal(a.err, FLEET_AWAY);
    assert_int_equal(fx->revoked, 1);
    assert_true(device_id_equal(&fx->revoked_id, &id));
}

static void test_two_provisionings_of_one_new_device(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_answer a = {0};
    struct fleet_key key;
    struct device_id id = fleet_test_id(1);
    struct key_pair k = new_key();
    char why[200], sql[300];
    const char *flaw;
    struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    snprintf(sql, sizeof sql,
             "BEGIN; INSERT INTO device (id, owner_id) VALUES ('\\xe00fce680000000000000001', %d)",
             (int)fx->owner.user_id);
    assert_int_equal(pg_sync_script(s, sql, why, sizeof why), 0);
    assert_true(fleet_key_from_pem(&key, k.pem, strlen(k.pem), &flaw));
    fleet_provision_device(fx->fleet, &fx->other_owner, &id, &key, -1, fleet_on_change, &a);
    fleet_run_until(fx, *fleet_sql(LOCK_WAITS) != '0');
    assert_int_equal(pg_sync_script(s, "COMMIT", why, sizeof why), 0);
    pg_sync_close(s);
    fleet_run_until(fx, a.calls);
    assert_int_equal(a.err, FLEET_FORBIDDEN); /* it has an owner now */
    assert_string_equal(fleet_sql("SELECT count(*) FROM device_key"), "0");
}

/* A herd that comes back with the keys it had before writes nothing about them. */
static void test_authorising_is_reading(void **state)
{
    struct fleet_fixture *fx = *state;
    struct key_pair k[2] = {new_key(), new_key()};
    char version[64];
    provision(fx, &fx->admin, 1, &k[0]);
    provision(fx, &fx->admin, 1, &k[1]);
    static const char versions[] = "SELECT string_agg(xmin::text, ' ' ORDER BY id) FROM device_key";
    struct admitted a = authorise_key(fx, &k[0]);
    snprintf(version, sizeof version, "%s", fleet_sql(versions));
    a = authorise_key(fx, &k[0]);
    assert_is(&a, 1);
    assert_string_equal(fleet_sql(versions), version);
    authorise_key(fx, &k[1]);
    authorise_key(fx, &k[0]); /* the later use counts */
    assert_string_equal(
        fleet_sql("SELECT (array_agg(id ORDER BY last_used_at DESC))[1] = min(id) FROM device_key"), "t");
    fleet_script("UPDATE device_key SET last_used_at = last_used_at - interval '2 hours'");
    authorise_key(fx, &k[0]);
    assert_string_equal(
        fleet_sql("SELECT count(*) FROM device_key WHERE last_used_at > now() - interval '1 hour'"), "1");
}

static void test_psk_rotation_tries_both(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_id id = fleet_test_id(1);
    const char *why;
    char text[DEVICE_ID_TEXT_SIZE];
    struct fleet_key key;
    struct fleet_answer a = {0};
    device_id_format(text, &id);
    fx->ops->find_psk(fx->ops->ctx, text, (struct dtls_psk_query *)fx);
    assert_int_equal(fx->psk_answers, 0);
    fleet_run_until(fx, fx->psk_answers == 1);
    assert_int_equal(fx->psk_len, 0);
    fleet_enrol(fx, 1); /* ...01 is 0002 in the last byte */
    assert_true(fleet_key_from_hex(&key, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &why));
    fleet_provision_device(fx->fleet, &fx->admin, &id, &key, -1, fleet_on_change, &a);
    fleet_run_until(fx, a.calls);
    fx->ops->find_psk(fx->ops->ctx, text, (struct dtls_psk_query *)fx);
    fleet_run_until(fx, fx->psk_answers == 2);
    assert_int_equal(fx->psk_len, 16);
    assert_int_equal(fx->psk[15], 0xaa); /* the newest first */
    struct handshake_attempt failed = {
        .outcome = HANDSHAKE_BAD_FINISHED, .stage = "finished", .profile = "psk"};
    snprintf(failed.identity, sizeof failed.identity, "%s", text);
    fx->ops->attempted(fx->ops->ctx, &failed);
    fx->ops->find_psk(fx->ops->ctx, text, (struct dtls_psk_query *)fx);
    fleet_run_until(fx, fx->psk_answers == 3);
    assert_int_equal(fx->psk[15], 0x02);          /* then the one before */
    failed.outcome = HANDSHAKE_REFUSED_BY_POLICY; /* says nothing about the key */
    fx->ops->attempted(fx->ops->ctx, &failed);
    fx->ops->find_psk(fx->ops->ctx, text, (struct dtls_psk_query *)fx);
    fleet_run_until(fx, fx->psk_answers == 4);
    assert_int_equal(fx->psk[15], 0x02);
    fx->ops->find_psk(fx->ops->ctx, "not an id' OR 1=1", (struct dtls_psk_query *)fx);
    assert_int_equal(fx->psk_answers, 4);
    fleet_run_until(fx, fx->psk_answers == 5);
    assert_int_equal(fx->psk_len, 0);
    struct session_proof proof = {.profile = SESSION_PSK};
    snprintf(proof.identity, sizeof proof.identity, "%s", text);
    struct admitted admitted = authorise(fx, &proof);
    assert_is(&admitted, 1);
    snprintf(proof.identity, sizeof proof.identity, "%s", "e00fce68ffffffffffffffff");
    assert_int_equal(authorise(fx, &proof).admission, DEVICE_REFUSE_UNKNOWN);
}

static struct admitted admitted_at_once[2];

static void authorise_two(struct fleet_fixture *fx)
{
    struct session_proof proof = {.profile = SESSION_PSK};
    for (unsigned i = 0; i < 2; i++) {
        struct device_id id = fleet_test_id(i + 1);
        device_id_format(proof.identity, &id);
        fx->ops->authorise(fx->ops->ctx, &proof, on_admit, &admitted_at_once[i]);
        assert_int_equal(admitted_at_once[i].calls, 0);
    }
}

/* The handshake is complete inside the answer with its key: the registry is not asked twice. Another's is. */
static void test_psk_authorises_with_its_answer(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_id id = fleet_test_id(1);
    char text[DEVICE_ID_TEXT_SIZE];
    fleet_enrol(fx, 1);
    fleet_enrol(fx, 2);
    device_id_format(text, &id);
    memset(admitted_at_once, 0, sizeof admitted_at_once);
    fx->on_psk_answer = authorise_two;
    fx->ops->find_psk(fx->ops->ctx, text, (struct dtls_psk_query *)fx);
    fleet_run_until(fx, fx->psk_answers == 1);
    private_postgres_freeze(&fleet_postgres);
    fleet_run_until(fx, admitted_at_once[0].calls);
    assert_is(&admitted_at_once[0], 1);
    assert_int_equal(admitted_at_once[1].calls, 0);
    private_postgres_thaw(&fleet_postgres);
    fleet_run_until(fx, admitted_at_once[1].calls);
    assert_is(&admitted_at_once[1], 2);
}

static void test_no_key_while_away_is_not_unknown(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_settings settings = fx->fleet->settings;
    settings.hold_ms = 50;
    fleet_reload(fx->fleet, &settings);
    private_postgres_kill(&fleet_postgres);
    fx->ops->find_psk(fx->ops->ctx, "e00fce680000000000000001", (struct dtls_psk_query *)fx);
    fleet_run_until(fx, fx->psk_answers || fx->psk_aways);
    assert_int_equal(fx->psk_aways, 1);
    assert_int_equal(fx->psk_answers, 0);
}

static void test_certificate_of_an_authority_names_the_device(void **state)
{
    struct fleet_fixture *fx = *state;
    struct session_proof proof = {.profile = SESSION_X509, .key_sha256 = {1}};
    snprintf(proof.subject_cn, sizeof proof.subject_cn, "%s", "e00fce680000000000000001");
    fleet_enrol(fx, 1);
    assert_int_equal(authorise(fx, &proof).admission, DEVICE_REFUSE_UNKNOWN); /* anybody can write a name */
    proof.ca_signed = true;
    struct admitted a = authorise(fx, &proof);
    assert_is(&a, 1);
    snprintf(proof.subject_cn, sizeof proof.subject_cn, "%s", "e00fce680000000000000009");
    assert_int_equal(authorise(fx, &proof).admission, DEVICE_REFUSE_UNKNOWN);
}

static void test_a_certificate_does_not_revive_a_key(void **state)
{
    struct fleet_fixture *fx = *state;
    struct key_pair k[3] = {new_key(), new_key(), new_key()};
    struct session_proof proof = {.profile = SESSION_X509, .ca_signed = true};
    snprintf(proof.subject_cn, sizeof proof.subject_cn, "%s", "e00fce680000000000000001");
    memcpy(proof.key_sha256, k[0].sha256, sizeof proof.key_sha256);
    provision(fx, &fx->admin, 1, &k[0]);
    struct admitted a = authorise(fx, &proof);
    assert_is(&a, 1);
    provision(fx, &fx->admin, 1, &k[1]);
    provision(fx, &fx->admin, 1, &k[2]);
    assert_int_equal(authorise(fx, &proof).admission, DEVICE_REFUSE_UNKNOWN);
    proof.key_sha256[0] ^= 1; /* one that was never enrolled */
    a = authorise(fx, &proof);
    assert_is(&a, 1);
}

static void test_keys_people_hand_over(void **state)
{
    (void)state;
    struct fleet_key key;
    const char *why;
    struct key_pair rsa = {.pem = ""}, p384 = {.pem = ""}, compressed = {.pem = ""}, plain = {.pem = ""};
    EVP_PKEY *pkey = EVP_RSA_gen(1024);
    write_pem(&rsa, pkey);
    EVP_PKEY_free(pkey);
    assert_true(fleet_key_from_pem(&key, rsa.pem, strlen(rsa.pem), &why));
    assert_int_equal(key.kind, FLEET_KEY_RSA);
    assert_int_equal(key.data_len, 162);
    pkey = EVP_EC_gen("P-384");
    write_pem(&p384, pkey);
    EVP_PKEY_free(pkey);
    assert_false(fleet_key_from_pem(&key, p384.pem, strlen(p384.pem), &why));
    assert_non_null(strstr(why, "P-256"));
    pkey = EVP_EC_gen("P-256");
    write_pem(&plain, pkey);
    EVP_PKEY_set_utf8_string_param(pkey, "point-format", "compressed");
    write_pem(&compressed, pkey);
    EVP_PKEY_free(pkey);
    assert_true(compressed.spki_len < 91);
    assert_true(fleet_key_from_pem(&key, compressed.pem, strlen(compressed.pem), &why));
    assert_int_equal(key.data_len, 91);
    assert_memory_equal(key.data, plain.spki, 91);
    static const char *const bad[] = {"", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                                      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(fleet_key_from_pem(&key, bad[i], strlen(bad[i]), &why));
    assert_true(fleet_key_from_hex(&key, "000102030405060708090a0b0c0d0e0F", &why));
    assert_int_equal(key.data_len, 16);
    assert_false(fleet_key_from_hex(&key, "0001", &why));
    assert_false(fleet_key_from_hex(&key, "zz0102030405060708090a0b0c0d0e0f", &why));
    assert_false(fleet_key_from_hex(&key, "000102030405060708090a0b0c0d0e0f0", &why));
}

static void test_attempts_are_kept_bounded(void **state)
{
    struct fleet_fixture *fx = *state;
    struct key_pair k = new_key();
    provision(fx, &fx->admin, 1, &k);
    for (unsigned i = 0; i < 2 * ATTEMPTS_MAX; i++) {
        struct handshake_attempt a = {
            .outcome = HANDSHAKE_UNKNOWN_KEY, .stage = "authorise", .profile = "device_os"};
        a.key_sha256[0] = (uint8_t)(1 + i % 4);
        if (i % 2)
            memcpy(a.key_sha256, k.sha256, sizeof k.sha256);
        fx->ops->attempted(fx->ops->ctx, &a);
    }
    fleet_run_until(fx, *fleet_sql("SELECT count(*) FROM handshake_attempt") != '0');
    assert_string_equal(
        fleet_sql("SELECT string_agg(n::text, ' ') FROM (SELECT count(*) AS n FROM handshake_attempt"
                  " GROUP BY subject) x"),
        "20 20 20");
    assert_string_equal(fleet_sql("SELECT count(*) FROM handshake_attempt WHERE device_id IS NOT NULL"),
                        "20");
    assert_int_equal(
        metrics_add(fx->metrics, METRIC_COUNTER, "cyan_handshake_records_dropped_total", NULL, "")->value,
        ATTEMPTS_MAX);
}

static void test_offline_enrolment(void **state)
{
    (void)state;
    char why[200];
    const char *flaw;
    struct fleet_key key, other;
    struct device_id id = fleet_test_id(1), id2 = fleet_test_id(2);
    struct key_pair k = new_key();
    assert_true(fleet_key_from_pem(&key, k.pem, strlen(k.pem), &flaw));
    assert_true(fleet_key_from_hex(&other, "000102030405060708090a0b0c0d0e0f", &flaw));
    struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    assert_int_equal(fleet_provision_sync(s, &id, &key, "pump-1", why, sizeof why), 0);
    assert_int_equal(fleet_provision_sync(s, &id, &other, NULL, why, sizeof why), 0);
    assert_int_equal(fleet_provision_sync(s, &id2, &key, NULL, why, sizeof why), -1);
    assert_int_equal(fleet_provision_sync(s, &id2, &other, "pump-1", why, sizeof why), -1);
    assert_int_equal(fleet_provision_sync(s, &id2, &other, "bad name", why, sizeof why), -1);
    assert_true(strlen(why) > 0);
    pg_sync_close(s);
    assert_string_equal(fleet_sql("SELECT name || ' ' || (SELECT count(*) FROM device_key) FROM device"),
                        "pump-1 2");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_key_decides),
        TEST(test_two_keys_live_a_third_retires_the_oldest),
        TEST(test_provisioning_again_answers_the_same),
        TEST(test_a_lost_answer_ends_the_session),
        TEST(test_two_provisionings_of_one_new_device),
        TEST(test_authorising_is_reading),
        TEST(test_psk_rotation_tries_both),
        TEST(test_psk_authorises_with_its_answer),
        TEST(test_no_key_while_away_is_not_unknown),
        TEST(test_certificate_of_an_authority_names_the_device),
        TEST(test_a_certificate_does_not_revive_a_key),
        TEST(test_keys_people_hand_over),
        TEST(test_attempts_are_kept_bounded),
        TEST(test_offline_enrolment),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
