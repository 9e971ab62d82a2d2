/* test_redis.c: the Redis client against a real Redis: answers, many and large ones, scripts, settings. */
#include "redis_bench.h"

static void test_kinds_of_answers(void **state)
{
    struct fixture *fx = *state;
    struct answer a[8] = {0};
    assert_false(say(fx->redis, &a[0], WORDS("PING"))); /* not yet there */
    run_until(fx, redis_is_up(fx->redis));
    assert_true(say(fx->redis, &a[0], WORDS("SET", "k", "42")));
    assert_true(say(fx->redis, &a[1], WORDS("GET", "k")));
    assert_true(say(fx->redis, &a[2], WORDS("INCR", "k")));
    assert_true(say(fx->redis, &a[3], WORDS("GET", "nothing")));
    assert_true(say(fx->redis, &a[4], WORDS("LPUSH", "k", "x")));
    assert_true(say(fx->redis, &a[5], WORDS("MGET", "k", "nothing", "k")));
    assert_true(say(fx->redis, NULL, WORDS("DEL", "k")));
    assert_true(say(fx->redis, &a[6], WORDS("EXISTS", "k")));
    assert_int_equal(redis_in_flight(fx->redis), 8);
    for (int i = 0; i < 7; i++)
        assert_int_equal(a[i].calls, 0); /* never from inside */
    run_until(fx, a[6].calls);
    assert_string_equal(a[0].text, "OK");
    assert_int_equal(a[1].kind, REDIS_TEXT);
    assert_int_equal(a[1].number, 42);
    assert_int_equal(a[2].kind, REDIS_INT);
    assert_int_equal(a[2].number, 43);
    assert_int_equal(a[3].kind, REDIS_NIL);
    assert_int_equal(a[3].nothing, 0);
    assert_int_equal(a[4].kind, REDIS_ERROR);
    assert_non_null(strstr(a[4].text, "WRONGTYPE"));
    assert_int_equal(a[5].kind, REDIS_LIST);
    assert_int_equal(a[5].count, 3);
    assert_int_equal(a[6].number, 0);
    assert_int_equal(redis_in_flight(fx->redis), 0);
    assert_int_equal(fx->redis->errors->value, 1);
}

/* --- many, and large --- */

static void test_many_in_one_turn(void **state)
{
    struct fixture *fx = *state;
    struct many many = {0};
    const struct redis_arg args[] = {redis_arg_text("INCR"), redis_arg_text("many")};
    run_until(fx, redis_is_up(fx->redis));
    for (int i = 0; i < MANY; i++)
        assert_true(redis_command(fx->redis, args, 2, on_one_of_many, &many));
    assert_int_equal(redis_in_flight(fx->redis), MANY);
    run_until(fx, many.calls == MANY);
    assert_int_equal(many.last, MANY);
    assert_int_equal(many.out_of_order + many.nothing, 0);
    while (redis_in_flight(fx->redis) < REDIS_IN_FLIGHT_MAX)
        assert_true(redis_command(fx->redis, args, 2, on_one_of_many, &many));
    assert_false(redis_command(fx->redis, args, 2, on_one_of_many, &many));
    run_until(fx, many.calls == MANY + REDIS_IN_FLIGHT_MAX);
    assert_int_equal(many.last, many.calls);
    assert_int_equal(many.out_of_order + many.nothing, 0);
}

static void on_chain(void *arg, const struct redis_reply *reply);

struct chain {
    struct fixture *fx;
    int left;
};

static bool next_of_chain(struct chain *c)
{
    const struct redis_arg args[] = {redis_arg_text("PING")};
    return redis_command(c->fx->redis, args, 1, on_chain, c);
}

static void on_chain(void *arg, const struct redis_reply *reply)
{
    struct chain *c = arg;
    assert_string_equal(redis_text(reply, NULL), "PONG");
    if (--c->left > 0)
        assert_true(next_of_chain(c));
}

static void test_callbacks_ask_again(void **state)
{
    struct fixture *fx = *state;
    struct chain c = {.fx = fx, .left = 1000};
    run_until(fx, redis_is_up(fx->redis));
    assert_true(next_of_chain(&c));
    run_until(fx, c.left == 0);
}

struct value {
    const uint8_t *data;
    size_t len;
    int same;
};

static void on_value(void *arg, const struct redis_reply *reply)
{
    struct value *v = arg;
    size_t len;
    const char *text = redis_text(reply, &len);
    v->same += len == v->len && memcmp(text, v->data, len) == 0;
}

static void test_large_binary_values(void **state)
{
    struct fixture *fx = *state;
    static const size_t lengths[] = {0, 1, 65535, 65536, 1 << 20, 5 << 20};
    enum { COUNT = sizeof lengths / sizeof *lengths };
    uint8_t *data = malloc(lengths[COUNT - 1]);
    struct value values[COUNT];
    for (size_t i = 0; i < lengths[COUNT - 1]; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    memcpy(data, "\0\r\n$5\r\n", 7);
    run_until(fx, redis_is_up(fx->redis));
    for (int i = 0; i < COUNT; i++) {
        values[i] = (struct value){.data = data, .len = lengths[i]};
        const struct redis_arg set[] = {
            redis_arg_text("SET"), redis_arg_text("large"), {.data = data, .data_len = lengths[i]}};
        const struct redis_arg get[] = {redis_arg_text("GETDEL"), redis_arg_text("large")};
        assert_true(redis_command(fx->redis, set, 3, NULL, NULL));
        assert_true(redis_command(fx->redis, get, 2, on_value, &values[i]));
    }
    for (int i = 0; i < COUNT; i++)
        run_until(fx, values[i].same);
    free(data);
}

static void test_many_arguments(void **state)
{
    struct fixture *fx = *state;
    struct redis_arg args[REDIS_ARGS_MAX];
    struct redis_number numbers[REDIS_ARGS_MAX];
    struct answer a = {0};
    args[0] = redis_arg_text("RPUSH");
    args[1] = redis_arg_text("list");
    for (int i = 2; i < REDIS_ARGS_MAX; i++)
        args[i] = redis_arg_int(&numbers[i], INT64_MIN + i);
    run_until(fx, redis_is_up(fx->redis));
    assert_true(redis_command(fx->redis, args, REDIS_ARGS_MAX, NULL, NULL));
    assert_true(say(fx->redis, &a, WORDS("LRANGE", "list", "0", "-1")));
    assert_true(say(fx->redis, NULL, WORDS("DEL", "list")));
    run_until(fx, a.calls);
    assert_int_equal(a.count, REDIS_ARGS_MAX - 2);
}

/* Redis reads nothing: what waits to be sent is bounded. */
static void test_unsent_is_bounded(void **state)
{
    struct fixture *fx = *state;
    size_t len = 1 << 20, sent = 0;
    char *data = calloc(1, len);
    struct answer a = {0};
    const struct redis_arg args[] = {redis_arg_text("ECHO"), {.data = data, .data_len = len}};
    run_until(fx, redis_is_up(fx->redis));
    private_redis_freeze(&server);
    while (redis_command(fx->redis, args, 2, on_answer, &a)) {
        sent++;
        assert_true(sent < 100);
        uv_run(&fx->loop, UV_RUN_NOWAIT);
    }
    assert_true(sent >= 60);
    private_redis_thaw(&server);
    run_until(fx, a.calls == (int)sent);
    assert_int_equal(a.nothing, 0);
    free(data);
}

/* --- scripts --- */

static const struct redis_script add_script = {
    .name = "add",
    .text = "redis.call('RPUSH', KEYS[1], ARGV[1])\nreturn {#KEYS, #ARGV, KEYS[1], ARGV[1]}\n"};
static const struct redis_script wrong_script = {.name = "wrong", .text = "return redis.call('NONSENSE')"};
static const struct redis_script unreadable_script = {.name = "unreadable", .text = "return (("};

static bool add(struct redis *r, struct answer *a, const char *value)
{
    const struct redis_arg args[] = {redis_arg_text("added"), redis_arg_text(value)};
    return redis_run(r, &add_script, args, 1, 2, on_answer, a);
}

static void test_scripts(void **state)
{
    struct fixture *fx = *state;
    char out[64];
    enum { N = 50 };
    struct answer a[N] = {0}, wrong = {0}, unreadable[2] = {0};
    run_until(fx, redis_is_up(fx->redis));
    for (int i = 0; i < N; i++)
        assert_true(add(fx->redis, &a[i], "first"));
    assert_true(redis_run(fx->redis, &wrong_script, NULL, 0, 0, on_answer, &wrong));
    for (int i = 0; i < 2; i++)
        assert_true(redis_run(fx->redis, &unreadable_script, NULL, 0, 0, on_answer, &unreadable[i]));
    run_until(fx, unreadable[1].calls);
    assert_int_equal(a[0].count, 4);
    assert_int_equal(a[N - 1].count, 4);
    assert_int_equal(wrong.kind, REDIS_ERROR);
    assert_int_equal(unreadable[0].kind, REDIS_ERROR);
    assert_non_null(strstr(unreadable[1].text, "compiling"));
    assert_int_equal(fx->redis->sent->value, N + 3 + 1); /* the unreadable one again, with its text */

    /* Redis forgets them: found out by the answers, and nothing is lost. */
    assert_string_equal(private_redis_ask(&server, out, sizeof out, "SCRIPT", "FLUSH", NULL), "OK");
    memset(a, 0, sizeof a);
    for (int i = 0; i < N; i++)
        assert_true(add(fx->redis, &a[i], "second"));
    for (int i = 0; i < N; i++)
        run_until(fx, a[i].calls);
    for (int i = 0; i < N; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].count, 4);
    }
    assert_string_equal(private_redis_ask(&server, out, sizeof out, "LLEN", "added", NULL), "100");
}

static void test_scripts_after_a_restart(void **state)
{
    struct fixture *fx = *state;
    char out[64];
    struct answer a = {0}, b = {0}, c = {0};
    run_until(fx, redis_is_up(fx->redis));
    assert_true(say(fx->redis, NULL, WORDS("DEL", "added")));
    assert_true(add(fx->redis, &a, "before"));
    run_until(fx, a.calls);
    private_redis_kill(&server);
    assert_true(private_redis_start(&server));
    run_until(fx, redis_is_up(fx->redis) && fx->redis->reconnects->value);
    assert_true(add(fx->redis, &b, "after"));
    assert_true(say(fx->redis, &c, WORDS("LLEN", "added"))); /* not overtaken by what comes behind it */
    run_until(fx, c.calls);
    assert_int_equal(b.count, 4);
    assert_int_equal(c.number, 2);
    assert_string_equal(private_redis_ask(&server, out, sizeof out, "LLEN", "added", NULL), "2");
}

/* --- settings --- */

static void test_password_and_database(void **state)
{
    struct fixture *fx = *state;
    struct answer a = {0};
    char out[64];
    run_until(fx, redis_is_up(fx->redis));
    private_redis_kill(&server);
    snprintf(server.password, sizeof server.password, "pass word");
    assert_true(private_redis_start(&server));
    uint64_t until_ms = clock_ms() + 500;
    run_until(fx, clock_ms() >= until_ms);
    assert_false(redis_is_up(fx->redis)); /* it has no password */

    fx->closed = false;
    redis_close(fx->redis, on_closed, fx);
    run_until(fx, fx->closed);
    fx->redis = new_redis(fx, "wrong", 0);
    until_ms = clock_ms() + 500;
    run_until(fx, clock_ms() >= until_ms);
    assert_false(redis_is_up(fx->redis));

    fx->closed = false;
    redis_close(fx->redis, on_closed, fx);
    run_until(fx, fx->closed);
    fx->closed = false;
    fx->redis = new_redis(fx, "pass word", 3);
    run_until(fx, redis_is_up(fx->redis));
    assert_true(say(fx->redis, &a, WORDS("SET", "in_three", "1")));
    run_until(fx, a.calls);
    assert_string_equal(private_redis_ask(&server, out, sizeof out, "EXISTS", "in_three", NULL), "0");
    assert_non_null(
        strstr(private_redis_ask(&server, out, sizeof out, "INFO", "keyspace", NULL), "db3:keys=1"));
    private_redis_kill(&server);
    server.password[0] = '\0';
    assert_true(private_redis_start(&server));
}

static void test_malformed_addresses(void **state)
{
    struct fixture *fx = *state;
    static const char *const bad[] = {
        "",
        ":",
        "6379",
        "localhost:6379",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:6379x",
        "127.0.0.1:-1",
        "127.0.0.1: 1",
        "127.0.0.256:1",
        "::1:6379",
        "[::1]",
        "[::1:6379",
        "::1]:6379",
        "[]:6379",
        "[:6379",
        "[127.0.0.1]:1",
        "redis://:secret@127.0.0.1:6379",
        "socket",
    };
    static const char *const good[] = {"127.0.0.1:1", "[::1]:65535", "/run/redis.sock"};
    char why[200], path[200];
    struct redis_settings settings = {.user = "", .password = ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        settings.address = bad[i];
        why[0] = '\0';
        if (redis_new(&fx->loop, &settings, fx->metrics, why, sizeof why))
            fail_msg("%s", bad[i]);
        assert_non_null(strstr(why, "store.redis"));
        assert_null(strstr(why, "secret"));
    }
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[108] = '\0';
    settings.address = path;
    assert_null(redis_new(&fx->loop, &settings, fx->metrics, why, sizeof why));
    assert_non_null(strstr(why, "too long"));
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct fixture other = {0};
        settings.address = good[i];
        struct redis *r = redis_new(&fx->loop, &settings, fx->metrics, why, sizeof why);
        assert_non_null(r);
        redis_close(r, on_closed, &other);
        run_until(fx, other.closed);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_kinds_of_answers),
        TEST(test_many_in_one_turn),
        TEST(test_callbacks_ask_again),
        TEST(test_large_binary_values),
        TEST(test_many_arguments),
        TEST(test_unsent_is_bounded),
        TEST(test_scripts),
        TEST(test_scripts_after_a_restart),
        TEST(test_password_and_database),
        TEST(test_malformed_addresses),
    };
    if (!private_redis_init(&server))
        return 1;
    log_set_level(LOG_ERROR);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    private_redis_deinit(&server);
    return failed;
}
