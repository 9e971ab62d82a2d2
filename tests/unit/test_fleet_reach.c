/* test_fleet_reach.c: two nodes that ask a device of each other's: nodes, sessions and devices are faked
 * here, time runs as the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/reach.h"
#include "fleet/reach_message.h"
#include "handshake/session_store.h"

#define DEVICE "e00fce68ffffffff00000001"
#define MESSAGES_MAX 64
#define CALLS_MAX 32

struct device { /* what it was asked last, until the test answers */
    enum reach_kind kind;
    unsigned asked;
    char name[80], argument[80];
    uint32_t timeout_ms;
    enum describe_part part;
    bool on;
    device_ping_fn *on_ping;
    device_describe_fn *on_describe;
    device_answer_fn *on_answer;
    void *arg;
};
struct devices {
    struct device device;
    bool is_here;
    unsigned revoked;
};
struct nodes {
    uint32_t id;
    bool is_dead;
    struct {
        nodes_receive_fn *fn;
        void *ctx;
    } receivers[128];
};
struct message {
    uint32_t from, to;
    enum nodes_topic topic;
    char *data;
    size_t data_len;
};
struct session_store {
    int unused;
};
struct where_call {
    session_where_fn *done;
    void *arg;
};

static struct {
    uint64_t now_ms;
    struct deadlines deadlines;
    struct metrics *metrics;
    struct devices devices[2];
    struct nodes nodes[2];
    struct session_store store;
    struct reach *reach[2];
    struct message messages[MESSAGES_MAX];
    struct where_call wheres[CALLS_MAX];
    size_t message_count, where_count, looked_up;
    bool redis_away, is_held, directory_away;
    uint32_t holder;
} w;

static struct {
    unsigned calls;
    struct device_answer answer;
    char data[64];
} told;

/* --- the rooms below --- */

uint64_t clock_ms(void)
{
    return w.now_ms;
}
uint64_t clock_wall_ms(void)
{
    return 1700000000000;
}
void clock_format(char out[CLOCK_TEXT_SIZE], uint64_t wall_ms) /* of log lines */
{
    (void)wall_ms;
    out[0] = '\0';
}

struct device *devices_find(struct devices *all, const struct device_id *id)
{
    char text[DEVICE_ID_TEXT_SIZE];

    device_id_format(text, id);
    return all->is_here && strcmp(text, DEVICE) == 0 ? &all->device : NULL;
}
bool devices_revoke(struct devices *all, const struct device_id *id)
{
    (void)id;
    all->revoked++;
    return true;
}

static void note(struct device *device, enum reach_kind kind, uint32_t timeout_ms, void *arg)
{
    device->kind = kind;
    device->asked++;
    device->timeout_ms = timeout_ms;
    device->arg = arg;
}
void device_ping(struct device *device, uint32_t timeout_ms, device_ping_fn *done, void *arg)
{
    note(device, REACH_PING, timeout_ms, arg);
    device->on_ping = done;
}
void device_pull_describe(struct device *device, enum describe_part part, uint32_t timeout_ms,
                          device_describe_fn *done, void *arg)
{
    note(device, REACH_DESCRIBE, timeout_ms, arg);
    device->part = part;
    device->on_describe = done;
}
void device_call(struct device *device, const char *function, const char *argument, uint32_t timeout_ms,
                 device_answer_fn *done, void *arg)
{
    note(device, REACH_CALL, timeout_ms, arg);
    snprintf(device->name, sizeof(device->name), "%s", function);
    snprintf(device->argument, sizeof(device->argument), "%s", argument);
    device->on_answer = done;
}
void device_read_variable(struct device *device, const char *variable, uint32_t timeout_ms,
                          device_answer_fn *done, void *arg)
{
    note(device, REACH_READ, timeout_ms, arg);
    snprintf(device->name, sizeof(device->name), "%s", variable);
    device->on_answer = done;
}
void device_signal(struct device *device, bool on, uint32_t timeout_ms, device_answer_fn *done, void *arg)
{
    note(device, REACH_SIGNAL, timeout_ms, arg);
    device->on = on;
    device->on_answer = done;
}

uint32_t nodes_id(const struct nodes *n)
{
    return n->id;
}
bool nodes_is_alive(const struct nodes *n, uint32_t id)
{
    (void)n;
    return id < 2 && !w.nodes[id].is_dead;
}
void nodes_on(struct nodes *n, enum nodes_topic topic, nodes_receive_fn *fn, void *ctx)
{
    n->receivers[topic].fn = fn;
    n->receivers[topic].ctx = ctx;
}
bool nodes_send(struct nodes *n, uint32_t to, enum nodes_topic topic, const void *data, size_t data_len)
{
    if (w.redis_away)
        return false;
    assert_true(w.message_count < MESSAGES_MAX && data_len <= NODES_MESSAGE_MAX);
    w.messages[w.message_count++] =
        (struct message){n->id, to, topic, mem_copy(data, data_len + 1), data_len};
    return true;
}
bool nodes_send_all(struct nodes *n, enum nodes_topic topic, const void *data, size_t data_len)
{
    return nodes_send(n, 1 - n->id, topic, data, data_len);
}

void session_store_where(struct session_store *st, const uint8_t name[SESSION_NAME_BYTES],
                         session_where_fn *done, void *arg)
{
    (void)st;
    (void)name;
    assert_true(w.where_count < CALLS_MAX);
    w.wheres[w.where_count++] = (struct where_call){done, arg};
    w.looked_up++;
}

/* --- the test's hand --- */

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    memset(&w, 0, sizeof(w));
    memset(&told, 0, sizeof(told));
    w.now_ms = 1000000;
    deadlines_init(&w.deadlines);
    w.metrics = metrics_new();
    for (uint32_t i = 0; i < 2; i++) {
        w.nodes[i].id = i;
        w.reach[i] = reach_new(&w.deadlines, w.metrics);
        reach_set_devices(w.reach[i], &w.devices[i]);
        reach_set_nodes(w.reach[i], &w.nodes[i], &w.store);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < w.message_count; i++)
        free(w.messages[i].data);
    for (size_t i = 0; i < 2; i++) {
        reach_stop(w.reach[i]);
        reach_free(w.reach[i]);
    }
    assert_true(deadlines_next(&w.deadlines, 0) == UINT64_MAX);
    deadlines_deinit(&w.deadlines);
    metrics_free(w.metrics);
    return 0;
}

/* Delivers what was sent and looked up, until nothing is under way. */
static void deliver(void)
{
    while (w.message_count > 0 || w.where_count > 0) {
        if (w.where_count > 0) {
            struct where_call call = w.wheres[0];
            memmove(w.wheres, w.wheres + 1, --w.where_count * sizeof(call));
            call.done(call.arg, w.is_held && !w.directory_away, w.directory_away, w.holder);
            continue;
        }
        struct message m = w.messages[0];
        memmove(w.messages, w.messages + 1, --w.message_count * sizeof(m));
        struct nodes *to = &w.nodes[m.to];
        if (!to->is_dead && to->receivers[m.topic].fn != NULL)
            to->receivers[m.topic].fn(to->receivers[m.topic].ctx, m.from, (const uint8_t *)m.data,
                                      m.data_len);
        free(m.data);
    }
}

static void pass(uint64_t ms)
{
    for (uint64_t end_ms = w.now_ms + ms; w.now_ms < end_ms;) {
        w.now_ms += 10;
        deadlines_run(&w.deadlines, w.now_ms);
        deliver();
    }
}

static void hold(uint32_t node)
{
    w.is_held = true;
    w.holder = node;
    for (uint32_t i = 0; i < 2; i++)
        w.devices[i].is_here = i == node;
}

static void on_told(void *arg, const struct device_answer *answer)
{
    assert_ptr_equal(arg, &told);
    told.calls++;
    told.answer = *answer;
    if (answer->data_len < sizeof(told.data) / 2)
        hex_encode(told.data, answer->data, answer->data_len);
}

static const struct reach_question ping = {.kind = REACH_PING, .timeout_ms = 10000};
static const struct reach_question call = {
    .kind = REACH_CALL, .timeout_ms = 30000, .name = "led", .argument = "on \xc3\xbc"};

static void ask(const struct reach_question *question)
{
    struct device_id id;

    memset(&told, 0, sizeof(told));
    assert_true(device_id_parse(&id, DEVICE, 24));
    reach_ask(w.reach[0], &id, question, on_told, &told);
    assert_int_equal(told.calls, 0); /* never from inside the call */
    deliver();
}

static void answer(uint32_t node, struct device_answer a)
{
    struct device *device = &w.devices[node].device;

    device->on_answer(device->arg, &a);
    deliver();
}

static void pong(uint32_t node, enum device_ask result, uint32_t rtt_ms)
{
    struct device *device = &w.devices[node].device;

    device->on_ping(device->arg, result, rtt_ms);
    deliver();
}

static void assert_told(enum device_ask expected)
{
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.answer.ask, expected);
}

/* --- tests --- */

static void a_device_that_is_here(void **state)
{
    (void)state;
    hold(0);
    ask(&ping);
    assert_int_equal(w.looked_up, 0);
    assert_int_equal(w.devices[0].device.timeout_ms, 10000);
    pong(0, DEVICE_ANSWERED, 42);
    assert_told(DEVICE_ANSWERED);
    assert_int_equal(told.answer.rtt_ms, 42);
}

static void a_device_that_nobody_holds(void **state)
{
    (void)state;
    ask(&ping);
    assert_told(DEVICE_NOT_CONNECTED); /* at once */
    assert_int_equal(w.looked_up, 1);
}

static void a_device_on_another_node(void **state)
{
    static const uint8_t bytes[] = {0, 0xff, 0x10};
    (void)state;

    hold(1);
    ask(&ping);
    pass(100);
    pong(1, DEVICE_ANSWERED, 7);
    assert_told(DEVICE_ANSWERED);
    assert_int_equal(told.answer.rtt_ms, 7);

    ask(&call);
    assert_string_equal(w.devices[1].device.name, "led");
    assert_string_equal(w.devices[1].device.argument, "on \xc3\xbc");
    assert_int_equal(w.devices[1].device.timeout_ms, 30000);
    answer(1, (struct device_answer){.ask = DEVICE_ANSWERED, .sent = true, .result = -5});
    assert_told(DEVICE_ANSWERED);
    assert_int_equal(told.answer.result, -5);

    ask(&(struct reach_question){.kind = REACH_READ, .timeout_ms = 5000, .name = "temp"});
    assert_int_equal(w.devices[1].device.kind, REACH_READ);
    answer(1, (struct device_answer){.ask = DEVICE_ANSWERED, .sent = true, .data = bytes, .data_len = 3});
    assert_told(DEVICE_ANSWERED);
    assert_string_equal(told.data, "00ff10");

    ask(&(struct reach_question){.kind = REACH_READ, .timeout_ms = 5000, .name = "temp"});
    answer(1, (struct device_answer){.ask = DEVICE_SAID_ERROR, .sent = true, .code = 0x84});
    assert_told(DEVICE_SAID_ERROR);
    assert_int_equal(told.answer.code, 0x84);

    ask(&(struct reach_question){.kind = REACH_SIGNAL, .timeout_ms = 5000, .on = true});
    assert_true(w.devices[1].device.on);
    answer(1, (struct device_answer){.ask = DEVICE_ANSWERED, .sent = true});
    assert_told(DEVICE_ANSWERED);

    ask(&(struct reach_question){.kind = REACH_DESCRIBE, .timeout_ms = 5000, .part = DESCRIBE_APPLICATION});
    assert_int_equal(w.devices[1].device.part, DESCRIBE_APPLICATION);
    w.devices[1].device.on_describe(w.devices[1].device.arg, DEVICE_ANSWERED);
    deliver();
    assert_told(DEVICE_ANSWERED);
    assert_int_equal(w.devices[0].device.asked, 0);
}

static void no_answer_in_time(void **state)
{
    (void)state;
    hold(1);
    ask(&ping);
    pass(9900);
    assert_int_equal(told.calls, 0);
    pass(200);
    assert_told(DEVICE_NO_ANSWER);
    pong(1, DEVICE_ANSWERED, 1); /* too late for anybody */
    assert_int_equal(told.calls, 1);
}

/* Asked here, the device moves to the other node; the time left goes with the question. */
static void a_device_that_moves_is_asked_again(void **state)
{
    (void)state;
    hold(0);
    ask(&ping);
    pass(2000);
    hold(1);
    pong(0, DEVICE_MOVED, 0);
    assert_int_equal(told.calls, 0);
    pass(60);
    assert_int_equal(w.devices[1].device.asked, 1);
    assert_in_range(w.devices[1].device.timeout_ms, 7800, 8000);
    hold(0);
    pong(1, DEVICE_MOVED, 0); /* and back */
    pass(200);
    assert_int_equal(w.devices[0].device.asked, 2);
    pong(0, DEVICE_ANSWERED, 3);
    assert_told(DEVICE_ANSWERED);
}

static void a_function_is_not_called_twice(void **state)
{
    (void)state;
    hold(0);
    ask(&call);
    hold(1);
    answer(0, (struct device_answer){.ask = DEVICE_MOVED, .sent = false}); /* it waited for its turn */
    pass(60);
    assert_int_equal(w.devices[1].device.asked, 1);
    hold(0);
    answer(1, (struct device_answer){.ask = DEVICE_MOVED, .sent = true});
    assert_told(DEVICE_NO_ANSWER);
    pass(30000);
    assert_int_equal(w.devices[0].device.asked, 1);

    hold(1); /* nor when the node dies with the answer */
    ask(&call);
    w.nodes[1].is_dead = true;
    pass(600);
    assert_told(DEVICE_NO_ANSWER);
}

static void the_node_that_was_asked_dies(void **state)
{
    (void)state;
    hold(1);
    ask(&ping);
    assert_int_equal(w.devices[1].device.asked, 1);
    w.nodes[1].is_dead = true;
    pass(2000);
    assert_int_equal(told.calls, 0);
    hold(0); /* the device was heard here meanwhile */
    pass(1100);
    assert_int_equal(w.devices[0].device.asked, 1);
    pong(0, DEVICE_ANSWERED, 1);
    assert_told(DEVICE_ANSWERED);

    hold(1);
    ask(&ping); /* it is known to be dead */
    assert_int_equal(w.devices[1].device.asked, 1);
    pass(10100);
    assert_told(DEVICE_NOT_CONNECTED);
}

/* The directory says so, the node does not know it: it is believed after a moment. */
static void a_device_that_is_not_where_it_should_be(void **state)
{
    (void)state;
    for (uint32_t node = 0; node < 2; node++) {
        hold(node);
        w.devices[node].is_here = false;
        ask(&call);
        assert_int_equal(told.calls, 0);
        pass(1000);
        assert_told(DEVICE_NOT_CONNECTED);
    }
    hold(1);
    w.devices[1].is_here = false;
    ask(&call);
    w.devices[1].is_here = true; /* it was on its way in */
    pass(100);
    assert_int_equal(w.devices[1].device.asked, 1);
    answer(1, (struct device_answer){.ask = DEVICE_ANSWERED, .sent = true});
    assert_told(DEVICE_ANSWERED);
}

static void redis_is_away_for_a_moment(void **state)
{
    (void)state;
    hold(1);
    w.directory_away = w.redis_away = true;
    ask(&call);
    pass(1000);
    w.directory_away = false;
    pass(1000);
    assert_int_equal(told.calls, 0);
    w.redis_away = false;
    pass(1100);
    assert_int_equal(w.devices[1].device.asked, 1);
    answer(1, (struct device_answer){.ask = DEVICE_ANSWERED, .sent = true});
    assert_told(DEVICE_ANSWERED);
}

static void questions_are_bounded(void **state)
{
    static const struct reach_question question = {.kind = REACH_PING, .timeout_ms = 5000};
    struct device_id id;
    (void)state;

    hold(0);
    assert_true(device_id_parse(&id, DEVICE, 24));
    for (unsigned i = 0; i < REACH_ASKED_MAX; i++)
        reach_ask(w.reach[0], &id, &question, on_told, &told);
    reach_ask(w.reach[0], &id, &question, on_told, &told);
    assert_int_equal(told.calls, 0);
    pass(10);
    assert_told(DEVICE_ASK_BUSY);
    pass(5000);
    assert_int_equal(told.calls, REACH_ASKED_MAX + 1);
    assert_int_equal(told.answer.ask, DEVICE_NO_ANSWER);
}

static void without_nodes_it_is_here_or_not_connected(void **state)
{
    struct reach *alone = reach_new(&w.deadlines, w.metrics);
    struct device_id id;
    (void)state;

    assert_true(device_id_parse(&id, DEVICE, 24));
    reach_set_devices(alone, &w.devices[0]);
    reach_ask(alone, &id, &call, on_told, &told);
    assert_int_equal(told.calls, 0);
    pass(10);
    assert_told(DEVICE_NOT_CONNECTED);
    hold(0);
    memset(&told, 0, sizeof(told));
    reach_ask(alone, &id, &call, on_told, &told);
    answer(0, (struct device_answer){.ask = DEVICE_NOT_CONNECTED, .sent = true});
    assert_told(DEVICE_NOT_CONNECTED);
    reach_revoke(alone, &id);
    reach_stop(alone);
    reach_free(alone);
    assert_int_equal(w.looked_up, 0);
}

static void a_revocation_reaches_the_others(void **state)
{
    struct device_id id;
    (void)state;

    assert_true(device_id_parse(&id, DEVICE, 24));
    reach_revoke(w.reach[0], &id);
    deliver();
    assert_int_equal(w.devices[1].revoked, 1);
    assert_int_equal(w.devices[0].revoked, 0); /* here it is ended by who says so */
    w.redis_away = true;
    reach_revoke(w.reach[0], &id);
    reach_revoke(w.reach[0], &id);
    pass(3000);
    assert_int_equal(w.devices[1].revoked, 1);
    w.redis_away = false;
    pass(1100);
    assert_int_equal(w.devices[1].revoked, 3);
}

static unsigned long malformed(void)
{
    return metrics_add(w.metrics, METRIC_COUNTER, "cyan_node_messages_malformed_total", NULL, "")->value;
}

static void what_other_nodes_say_is_checked(void **state)
{
    static const char *const questions[] = {
        "",
        "{",
        "[]",
        "{\"v\":2,\"n\":1,\"d\":\"" DEVICE "\",\"k\":\"ping\",\"ms\":1}",
        "{\"v\":1,\"n\":-1,\"d\":\"" DEVICE "\",\"k\":\"ping\",\"ms\":1}",
        "{\"v\":1,\"n\":1,\"d\":\"e00f\",\"k\":\"ping\",\"ms\":1}",
        "{\"v\":1,\"n\":1,\"d\":\"" DEVICE "\",\"k\":\"pung\",\"ms\":1}",
        "{\"v\":1,\"n\":1,\"d\":\"" DEVICE "\",\"k\":\"ping\",\"ms\":0}",
        "{\"v\":1,\"n\":1,\"d\":\"" DEVICE "\",\"k\":\"ping\",\"ms\":300001}",
        "{\"v\":1,\"n\":1,\"d\":\"" DEVICE "\",\"k\":\"ping\",\"ms\":\"1\"}",
        "{\"v\":1,\"n\":1,\"d\":\"" DEVICE "\",\"k\":\"describe\",\"part\":3,\"ms\":1}",
        "{\"v\":1,\"n\":1,\"d\":\"" DEVICE "\",\"k\":\"call\",\"name\":\"f\",\"ms\":1}",
        "{\"v\":1,\"n\":1,\"d\":\"" DEVICE "\",\"k\":\"call\",\"name\":1,\"arg\":\"\",\"ms\":1}",
        "{\"v\":1,\"n\":1,\"d\":\"" DEVICE "\",\"k\":\"read\",\"name\":"
        "\"0123456789012345678901234567890123456789012345678901234567890123x\",\"ms\":1}",
        "{\"v\":1,\"n\":1,\"d\":\"" DEVICE "\",\"k\":\"signal\",\"on\":1,\"ms\":1}",
    };
    static const char *const answers[] = {
        "{}",
        "{\"v\":1,\"n\":1,\"a\":\"what\",\"sent\":true,\"code\":0,\"result\":0,\"rtt\":0,\"data\":\"\"}",
        "{\"v\":1,\"n\":1,\"a\":\"busy\",\"sent\":1,\"code\":0,\"result\":0,\"rtt\":0,\"data\":\"\"}",
        "{\"v\":1,\"n\":1,\"a\":\"busy\",\"sent\":true,\"code\":256,\"result\":0,\"rtt\":0,\"data\":\"\"}",
        "{\"v\":1,\"n\":1,\"a\":\"busy\",\"sent\":true,\"code\":0,\"result\":2147483648,\"rtt\":0,\"data\":"
        "\"\"}",
        "{\"v\":1,\"n\":1,\"a\":\"busy\",\"sent\":true,\"code\":0,\"result\":0,\"rtt\":0,\"data\":\"0\"}",
        "{\"v\":1,\"n\":1,\"a\":\"busy\",\"sent\":true,\"code\":0,\"result\":0,\"rtt\":0,\"data\":\"zz\"}",
    };
    size_t question_count = sizeof(questions) / sizeof(questions[0]);
    size_t answer_count = sizeof(answers) / sizeof(answers[0]);
    (void)state;

    hold(1);
    for (size_t i = 0; i < question_count; i++)
        assert_true(nodes_send(&w.nodes[0], 1, NODES_ASK, questions[i], strlen(questions[i])));
    deliver();
    assert_int_equal(malformed(), question_count);
    assert_int_equal(w.devices[1].device.asked, 0);
    for (size_t i = 0; i < answer_count; i++)
        assert_true(nodes_send(&w.nodes[1], 0, NODES_ANSWER, answers[i], strlen(answers[i])));
    assert_true(nodes_send(&w.nodes[0], 1, NODES_REVOKE, "{\"v\":1}", 7));
    deliver();
    assert_int_equal(malformed(), question_count + answer_count + 1);
    assert_int_equal(w.devices[1].revoked, 0);
}

/* An answer counts only from the node that was asked, and once. */
static void answers_of_others_do_not_count(void **state)
{
    struct reach_asked asked;
    (void)state;

    hold(1);
    memset(&told, 0, sizeof(told));
    struct device_id id;
    assert_true(device_id_parse(&id, DEVICE, 24));
    reach_ask(w.reach[0], &id, &ping, on_told, &told);
    w.wheres[--w.where_count].done(w.wheres[0].arg, true, false, 1);
    assert_int_equal(w.message_count, 1);
    assert_true(reach_message_read_ask(&asked, (const uint8_t *)w.messages[0].data, w.messages[0].data_len));
    char *forged = reach_message_answer(asked.number, &(struct device_answer){.ask = DEVICE_ANSWERED});
    reach_asked_deinit(&asked);
    w.nodes[0].receivers[NODES_ANSWER].fn(w.reach[0], 7, (const uint8_t *)forged, strlen(forged));
    assert_int_equal(told.calls, 0);
    w.nodes[0].receivers[NODES_ANSWER].fn(w.reach[0], 1, (const uint8_t *)forged, strlen(forged));
    assert_told(DEVICE_ANSWERED);
    w.nodes[0].receivers[NODES_ANSWER].fn(w.reach[0], 1, (const uint8_t *)forged, strlen(forged));
    assert_int_equal(told.calls, 1);
    free(forged);
    deliver();
    pong(1, DEVICE_ANSWERED, 1);
    assert_int_equal(told.calls, 1);
}

static void a_node_that_stops_answers_what_is_open(void **state)
{
    (void)state;
    hold(0);
    ask(&ping);
    reach_stop(w.reach[0]);
    assert_told(DEVICE_NO_ANSWER);
    pong(0, DEVICE_NOT_CONNECTED, 0); /* the sessions end */
    assert_int_equal(told.calls, 1);
    ask(&ping);
    pass(10);
    assert_told(DEVICE_ASK_BUSY);
}

#define reach_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        reach_test(a_device_that_is_here),
        reach_test(a_device_that_nobody_holds),
        reach_test(a_device_on_another_node),
        reach_test(no_answer_in_time),
        reach_test(a_device_that_moves_is_asked_again),
        reach_test(a_function_is_not_called_twice),
        reach_test(the_node_that_was_asked_dies),
        reach_test(a_device_that_is_not_where_it_should_be),
        reach_test(redis_is_away_for_a_moment),
        reach_test(questions_are_bounded),
        reach_test(without_nodes_it_is_here_or_not_connected),
        reach_test(a_revocation_reaches_the_others),
        reach_test(what_other_nodes_say_is_checked),
        reach_test(answers_of_others_do_not_count),
        reach_test(a_node_that_stops_answers_what_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
