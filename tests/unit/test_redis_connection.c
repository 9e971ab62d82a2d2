/* test_redis_connection.c: the connections of the Redis client: every way to lose them, the messages that
 * come over them, and their end. */
#include "redis_bench.h"

/* --- losing it --- */

struct watcher {
    struct fixture *fx;
    int ups, downs;
    struct answer answer; /* of a command sent from on_up */
    bool asks;
};

static void on_up(void *arg)
{
    struct watcher *w = arg;
    w->ups++;
    assert_true(redis_is_up(w->fx->redis));
    if (w->asks)
        assert_true(say(w->fx->redis, &w->answer, WORDS("PING")));
}

static void on_down(void *arg)
{
    struct watcher *w = arg;
    w->downs++;
    assert_false(redis_is_up(w->fx->redis));
    if (w->asks)
        assert_false(say(w->fx->redis, NULL, WORDS("PING")));
}

static void watch(struct fixture *fx, struct watcher *w)
{
    w->fx = fx;
    redis_on_up(fx->redis, on_up, w);
    redis_on_down(fx->redis, on_down, w);
}

static void test_killed_in_flight(void **state)
{
    struct fixture *fx = *state;
    struct many many = {0};
    struct watcher w = {.asks = true};
    char out[64];
    const struct redis_arg args[] = {redis_arg_text("INCR"), redis_arg_text("killed")};
    watch(fx, &w);
    run_until(fx, w.ups);
    for (int i = 0; i < MANY; i++)
        assert_true(redis_command(fx->redis, args, 2, on_one_of_many, &many));
    run_until(fx, many.calls);
    for (int i = many.calls; i < MANY; i++) /* as many more: some are surely under way */
        assert_true(redis_command(fx->redis, args, 2, on_one_of_many, &many));
    int all = many.calls + (int)redis_in_flight(fx->redis);
    private_redis_kill(&server);
    run_until(fx, many.calls == all);
    run_until(fx, w.downs);
    assert_false(redis_is_up(fx->redis));
    assert_true(many.nothing > 0);
    assert_int_equal(many.out_of_order, 0);
    assert_false(redis_command(fx->redis, args, 2, on_one_of_many, &many));
    assert_true(private_redis_start(&server));
    run_until(fx, w.ups == 2);
    run_until(fx, w.answer.calls == 2);
    int64_t there = strtoll(private_redis_ask(&server, out, sizeof out, "GET", "killed", NULL), NULL, 10);
    assert_true(there >= many.last && there <= all); /* what was answered is there */
    assert_int_equal(many.calls, all);
    assert_int_equal(w.downs, 1);
    assert_int_equal(fx->redis->reconnects->value, 1);
    assert_int_equal(redis_in_flight(fx->redis), 0);
}

static void test_starts_before_redis(void **state)
{
    struct fixture *fx = *state;
    struct watcher w = {0};
    private_redis_kill(&server);
    watch(fx, &w);
    uint64_t until_ms = clock_ms() + 700;
    run_until(fx, clock_ms() >= until_ms);
    assert_int_equal(w.ups + w.downs, 0);
    assert_true(private_redis_start(&server));
    run_until(fx, w.ups);
    assert_int_equal(w.downs, 0); /* it was never up before */
    assert_int_equal(fx->redis->reconnects->value, 0);
}

static void test_stopped_server_ends_by_watchdog(void **state)
{
    struct fixture *fx = *state;
    struct answer a = {0};
    struct watcher w = {0};
    fx->redis->watchdog_ms = 300;
    watch(fx, &w);
    run_until(fx, w.ups);
    private_redis_freeze(&server);
    assert_true(say(fx->redis, &a, WORDS("PING")));
    run_until(fx, a.calls);
    assert_int_equal(a.nothing, 1);
    run_until(fx, w.downs);
    private_redis_thaw(&server);
    run_until(fx, w.ups == 2);
    assert_int_equal(w.downs, 1);
}

/* With nothing asked the silence is noticed too, on both connections. */
static void test_idle_connections_are_asked(void **state)
{
    struct fixture *fx = *state;
    struct watcher w = {0};
    fx->redis->watchdog_ms = 300;
    watch(fx, &w);
    run_until(fx, w.ups);
    uint64_t until_ms = clock_ms() + 1000;
    run_until(fx, clock_ms() >= until_ms);
    assert_int_equal(w.downs, 0); /* PINGs are answered */
    private_redis_freeze(&server);
    run_until(fx, fx->redis->commands.state != REDIS_LINK_UP && fx->redis->subscriber.state != REDIS_LINK_UP);
    private_redis_thaw(&server);
    run_until(fx, w.ups == 2);
}

/* --- messages --- */

struct inbox {
    struct fixture *fx;
    int messages;
    size_t last_len;
    char last[32];
    bool closes;
};

static void on_message(void *arg, const uint8_t *message, size_t message_len)
{
    struct inbox *in = arg;
    in->messages++;
    in->last_len = message_len;
    memcpy(in->last, message, message_len < sizeof in->last ? message_len : sizeof in->last);
    if (in->closes)
        redis_close(in->fx->redis, on_closed, in->fx);
}

static void test_messages(void **state)
{
    struct fixture *fx = *state;
    struct inbox early = {0}, late = {0}, away = {0}, twice = {0};
    struct watcher w = {0};
    watch(fx, &w);
    redis_subscribe(fx->redis, "early", on_message, &early);
    run_until(fx, w.ups);
    redis_subscribe(fx->redis, "late", on_message, &late);
    redis_subscribe(fx->redis, "late", on_message, &twice);
    const struct redis_arg args[] = {
        redis_arg_text("PUBLISH"), redis_arg_text("early"), {.data = "\0\r\n", .data_len = 3}};
    assert_true(redis_command(fx->redis, args, 3, NULL, NULL));
    run_until(fx, early.messages);
    assert_int_equal(early.last_len, 3);
    assert_memory_equal(early.last, "\0\r\n", 3);
    run_until(fx, fx->redis->subscribing == 0);
    assert_true(say(fx->redis, NULL, WORDS("PUBLISH", "late", "x")));
    run_until(fx, late.messages && twice.messages);

    private_redis_kill(&server);
    run_until(fx, w.downs);
    redis_subscribe(fx->redis, "away", on_message, &away);
    redis_off(fx->redis, &twice);
    assert_true(private_redis_start(&server));
    run_until(fx, w.ups == 2); /* all channels are subscribed by then */
    assert_true(say(fx->redis, NULL, WORDS("PUBLISH", "late", "x")));
    assert_true(say(fx->redis, NULL, WORDS("PUBLISH", "away", "y")));
    assert_true(say(fx->redis, NULL, WORDS("PUBLISH", "early", "")));
    run_until(fx, early.messages == 2);
    assert_int_equal(late.messages, 2);
    assert_int_equal(away.messages, 1);
    assert_int_equal(early.last_len, 0);
    assert_int_equal(twice.messages, 1);
}

/* Redis drops a subscriber that is too slow: commands go on, and everybody is told when messages come again.
 */
static void test_only_messages_are_lost(void **state)
{
    struct fixture *fx = *state;
    struct watcher w = {0};
    struct inbox in = {0};
    struct answer a = {0};
    char out[64];
    watch(fx, &w);
    redis_subscribe(fx->redis, "channel", on_message, &in);
    run_until(fx, w.ups);
    assert_string_equal(private_redis_ask(&server, out, sizeof out, "CLIENT", "KILL", "TYPE", "pubsub", NULL),
                        "1");
    run_until(fx, w.downs);
    assert_false(redis_is_up(fx->redis));
    assert_true(say(fx->redis, &a, WORDS("PING")));
    run_until(fx, a.calls && w.ups == 2);
    assert_string_equal(a.text, "PONG");
    assert_true(say(fx->redis, NULL, WORDS("PUBLISH", "channel", "again")));
    run_until(fx, in.messages);
}

/* --- the end --- */

struct closing {
    struct fixture *fx;
    int calls, nothing;
};

static void on_end_ask_again(void *arg, const struct redis_reply *reply)
{
    struct closing *c = arg;
    c->calls++;
    c->nothing += reply == NULL;
    assert_false(say(c->fx->redis, NULL, WORDS("PING")));
}

static void test_close_ends_everything(void **state)
{
    struct fixture *fx = *state;
    struct closing c = {.fx = fx};
    const struct redis_arg args[] = {redis_arg_text("PING")};
    run_until(fx, redis_is_up(fx->redis));
    for (int i = 0; i < 100; i++)
        assert_true(redis_command(fx->redis, args, 1, on_end_ask_again, &c));
    redis_close(fx->redis, on_closed, fx);
    assert_int_equal(c.calls, 100);
    assert_int_equal(c.nothing, 100);
    assert_false(fx->closed);
    assert_false(redis_is_up(fx->redis));
    run_until(fx, fx->closed);
}

static void on_answer_close(void *arg, const struct redis_reply *reply)
{
    struct closing *c = arg;
    c->calls++;
    c->nothing += reply == NULL;
    if (c->calls == 3)
        redis_close(c->fx->redis, on_closed, c->fx);
}

static void test_close_from_an_answer(void **state)
{
    struct fixture *fx = *state;
    struct closing c = {.fx = fx};
    const struct redis_arg args[] = {redis_arg_text("PING")};
    run_until(fx, redis_is_up(fx->redis));
    for (int i = 0; i < 100; i++)
        assert_true(redis_command(fx->redis, args, 1, on_answer_close, &c));
    run_until(fx, fx->closed);
    assert_int_equal(c.calls, 100);
    assert_int_equal(c.nothing, 97);
}

static void test_close_while_it_is_lost(void **state)
{
    struct fixture *fx = *state;
    struct closing c = {.fx = fx};
    const struct redis_arg args[] = {redis_arg_text("PING")};
    run_until(fx, redis_is_up(fx->redis));
    private_redis_freeze(&server);
    for (int i = 0; i < 100; i++)
        assert_true(redis_command(fx->redis, args, 1, on_answer_close, &c));
    private_redis_kill(&server);
    run_until(fx, fx->closed);
    assert_int_equal(c.calls, 100);
    assert_int_equal(c.nothing, 100);
    assert_true(private_redis_start(&server));
}

static void test_close_from_a_message(void **state)
{
    struct fixture *fx = *state;
    struct inbox in = {.fx = fx, .closes = true}, never = {0};
    redis_subscribe(fx->redis, "end", on_message, &in);
    redis_subscribe(fx->redis, "end", on_message, &never);
    run_until(fx, redis_is_up(fx->redis));
    assert_true(say(fx->redis, NULL, WORDS("PUBLISH", "end", "1")));
    assert_true(say(fx->redis, NULL, WORDS("PUBLISH", "end", "2")));
    run_until(fx, fx->closed);
    assert_int_equal(in.messages, 1);
    assert_int_equal(never.messages, 0);
}

static void on_up_close(void *arg)
{
    struct fixture *fx = arg;
    redis_close(fx->redis, on_closed, fx);
}

static void test_close_when_up_and_before(void **state)
{
    struct fixture *fx = *state;
    redis_on_up(fx->redis, on_up_close, fx);
    run_until(fx, fx->closed);
    fx->redis = new_redis(fx, "", 0);
    fx->closed = false;
    redis_close(fx->redis, on_closed, fx); /* before the first turn of the loop */
    run_until(fx, fx->closed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_killed_in_flight),
        TEST(test_starts_before_redis),
        TEST(test_stopped_server_ends_by_watchdog),
        TEST(test_idle_connections_are_asked),
        TEST(test_messages),
        TEST(test_only_messages_are_lost),
        TEST(test_close_ends_everything),
        TEST(test_close_from_an_answer),
        TEST(test_close_while_it_is_lost),
        TEST(test_close_from_a_message),
        TEST(test_close_when_up_and_before),
    };
    if (!private_redis_init(&server))
        return 1;
    log_set_level(LOG_ERROR);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    private_redis_deinit(&server);
    return failed;
}
