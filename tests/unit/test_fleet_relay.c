/* test_fleet_relay.c: which devices an event reaches (device-protocol 4.8, 4.9), on this node and on others.
 */
#include "fleet_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fake_nodes.h"
#include "fleet/person_event.h"

static int setup(void **state)
{
    int err = fleet_fixture_setup(state);
    struct fleet_fixture *fx = *state;
    memset(&fake_nodes, 0, sizeof fake_nodes);
    fleet_set_nodes(fx->fleet, &fake_nodes, &fake_sessions);
    return err;
}

/* Devices from first to last, online, of that owner (NULL: nobody). */
static void make(unsigned first, unsigned last, const struct fleet_actor *owner)
{
    char sql[300], owner_text[24] = "NULL";
    if (owner)
        snprintf(owner_text, sizeof owner_text, "%lld", (long long)owner->user_id);
    snprintf(
        sql, sizeof sql,
        "INSERT INTO device (id, owner_id, online) SELECT decode('e00fce6800000000' || lpad(to_hex(n), 8,"
        " '0'), 'hex'), %s, true FROM generate_series(%u, %u) AS n",
        owner_text, first, last);
    fleet_script(sql);
}

static void subscribe_to(struct fleet_fixture *fx, unsigned n, const char *prefix, char scope, char format,
                         unsigned from)
{
    struct device_facts facts = fleet_test_facts(n, 1);
    struct device_subscription s = {.scope = (uint8_t)scope, .format = (uint8_t)format};
    struct fleet_verdict v = {0};
    snprintf(s.prefix, sizeof s.prefix, "%s", prefix);
    if (scope == 'd')
        s.from = fleet_test_id(from);
    fx->ops->subscription(fx->ops->ctx, &facts, &s, 1, fleet_on_verdict, &v);
    fleet_run_until(fx, v.calls);
    assert_int_equal(v.verdict, DEVICE_STORED);
}

static void subscribe(struct fleet_fixture *fx, unsigned n, const char *prefix)
{
    subscribe_to(fx, n, prefix, 'o', 't', 0);
}

#define LAST 400 /* publishes `end` and hears it: then what was published before has been relayed */

/* Device n publishes; what became of it. */
static const char *publish_event(struct fleet_fixture *fx, unsigned n, struct device_event event)
{
    static uint64_t sequence;
    struct device_facts facts = fleet_test_facts(n, 1);
    struct device_event end = {.kind = DEVICE_EVENT_USER, .name = "end", .ttl_s = 60};
    struct fleet_verdict v = {0};
    event.data = (const uint8_t *)"x";
    event.data_len = 1;
    event.ttl_s = 60;
    be64_store(event.key + 8, ++sequence);
    be64_store(end.key + 8, ++sequence);
    facts.quarantined = n == 99;
    fx->delivered[0] = 0;
    fx->ops->event(fx->ops->ctx, &facts, &event, fleet_on_verdict, &v);
    facts = fleet_test_facts(LAST, 1);
    fx->ops->event(fx->ops->ctx, &facts, &end, fleet_on_verdict, &v);
    fleet_run_until(fx, strstr(fx->delivered, "400:end= "));
    assert_int_equal(v.calls, 2);
    assert_int_equal(v.verdict, DEVICE_STORED);
    *strstr(fx->delivered, "400:end= ") = 0;
    return fx->delivered;
}

static const char *publish(struct fleet_fixture *fx, unsigned n, const char *name)
{
    return publish_event(fx, n, (struct device_event){.kind = DEVICE_EVENT_USER, .name = name});
}

static const char *publish_public(struct fleet_fixture *fx, unsigned n, const char *name)
{
    return publish_event(fx, n,
                         (struct device_event){.kind = DEVICE_EVENT_USER, .name = name, .is_public = true});
}

static const char *publish_format(struct fleet_fixture *fx, unsigned n, uint16_t format)
{
    return publish_event(
        fx, n, (struct device_event){.kind = DEVICE_EVENT_USER, .name = "f", .content_format = format});
}

static void begin(struct fleet_fixture *fx)
{
    make(LAST, LAST, NULL);
    subscribe(fx, LAST, "end");
}

static void test_events_of_an_owner_reach_the_owners_devices(void **state)
{
    static const unsigned everybody[] = {1, 2, 3, 11, 12, 21, 22};
    struct fleet_fixture *fx = *state;
    begin(fx);
    make(1, 3, &fx->owner);
    make(11, 12, &fx->other_owner);
    make(21, 22, NULL);
    for (size_t i = 0; i < sizeof everybody / sizeof *everybody; i++)
        subscribe(fx, everybody[i], "temp");
    assert_string_equal(publish(fx, 1, "temp"), "1:temp=x 2:temp=x 3:temp=x "); /* itself too */
    assert_string_equal(publish(fx, 11, "temperature/a"), "11:temperature/a=x 12:temperature/a=x ");
    assert_string_equal(publish(fx, 21, "temp"), "21:temp=x "); /* nobody's devices are not each other's */
    assert_string_equal(publish(fx, 1, "tem"), "");
    assert_string_equal(publish(fx, 1, "Temp"), "");
    assert_string_equal(publish_public(fx, 11, "temp"), "11:temp=x 12:temp=x ");
}

static void test_public_events_and_those_of_one_device(void **state)
{
    struct fleet_fixture *fx = *state;
    begin(fx);
    make(1, 2, &fx->owner);
    make(11, 12, &fx->other_owner);
    subscribe_to(fx, 1, "a", 'p', 't', 0);
    subscribe_to(fx, 2, "a", 'd', 't', 11);
    subscribe_to(fx, 12, "a", 'd', 't', 11);
    assert_string_equal(publish_public(fx, 11, "ab"), "1:ab=x 2:ab=x 12:ab=x ");
    assert_string_equal(publish(fx, 11, "ab"), "12:ab=x "); /* a private one is the owner's alone */
    assert_string_equal(publish_public(fx, 12, "ab"), "1:ab=x ");
    assert_string_equal(publish(fx, 12, "ab"), "");
}

static void test_prefixes(void **state)
{
    struct fleet_fixture *fx = *state;
    begin(fx);
    make(1, 8, &fx->owner);
    subscribe(fx, 1, "");
    subscribe(fx, 2, "a");
    subscribe(fx, 3, "a/b/c");
    subscribe(fx, 4, "a/b/c/d");
    subscribe(fx, 5, "a/c");
    subscribe(fx, 6, "\xc3\xbc");
    subscribe(fx, 7, "a_");
    subscribe(fx, 8, "a/b/b");
    subscribe(fx, 3, "a/b"); /* two of one device that fit: once */
    assert_string_equal(publish(fx, 2, "a/b/c"), "1:a/b/c=x 2:a/b/c=x 3:a/b/c=x ");
    assert_string_equal(publish(fx, 2, "a/b/c/d/"), "1:a/b/c/d/=x 2:a/b/c/d/=x 3:a/b/c/d/=x 4:a/b/c/d/=x ");
    assert_string_equal(publish(fx, 2, "\xc3\xbc!"), "1:\xc3\xbc!=x 6:\xc3\xbc!=x ");
    assert_string_equal(publish(fx, 2, "aX"), "1:aX=x 2:aX=x ");
    assert_string_equal(publish(fx, 2, "z"), "1:z=x ");
    assert_string_equal(fleet_sql("SELECT string_agg(p, '|') FROM subscribed_prefixes('a/b/c/d/e') p"),
                        "a/b/c/d|a/b/c|a/b|a|");
    assert_string_equal(fleet_sql("SELECT count(*) FROM subscribed_prefixes('b') p"), "1");
}

static void test_formats(void **state)
{
    struct fleet_fixture *fx = *state;
    begin(fx);
    make(1, 3, &fx->owner);
    subscribe_to(fx, 1, "f", 'o', 't', 0);
    subscribe_to(fx, 2, "f", 'o', 'c', 0);
    subscribe_to(fx, 3, "f", 'o', 'b', 0);
    assert_string_equal(publish_format(fx, 1, 0), "1:f=x 3:f=x ");
    assert_string_equal(publish_format(fx, 1, 50), "1:f=x 3:f=x ");
    assert_string_equal(publish_format(fx, 1, 60), "2:f=x 3:f=x ");
    assert_string_equal(publish_format(fx, 1, 42), "3:f=x ");
}

static void test_who_gets_nothing(void **state)
{
    struct fleet_fixture *fx = *state;
    begin(fx);
    make(1, 5, &fx->owner);
    make(99, 99, &fx->owner);
    for (unsigned n = 1; n <= 5; n++) {
        subscribe(fx, n, "a");
        subscribe(fx, n, "spark");
        subscribe(fx, n, "particle");
    }
    fleet_script(
        "UPDATE device SET quarantined = true WHERE get_byte(id, 11) = 2;"
        "UPDATE device SET online = false WHERE get_byte(id, 11) IN (3, 4);"
        "UPDATE device SET last_heard = now() WHERE get_byte(id, 11) = 4"); /* its Hello is just stored */
    assert_string_equal(publish(fx, 1, "a"), "1:a=x 4:a=x 5:a=x ");
    assert_string_equal(publish(fx, 99, "a"), ""); /* of one in quarantine nothing is passed on */
    struct device_event system = {.kind = DEVICE_EVENT_SYSTEM_OTHER, .name = "particle/x", .is_public = true};
    assert_string_equal(publish_event(fx, 1, system), "");
}

/* Subscriptions go with the device from owner to owner. */
static void test_ownership_changes(void **state)
{
    struct fleet_fixture *fx = *state;
    struct fleet_answer a = {0};
    char id[DEVICE_ID_TEXT_SIZE];
    struct device_id two = fleet_test_id(2);
    begin(fx);
    make(1, 1, &fx->owner);
    make(2, 2, NULL);
    subscribe(fx, 2, "a");
    assert_string_equal(publish(fx, 1, "a"), "");
    fleet_claim_device(fx->fleet, &fx->owner, &two, fleet_on_change, &a);
    fleet_run_until(fx, a.calls == 1);
    assert_string_equal(publish(fx, 1, "a"), "2:a=x ");
    device_id_format(id, &two);
    fleet_unclaim_device(fx->fleet, &fx->owner, id, fleet_on_change, &a);
    fleet_run_until(fx, a.calls == 2);
    assert_string_equal(publish(fx, 1, "a"), "");
}

static void on_published(void *arg, enum fleet_err err, const char *why)
{
    struct fleet_answer *a = arg;
    a->calls++;
    a->err = err;
    snprintf(a->why, sizeof a->why, "%s", why);
}

static enum fleet_err say(struct fleet_fixture *fx, const char *name, const char *data, bool is_public)
{
    struct fleet_answer a = {0};
    struct person_event event = {.name = name, .data = data, .ttl_s = 60, .is_public = is_public};
    fleet_publish(fx->fleet, &fx->owner, &event, on_published, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    return a.err;
}

static void test_people_publish_too(void **state)
{
    struct fleet_fixture *fx = *state;
    char data[DEVICE_EVENT_DATA_MAX + 2], name[DEVICE_EVENT_NAME_MAX + 2];
    begin(fx);
    make(1, 2, &fx->owner);
    make(11, 11, &fx->other_owner);
    subscribe(fx, 1, "go");
    subscribe_to(fx, 2, "go", 'd', 't', 1);
    subscribe(fx, 11, "go");
    subscribe_to(fx, 11, "public", 'p', 't', 0);
    assert_int_equal(say(fx, "go", "now", false), FLEET_OK);
    assert_int_equal(say(fx, "public", "", true), FLEET_OK);
    assert_int_equal(say(fx, "public/not", "", false), FLEET_OK);
    fleet_run_until(fx, fx->deliveries == 2);
    publish(fx, 1, "nothing");
    assert_int_equal(fx->deliveries, 3);
    assert_string_equal(
        fleet_sql("SELECT string_agg(name || '=' || encode(data, 'escape') || ' ' || is_public, ' '"
                  " ORDER BY id) FROM event WHERE device_id IS NULL"),
        "go=now false public= true public/not= false");
    memset(data, 'd', sizeof data);
    data[sizeof data - 1] = 0;
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    assert_int_equal(say(fx, "go", data, false), FLEET_INVALID);
    assert_int_equal(say(fx, name, "", false), FLEET_INVALID);
    assert_int_equal(say(fx, "", "", false), FLEET_INVALID);
    assert_int_equal(say(fx, "a\nb", "", false), FLEET_INVALID);
    assert_int_equal(say(fx, "particle/device/updates/pending", "true", false), FLEET_INVALID);
    data[DEVICE_EVENT_DATA_MAX] = name[DEVICE_EVENT_NAME_MAX] = 0;
    assert_int_equal(say(fx, name, data, false), FLEET_OK);
}

static uint64_t metric(struct fleet_fixture *fx, const char *name)
{
    return metrics_add(fx->metrics, METRIC_COUNTER, name, NULL, "")->value;
}

static void test_recipients_on_other_nodes(void **state)
{
    struct fleet_fixture *fx = *state;
    begin(fx);
    make(1, 1, &fx->owner);
    make(FLEET_FIRST_ELSEWHERE, FLEET_FIRST_ELSEWHERE + 1, &fx->owner);
    for (unsigned i = 0; i < 2; i++)
        subscribe(fx, FLEET_FIRST_ELSEWHERE + i, "a");
    publish(fx, 1, "b");
    assert_int_equal(fake_nodes.sent, 0);
    assert_string_equal(publish(fx, 1, "a\"b"), "");
    assert_int_equal(fake_nodes.sent, 1);
    assert_int_equal(fake_nodes.topic, NODES_EVENT);
    assert_string_equal(fake_nodes.text,
                        "{\"v\":1,\"name\":\"a\\\"b\",\"data\":\"78\",\"format\":0,\"public\":false,"
                        "\"to\":[\"e00fce6800000000000001f4\",\"e00fce6800000000000001f5\"]}");
    fake_nodes.is_away = true;
    uint64_t dropped = metric(fx, "cyan_events_dropped_total");
    publish(fx, 1, "a");
    assert_int_equal(metric(fx, "cyan_events_dropped_total"), dropped + 2);
}

/* More recipients than one message holds; each message is one that may be sent. */
static void test_many_recipients_on_other_nodes(void **state)
{
    struct fleet_fixture *fx = *state;
    begin(fx);
    make(1, 1, &fx->owner);
    make(FLEET_FIRST_ELSEWHERE, FLEET_FIRST_ELSEWHERE + 4999, &fx->owner);
    fleet_script("INSERT INTO device_subscription (device_id, place, prefix, scope, format)"
                 " SELECT id, 1, 'a', 'o', 't' FROM device WHERE owner_id IS NOT NULL");
    publish(fx, 1, "a");
    assert_int_equal(fake_nodes.sent, 3);
    assert_int_equal(metric(fx, "cyan_events_dropped_total"), 0);
}

static void hear(const char *text)
{
    fake_nodes.receivers[NODES_EVENT].fn(fake_nodes.receivers[NODES_EVENT].ctx, 5, (const uint8_t *)text,
                                         strlen(text));
}

static void test_events_of_other_nodes(void **state)
{
    static const char *const malformed[] = {
        "",
        "[]",
        "{\"v\":2,\"name\":\"a\",\"data\":\"\",\"format\":0,\"public\":true,\"to\":[]}",
        "{\"v\":1,\"name\":\"\",\"data\":\"\",\"format\":0,\"public\":true,\"to\":[]}",
        "{\"v\":1,\"name\":\"a\",\"data\":\"0\",\"format\":0,\"public\":true,\"to\":[]}",
        "{\"v\":1,\"name\":\"a\",\"data\":5,\"format\":0,\"public\":true,\"to\":[]}",
        "{\"v\":1,\"name\":\"a\",\"data\":\"\",\"format\":65536,\"public\":true,\"to\":[]}",
        "{\"v\":1,\"name\":\"a\",\"data\":\"\",\"format\":0,\"public\":1,\"to\":[]}",
        "{\"v\":1,\"name\":\"a\",\"data\":\"\",\"format\":0,\"public\":true,\"to\":[\"e00f\"]}",
        "{\"v\":1,\"name\":\"a\",\"data\":\"\",\"format\":0,\"public\":true,\"to\":{}}",
    };
    struct fleet_fixture *fx = *state;
    hear("{\"v\":1,\"name\":\"a\",\"data\":\"6869\",\"format\":0,\"public\":true,"
         "\"to\":[\"e00fce680000000000000001\",\"e00fce6800000000000001f5\",\"e00fce680000000000000002\"]}");
    assert_string_equal(fx->delivered, "1:a=hi 2:a=hi ");
    assert_int_equal(metric(fx, "cyan_events_relayed_total"), 2);
    assert_int_equal(fake_nodes.sent, 0); /* it goes no further */
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        hear(malformed[i]);
    assert_int_equal(metric(fx, "cyan_node_messages_malformed_total"), sizeof malformed / sizeof *malformed);
    assert_int_equal(fx->deliveries, 2);
}

/* An event is acknowledged when it is stored; whether it can be relayed then does not matter. */
static void test_what_is_too_much_is_dropped(void **state)
{
    struct fleet_fixture *fx = *state;
    struct device_event event = {.kind = DEVICE_EVENT_USER, .name = "end"};
    struct device_id id = fleet_test_id(LAST);
    begin(fx);
    for (unsigned i = 0; i < RELAY_QUEUE_MAX + 7; i++)
        relay_push(fx->fleet->relay, &(struct relay_source){.device = &id}, &event);
    assert_int_equal(metric(fx, "cyan_events_dropped_total"), 7);
    fleet_run_until(fx, fx->deliveries == RELAY_QUEUE_MAX);
    private_postgres_kill(&fleet_postgres);
    relay_push(fx->fleet->relay, &(struct relay_source){.device = &id}, &event);
    fleet_run_until(fx, metric(fx, "cyan_events_dropped_total") == 8);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_events_of_an_owner_reach_the_owners_devices),
        TEST(test_public_events_and_those_of_one_device),
        TEST(test_prefixes),
        TEST(test_formats),
        TEST(test_who_gets_nothing),
        TEST(test_ownership_changes),
        TEST(test_people_publish_too),
        TEST(test_recipients_on_other_nodes),
        TEST(test_many_recipients_on_other_nodes),
        TEST(test_events_of_other_nodes),
        TEST(test_what_is_too_much_is_dropped),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
