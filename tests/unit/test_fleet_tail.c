/* test_fleet_tail.c: what becomes visible in the table of events reaches the follower once and in order,
 * whoever stored it and however long the transaction was open. */
#include "fleet_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/stream_access.h"
#include "fleet/system_event.h"

#define HEARD_MAX 6000

struct ears {
    struct fleet_fixture *fx;
    bool wanted;
    int count, rounds, opened;
    int of_round, round_max; /* 0: takes all there is */
    enum fleet_err err;
    struct stream_grant grant;
    char last[2000];        /* of the newest: owner person product device? name=data */
    int numbers[HEARD_MAX]; /* what was data, as a number */
};

static bool on_wanted(void *ctx)
{
    return ((struct ears *)ctx)->wanted;
}

static bool on_event(void *ctx, const struct told_event *e)
{
    struct ears *ears = ctx;
    assert_true(ears->count < HEARD_MAX);
    assert_true(ears->round_max == 0 || ears->of_round < ears->round_max);
    snprintf(ears->last, sizeof ears->last, "%d %d %d %s%s=%.*s%s", (int)e->owner_id, (int)e->person_id,
             e->product_id, e->has_device ? "device " : "", e->name, (int)e->data_len, (const char *)e->data,
             e->is_public ? " public" : "");
    ears->numbers[ears->count++] = atoi(e->data_len ? (const char *)e->data : "-1");
    return ++ears->of_round != ears->round_max;
}

static void on_round(void *ctx)
{
    struct ears *ears = ctx;
    ears->rounds++;
    ears->of_round = 0;
    fleet_events_passed_on(ears->fx->fleet);
}

static void on_opened(void *arg, enum fleet_err err, const struct stream_grant *grant)
{
    struct ears *ears = arg;
    ears->opened++;
    ears->err = err;
    ears->grant = *grant;
}

static struct event_follower follower = {.is_wanted = on_wanted, .event = on_event, .round = on_round};

static enum fleet_err open_stream(struct ears *ears, const struct fleet_actor *actor, const char *product,
                                  const char *device)
{
    int before = ears->opened;
    fleet_open_stream(ears->fx->fleet, actor, product, device, on_opened, ears);
    assert_int_equal(ears->opened, before);
    fleet_run_until(ears->fx, ears->opened > before);
    return ears->err;
}

static void listen_to(struct ears *ears, struct fleet_fixture *fx)
{
    memset(ears, 0, sizeof *ears);
    ears->fx = fx;
    ears->wanted = true;
    follower.ctx = ears;
    fleet_set_event_follower(fx->fleet, &follower);
    assert_int_equal(open_stream(ears, &fx->owner, NULL, NULL), FLEET_OK);
}

/* Numbers from first to last, each an event of nobody's device 1. */
static void store(int first, int last)
{
    char sql[400];
    snprintf(sql, sizeof sql,
             "INSERT INTO event (key, device_id, name, data, content_format, ttl_s, is_public, is_system, "
             "received_at)"
             " SELECT uuid_send(gen_random_uuid()), decode('e00fce680000000000000001', 'hex'), 'n', "
             "convert_to(n::text, 'UTF8'),"
             " 0, 60, false, false, now() FROM generate_series(%d, %d) AS n",
             first, last);
    fleet_script(sql);
}

static void assert_numbers(const struct ears *ears, int from, int first, int last)
{
    for (int i = 0; i <= last - first; i++)
        assert_int_equal(ears->numbers[from + i], first + i);
}

static void test_each_once_and_in_order(void **state)
{
    struct fleet_fixture *fx = *state;
    struct ears ears;
    store(1000, 1010); /* before anybody read */
    listen_to(&ears, fx);
    store(1, 10);
    fleet_run_until(fx, ears.count == 10);
    store(11, 3500); /* more than one look brings, of one transaction */
    store(3501, 3600);
    fleet_run_until(fx, ears.count == 3600);
    assert_numbers(&ears, 0, 1, 3600);
    store(3601, 3601);
    fleet_run_until(fx, ears.count == 3601);
    assert_string_equal(ears.last, "0 0 0 device n=3601");
}

/* What it does not take is neither lost nor repeated, though more comes meanwhile. */
static void test_a_follower_that_takes_little_at_a_time(void **state)
{
    struct fleet_fixture *fx = *state;
    struct ears ears;
    listen_to(&ears, fx);
    ears.round_max = 7;
    store(1, 1003);
    store(1004, 1100);
    fleet_run_until(fx, ears.count >= 500);
    store(1101, 1200);
    fleet_run_until(fx, ears.count == 1200);
    assert_numbers(&ears, 0, 1, 1200);
    int rounds = ears.rounds;
    assert_true(rounds >= 1200 / 7);
    store(1201, 1201);
    fleet_run_until(fx, ears.count == 1201);
    assert_numbers(&ears, 1200, 1201, 1201);
}

/* A transaction that is open for long holds up nobody else's events, and its own come when it is over. */
static void test_a_long_transaction(void **state)
{
    struct fleet_fixture *fx = *state;
    struct pg_sync *other;
    char why[300];
    struct ears ears;
    listen_to(&ears, fx);
    other = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    assert_non_null(other);
    assert_int_equal(
        pg_sync_script(
            other,
            "BEGIN; INSERT INTO event (key, user_id, name, data, content_format, ttl_s, is_public,"
            " is_system, received_at) VALUES (uuid_send(gen_random_uuid()), 1, 'late', '77', 0, 60, true,"
            " false, now())",
            why, sizeof why),
        0);
    for (int n = 0; n < 5; n++) {
        store(n, n);
        fleet_run_until(fx, ears.count == n + 1);
    }
    assert_numbers(&ears, 0, 0, 4);
    assert_int_equal(pg_sync_script(other, "COMMIT", why, sizeof why), 0);
    store(5, 5);
    fleet_run_until(fx, ears.count == 7);
    int rounds = ears.rounds;
    store(6, 6);
    fleet_run_until(fx, ears.rounds > rounds && ears.count == 8);
    int late = 0;
    for (int i = 0; i < ears.count; i++)
        late += ears.numbers[i] == 77;
    assert_int_equal(late, 1);
    pg_sync_close(other);
}

static void test_what_a_rollback_leaves_is_nothing(void **state)
{
    struct fleet_fixture *fx = *state;
    struct ears ears;
    listen_to(&ears, fx);
    fleet_script(
        "BEGIN; INSERT INTO event (key, user_id, name, data, content_format, ttl_s, is_public, is_system, "
        "received_at)"
        " VALUES (uuid_send(gen_random_uuid()), 1, 'gone', '78', 0, 60, true, false, now()); ROLLBACK");
    store(1, 1);
    fleet_run_until(fx, ears.count == 1);
    assert_int_equal(ears.numbers[0], 1);
}

static void test_who_rests_hears_nothing_until_it_listens_again(void **state)
{
    struct fleet_fixture *fx = *state;
    struct ears ears;
    listen_to(&ears, fx);
    store(1, 1);
    fleet_run_until(fx, ears.count == 1);
    ears.wanted = false;
    uint64_t until_ms = clock_ms() + 5 * EVENT_TAIL_MS;
    fleet_run_until(fx, clock_ms() >= until_ms);
    store(2, 2);
    ears.wanted = true;
    assert_int_equal(open_stream(&ears, &fx->owner, NULL, NULL), FLEET_OK);
    store(3, 3);
    fleet_run_until(fx, ears.count == 2);
    assert_int_equal(ears.numbers[1], 3);
}

/* Presence as attendance.c writes it. */
static void turn(struct fleet_fixture *fx, unsigned n, bool online, uint64_t session)
{
    struct device_facts facts = fleet_test_facts(n, session);
    struct metric *writes = metrics_add(fx->metrics, METRIC_COUNTER, "cyan_presence_writes_total", NULL, "");
    uint64_t before = writes->value;
    if (online)
        fx->ops->online(fx->ops->ctx, &facts, false);
    else
        fx->ops->offline(fx->ops->ctx, &facts, DEVICE_OFFLINE_SILENT, NULL);
    fleet_run_until(fx, writes->value > before && pg_unanswered(fx->pg) == 0);
}

static void test_what_is_told_of_an_event(void **state)
{
    struct fleet_fixture *fx = *state;
    struct ears ears;
    char expected[100], sql[300];
    struct device_id id = fleet_test_id(7);
    fleet_script("INSERT INTO product (id, slug, name, platform_id) VALUES (1234, 'lamps', 'Lamps', 13)");
    snprintf(sql, sizeof sql,
             "INSERT INTO device (id, owner_id, in_product, product_version, session_id)"
             " VALUES (decode('e00fce680000000000000007', 'hex'), %d, 1234, 3, 5)",
             (int)fx->owner.user_id);
    fleet_script(sql);
    listen_to(&ears, fx);
    fleet_send_event(fx, 7, DEVICE_EVENT_USER, "temp", "21");
    fleet_run_until(fx, ears.count == 1);
    snprintf(expected, sizeof expected, "%d 0 1234 device temp=21", (int)fx->owner.user_id);
    assert_string_equal(ears.last, expected);
    fleet_publish_system(fx->fleet, &id, "particle/device/updates/pending", "true");
    fleet_run_until(fx, ears.count == 2);
    snprintf(expected, sizeof expected, "%d 0 1234 device particle/device/updates/pending=true",
             (int)fx->owner.user_id);
    assert_string_equal(ears.last, expected);
    fleet_publish_to_product(fx->fleet, 1234, "particle/firmware/create", "{\"version\":\"1\"}");
    fleet_run_until(fx, ears.count == 3);
    assert_string_equal(ears.last, "0 0 1234 particle/firmware/create={\"version\":\"1\"}");
    /* presence is told, a device in quarantine is not */
    turn(fx, 7, true, 5);
    fleet_run_until(fx, ears.count == 4);
    snprintf(expected, sizeof expected, "%d 0 1234 device spark/status=online", (int)fx->owner.user_id);
    assert_string_equal(ears.last, expected);
    turn(fx, 7, true, 5); /* said again, as a node does whose lease had lapsed */
    fleet_script("UPDATE device SET session_id = 6");
    turn(fx, 7, true, 6); /* a new session, and the end of the old one was not missed */
    fleet_run_until(fx, ears.count == 6);
    snprintf(expected, sizeof expected, "%d 0 1234 device spark/status=online", (int)fx->owner.user_id);
    assert_string_equal(ears.last, expected);
    fleet_script("UPDATE device SET quarantined = true");
    turn(fx, 7, false, 6);
    store(5, 5);
    fleet_run_until(fx, ears.count == 7);
    assert_int_equal(ears.numbers[6], 5);
}

static void test_nothing_of_the_system_is_stored_for_nobody(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_id id = fleet_test_id(8);
    fleet_script("INSERT INTO device (id, session_id) VALUES (decode('e00fce680000000000000008', 'hex'), 5)");
    turn(fx, 8, true, 5);
    assert_string_equal(fleet_sql("SELECT online FROM device"), "t");
    fleet_publish_system(fx->fleet, &id, "particle/device/updates/pending", "true");
    fleet_run_until(fx, pg_unanswered(fx->pg) == 0);
    assert_string_equal(fleet_sql("SELECT count(*) FROM event"), "0");
}

static void test_who_may_read(void **state)
{
    struct fleet_fixture *fx = *state;
    struct ears ears;
    char sql[300];
    listen_to(&ears, fx);
    snprintf(
        sql, sizeof sql,
        "INSERT INTO product (id, slug, name, platform_id, owner_id) VALUES (1234, 'lamps', 'Lamps', 13, %d)",
        (int)fx->other_owner.user_id);
    fleet_script(sql);
    snprintf(sql, sizeof sql,
             "INSERT INTO device (id, owner_id, name, in_product) VALUES (decode('e00fce680000000000000007', "
             "'hex'), %d, 'lamp', 1234)",
             (int)fx->owner.user_id);
    fleet_script(sql);
    assert_int_equal(open_stream(&ears, &fx->owner, NULL, "lamp"), FLEET_OK);
    assert_true(ears.grant.has_device && !ears.grant.has_product);
    assert_int_equal(open_stream(&ears, &fx->other_owner, NULL, "e00fce680000000000000007"), FLEET_FORBIDDEN);
    assert_int_equal(open_stream(&ears, &fx->operator, NULL, "E00FCE680000000000000007"), FLEET_OK);
    assert_int_equal(open_stream(&ears, &fx->owner, NULL, "nothing"), FLEET_NOT_FOUND);
    assert_false(ears.grant.lacks_product);
    assert_int_equal(open_stream(&ears, &fx->owner, NULL, "no name at all"), FLEET_NOT_FOUND);
    assert_int_equal(open_stream(&ears, &fx->other_owner, "lamps", NULL), FLEET_OK);
    assert_true(ears.grant.has_product && ears.grant.product_id == 1234 && !ears.grant.has_device);
    assert_int_equal(open_stream(&ears, &fx->other_owner, "1234", "lamp"), FLEET_OK);
    assert_true(ears.grant.has_product && ears.grant.has_device);
    assert_int_equal(open_stream(&ears, &fx->owner, "lamps", NULL), FLEET_FORBIDDEN);
    assert_true(ears.grant.lacks_product);
    assert_int_equal(open_stream(&ears, &fx->owner, "lambs", NULL), FLEET_NOT_FOUND);
    assert_true(ears.grant.lacks_product);
    assert_int_equal(open_stream(&ears, &fx->other_owner, "lamps", "e00fce680000000000000009"),
                     FLEET_NOT_FOUND);
    assert_false(ears.grant.lacks_product);
}

struct ends {
    int calls;
    enum fleet_err err;
    char text[100];
};

static void on_ends(void *arg, enum fleet_err err, const struct stream_end *ends, size_t count)
{
    struct ends *e = arg;
    e->calls++;
    e->err = err;
    for (size_t i = 0; i < count; i++)
        snprintf(e->text + strlen(e->text), sizeof e->text - strlen(e->text), "%zu:%s ", ends[i].place,
                 ends[i].why);
}

static void test_who_may_no_longer(void **state)
{
    struct fleet_fixture *fx = *state;
    struct ends e = {0};
    struct device_id id = fleet_test_id(7);
    int64_t token;
    char sql[400];
    snprintf(sql, sizeof sql,
             "INSERT INTO access_token (user_id, sha256, prefix) VALUES (%d, sha256('t'), 't') RETURNING id",
             (int)fx->owner.user_id);
    token = atoll(fleet_sql(sql));
    snprintf(
        sql, sizeof sql,
        "INSERT INTO product (id, slug, name, platform_id, owner_id) VALUES (1234, 'lamps', 'Lamps', 13, %d);"
        "INSERT INTO device (id, owner_id, in_product) VALUES (decode('e00fce680000000000000007', 'hex'), "
        "%d, 1234)",
        (int)fx->owner.user_id, (int)fx->owner.user_id);
    fleet_script(sql);
    struct stream_right rights[] = {
        {.token_id = token},
        {.token_id = token + 1},
        {.token_id = token, .has_device = true, .device = id},
        {.token_id = token, .has_product = true, .product_id = 1234},
        {.token_id = token, .has_product = true, .product_id = 1234, .has_device = true, .device = id},
    };
    fleet_check_streams(fx->fleet, rights, 5, on_ends, &e);
    fleet_run_until(fx, e.calls == 1);
    assert_string_equal(e.text, "1:token ");
    fleet_script("UPDATE device SET owner_id = NULL, in_product = NULL");
    e.text[0] = '\0';
    fleet_check_streams(fx->fleet, rights, 5, on_ends, &e);
    fleet_run_until(fx, e.calls == 2);
    assert_string_equal(e.text, "1:token 2:rights 4:rights ");
    fleet_script("UPDATE product SET owner_id = NULL");
    e.text[0] = '\0';
    fleet_check_streams(fx->fleet, rights, 5, on_ends, &e);
    fleet_run_until(fx, e.calls == 3);
    assert_string_equal(e.text, "1:token 2:rights 3:rights 4:rights ");
    fleet_script("UPDATE access_token SET expires_at = now() - interval '1 s'");
    e.text[0] = '\0';
    fleet_check_streams(fx->fleet, rights, 1, on_ends, &e);
    fleet_run_until(fx, e.calls == 4);
    assert_string_equal(e.text, "0:token ");
}

#define FLEET(test) cmocka_unit_test_setup_teardown(test, fleet_fixture_setup, fleet_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLEET(test_each_once_and_in_order),
        FLEET(test_a_follower_that_takes_little_at_a_time),
        FLEET(test_a_long_transaction),
        FLEET(test_what_a_rollback_leaves_is_nothing),
        FLEET(test_who_rests_hears_nothing_until_it_listens_again),
        FLEET(test_what_is_told_of_an_event),
        FLEET(test_nothing_of_the_system_is_stored_for_nobody),
        FLEET(test_who_may_read),
        FLEET(test_who_may_no_longer),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
