/* test_fleet_registry.c: what becomes of devices nobody knows, and what Hello, describe and subscriptions
 * leave behind. */
#include "fleet_key_bench.h"

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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_fixture_setup, fleet_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_enrol_trusts_the_first_key),
        TEST(test_quarantine),
        TEST(test_approval_shuts_the_stranger_out),
        TEST(test_unknown_hello_is_rejected),
        TEST(test_hello_is_remembered),
        TEST(test_describe_is_remembered),
        TEST(test_modules_and_history),
        TEST(test_subscriptions_are_a_set),
        TEST(test_subscriptions_begin_anew),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
