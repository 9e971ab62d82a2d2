/* test_redis.c: the Redis client against a real Redis: answers, scripts, messages, and every way to lose it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "private_redis.h"
#include "store/redis_inner.h"

static struct private_redis server;

struct fixture {
    uv_loop_t loop;
    uv_timer_t tick; /* lets conditions be looked at while nothing happens */
    struct metrics *metrics;
    struct redis *redis;
    bool closed;
};

static void on_closed(void *arg)
{
    struct fixture *fx = arg;
    fx->closed = true;
}

static void on_tick(uv_timer_t *tick)
{
    (void)tick;
}

static struct redis *new_redis(struct fixture *fx, const char *password, uint32_t database)
{
    char why[200] = "";
    const struct redis_settings settings = {
        .address = server.socket, .user = "", .password = password, .database = database};
    struct redis *r = redis_new(&fx->loop, &settings, fx->metrics, why, sizeof why);
    assert_non_null(r);
    return r;
}

static int setup(void **state)
{
    struct fixture *fx = calloc(1, sizeof *fx);
    uv_loop_init(&fx->loop);
    uv_timer_init(&fx->loop, &fx->tick);
    uv_timer_start(&fx->tick, on_tick, 1, 1);
    fx->metrics = metrics_new();
    fx->redis = new_redis(fx, server.password, 0);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fx = *state;
    if (!fx->closed && !fx->redis->closing)
        redis_close(fx->redis, on_closed, fx);
    uv_close((uv_handle_t *)&fx->tick, NULL);
    uv_run(&fx->loop, UV_RUN_DEFAULT);
    assert_true(fx->closed);
    assert_int_equal(uv_loop_close(&fx->loop), 0);
    metrics_free(fx->metrics);
    free(fx);
    return 0;
}

/* Runs the loop until the condition holds; a limit so generous that only a hang meets it. */
#define run_until(fx, cond)                                                                                  \
    do {                                                                                                     \
        uint64_t limit_ = clock_ms() + 60000;                                                                \
        while (!(cond)) {                                                                                    \
            assert_true(clock_ms() < limit_);                                                                \
            uv_run(&(fx)->loop, UV_RUN_ONCE);                                                                \
        }                                                                                                    \
    } while (0)

struct answer {
    int calls, nothing; /* nothing: without a reply */
    enum redis_kind kind;
    int64_t number;
    char text[64];
    size_t count;
};

static void on_answer(void *arg, const struct redis_reply *reply)
{
    struct answer *a = arg;
    a->calls++;
    a->nothing += reply == NULL;
    a->kind = redis_kind(reply);
    a->number = redis_int(reply);
    a->count = redis_count(reply);
    snprintf(a->text, sizeof a->text, "%s", redis_text(reply, NULL));
}

/* Words of a command; true when it was sent. */
static bool say(struct redis *r, struct answer *a, const char *const *words)
{
    struct redis_arg args[16];
    size_t count = 0;
    for (; words[count]; count++)
        args[count] = redis_arg_text(words[count]);
    return redis_command(r, args, count, a ? on_answer : NULL, a);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kinds_of_answers, setup, teardown),
    };
    if (!private_redis_init(&server))
        return 1;
    log_set_level(LOG_ERROR);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    private_redis_deinit(&server);
    return failed;
}
