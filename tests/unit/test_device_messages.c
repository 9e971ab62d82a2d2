/* test_device_messages.c: each request of a device, from the record it came in to the bytes that answer it.
 */
#include "device_bench.h"

#include "device/link.h"

/* Device OS 6.2.0 from Hello to "cloud connected", byte for byte (device-trace 3). */
static void answers_the_trace(void **state)
{
    static const struct {
        const char *in, *out; /* out NULL: the time */
        int asked;            /* enum asked_kind, -1: nothing is asked */
    } trace[] = {
        {"40020001b168ff0003ffff00360003000c0123456789abcdef012345671838048000a000000200", "60000001",
         ASKED_HELLO},
        {"410200022cb164112a3101ff0a19080218e8072880808005351e0000003d1e00000058848080050a20080318b8302880808"
         "005351e000"
         "0003d1e0000004a05080218e8075884808005",
         "60000002", ASKED_DESCRIBE},
        {"410100032db174", NULL, -1},
        {"40020004b1450d127061727469636c652f6465766963652f757064617465732f656e61626c6564ff74727565",
         "60000004", ASKED_EVENT},
        {"40020005b1450d117061727469636c652f6465766963652f757064617465732f666f72636564ff66616c7365",
         "60000005", ASKED_EVENT},
        {"410200062eb1644102ff7b2266223a5b22736574436f756e746572222c227075626c697368222c227265736574225d2c227"
         "6223a7b226"
         "36f756e746572223a322c2274656d70223a392c22666c6167223a312c2274657874223a342c2263616c63223a347d7d",
         "60000006", ASKED_DESCRIBE},
        {"40010007b165087061727469636c65", "60000007", ASKED_SUBSCRIPTION},
        {"40010008b16505737061726b", "60000008", ASKED_SUBSCRIPTION},
        {"40010009b16508766465762f636d64", "60000009", ASKED_SUBSCRIPTION},
        {"4001000ab16504616c6c2f", "6000000a", ASKED_SUBSCRIPTION},
        {"4002000bb14509766465762f7469636bff31", "6000000b", ASKED_EVENT},
        {"4000000c", "6000000c", -1},
    };
    struct session *s = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_admit(DEVICE_ADMIT, "0123456789abcdef01234567");
    for (size_t i = 0; i < sizeof(trace) / sizeof(trace[0]); i++) {
        size_t sent_before = bench.sent_count, asked_before = bench.asked_count;
        bench_receive(s, trace[i].in);
        if (trace[i].asked >= 0) {
            assert_int_equal(bench.sent_count, sent_before); /* nothing is promised before it is stored */
            assert_int_equal(bench.asked_count, asked_before + 1);
            assert_int_equal(bench.asked[asked_before].kind, trace[i].asked);
            bench_answer(asked_before, DEVICE_STORED);
        }
        assert_int_equal(bench.sent_count, sent_before + 1);
        if (trace[i].out != NULL)
            assert_string_equal(bench_sent_hex(), trace[i].out);
        else
            assert_memory_equal(bench_sent_hex(), "614500032dff", 12);
    }
    assert_int_equal(bench.asked[2].module_version, 6200);
    assert_int_equal(bench.asked[5].function_count, 3);
    assert_int_equal(bench.asked[5].variable_count, 5);
    assert_string_equal(bench.asked[8].subscription.prefix, "vdev/cmd");
    assert_int_equal(bench.asked[8].generation, 1);
    assert_string_equal(bench.asked[10].name, "vdev/tick");
    assert_int_equal(bench.asked[10].event.kind, DEVICE_EVENT_USER);
}

static void time_is_four_bytes_at_offset_six(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    bench_receive(s, "4101010655b174");
    const struct sent *sent = &bench.sent[0];
    assert_int_equal(sent->data_len, 10);
    assert_memory_equal(sent->data, "\x61\x45\x01\x06\x55\xff", 6);
    uint64_t now_s = clock_wall_ms() / 1000;
    uint64_t said_s = be32_load(sent->data + 6);
    assert_true(said_s <= now_s && said_s + 60 > now_s);
    bench_receive(s, "40010107b174"); /* the device would read past the end of its token */
    assert_string_equal(bench_sent_hex(), "60800107");
    assert_int_equal(bench_refused("time_token"), 1);
}

static void events_have_keys_of_their_own(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    bench_receive(s, "4002000bb14509766465762f7469636bff31");
    bench_receive(s, "4002000cb16504676f6f6422012cff32");
    bench_receive(s, "4002000bb14509766465762f7469636bff31"); /* again, not stored yet */
    assert_int_equal(bench.asked_count, 2);
    bench_answer(0, DEVICE_STORED);
    bench_receive(s, "4002000bb14509766465762f7469636bff31"); /* and after */
    assert_int_equal(bench.asked_count, 2);
    assert_int_equal(bench.sent_count, 2);
    assert_int_equal(be64_load(bench.asked[0].event.key), s->id);
    assert_int_equal(be64_load(bench.asked[1].event.key), s->id);
    assert_memory_not_equal(bench.asked[0].event.key, bench.asked[1].event.key, 16);
    assert_true(bench.asked[1].event.is_public);
    assert_int_equal(bench.asked[1].event.ttl_s, 60); /* 2 is not Max-Age */
    assert_true(bench.asked[0].event.received_wall_ms + 60000 > clock_wall_ms());
    assert_memory_equal(bench.asked[0].data, "1", 1);
}

static void verdicts_on_events(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    bench_receive(s, "4002000bb1450178ff31");
    bench_answer(0, DEVICE_BUSY);
    assert_string_equal(bench_sent_hex(), "60a3000b"); /* 5.03 */
    bench_receive(s, "4002000cb1450178ff31");
    bench_answer(1, DEVICE_REJECTED);
    assert_string_equal(bench_sent_hex(), "6080000c");
    assert_int_equal(bench_refused("store_busy"), 1);
    assert_int_equal(bench_refused("event_rejected"), 1);
}

static void a_non_confirmable_event_is_stored_in_silence(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    bench_receive(s, "5002000bb14509766465762f7469636bff31");
    assert_int_equal(bench.asked_count, 1);
    bench_answer(0, DEVICE_STORED);
    bench_receive(s, "5002000bb14509766465762f7469636bff31");
    assert_int_equal(bench.asked_count, 1);
    bench_receive(s, "5002000cb145"); /* nor is a bad one answered */
    assert_int_equal(bench.sent_count, 0);
    assert_int_equal(bench_refused("event_name"), 1);
}

static void events_that_are_refused(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    char hex[2 * 1200] = "4002000db1450178ff";
    (void)state;

    bench_receive(s, "4002000bb145");
    assert_string_equal(bench_sent_hex(), "6080000b");
    bench_receive(s, "4002000cb14502ff41ff31");
    assert_string_equal(bench_sent_hex(), "6080000c");
    size_t len = strlen(hex);
    memset(hex + len, '3', 2 * (DEVICE_EVENT_DATA_MAX + 1));
    hex[len + 2 * (DEVICE_EVENT_DATA_MAX + 1)] = '\0';
    bench_receive(s, hex);
    assert_string_equal(bench_sent_hex(), "608d000d"); /* 4.13 */
    bench_receive(s, "4002000eb1450178350000000001");
    assert_string_equal(bench_sent_hex(), "6080000e");
    assert_int_equal(bench.asked_count, 0);
    assert_int_equal(bench_refused("event_name"), 2);
    assert_int_equal(bench_refused("event_too_large"), 1);
    assert_int_equal(bench_refused("event_options"), 1);
}

static void describes_are_not_acknowledged_before_they_are_stored(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    static const char describe[] = "4002000bb1644101ff7b2270223a31332c226d223a5b5d7d"; /* as 2.x: no token */
    (void)state;

    bench_receive(s, describe);
    assert_int_equal(bench.asked[0].parts, DESCRIBE_SYSTEM);
    bench_answer(0, DEVICE_BUSY); /* any answer would count as success with the device */
    assert_int_equal(bench.sent_count, 0);
    bench_receive(s, describe);
    assert_int_equal(bench.asked_count, 2);
    bench_answer(1, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "6000000b");
    bench_receive(s, "4102000c2eb1644104ff000400020004001300baffffff");
    assert_int_equal(bench.asked[2].metric_count, 1);
    bench_answer(2, DEVICE_REJECTED);
    assert_string_equal(bench_sent_hex(), "6180000c2e");
    assert_int_equal(bench_refused("describe_rejected"), 1);
}

static void a_describe_in_blocks_is_put_together(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    char hex[2 * 1100], body[1025] = "{\"f\":[\"one\",", block[2 * 1024 + 1];
    (void)state;

    memset(body + strlen(body), ' ', 1024 - strlen(body));
    hex_encode(block, body, 1024);
    snprintf(hex, sizeof(hex), "4102000680b1644102c10eff%s", block); /* Block1 0, more, 1024 */
    bench_receive(s, hex);
    assert_int_equal(bench.asked_count, 0);
    assert_int_equal(bench.sent_count, 1);                      /* whatever its code, the device goes on */
    bench_receive(s, "4102000b81b1644102c116ff2274776f225d7d"); /* "two"]} */
    assert_int_equal(bench.asked_count, 1);
    assert_int_equal(bench.asked[0].function_count, 2);
    bench_answer(0, DEVICE_BUSY);
    bench_receive(s, "4102000b81b1644102c116ff2274776f225d7d"); /* the last block again is the whole again */
    assert_int_equal(bench.asked_count, 2);
    assert_int_equal(bench.asked[1].function_count, 2);
    bench_answer(1, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "6000000b");
}

static void describes_that_are_refused(void **state)
{
    static const char *const flags[] = {
        "4002000bb164ff7b7d",                               /* no flags */
        "4002000cb16440ff7b7d",                             /* empty */
        "4002000db1644100ff7b7d",                           /* none */
        "4002000eb1644105ff7b7d",                           /* metrics with others */
        "4002000fb164420001ff7b7d",                         /* two bytes */
        "40020010b1644102ff7b2270223a31332c226d223a5b5d7d", /* says application, is system */
    };
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        bench_receive(s, flags[i]);
        assert_memory_equal(bench_sent_hex(), "6080", 4);
    }
    assert_int_equal(bench_refused("describe_flags"), 6);
    bench_receive(s, "40020011b1644101ff7b7d");         /* {} */
    bench_receive(s, "40020012b1644101");               /* nothing */
    bench_receive(s, "41020013a1b164112a3101ff0a05");   /* protobuf cut off */
    bench_receive(s, "40020014b164130100003101ff7b7d"); /* no Content-Format has three bytes */
    assert_int_equal(bench_refused("describe_malformed"), 4);
    assert_int_equal(bench.sent_count, 10);
    assert_int_equal(bench.asked_count, 0);
}

static void each_subscription_is_stored_by_itself(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    bench_receive(s, "40010104b16505737061726b");
    bench_receive(s, "40010105b16505737061726b");
    bench_receive(s, "40010106b16505737061726b4162"); /* the same prefix in another format is another one */
    assert_int_equal(bench.asked_count, 3);
    assert_string_equal(bench.asked[2].subscription.prefix, "spark");
    assert_int_equal(bench.asked[2].subscription.format, 'b');
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(bench.asked[i].generation, 1);
    bench_answer(0, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "60000104");
    bench_answer(1, DEVICE_BUSY);
    assert_string_equal(bench_sent_hex(), "60a30105");
    bench_answer(2, DEVICE_REJECTED);
    assert_string_equal(bench_sent_hex(), "60800106");
    bench_receive(s, "40010301b165024c41");
    bench_answer(3, DEVICE_FULL);
    assert_string_equal(bench_sent_hex(), "60800301");
    bench_receive(s, "40010302b165024c414178");
    assert_string_equal(bench_sent_hex(), "60800302");
    assert_int_equal(bench_refused("subscriptions_too_many"), 1);
    assert_int_equal(bench_refused("subscription_malformed"), 1);
    assert_int_equal(bench_refused("subscription_rejected"), 1);
}

static void device_os_may_say_nothing_before_its_hello(void **state)
{
    static const char *const early[] = {
        "4002000bb14509766465762f7469636bff31",
        "40010008b16505737061726b",
        "4002000cb1644102ff7b7d",
        "4002000db178ff0102",
        "4002000eb14cff00",
        "4001000fb17a",
    };
    struct session *s = bench_open(SESSION_DEVICE_OS);
    (void)state;

    bench_admit(DEVICE_ADMIT, BORON);
    for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++) {
        bench_receive(s, early[i]);
        assert_memory_equal(bench_sent_hex(), "6083", 4);
    }
    assert_int_equal(bench_refused("before_hello"), sizeof(early) / sizeof(early[0]));
    bench_receive(s, "40000010");
    assert_string_equal(bench_sent_hex(), "60000010");
    bench_receive(s, "4101001155b174");
    assert_memory_equal(bench_sent_hex(), "6145001155ff", 12);
    assert_int_equal(bench.asked_count, 1);
}

static void unknown_paths_and_wrong_methods(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"4001000bb17a", "6084000b"},     /* GET /z: 4.04 */
        {"4002000cb174", "6085000c"},     /* POST /t: 4.05 */
        {"4001000db168", "6085000d"},     /* GET /h */
        {"4003000eb1450178", "6085000e"}, /* PUT /E/x */
        {"4001000fb1450178", "6085000f"}, /* GET /E/x: events are subscribed to at /e */
        {"40010010b1640178", "60840010"}, /* GET /d/x */
        {"41020301"
         "30b14cff08011200",
         "61a1030130"}, /* POST /L: 5.01 */
        {"40010302"
         "bb2e77656c6c2d6b6e6f776e04636f7265",
         "60840302"},             /* Device OS has no use for it */
        {"40010303", "60840303"}, /* GET / */
    };
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench_receive(s, cases[i].in);
        assert_string_equal(bench_sent_hex(), cases[i].out);
    }
    assert_int_equal(bench_refused("unknown_path"), 4);
    assert_int_equal(bench_refused("wrong_method"), 4);
    assert_int_equal(bench_refused("not_implemented"), 1);
    assert_int_equal(bench.asked_count, 0);
}

static void a_plain_client_needs_no_hello(void **state)
{
    struct session *s = bench_open(SESSION_PSK);
    (void)state;

    bench_admit(DEVICE_ADMIT, BORON);
    bench_receive(s, "4101000b77bb2e77656c6c2d6b6e6f776e04636f7265");
    const struct sent *links = &bench.sent[bench.sent_count - 1];
    assert_memory_equal(bench_sent_hex(), "6145000b77c128ff", 16);
    assert_memory_equal(links->data + 8, "</t>;rt=\"time\";ct=42", 20);
    bench_receive(s, "4101000c77b174");
    assert_memory_equal(bench_sent_hex(), "6145000c77c12aff", 16);
    assert_int_equal(bench.sent[bench.sent_count - 1].data_len, 12);
    bench_receive(s, "4101000d77b1746132"); /* Accept: 50 */
    assert_string_equal(bench_sent_hex(), "6186000d77");
    bench_receive(s, "4101000e77b174612a"); /* Accept: 42 */
    assert_memory_equal(bench_sent_hex(), "6145000e77", 10);
    bench_receive(s, "4101000f77b17a");
    assert_string_equal(bench_sent_hex(), "6184000f77");
    bench_receive(s, "4102001077b174");
    assert_string_equal(bench_sent_hex(), "6185001077");
    bench_receive(s, "40000011");
    assert_string_equal(bench_sent_hex(), "70000011");
    assert_int_equal(bench.asked_count, 1);

    bench_receive(s, "4102001277b1650474656d70ff3231");
    assert_int_equal(bench.asked_count, 2);
    struct device_id id = bench_id(BORON);
    assert_true(device_id_equal(&bench.asked[1].facts.id, &id));
    assert_int_equal(bench.asked[1].facts.profile, SESSION_PSK);
    bench_answer(1, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "6144001277"); /* 2.04 */
    bench_receive(s, "4101001377b1650474656d70");
    assert_string_equal(bench_sent_hex(), "6183001377"); /* to subscribe it must say Hello */
    assert_null(devices_find(bench.all, &id));
    for (size_t i = 0; i < bench.told_count; i++)
        assert_int_equal(bench.told[i].kind, TOLD_HEARD);
}

/* The first of many blocks. What would not be heard as a whole is not kept in pieces. */
static void bodies_in_blocks_are_for_who_may_send_them(void **state)
{
    struct session *s = bench_open(SESSION_DEVICE_OS);
    const struct device *device = s->user;
    (void)state;

    bench_admit(DEVICE_ADMIT, BORON);
    bench_receive(s, "4102000680b1644102c108ff30313233343536373839616263646566"); /* POST /d?02 */
    assert_string_equal(bench_sent_hex(), "6183000680");
    bench_receive(s, "4102000780b168d10308ff30313233343536373839616263646566"); /* POST /h */
    assert_string_equal(bench_sent_hex(), "6183000780");
    assert_null(device->peer.bodies);
    assert_int_equal(bench_refused("before_hello"), 2);
    bench_receive(s, BORON_HELLO);
    bench_answer(bench.asked_count - 1, DEVICE_STORED);
    bench_receive(s, "4102000880b1644102c108ff30313233343536373839616263646566");
    assert_string_equal(bench_sent_hex(), "615f000880");
    assert_non_null(device->peer.bodies);

    s = bench_open(SESSION_PSK);
    device = s->user;
    bench_admit(DEVICE_ADMIT, BORON);
    bench_receive(s, "4102000980b17ad10308ff30313233343536373839616263646566"); /* POST /z */
    assert_string_equal(bench_sent_hex(), "6184000980d10e08");
    bench_receive(s, "4102000a80b164d10308ff30313233343536373839616263646566"); /* POST /d */
    assert_string_equal(bench_sent_hex(), "6183000a80d10e08");
    assert_null(device->peer.bodies);
    bench_receive(s, "4102000b80b1650178d10308ff30313233343536373839616263646566"); /* POST /e/x */
    assert_string_equal(bench_sent_hex(), "615f000b80d10e08");
    assert_non_null(device->peer.bodies);

    s = bench_open(SESSION_PSK);
    device = s->user;
    bench_admit(DEVICE_ADMIT_QUARANTINE, BORON);
    bench_receive(s, "4102000c80b1650178d10308ff30313233343536373839616263646566");
    assert_string_equal(bench_sent_hex(), "6183000c80d10e08");
    assert_null(device->peer.bodies);
    assert_int_equal(bench_refused("quarantined"), 1);
}

static void a_plain_client_without_name_publishes_nothing(void **state)
{
    struct session *s = bench_open(SESSION_X509);
    (void)state;

    bench_admit(DEVICE_ADMIT_UNKNOWN, NULL);
    bench_receive(s, "4102001277b1650474656d70ff3231");
    assert_string_equal(bench_sent_hex(), "6183001277");
    assert_int_equal(bench.asked_count, 1);
    assert_int_equal(bench.told_count, 0);
}

static void hello_makes_any_session_one_of_device_os(void **state)
{
    struct session *s = bench_online(SESSION_PSK);
    (void)state;

    bench_receive(s, "40000002");
    assert_string_equal(bench_sent_hex(), "60000002"); /* no RST from here on */
    bench_receive(s, "4002000bb14509766465762f7469636bff31");
    bench_answer(0, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "6000000b");
}

/* Slow stores: an RFC 7252 client is acknowledged after a second and answered later; a Device OS waits. */
static void a_slow_store_is_waited_for(void **state)
{
    struct session *os = bench_online(SESSION_DEVICE_OS);
    struct session *plain = bench_open(SESSION_PSK);
    (void)state;

    bench_admit(DEVICE_ADMIT, "0123456789abcdef01234567");
    bench_receive(os, "4002000bb1450178ff31");
    bench_receive(plain, "4102001277b1450178ff31");
    bench_run(1500);
    assert_int_equal(bench.sent_count, 1);
    assert_string_equal(bench_sent_hex(), "60000012");
    bench_answer(2, DEVICE_BUSY);
    assert_int_equal(bench.sent_count, 2);
    assert_int_equal(bench.sent[1].data[0], 0x41); /* CON */
    assert_int_equal(bench.sent[1].data[1], COAP_503_UNAVAILABLE);
    bench_answer(1, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "6000000b");
}

static void garbage_is_survived(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    srandom(77);
    for (int i = 0; i < 20000; i++) {
        uint8_t data[48];
        char hex[2 * sizeof(data) + 1];
        size_t len = (size_t)random() % sizeof(data);
        for (size_t k = 0; k < len; k++)
            data[k] = (uint8_t)random();
        if (len >= 6) { /* near enough to a request to get far */
            data[0] = (uint8_t)(0x40 | (random() & 0x11));
            data[1] = (uint8_t)(1 + random() % 3);
            data[4] = 0xb1;
            data[5] = (uint8_t) "htEedxL"[random() % 7];
        }
        hex_encode(hex, data, len);
        bench_receive(s, hex);
        bench.sent_count = 0;
        bench.told_count = 0;
        for (size_t k = 0; k < bench.asked_count; k++)
            bench_answer(k, (enum device_verdict)(random() % 3));
        bench.asked_count = 0;
        if (bench.attempt_count > 0) /* a Hello by chance, and of another ID */
            break;
    }
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(answers_the_trace),
        bench_test(time_is_four_bytes_at_offset_six),
        bench_test(events_have_keys_of_their_own),
        bench_test(verdicts_on_events),
        bench_test(a_non_confirmable_event_is_stored_in_silence),
        bench_test(events_that_are_refused),
        bench_test(describes_are_not_acknowledged_before_they_are_stored),
        bench_test(a_describe_in_blocks_is_put_together),
        bench_test(describes_that_are_refused),
        bench_test(each_subscription_is_stored_by_itself),
        bench_test(bodies_in_blocks_are_for_who_may_send_them),
        bench_test(device_os_may_say_nothing_before_its_hello),
        bench_test(unknown_paths_and_wrong_methods),
        bench_test(a_plain_client_needs_no_hello),
        bench_test(a_plain_client_without_name_publishes_nothing),
        bench_test(hello_makes_any_session_one_of_device_os),
        bench_test(a_slow_store_is_waited_for),
        bench_test(garbage_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
