/* test_fleet_events.c: an event acknowledged is in Postgres exactly once, whatever happens to Postgres. */
#include "fleet_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fleet/event_queue.h"
#include "fleet/retention.h"

struct sent {
    struct fleet_verdict v;
    uint8_t key[16];
};

static void push(struct fleet_fixture *fx, struct sent *s, unsigned n, uint64_t number)
{
    struct device_facts facts = fleet_test_facts(n, 1);
    char name[32];
    snprintf(name, sizeof name, "temp/%u", n);
    struct device_event event = {.kind = DEVICE_EVENT_USER,
                                 .name = name,
                                 .data = (const uint8_t *)"\0binary\xff",
                                 .data_len = 8,
                                 .content_format = 42,
                                 .ttl_s = 60,
                                 .received_wall_ms = clock_wall_ms()};
    be64_store(s->key, 0xfee1);
    be64_store(s->key + 8, number);
    memcpy(event.key, s->key, sizeof event.key);
    fx->ops->event(fx->ops->ctx, &facts, &event, fleet_on_verdict, &s->v);
}

static bool is_stored(const uint8_t key[16])
{
    char hex[33], sql[120];
    hex_encode(hex, key, 16);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM event WHERE key = '\\x%s'", hex);
    return *fleet_sql(sql) == '1';
}

static void test_many_in_few_statements(void **state)
{
    struct fleet_fixture *fx = *state;
    enum { N = 2000 };
    struct sent *s = calloc(N, sizeof *s);
    uint64_t queries = metrics_add(fx->metrics, METRIC_COUNTER, "cyan_event_batches_total", NULL, "")->value;
    for (unsigned i = 0; i < N; i++) {
        push(fx, &s[i], i % 50, i);
        assert_int_equal(s[i].v.calls, 0);
    }
    for (unsigned i = 0; i < N; i++) {
        fleet_run_until(fx, s[i].v.calls);
        assert_int_equal(s[i].v.verdict, DEVICE_STORED);
    }
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(s[i].v.calls, 1);
    assert_string_equal(fleet_sql("SELECT count(*) FROM event"), "2000");
    queries = metrics_add(fx->metrics, METRIC_COUNTER, "cyan_event_batches_total", NULL, "")->value - queries;
    assert_true(queries <= N / EVENT_BATCH_MAX + 1);
    /* in the order they came */
    assert_string_equal(
        fleet_sql("SELECT bool_and(n > before) FROM (SELECT key AS n, lag(key) OVER (ORDER BY id) AS before"
                  " FROM event) x WHERE before IS NOT NULL"),
        "t");
    assert_string_equal(fleet_sql("SELECT encode(data, 'hex') || content_format FROM event LIMIT 1"),
                        "0062696e617279ff42");
    free(s);
}

static void test_the_same_key_is_one_event(void **state)
{
    struct fleet_fixture *fx = *state;
    struct sent a = {0}, b = {0}, c = {0};
    push(fx, &a, 1, 1);
    push(fx, &b, 1, 1); /* in one batch */
    fleet_run_until(fx, a.v.calls && b.v.calls);
    push(fx, &c, 1, 1);
    fleet_run_until(fx, c.v.calls);
    assert_int_equal(a.v.verdict, DEVICE_STORED);
    assert_int_equal(b.v.verdict, DEVICE_STORED);
    assert_int_equal(c.v.verdict, DEVICE_STORED);
    assert_string_equal(fleet_sql("SELECT count(*) FROM event"), "1");
}

/* A stream of events, Postgres killed in the middle of it, three times; each verdict comes once. */
static void test_exactly_once_through_kills(void **state)
{
    struct fleet_fixture *fx = *state;
    enum { N = 12000, KILLS = 3 };
    struct sent *s = calloc(N, sizeof *s);
    unsigned sent = 0;
    for (int kill = 0; kill <= KILLS; kill++) {
        unsigned upto = (unsigned)(N / (KILLS + 1) * (kill + 1)), first = sent;
        while (sent < upto) { /* spread over many turns of the loop, so that many statements are under way */
            for (int i = 0; i < 40; i++, sent++)
                push(fx, &s[sent], sent % 50, sent);
            uv_run(&fx->loop, UV_RUN_NOWAIT);
        }
        fleet_run_until(fx, s[first + 20].v.calls);
        if (kill == KILLS)
            break;
        private_postgres_kill(&fleet_postgres);
        for (int i = 0; i < 100; i++) /* devices go on talking meanwhile */
            uv_run(&fx->loop, UV_RUN_NOWAIT);
        assert_true(private_postgres_start(&fleet_postgres));
    }
    for (unsigned i = 0; i < N; i++)
        fleet_run_until(fx, s[i].v.calls);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(s[i].v.calls, 1);
        assert_int_equal(s[i].v.verdict, DEVICE_STORED); /* hold is longer than all this */
    }
    assert_string_equal(fleet_sql("SELECT count(*) || ' ' || count(DISTINCT key) FROM event"), "12000 12000");
    free(s);
}

/* Postgres stays away: nothing is acknowledged that is not there, and everything is answered. */
static void test_busy_after_hold(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_settings settings = {.unknown = FLEET_REFUSE,
                                      .hold_ms = 300,
                                      .events_keep_s = 604800,
                                      .event_name_max = 64,
                                      .event_data_max = 1024};
    enum { N = 700 };
    static struct sent s[N];
    memset(s, 0, sizeof s);
    fleet_reload(fx->fleet, &settings);
    private_postgres_kill(&fleet_postgres);
    for (unsigned i = 0; i < N; i++) {
        push(fx, &s[i], 1, i);
        if (i % 100 == 0)
            uv_run(&fx->loop, UV_RUN_ONCE);
    }
    for (unsigned i = 0; i < N; i++) {
        fleet_run_until(fx, s[i].v.calls);
        assert_int_equal(s[i].v.verdict, DEVICE_BUSY);
    }
    struct device_facts facts = fleet_test_facts(1, 1);
    struct hello hello = fleet_test_hello(1, 12);
    struct fleet_verdict v = {0};
    fx->ops->hello(fx->ops->ctx, &facts, &hello, false, NULL, 0, fleet_on_verdict, &v);
    fleet_run_until(fx, v.calls);
    assert_int_equal(v.verdict, DEVICE_BUSY);
    assert_true(private_postgres_start(&fleet_postgres));
    settings.hold_ms = 60000;
    fleet_reload(fx->fleet, &settings);
    struct sent after = {0};
    push(fx, &after, 1, 7777);
    fleet_run_until(fx, after.v.calls);
    assert_int_equal(after.v.verdict, DEVICE_STORED);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(s[i].v.calls, 1);
}

/* A statement of many is refused because of one event: the others are stored, that one is rejected. */
static void test_one_bad_event_does_not_spoil_the_batch(void **state)
{
    struct fleet_fixture *fx = *state;
    enum { N = 33 };
    struct sent s[N] = {0};
    fleet_script("ALTER TABLE event ADD CONSTRAINT test_bad CHECK (name <> 'temp/13')");
    for (unsigned i = 0; i < N; i++)
        push(fx, &s[i], i, i);
    for (unsigned i = 0; i < N; i++) {
        fleet_run_until(fx, s[i].v.calls);
        assert_int_equal(s[i].v.verdict, i == 13 ? DEVICE_REJECTED : DEVICE_STORED);
    }
    fleet_script("ALTER TABLE event DROP CONSTRAINT test_bad");
    assert_string_equal(fleet_sql("SELECT count(*) FROM event"), "32");
}

static void test_names_are_data(void **state)
{
    struct fleet_fixture *fx = *state;
    static const char *const names[] = {"'); DROP TABLE event; --",
                                        "\\",
                                        "\"",
                                        "{a,b}",
                                        "NULL",
                                        "",
                                        "\xc3\xa9\xe2\x82\xac",
                                        "a\"b\\c,{}'$1",
                                        "\n\t\x01"};
    enum { N = sizeof names / sizeof *names };
    for (unsigned i = 0; i < N; i++) {
        char sql[100];
        fleet_send_event(fx, 1, DEVICE_EVENT_USER, names[i], "x");
        snprintf(sql, sizeof sql, "SELECT name FROM event ORDER BY id DESC LIMIT 1");
        assert_string_equal(fleet_sql(sql), names[i]);
    }
    fleet_send_event(fx, 1, DEVICE_EVENT_USER, "a\xff\xc3", "x");
    assert_string_equal(fleet_sql("SELECT name FROM event ORDER BY id DESC LIMIT 1"), "a??");
}

static void test_system_events(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_enrol(fx, 1);
    fleet_say_hello(fx, 1, 10, 5);
    struct fleet_answer a = fleet_get_id(fx, 1);
    assert_int_equal(a.updates_enabled, -1);
    assert_string_equal(a.status, "normal");
    fleet_send_event(fx, 1, DEVICE_EVENT_SAFE_MODE, "spark/device/safemode", "");
    fleet_send_event(fx, 1, DEVICE_EVENT_LAST_RESET, "spark/device/last_reset", "panic, hard_fault");
    fleet_send_event(fx, 1, DEVICE_EVENT_UPDATES_ENABLED, "particle/device/updates/enabled", "false");
    fleet_send_event(fx, 1, DEVICE_EVENT_UPDATES_FORCED, "particle/device/updates/forced", "true");
    fleet_send_event(fx, 1, DEVICE_EVENT_UPDATES_FORCED, "particle/device/updates/forced", "maybe");
    fleet_send_event(fx, 1, DEVICE_EVENT_MAX_BINARY, "spark/hardware/max_binary", "131072");
    fleet_send_event(fx, 1, DEVICE_EVENT_MAX_BINARY, "spark/hardware/max_binary", "99999999999999999999");
    fleet_send_event(fx, 1, DEVICE_EVENT_CHUNK_BYTES, "spark/hardware/ota_chunk_size", "1024");
    fleet_send_event(fx, 1, DEVICE_EVENT_IDENTITY, "spark/device/ident/0", "89314404000012345678");
    a = fleet_get_id(fx, 1);
    assert_string_equal(a.status, "safe_mode");
    assert_string_equal(a.last_reset, "panic, hard_fault");
    assert_int_equal(a.updates_enabled, 0);
    assert_int_equal(a.updates_forced, 1);
    assert_string_equal(
        fleet_sql("SELECT max_binary_bytes || ' ' || chunk_bytes || ' ' || iccid FROM device"),
        "131072 1024 89314404000012345678");
    fleet_say_hello(fx, 1, 10, 6);
    assert_string_equal(fleet_get_id(fx, 1).status, "normal");
}

static void add_code(const char *code, int64_t user, const char *expires)
{
    char sql[300];
    snprintf(sql, sizeof sql,
             "INSERT INTO claim_code (sha256, user_id, expires_at) VALUES (sha256('%s'), %lld, now() + '%s')",
             code, (long long)user, expires);
    fleet_script(sql);
}

static void claim(struct fleet_fixture *fx, unsigned n, const char *code)
{
    fleet_send_event(fx, n, DEVICE_EVENT_CLAIM_CODE, "spark/device/claim/code", code);
}

static void test_claim_by_code(void **state)
{
    struct fleet_fixture *fx = *state;
    for (unsigned n = 1; n <= 3; n++) {
        fleet_enrol(fx, n);
        fleet_say_hello(fx, n, 12, 5);
    }
    add_code("good", fx->owner.user_id, "5 min");
    add_code("late", fx->owner.user_id, "-1 s");
    add_code("others", fx->other_owner.user_id, "5 min");
    claim(fx, 1, "unknown");
    claim(fx, 1, "late");
    assert_int_equal(fx->published, 0);
    assert_string_equal(fleet_get_id(fx, 1).owner, "");
    claim(fx, 1, "good");
    assert_int_equal(fx->published, 1);
    assert_string_equal(fx->published_name, "spark/device/claim/code");
    assert_true(device_id_equal(&fx->published_id,
                                &(struct device_id){{0xe0, 0x0f, 0xce, 0x68, 0, 0, 0, 0, 0, 0, 0, 1}}));
    assert_string_equal(fleet_get_id(fx, 1).owner, "olive");
    claim(fx, 1, "good"); /* it did not hear the answer: told again */
    assert_int_equal(fx->published, 2);
    claim(fx, 2, "good");   /* used up */
    claim(fx, 1, "others"); /* it is someone's */
    assert_int_equal(fx->published, 2);
    assert_string_equal(fleet_get_id(fx, 2).owner, "");
    assert_string_equal(fleet_get_id(fx, 1).owner, "olive");
    fleet_script("UPDATE device SET quarantined = true WHERE id = '\\xe00fce680000000000000003'");
    struct device_facts facts = fleet_test_facts(3, 5);
    facts.quarantined = true;
    struct device_event event = {.kind = DEVICE_EVENT_CLAIM_CODE,
                                 .name = "spark/device/claim/code",
                                 .data = (const uint8_t *)"others",
                                 .data_len = 6,
                                 .key = {1}};
    struct fleet_verdict v = {0};
    fx->ops->event(fx->ops->ctx, &facts, &event, fleet_on_verdict, &v);
    fleet_run_until(fx, v.calls);
    assert_int_equal(fx->published, 2);
    assert_string_equal(fleet_get_id(fx, 3).owner, "");
    /* the code itself is nowhere */
    assert_string_equal(fleet_sql("SELECT count(*) FROM event WHERE data IS NOT NULL"), "0");
    assert_string_equal(
        fleet_sql("SELECT count(*) FROM audit WHERE action = 'device.claim' AND reason = 'claim code'"), "1");
}

static void test_old_events_are_deleted(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_script("INSERT INTO event (key, device_id, name, data, content_format, ttl_s, is_public, "
                 "is_system, received_at)"
                 " SELECT decode(lpad(to_hex(i), 32, '0'), 'hex'), decode(repeat('00', 12), 'hex'), 'old', "
                 "'', 0, 60, false,"
                 " false, now() - interval '8 days' FROM generate_series(1, 12000) i");
    struct sent s = {0};
    push(fx, &s, 1, 1);
    fleet_run_until(fx, s.v.calls);
    struct metric *deleted = metrics_add(fx->metrics, METRIC_COUNTER, "cyan_events_expired_total", NULL, "");
    retention_start(fx->fleet->retention);
    fleet_run_until(fx, deleted->value >= 12000);
    assert_string_equal(fleet_sql("SELECT count(*) FROM event"), "1");
    assert_true(is_stored(s.key));
}

/* As many as it takes: a full batch is followed by the next, not by the pause between two rounds. */
static void test_old_attempts_are_deleted(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_script("INSERT INTO handshake_attempt (at, subject, outcome, stage, profile, alert, ip, took_ms)"
                 " SELECT now() - interval '8 days', 'address', 'ok', '', '', 0, '', 0"
                 " FROM generate_series(1, 17000)");
    retention_start(fx->fleet->retention);
    fleet_run_until(fx, *fleet_sql("SELECT count(*) FROM handshake_attempt") == '0');
}

/* More than a batch of old moves of updates: they go, one batch after the other, and newer ones stay. */
static void test_old_moves_of_updates_are_deleted(void **state)
{
    struct fleet_fixture *fx = *state;
    fleet_script("TRUNCATE update_event");
    fleet_script(
        "INSERT INTO update_event (at, actor, kind) SELECT now() - interval '8 days', 'node/0', 'step'"
        " FROM generate_series(1, 7000)");
    fleet_script(
        "INSERT INTO update_event (actor, kind) SELECT 'node/0', 'step' FROM generate_series(1, 10)");
    retention_start(fx->fleet->retention);
    const struct metric *deleted =
        metrics_add(fx->metrics, METRIC_COUNTER, "cyan_update_events_expired_total", NULL, "");
    fleet_run_until(fx, deleted->value == 7000);
    assert_string_equal(
        fleet_sql("SELECT count(*) || ' ' || bool_and(at > now() - interval '1 day') FROM update_event"),
        "10 true");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_many_in_few_statements),
        TEST(test_the_same_key_is_one_event),
        TEST(test_exactly_once_through_kills),
        TEST(test_busy_after_hold),
        TEST(test_one_bad_event_does_not_spoil_the_batch),
        TEST(test_names_are_data),
        TEST(test_system_events),
        TEST(test_claim_by_code),
        TEST(test_old_events_are_deleted),
        TEST(test_old_attempts_are_deleted),
        TEST(test_old_moves_of_updates_are_deleted),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
