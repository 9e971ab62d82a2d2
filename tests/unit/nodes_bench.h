/* nodes_bench.h: nodes that share a real Redis. Each node has a client of its own, as in processes of their
 * own. Included by one .c file of a test program, whose main starts the server. */
#ifndef CYAN_TESTS_NODES_BENCH_H
#define CYAN_TESTS_NODES_BENCH_H

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
#include "store/nodes_inner.h"

#define LEASE_MS 2000      /* so long that a slow machine keeps it */
#define SHORT_LEASE_MS 600 /* for those who wait for its end */
#define NODES_IN_TEST 3

static struct private_redis server;

struct member {
    struct fixture *fx;
    struct redis *redis;
    struct nodes *nodes; /* NULL once freed */
    int joined, joined_again, usurped, left;
    int lost[NODES_MAX];
    bool closed, free_when_joined;
    bool listed, list_ok;
    size_t list_count;
    struct node_seen seen[4];
    char texts[4][64];
    int received;
    char messages[4096]; /* `from:text ` each */
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t tick;
    struct deadlines deadlines;
    struct metrics *metrics;
    char prefix[16];
    uint32_t lease_ms;
    struct member members[NODES_IN_TEST];
};

static inline void on_joined(void *ctx, bool again)
{
    struct member *m = ctx;
    *(again ? &m->joined_again : &m->joined) += 1;
    if (m->free_when_joined) {
        nodes_free(m->nodes);
        m->nodes = NULL;
    }
}

static inline void on_lost(void *ctx, uint32_t id)
{
    struct member *m = ctx;
    m->lost[id]++;
}

static inline void on_usurped(void *ctx)
{
    struct member *m = ctx;
    m->usurped++;
}

static inline void on_describe(void *ctx, char *out, size_t out_size)
{
    const struct member *m = ctx;
    snprintf(out, out_size, "{\"node\": %d}", (int)(m - m->fx->members));
}

static inline void on_message(void *ctx, uint32_t from, const uint8_t *data, size_t data_len)
{
    struct member *m = ctx;
    size_t used = strlen(m->messages);
    m->received++;
    snprintf(m->messages + used, sizeof m->messages - used, "%u:%.*s ", from, (int)data_len,
             (const char *)data);
}

static inline void on_listed(void *arg, bool ok, const struct node_seen *seen, size_t count)
{
    struct member *m = arg;
    m->listed = true;
    m->list_ok = ok;
    m->list_count = count;
    for (size_t i = 0; i < count && i < 4; i++) {
        m->seen[i] = seen[i];
        snprintf(m->texts[i], sizeof m->texts[i], "%s", seen[i].text);
    }
}

static inline void on_left(void *arg)
{
    struct member *m = arg;
    m->left++;
}

static inline void on_closed(void *arg)
{
    struct member *m = arg;
    m->closed = true;
}

static inline void on_tick(uv_timer_t *tick)
{
    struct fixture *fx = tick->data;
    deadlines_run(&fx->deadlines, clock_ms());
}

static inline struct member *start(struct fixture *fx, int place, uint32_t id)
{
    struct member *m = &fx->members[place];
    char why[200];
    const struct redis_settings redis = {.address = server.socket, .user = "", .password = ""};
    const struct nodes_settings nodes = {.id = id, .lease_ms = fx->lease_ms, .prefix = fx->prefix};
    const struct nodes_ops ops = {
        .ctx = m, .joined = on_joined, .lost = on_lost, .usurped = on_usurped, .describe = on_describe};
    *m = (struct member){.fx = fx};
    m->redis = redis_new(&fx->loop, &redis, fx->metrics, why, sizeof why);
    assert_non_null(m->redis);
    m->nodes = nodes_new(m->redis, &fx->deadlines, fx->metrics, &nodes, &ops);
    nodes_on(m->nodes, NODES_EVENT, on_message, m);
    return m;
}

/* As if the process were killed: nothing is said, the lease stays. */
static inline void vanish(struct member *m)
{
    nodes_free(m->nodes);
    m->nodes = NULL;
}

static inline int setup(void **state)
{
    static int number;
    struct fixture *fx = calloc(1, sizeof *fx);
    uv_loop_init(&fx->loop);
    uv_timer_init(&fx->loop, &fx->tick);
    fx->tick.data = fx;
    uv_timer_start(&fx->tick, on_tick, 1, 1);
    deadlines_init(&fx->deadlines);
    fx->metrics = metrics_new();
    fx->lease_ms = LEASE_MS;
    snprintf(fx->prefix, sizeof fx->prefix, "t%d:", ++number);
    *state = fx;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *fx = *state;
    for (int i = 0; i < NODES_IN_TEST; i++) {
        nodes_free(fx->members[i].nodes);
        if (fx->members[i].redis)
            redis_close(fx->members[i].redis, on_closed, &fx->members[i]);
    }
    uv_close((uv_handle_t *)&fx->tick, NULL);
    uv_run(&fx->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fx->loop), 0);
    assert_int_equal(deadlines_next(&fx->deadlines, 0), UINT64_MAX);
    deadlines_deinit(&fx->deadlines);
    metrics_free(fx->metrics);
    free(fx);
    return 0;
}

#define run_until(fx, cond)                                                                                  \
    do {                                                                                                     \
        uint64_t limit_ = clock_ms() + 60000;                                                                \
        while (!(cond)) {                                                                                    \
            assert_true(clock_ms() < limit_);                                                                \
            uv_run(&(fx)->loop, UV_RUN_ONCE);                                                                \
        }                                                                                                    \
    } while (0)

/* Redis, asked behind the nodes' backs; key without the prefix of this test. */
static inline const char *ask(struct fixture *fx, const char *command, const char *key, ...)
    __attribute__((sentinel));
static inline const char *ask(struct fixture *fx, const char *command, const char *key, ...)
{
    static char out[512];
    char name[128];
    const char *words[6] = {0};
    va_list args;
    snprintf(name, sizeof name, "%s%s", fx->prefix, key);
    va_start(args, key);
    for (int i = 0; i < 6 && (words[i] = va_arg(args, const char *)) != NULL; i++)
        ;
    va_end(args);
    return private_redis_ask(&server, out, sizeof out, command, name, words[0], words[1], words[2], words[3],
                             words[4], NULL);
}

/* The lease of id, as a process `started` then of host would have written it. */
static inline void put_lease(struct fixture *fx, const char *key, const char *nonce, const char *host,
                             int64_t pid, uint64_t started, const char *lives_ms)
{
    struct nodes_process holder = {.pid = pid, .started = started, .name = "elsewhere"};
    char text[NODES_TEXT_MAX], whole[NODES_TEXT_MAX + 8];
    snprintf(holder.host, sizeof holder.host, "%s", host);
    nodes_text_print(text, sizeof text, nonce, &holder, "{}");
    snprintf(whole, sizeof whole, "77 %s", text);
    assert_string_equal(ask(fx, "SET", key, whole, "PX", lives_ms, NULL), "OK");
}

static inline void run_for(struct fixture *fx, uint64_t duration_ms)
{
    uint64_t until_ms = clock_ms() + duration_ms;
    while (clock_ms() < until_ms)
        uv_run(&fx->loop, UV_RUN_ONCE);
}

#endif
