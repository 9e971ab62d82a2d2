/* test_device_calls.c: functions, variables and the signal: the bytes of each, their order, what becomes of
 * those that are not answered (device-protocol 4.5, 4.6, 4.13). */
#include "device_bench.h"

#define CALLS_MAX 16

static struct call {
    unsigned calls;
    struct device_answer answer;
    char data[64]; /* hex */
} calls[CALLS_MAX];
static unsigned order[CALLS_MAX], told;

static void on_answer(void *arg, const struct device_answer *answer)
{
    struct call *call = arg;

    call->calls++;
    call->answer = *answer;
    if (answer->ask == DEVICE_ANSWERED && answer->data_len < sizeof(call->data) / 2)
        hex_encode(call->data, answer->data, answer->data_len);
    order[told++] = (unsigned)(call - calls);
}

static struct device *find(void)
{
    struct device_id id = bench_id(BORON);

    memset(calls, 0, sizeof(calls));
    told = 0;
    return devices_find(bench.all, &id);
}

static void acknowledge(struct session *s)
{
    const struct sent *sent = &bench.sent[bench.sent_count - 1];
    char hex[16];

    snprintf(hex, sizeof(hex), "6000%02x%02x", sent->data[2], sent->data[3]);
    bench_receive(s, hex);
}

/* The separate response to the newest message sent: code and what follows the token. */
static void respond(struct session *s, unsigned mid, const char *code, const char *rest)
{
    const struct sent *sent = &bench.sent[bench.sent_count - 1];
    char hex[512];

    snprintf(hex, sizeof(hex), "41%s%04x%02x%s", code, mid, sent->data[4], rest);
    bench_receive(s, hex);
}

static void a_function_is_called(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    (void)state;

    device_call(find(), "digitalwrite", "D7,HIGH", 30000, on_answer, &calls[0]);
    assert_memory_equal(bench_sent_hex(), "4102", 4);
    assert_string_equal(bench_sent_hex() + 10, "b1660c6469676974616c77726974654744372c48494748");
    acknowledge(s);
    assert_int_equal(told, 0);
    respond(s, 0x301, "44", "fffffffff6");
    assert_string_equal(bench_sent_hex(), "60000301");
    assert_int_equal(told, 1);
    assert_int_equal(calls[0].answer.ask, DEVICE_ANSWERED);
    assert_int_equal(calls[0].answer.result, -10);

    device_call(find(), "go", "", 30000, on_answer, &calls[1]); /* the query is there even when empty */
    assert_string_equal(bench_sent_hex() + 10, "b16602676f40");
    respond(s, 0x302, "44", "ff0000002a"); /* the acknowledgement was lost */
    assert_int_equal(calls[1].answer.result, 42);

    device_call(find(), "fourteen_chars", "x", 30000, on_answer, &calls[2]);
    assert_string_equal(bench_sent_hex() + 10, "b1660d01666f75727465656e5f63686172734178");
    acknowledge(s);
    respond(s, 0x303, "44", "ff2a"); /* no int32 */
    assert_int_equal(calls[2].answer.ask, DEVICE_SAID_ERROR);
    assert_int_equal(calls[2].answer.code, COAP_500_INTERNAL);
    assert_true(calls[2].answer.sent);
}

static void a_variable_is_read(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    char hex[64];
    (void)state;

    device_read_variable(find(), "temp", 30000, on_answer, &calls[0]);
    assert_memory_equal(bench_sent_hex(), "4101", 4);
    assert_string_equal(bench_sent_hex() + 10, "b1760474656d70");
    acknowledge(s);
    respond(s, 0x301, "45", "ff0000000000803540");
    assert_int_equal(calls[0].answer.ask, DEVICE_ANSWERED);
    assert_string_equal(calls[0].data, "0000000000803540");

    device_read_variable(find(), "text", 30000, on_answer, &calls[1]);
    acknowledge(s);
    respond(s, 0x302, "45", ""); /* an empty text has no payload marker */
    assert_int_equal(calls[1].answer.ask, DEVICE_ANSWERED);
    assert_int_equal(calls[1].answer.data_len, 0);

    device_read_variable(find(), "none", 30000, on_answer, &calls[2]);
    acknowledge(s);
    respond(s, 0x303, "84", "");
    assert_int_equal(calls[2].answer.ask, DEVICE_SAID_ERROR);
    assert_int_equal(calls[2].answer.code, COAP_404_NOT_FOUND);

    device_read_variable(find(), "old", 30000, on_answer, &calls[3]);
    const struct sent *sent = &bench.sent[bench.sent_count - 1]; /* old systems: in the acknowledgement */
    snprintf(hex, sizeof(hex), "6145%02x%02x%02xff01", sent->data[2], sent->data[3], sent->data[4]);
    bench_receive(s, hex);
    assert_string_equal(calls[3].data, "01");
}

static void one_is_asked_at_a_time(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    struct device *device = find();
    (void)state;

    for (unsigned i = 0; i < DEVICE_TURNS_MAX + 1; i++) {
        if (i % 2 == 0)
            device_call(device, "f", "", 30000, on_answer, &calls[i]);
        else
            device_read_variable(device, "v", 30000, on_answer, &calls[i]);
    }
    device_call(device, "f", "", 30000, on_answer, &calls[DEVICE_TURNS_MAX + 1]);
    assert_int_equal(bench.sent_count, 1);
    assert_int_equal(told, 0); /* never from inside the call */
    bench_run(0);
    assert_int_equal(calls[DEVICE_TURNS_MAX + 1].answer.ask, DEVICE_ASK_BUSY);
    assert_false(calls[DEVICE_TURNS_MAX + 1].answer.sent);
    for (unsigned i = 0; i < DEVICE_TURNS_MAX + 1; i++) {
        char reply[16];
        acknowledge(s);
        assert_int_equal(bench.sent_count, 2 * i + 1);
        snprintf(reply, sizeof(reply), "ff%08x", i);
        respond(s, 0x301 + i, i % 2 == 0 ? "44" : "45", reply);
        assert_int_equal(order[told - 1], i);
    }
    assert_int_equal(told, DEVICE_TURNS_MAX + 2);
    assert_int_equal(calls[8].answer.result, 8);
    assert_string_equal(calls[7].data, "00000007");
}

/* A device without that function acknowledges and says no more. Those behind it have waited meanwhile. */
static void no_answer_in_time(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    struct device *device = find();
    (void)state;

    device_call(device, "none", "", 5000, on_answer, &calls[0]);
    acknowledge(s);
    device_call(device, "late", "", 3000, on_answer, &calls[1]);
    device_call(device, "f", "", 30000, on_answer, &calls[2]);
    bench_run(4000);
    assert_int_equal(told, 1);
    assert_int_equal(calls[1].answer.ask, DEVICE_NO_ANSWER);
    assert_false(calls[1].answer.sent);
    assert_int_equal(bench.sent_count, 1);
    bench_run(6000);
    assert_int_equal(told, 2);
    assert_int_equal(calls[0].answer.ask, DEVICE_NO_ANSWER);
    assert_true(calls[0].answer.sent);
    assert_true(bench.sent_count >= 2); /* or more: the clock of its first sending is behind */
    respond(s, 0x301, "44", "ff00000001");
    assert_int_equal(calls[2].answer.result, 1);
}

static void a_session_that_ends(enum session_end why, enum device_ask expected)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    struct device *device = find();

    device_call(device, "f", "", 30000, on_answer, &calls[0]);
    device_read_variable(device, "v", 30000, on_answer, &calls[1]);
    dtls_end(s, why, false);
    assert_int_equal(told, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(calls[i].answer.ask, expected);
    assert_true(calls[0].answer.sent); /* it may run there all the same */
    assert_false(calls[1].answer.sent);
}

static void the_session_ends(void **state)
{
    (void)state;
    a_session_that_ends(SESSION_END_PEER_CLOSED, DEVICE_NOT_CONNECTED);
}

static void the_session_moves(void **state)
{
    (void)state;
    a_session_that_ends(SESSION_END_MOVED, DEVICE_MOVED);
}

static void one_that_is_ending_is_not_asked(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    struct device_id id = bench_id(BORON);
    struct device *device = find();
    (void)state;
    (void)s;

    assert_true(devices_revoke(bench.all, &id));
    device_call(device, "f", "", 30000, on_answer, &calls[0]);
    device_signal(device, true, 30000, on_answer, &calls[1]);
    bench_run(0);
    assert_int_equal(told, 2);
    assert_int_equal(calls[0].answer.ask, DEVICE_NOT_CONNECTED);
    assert_int_equal(calls[1].answer.ask, DEVICE_NOT_CONNECTED);
    assert_int_equal(bench.sent_count, 0);
}

/* What is over would be cut off, and the function called with the rest. */
static void an_argument_has_a_limit(void **state)
{
    static const struct {
        const char *hello; /* from the system version on */
        unsigned max;
    } generations[] = {{"1838048000177000"
                        "0200",
                        1024},
                       {"0cdc03c000177000"
                        "0200",
                        864},
                       {"", 622}};
    char hello[128], argument[1026];
    (void)state;

    for (unsigned i = 0; i < 3; i++) {
        struct session *s = bench_open(SESSION_DEVICE_OS);
        bench_admit(DEVICE_ADMIT, BORON);
        snprintf(hello, sizeof(hello), "40020001b168ff000d00030026000d000c" BORON "%s", generations[i].hello);
        bench_receive(s, hello);
        bench_answer(bench.asked_count - 1, DEVICE_STORED);
        bench_run(0); /* an older session of the device ends */
        bench.sent_count = 0;
        memset(argument, 'a', sizeof(argument));
        argument[generations[i].max + 1] = '\0';
        device_call(find(), "f", argument, 30000, on_answer, &calls[0]);
        bench_run(0);
        assert_int_equal(calls[0].answer.ask, DEVICE_ASK_TOO_LONG);
        assert_false(calls[0].answer.sent);
        assert_int_equal(bench.sent_count, 0);
        argument[generations[i].max] = '\0';
        device_call(find(), "f", argument, 30000, on_answer, &calls[0]);
        assert_int_equal(bench.sent_count, 1);
        acknowledge(s);
        respond(s, 0x301, "44", "ff00000001");
        assert_int_equal(calls[0].answer.ask, DEVICE_ANSWERED);
    }
    memset(argument, 'n', 65);
    argument[65] = '\0';
    device_call(find(), argument, "", 30000, on_answer, &calls[0]);
    device_read_variable(find(), "", 30000, on_answer, &calls[1]);
    bench_run(0);
    assert_int_equal(told, 2);
    assert_int_equal(calls[0].answer.ask, DEVICE_ASK_TOO_LONG);
    assert_int_equal(calls[1].answer.ask, DEVICE_ASK_TOO_LONG);
}

static void the_signal_is_answered_at_once(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    char hex[16];
    (void)state;

    for (unsigned on = 0; on < 2; on++) {
        device_signal(find(), on == 1, 30000, on_answer, &calls[0]);
        assert_memory_equal(bench_sent_hex(), "4103", 4);
        assert_string_equal(bench_sent_hex() + 10, on == 1 ? "b1734101" : "b1734100");
        const struct sent *sent = &bench.sent[bench.sent_count - 1];
        snprintf(hex, sizeof(hex), "6144%02x%02x%02x", sent->data[2], sent->data[3], sent->data[4]);
        bench_receive(s, hex);
        assert_int_equal(calls[0].answer.ask, DEVICE_ANSWERED);
    }
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(a_function_is_called),
        bench_test(a_variable_is_read),
        bench_test(one_is_asked_at_a_time),
        bench_test(no_answer_in_time),
        bench_test(the_session_ends),
        bench_test(the_session_moves),
        bench_test(one_that_is_ending_is_not_asked),
        bench_test(an_argument_has_a_limit),
        bench_test(the_signal_is_answered_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
