/* redis_bench.h: the Redis client on a loop of its own, against a real Redis. Included by one .c file of a
 * test program, whose main starts the server. */
#ifndef CYAN_TESTS_REDIS_BENCH_H
#define CYAN_TESTS_REDIS_BENCH_H

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

static inline void on_closed(void *arg)
{
    struct fixture *fx = arg;
    fx->closed = true;
}

static inline void on_tick(uv_timer_t *tick)
{
    (void)tick;
}

static inline struct redis *new_redis(struct fixture *fx, const char *password, uint32_t database)
{
    char why[200] = "";
    const struct redis_settings settings = {
        .address = server.socket, .user = "", .password = password, .database = database};
    struct redis *r = redis_new(&fx->loop, &settings, fx->metrics, why, sizeof why);
    assert_non_null(r);
    return r;
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline void on_answer(void *arg, const struct redis_reply *reply)
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
static inline bool say(struct redis *r, struct answer *a, const char *const *words)
{
    struct redis_arg args[16];
    size_t count = 0;
    for (; words[count]; count++)
        args[count] = redis_arg_text(words[count]);
    return redis_command(r, args, count, a ? on_answer : NULL, a);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { MANY = 10000 };
struct many {
    int calls, nothing, out_of_order;
    int64_t last;
};

static inline void on_one_of_many(void *arg, const struct redis_reply *reply)
{
    struct many *many = arg;
    many->calls++;
    many->nothing += reply == NULL;
    if (!reply)
        return;
    many->out_of_order += redis_int(reply) != many->last + 1;
    many->last = redis_int(reply);
}

#endif
