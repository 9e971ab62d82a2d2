/* test_fleet_registry.c: who is let in, what Hello and describe leave behind, keys and their rotation,
 * presence. */
#include "fleet_fixture.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fleet/attempts.h"
#include "fleet/attendance.h"

struct key_pair {
    char pem[1024];
    uint8_t spki[600], sha256[32];
    size_t spki_len;
};

#define LOCK_WAITS "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

static void write_pem(struct key_pair *k, EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, pkey);
    int len = BIO_read(bio, k->pem, (int)sizeof k->pem - 1);
    k->pem[len > 0 ? len : 0] = 0;
    BIO_free(bio);
    uint8_t *out = k->spki;
    k->spki_len = (size_t)i2d_PUBKEY(pkey, &out);
    SHA256(k->spki, k->spki_len, k->sha256);
}

static struct key_pair new_key(void)
{
    struct key_pair k = {.pem = ""};
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    write_pem(&k, pkey);
    EVP_PKEY_free(pkey);
    return k;
}

static struct fleet_answer provision(struct fleet_fixture *fx, const struct fleet_actor *who, unsigned n,
                                     const struct key_pair *k)
{
    struct fleet_answer a = {0};
    struct fleet_key key;
    struct device_id id = fleet_test_id(n);
    const char *why;
    assert_true(fleet_key_from_pem(&key, k->pem, strlen(k->pem), &why));
    assert_int_equal(key.kind, FLEET_KEY_P256);
    assert_int_equal(key.data_len, 91);
    assert_memory_equal(key.data, k->spki, 91);
    fleet_provision_device(fx->fleet, who, &id, &key, -1, fleet_on_change, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    return a;
}

struct admitted {
    int calls;
    enum device_admission admission;
    bool has_id;
    struct device_id id;
};

static void on_admit(void *arg, enum device_admission admission, const struct device_id *id)
{
    struct admitted *a = arg;
    a->calls++;
    a->admission = admission;
    a->has_id = id != NULL;
    if (id)
        a->id = *id;
}

static struct admitted authorise(struct fleet_fixture *fx, const struct session_proof *proof)
{
    struct admitted a = {0};
    fx->ops->authorise(fx->ops->ctx, proof, on_admit, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    return a;
}

static struct admitted authorise_key(struct fleet_fixture *fx, const struct key_pair *k)
{
    struct session_proof proof = {.profile = SESSION_DEVICE_OS};
    memcpy(proof.key_sha256, k->sha256, sizeof proof.key_sha256);
    memcpy(proof.spki, k->spki, k->spki_len);
    proof.spki_len = k->spki_len;
    return authorise(fx, &proof);
}

static void assert_is(const struct admitted *a, unsigned n)
{
    struct device_id id = fleet_test_id(n);
    assert_int_equal(a->admission, DEVICE_ADMIT);
    assert_true(a->has_id && device_id_equal(&a->id, &id));
}

static enum device_verdict hello_with(struct fleet_fixture *fx, unsigned n, uint64_t session,
                                      bool quarantined, bool enrol, const struct key_pair *k)
{
    struct device_facts facts = fleet_test_facts(n, session);
    struct hello hello = fleet_test_hello(n, 12);
    struct fleet_verdict v = {0};
    facts.quarantined = quarantined;
    fx->ops->hello(fx->ops->ctx, &facts, &hello, enrol, k ? k->spki : NULL, k ? k->spki_len : 0,
                   fleet_on_verdict, &v);
    fleet_run_until(fx, v.calls);
    return v.verdict;
}

static void set_policy(struct fleet_fixture *fx, enum fleet_policy policy)
{
    struct fleet_settings settings = fx->fleet->settings;
    settings.unknown = policy;
    fleet_reload(fx->fleet, &settings);
}

/* --- keys --- */

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

/* --- policies --- */

static void test_enrol_trusts_the_first_key(void **state)
{
    struct fleet_fixture *fx = *state;
    struct key_pair first = new_key(), second = new_key();
    set_policy(fx, FLEET_ENROL);
    assert_int_equal(authorise_key(fx, &first).admission, DEVICE_ADMIT_UNKNOWN);
    assert_int_equal(hello_with(fx, 1, 1, false, true, &first), DEVICE_STORED);
    assert_int_equal(hello_with(fx, 1, 1, false, true, &first), DEVICE_STORED); /* said twice */
    struct admitted a = authorise_key(fx, &first);
    assert_is(&a, 1);
    assert_int_equal(authorise_key(fx, &second).admission, DEVICE_ADMIT_UNKNOWN);
    assert_int_equal(hello_with(fx, 1, 2, false, true, &second), DEVICE_REJECTED); /* not with another key */
    assert_int_equal(hello_with(fx, 2, 2, false, true, &first), DEVICE_REJECTED);  /* not another device */
    assert_int_equal(hello_with(fx, 3, 2, false, true, NULL), DEVICE_REJECTED);    /* not without a key */
    assert_string_equal(
        fleet_sql("SELECT count(*) || ' ' || count(*) FILTER (WHERE quarantined) FROM device"), "1 0");
}

static void test_quarantine(void **state)
{
    struct fleet_fixture *fx = *state;
    struct key_pair k = new_key(), other = new_key();
    fleet_enrol(fx, 5);
    set_policy(fx, FLEET_QUARANTINE);
    assert_int_equal(authorise_key(fx, &k).admission, DEVICE_ADMIT_QUARANTINE);
    assert_int_equal(hello_with(fx, 1, 1, true, false, &k), DEVICE_STORED);
    struct fleet_answer d = fleet_get_id(fx, 1);
    assert_true(d.quarantined);
    assert_int_equal(hello_with(fx, 5, 1, true, false, &k),
                     DEVICE_REJECTED); /* never as a device that is trusted */
    assert_int_equal(hello_with(fx, 1, 1, true, false, &other),
                     DEVICE_REJECTED); /* nor as another unknown one */
    struct admitted a = authorise_key(fx, &k);
    assert_int_equal(a.admission, DEVICE_ADMIT_QUARANTINE);
    assert_true(a.has_id);
    set_policy(fx, FLEET_REFUSE);
    assert_int_equal(authorise_key(fx, &k).admission, DEVICE_REFUSE_UNKNOWN);
    assert_int_equal(provision(fx, &fx->owner, 1, &k).err, FLEET_FORBIDDEN);
    assert_int_equal(provision(fx, &fx->admin, 1, &k).err, FLEET_OK); /* approved */
    a = authorise_key(fx, &k);
    assert_is(&a, 1);
    assert_false(fleet_get_id(fx, 1).quarantined);
    assert_int_equal(fx->revoked, 1); /* the open session is still one of quarantine */
}

/* Who named a device first is not whom its owner vouches for. */
static void test_approval_shuts_the_stranger_out(void **state)
{
    struct fleet_fixture *fx = *state;
    struct key_pair stranger = new_key(), genuine = new_key();
    char why[200];
    const char *flaw;
    struct fleet_key key;
    struct device_id id = fleet_test_id(2);
    set_policy(fx, FLEET_QUARANTINE);
    assert_int_equal(hello_with(fx, 1, 1, true, false, &stranger), DEVICE_STORED);
    assert_int_equal(provision(fx, &fx->admin, 1, &genuine).err, FLEET_OK);
    assert_int_equal(fx->revoked, 1);
    struct admitted a = authorise_key(fx, &genuine);
    assert_is(&a, 1);
    set_policy(fx, FLEET_REFUSE);
    assert_int_equal(authorise_key(fx, &stranger).admission, DEVICE_REFUSE_UNKNOWN);
    stranger = new_key();
    genuine = new_key();
    assert_int_equal(hello_with(fx, 2, 1, true, false, &stranger), DEVICE_STORED);
    struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    assert_true(fleet_key_from_pem(&key, genuine.pem, strlen(genuine.pem), &flaw));
    assert_int_equal(fleet_provision_sync(s, &id, &key, NULL, why, sizeof why), 0);
    pg_sync_close(s);
    a = authorise_key(fx, &genuine);
    assert_is(&a, 2);
    assert_int_equal(authorise_key(fx, &stranger).admission, DEVICE_REFUSE_UNKNOWN);
}

static void test_unknown_hello_is_rejected(void **state)
{
    struct fleet_fixture *fx = *state;
    assert_int_equal(hello_with(fx, 1, 1, false, false, NULL), DEVICE_REJECTED);
    assert_string_equal(fleet_sql("SELECT count(*) FROM device"), "0");
}

/* --- what devices say --- */

static void test_hello_is_remembered(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, 12, 11);
    struct fleet_answer a = fleet_get_id(fx, 1);
    assert_int_equal(a.platform_id, 12);
    assert_string_equal(a.system_release, "6.2.0");
    assert_string_equal(a.last_ip, "192.0.2.1");
    assert_true(a.last_handshake_ms > 0);
    assert_string_equal(fleet_sql("SELECT session_epoch FROM device"), "1");
    fleet_say_hello(fx, 1, 12, 11); /* inside the same session */
    assert_string_equal(fleet_sql("SELECT session_epoch FROM device"), "1");
    assert_int_equal(fleet_get_id(fx, 1).last_handshake_ms, a.last_handshake_ms);
    fleet_say_hello(fx, 1, 12, UINT64_MAX);
    assert_string_equal(fleet_sql("SELECT session_epoch FROM device"), "2");
}

static void test_describe_is_remembered(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts facts = fleet_test_facts(1, 1);
    char functions[2][DESCRIBE_NAME_MAX + 1] = {"digitalread", "it's \"x\" \xff"};
    struct variable variables[] = {
        {"temp", VARIABLE_DOUBLE}, {"on", VARIABLE_BOOL}, {"n", VARIABLE_INT32}, {"s", 77}};
    struct metric_value metrics[] = {{.id = 1, .value = -5}, {.id = 18, .value = -210, .is_error = true}};
    struct module modules[] = {
        {.function = MODULE_SYSTEM,
         .index = 1,
         .version = 6200,
         .checked_flags = 30,
         .passed_flags = 26,
         .dependency_count = 1,
         .dependencies = {{MODULE_BOOTLOADER, 0, 3000}}},
        {.function = MODULE_USER, .index = 2, .version = 6, .has_hash = true, .hash = {0xab}},
        {.function = MODULE_USER, .index = 2, .store = MODULE_STORE_FACTORY, .version = 1},
        {.function = MODULE_USER, .index = 2, .version = 5}, /* said twice: one counts */
    };
    struct describe d = {.parts = DESCRIBE_SYSTEM | DESCRIBE_APPLICATION | DESCRIBE_METRICS,
                         .modules = modules,
                         .module_count = 4,
                         .functions = functions,
                         .function_count = 2,
                         .variables = variables,
                         .variable_count = 4,
                         .metrics = metrics,
                         .metric_count = 2,
                         .imei = "352999061234567"};
    struct fleet_verdict v = {0}, unknown = {0};
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, 12, 1);
    fx->ops->describe(fx->ops->ctx, &facts, &d, fleet_on_verdict, &v);
    fleet_run_until(fx, v.calls);
    assert_int_equal(v.verdict, DEVICE_STORED);
    struct fleet_answer a = fleet_get_id(fx, 1);
    assert_string_equal(a.functions, "digitalread;it's \"x\" ?;");
    assert_non_null(strstr(a.variables, "temp=double;"));
    assert_non_null(strstr(a.variables, "on=bool;"));
    assert_non_null(strstr(a.variables, "n=int32;"));
    assert_non_null(strstr(a.variables, "s=string;"));
    assert_string_equal(fleet_sql("SELECT imei || ' ' || (sig <> 0) FROM device"), "352999061234567 true");
    assert_string_equal(fleet_sql("SELECT vitals FROM device_vitals"),
                        "{\"1\": -5, \"18\": {\"err\": -210}}");
    facts.id = fleet_test_id(99);
    fx->ops->describe(fx->ops->ctx, &facts, &d, fleet_on_verdict, &unknown);
    fleet_run_until(fx, unknown.calls);
    assert_int_equal(unknown.verdict, DEVICE_REJECTED);
}

struct modules_answer {
    int calls;
    enum fleet_err err;
    char text[600];
};

static void on_modules(void *arg, enum fleet_err err, const struct device_id *id,
                       const struct fleet_module *modules, size_t module_count,
                       const struct fleet_module_change *history, size_t history_count)
{
    struct modules_answer *a = arg;
    size_t at = 0;
    a->calls++;
    a->err = err;
    assert_true((err == FLEET_OK) == (id != NULL));
    for (size_t i = 0; i < module_count; i++)
        at += (size_t)snprintf(a->text + at, sizeof a->text - at, "%c%d=%d ", modules[i].function,
                               modules[i].index, modules[i].version);
    for (size_t i = 0; i < history_count; i++)
        at += (size_t)snprintf(a->text + at, sizeof a->text - at, "%c%d:%d>%d:%s ", history[i].function,
                               history[i].index, history[i].old_version, history[i].new_version,
                               history[i].cause);
}

static void test_modules_and_history(void **state)
{
    struct fleet_fixture *fx = *state;
    struct modules_answer a = {0}, b = {0}, foreign = {0}, odd = {0};
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, 12, 1);
    fleet_describe_module(fx, 1, MODULE_NCP, 0, 3);
    fleet_describe_module(fx, 1, MODULE_NCP, 0, 3); /* the same again leaves no history */
    fleet_describe_module(fx, 1, MODULE_NCP, 0, 5);
    fleet_describe_module(fx, 1, MODULE_USER, 1, 7);
    fleet_describe_module(fx, 1, MODULE_BOOTLOADER, 0, 3000);
    fleet_get_modules(fx->fleet, &fx->admin, "e00fce680000000000000001", true, on_modules, &a);
    fleet_get_modules(fx->fleet, &fx->admin, "E00FCE680000000000000001", false, on_modules, &b);
    fleet_get_modules(fx->fleet, &fx->owner, "e00fce680000000000000001", false, on_modules, &foreign);
    fleet_get_modules(fx->fleet, &fx->owner, "no such' name", false, on_modules, &odd);
    fleet_run_until(fx, a.calls && b.calls && foreign.calls && odd.calls);
    assert_string_equal(a.text, "b0=3000 s1=6200 c0=0 u1:7>-1:describe b0:-1>3000:describe c0:5>0:describe"
                                " u1:-1>7:describe c0:3>5:describe c0:-1>3:describe s1:-1>6200:describe ");
    assert_string_equal(b.text, "b0=3000 s1=6200 c0=0 ");
    assert_int_equal(foreign.err, FLEET_FORBIDDEN);
    assert_int_equal(odd.err, FLEET_NOT_FOUND);
}

/* One subscription of device 1, stored alone. */
static enum device_verdict subscribe(struct fleet_fixture *fx, uint64_t session_id, uint64_t generation,
                                     const char *prefix)
{
    struct device_facts facts = fleet_test_facts(1, session_id);
    struct device_subscription subscription = {.scope = 'o', .format = 't'};
    struct fleet_verdict v = {0};
    snprintf(subscription.prefix, sizeof subscription.prefix, "%s", prefix);
    fx->ops->subscription(fx->ops->ctx, &facts, &subscription, generation, fleet_on_verdict, &v);
    assert_int_equal(v.calls, 0);
    fleet_run_until(fx, v.calls == 1);
    return v.verdict;
}

#define subscribed(fx, session_id, generation, prefix)                                                       \
    assert_int_equal(subscribe(fx, session_id, generation, prefix), DEVICE_STORED)

#define SUBSCRIPTIONS "SELECT coalesce(string_agg(prefix, ' ' ORDER BY place), '') FROM device_subscription"

static void test_subscriptions_are_a_set(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts facts = fleet_test_facts(1, 1);
    struct device_subscription one = {
        .prefix = "a\"},{\\", .scope = 'd', .format = 'b', .from = fleet_test_id(2)};
    struct fleet_verdict v = {0};
    char prefix[8];
    assert_int_equal(subscribe(fx, 1, 1, "spark"), DEVICE_REJECTED); /* there is no such device */
    fleet_enrol(fx, 1);
    subscribed(fx, 1, 1, "spark");
    fx->ops->subscription(fx->ops->ctx, &facts, &one, 1, fleet_on_verdict, &v);
    one.from = fleet_test_id(3);
    fx->ops->subscription(fx->ops->ctx, &facts, &one, 1, fleet_on_verdict, &v);
    fx->ops->subscription(fx->ops->ctx, &facts, &one, 1, fleet_on_verdict, &v);
    fleet_run_until(fx, v.calls == 3);
    assert_int_equal(v.verdict, DEVICE_STORED);
    assert_string_equal(fleet_sql("SELECT string_agg(prefix || scope::text || format::text ||"
                                  " coalesce(encode(from_device, 'hex'), '-'), ' ' ORDER BY from_device)"
                                  " FROM device_subscription"),
                        "a\"},{\\dbe00fce680000000000000002 a\"},{\\dbe00fce680000000000000003 sparkot-");
    for (unsigned i = 3; i < DEVICE_SUBSCRIPTIONS_MAX; i++) {
        snprintf(prefix, sizeof prefix, "n%u", i);
        subscribed(fx, 1, 1, prefix);
    }
    assert_int_equal(subscribe(fx, 1, 1, "one more"), DEVICE_FULL);
    subscribed(fx, 1, 1, "spark"); /* already one of them */
    assert_string_equal(fleet_sql("SELECT count(*) FROM device_subscription"), "16");
}

/* They are written over several connections: the list of an older session that commits last must not be what
 * is left. A session that outlives the server goes on with its generation. */
static void test_subscriptions_begin_anew(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, 13, 7);
    subscribed(fx, 7, 1, "a");
    subscribed(fx, 7, 1, "b");
    assert_string_equal(fleet_sql(SUBSCRIPTIONS), "a b");
    subscribed(fx, 7, 2, "c"); /* a Hello within the session */
    subscribed(fx, 7, 1, "d"); /* said to a server that was restored from before the Hello: none is lost */
    assert_string_equal(fleet_sql(SUBSCRIPTIONS), "c d");
    subscribed(fx, 7, 2, "e");
    subscribed(fx, 7, 2, "c");
    assert_string_equal(fleet_sql(SUBSCRIPTIONS), "c d e");
    fleet_say_hello(fx, 1, 13, 8);
    subscribed(fx, 7, 2, "f"); /* the present session has said nothing yet */
    subscribed(fx, 8, 1, "g"); /* whatever its numbers are */
    assert_string_equal(fleet_sql(SUBSCRIPTIONS), "g");
    subscribed(fx, 7, 3, "h");
    subscribed(fx, 8, 1, "i");
    assert_string_equal(fleet_sql(SUBSCRIPTIONS), "g i");
}

/* --- presence --- */

static uint64_t presence_writes(struct fleet_fixture *fx)
{
    return metrics_add(fx->metrics, METRIC_COUNTER, "cyan_presence_writes_total", NULL, "")->value;
}

static void test_presence_is_batched(void **state)
{
    struct fleet_fixture *fx = *state;
    for (unsigned n = 1; n <= 20; n++)
        fleet_enrol(fx, n);
    uint64_t writes = presence_writes(fx);
    for (unsigned n = 1; n <= 20; n++) {
        struct device_facts facts = fleet_test_facts(n, 7);
        fx->ops->online(fx->ops->ctx, &facts, false);
        for (int i = 0; i < 50; i++)
            fx->ops->heard(fx->ops->ctx, &facts, 1700000000000 + (uint64_t)i);
    }
    fleet_run_until(fx, !strcmp(fleet_sql("SELECT count(*) FROM device WHERE online"), "20"));
    assert_true(presence_writes(fx) - writes <= 2);
    assert_string_equal(fleet_sql("SELECT count(*) FROM device_connection WHERE ended_at IS NULL"), "20");
    struct fleet_answer a = fleet_get_id(fx, 3);
    assert_true(a.connected && a.last_heard_ms >= 1700000000049);
}

static void drained(void *arg)
{
    *(bool *)arg = true;
}

static void test_replaced_session_and_reasons(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts old = fleet_test_facts(1, 7), new = fleet_test_facts(1, 8);
    struct device_goodbye goodbye = {
        .cloud_reason = 6, .reset_reason = -1, .sleep_s = 3600, .network_reason = -1};
    bool done = false;
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, 12, 7);
    fx->ops->online(fx->ops->ctx, &old, false);
    fleet_run_until(fx, fleet_get_id(fx, 1).connected);
    fleet_say_hello(fx, 1, 12, 8);
    fx->ops->offline(fx->ops->ctx, &old, DEVICE_OFFLINE_REPLACED, NULL); /* in either order it stays online */
    fx->ops->online(fx->ops->ctx, &new, false);
    fx->ops->offline(fx->ops->ctx, &old, DEVICE_OFFLINE_REPLACED, NULL);
    fleet_run_until(fx, *fleet_sql("SELECT count(*) FROM device_connection WHERE session_id = 8") == '1');
    assert_true(fleet_get_id(fx, 1).connected);
    fx->ops->offline(fx->ops->ctx, &old, DEVICE_OFFLINE_CLOSED, NULL); /* late news of the old session */
    fx->ops->heard(fx->ops->ctx, &new, clock_wall_ms());
    uint64_t writes = presence_writes(fx);
    fleet_run_until(fx, presence_writes(fx) > writes);
    assert_true(fleet_get_id(fx, 1).connected);
    fx->ops->offline(fx->ops->ctx, &new, DEVICE_OFFLINE_GOODBYE, &goodbye);
    fleet_run_until(fx, !fleet_get_id(fx, 1).connected);
    assert_string_equal(
        fleet_sql("SELECT string_agg(session_id || reason || (duration_ms >= 0), ' ' ORDER BY session_id)"
                  " FROM device_connection"),
        "7replacedtrue 8goodbyetrue");
    assert_string_equal(fleet_sql("SELECT goodbye ->> 'sleep_s' FROM device_connection WHERE session_id = 8"),
                        "3600");
    fx->ops->online(fx->ops->ctx, &new, true);
    fleet_drain(fx->fleet, drained, &done);
    assert_false(done);
    fleet_run_until(fx, done);
    assert_int_equal(fx->deadlines.count, 0); /* nothing will be asked of Postgres any more */
    assert_string_equal(fleet_sql("SELECT string_agg(reason, ' ' ORDER BY started_at) FROM device_connection"
                                  " WHERE session_id = 8"),
                        "goodbye shutdown");
    assert_false(fleet_get_id(fx, 1).connected);
}

/* A Hello is stored before its session is online; when it never gets there the end of the one before counts.
 */
static void test_offline_is_of_the_session_that_was_online(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts old = fleet_test_facts(1, 7), new = fleet_test_facts(1, 9);
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, 12, 7);
    fx->ops->online(fx->ops->ctx, &old, false);
    fleet_run_until(fx, fleet_get_id(fx, 1).connected);
    fleet_say_hello(fx, 1, 12, 8);
    fx->ops->offline(fx->ops->ctx, &old, DEVICE_OFFLINE_SILENT, NULL);
    fleet_run_until(fx, !fleet_get_id(fx, 1).connected);
    fx->ops->online(fx->ops->ctx, &old, true);
    fleet_run_until(fx, fleet_get_id(fx, 1).connected);
    fx->ops->offline(fx->ops->ctx, &old, DEVICE_OFFLINE_REPLACED, NULL);
    fx->ops->online(fx->ops->ctx, &new, false); /* all within one statement */
    fx->ops->offline(fx->ops->ctx, &new, DEVICE_OFFLINE_GOODBYE, NULL);
    fleet_run_until(fx, !fleet_get_id(fx, 1).connected);
}

static void test_who_comes_and_goes_is_written_soon(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts facts = fleet_test_facts(1, 7), other = fleet_test_facts(2, 8);
    fleet_enrol(fx, 1);
    fleet_enrol(fx, 2);
    uint64_t before_ms = clock_ms();
    fx->ops->heard(fx->ops->ctx, &facts, 1700000000000);
    assert_true(deadlines_next(&fx->deadlines, before_ms) > ATTENDANCE_TURN_FLUSH_MS);
    fx->ops->online(fx->ops->ctx, &other, false);
    assert_true(deadlines_next(&fx->deadlines, clock_ms()) <= ATTENDANCE_TURN_FLUSH_MS);
    fleet_run_until(fx, fleet_get_id(fx, 2).connected);
    fleet_run_until(fx, fleet_get_id(fx, 1).last_heard_ms == 1700000000000);
}

static void test_presence_waits_for_postgres(void **state)
{
    struct fleet_fixture *fx = *state;
    for (unsigned n = 1; n <= 3; n++) {
        fleet_enrol(fx, n);
        fleet_say_hello(fx, n, 12, 7);
    }
    private_postgres_kill(&fleet_postgres);
    uint64_t writes = presence_writes(fx);
    for (unsigned n = 1; n <= 3; n++) {
        struct device_facts facts = fleet_test_facts(n, 7);
        fx->ops->online(fx->ops->ctx, &facts, false);
    }
    fleet_run_until(fx, presence_writes(fx) > writes); /* on its way to nobody */
    struct device_facts facts = fleet_test_facts(2, 7);
    fx->ops->offline(fx->ops->ctx, &facts, DEVICE_OFFLINE_SILENT, NULL);
    assert_true(private_postgres_start(&fleet_postgres));
    fleet_run_until(fx, *fleet_sql("SELECT count(*) FROM device_connection WHERE reason = 'silent'") == '1');
    assert_string_equal(fleet_sql("SELECT count(*) FROM device WHERE online"), "2");
    assert_string_equal(fleet_sql("SELECT count(*) FROM device_connection"), "3");
}

static void test_start_marks_what_was_left_online(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    fleet_script("UPDATE device SET online = true, node_id = 0, last_heard = now();"
                 "INSERT INTO device_connection (device_id, session_id, started_at, node_id, resumed)"
                 " SELECT id, 7, now() - interval '1 min', 0, false FROM device");
    fx->fleet->started = false;
    fleet_start(fx->fleet);
    fleet_run_until(fx, fx->fleet->started);
    assert_string_equal(
        fleet_sql("SELECT reason || ' ' || (duration_ms BETWEEN 50000 AND 70000) FROM device_connection"),
        "restart true");
    assert_false(fleet_get_id(fx, 1).connected);
}

static void leave_online(unsigned count)
{
    char sql[400];
    snprintf(
        sql, sizeof sql,
        "INSERT INTO device (id, online, node_id) SELECT decode(lpad(to_hex(n), 24, '0'), 'hex'), true, 0"
        " FROM generate_series(1, %u) n",
        count);
    fleet_script(sql);
}

/* However many they are: no statement touches more than a slice. */
static void test_many_left_online(void **state)
{
    struct fleet_fixture *fx = *state;
    bool done = false;
    leave_online(2 * FLEET_OFFLINE_SLICE + 20);
    assert_string_equal(fleet_sql("SELECT store_node_offline(0, 'restart', 10)"), "10");
    fx->fleet->started = false;
    fleet_start(fx->fleet);
    fleet_run_until(fx, fx->fleet->started);
    assert_string_equal(fleet_sql("SELECT count(*) FROM device WHERE online"), "0");
    assert_string_equal(fleet_sql("SELECT count(DISTINCT xmin::text) >= 4 FROM device"), "t");
    fleet_script("UPDATE device SET online = true");
    fleet_drain(fx->fleet, drained, &done);
    fleet_run_until(fx, done);
    assert_string_equal(fleet_sql("SELECT count(DISTINCT xmin::text) >= 2 FROM device"), "t");
}

static void test_idle(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_facts facts = fleet_test_facts(1, 1);
    struct hello hello = fleet_test_hello(1, 12);
    struct device_event event = {.kind = DEVICE_EVENT_USER, .name = "e", .key = {1}};
    struct fleet_verdict said = {0}, sent = {0};
    fleet_enrol(fx, 1);
    fleet_run_until(fx, fleet_is_idle(fx->fleet));
    fx->ops->hello(fx->ops->ctx, &facts, &hello, false, NULL, 0, fleet_on_verdict, &said);
    assert_false(fleet_is_idle(fx->fleet));
    fleet_run_until(fx, said.calls);
    assert_true(fleet_is_idle(fx->fleet));
    fx->ops->event(fx->ops->ctx, &facts, &event, fleet_on_verdict, &sent);
    assert_false(fleet_is_idle(fx->fleet));
    fleet_run_until(fx, sent.calls);
    assert_true(fleet_is_idle(fx->fleet));
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
        TEST(test_enrol_trusts_the_first_key),
        TEST(test_quarantine),
        TEST(test_approval_shuts_the_stranger_out),
        TEST(test_unknown_hello_is_rejected),
        TEST(test_hello_is_remembered),
        TEST(test_describe_is_remembered),
        TEST(test_modules_and_history),
        TEST(test_subscriptions_are_a_set),
        TEST(test_subscriptions_begin_anew),
        TEST(test_presence_is_batched),
        TEST(test_replaced_session_and_reasons),
        TEST(test_offline_is_of_the_session_that_was_online),
        TEST(test_who_comes_and_goes_is_written_soon),
        TEST(test_presence_waits_for_postgres),
        TEST(test_start_marks_what_was_left_online),
        TEST(test_many_left_online),
        TEST(test_idle),
        TEST(test_attempts_are_kept_bounded),
        TEST(test_offline_enrolment),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
