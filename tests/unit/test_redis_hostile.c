/* test_redis_hostile.c: what says it is Redis and is not: every answer ends in a lost connection or in a
 * callback, never in the end of the process. The server lives on the same loop and says what the test wants.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/redis_inner.h"

struct fixture;

struct peer { /* one connection of the server; freed by its close callback */
    uv_tcp_t tcp;
    uv_write_t write;
    struct fixture *fx;
    int reads;
    struct peer *next;
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t tick;
    uv_tcp_t listener;
    struct metrics *metrics;
    struct redis *redis;
    char address[32];
    bool closed;
    struct peer *peers;
    int connections;
    /* what a connection is told at its first bytes, and at all later ones; then maybe the end */
    const char *first, *then;
    size_t first_len, then_len;
    bool hangs_up;
    char read_buffer[4096];
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

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *p = handle->data, **at = &p->fx->peers;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    free(p);
}

static void hang_up(struct peer *p)
{
    if (!uv_is_closing((uv_handle_t *)&p->tcp))
        uv_close((uv_handle_t *)&p->tcp, on_peer_closed);
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
    struct peer *p = handle->data;
    (void)wanted;
    *buf = uv_buf_init(p->fx->read_buffer, sizeof p->fx->read_buffer);
}

static void on_peer_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct peer *p = stream->data;
    const struct fixture *fx = p->fx;
    (void)buf;
    if (got < 0) {
        hang_up(p);
        return;
    }
    bool is_first = p->reads++ == 0;
    uv_buf_t out = is_first ? uv_buf_init((char *)(uintptr_t)fx->first, (unsigned)fx->first_len)
                            : uv_buf_init((char *)(uintptr_t)fx->then, (unsigned)fx->then_len);
    if (out.len > 0)
        uv_try_write(stream, &out, 1);
    if (fx->hangs_up && (!is_first || fx->first_len == 0))
        hang_up(p);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct fixture *fx = listener->data;
    struct peer *p = calloc(1, sizeof *p);
    assert_int_equal(status, 0);
    uv_tcp_init(&fx->loop, &p->tcp);
    p->tcp.data = p;
    p->fx = fx;
    p->next = fx->peers;
    fx->peers = p;
    fx->connections++;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&p->tcp), 0);
    uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_peer_read);
}

static int setup(void **state)
{
    struct fixture *fx = calloc(1, sizeof *fx);
    struct sockaddr_in address;
    struct sockaddr_storage bound;
    int bound_len = sizeof bound;
    uv_loop_init(&fx->loop);
    uv_timer_init(&fx->loop, &fx->tick);
    uv_timer_start(&fx->tick, on_tick, 1, 1);
    uv_tcp_init(&fx->loop, &fx->listener);
    fx->listener.data = fx;
    uv_ip4_addr("127.0.0.1", 0, &address);
    assert_int_equal(uv_tcp_bind(&fx->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&fx->listener, 16, on_connection), 0);
    uv_tcp_getsockname(&fx->listener, (struct sockaddr *)&bound, &bound_len);
    snprintf(fx->address, sizeof fx->address, "127.0.0.1:%u",
             ntohs(((struct sockaddr_in *)(void *)&bound)->sin_port));
    fx->metrics = metrics_new();
    *state = fx;
    return 0;
}

static void start(struct fixture *fx)
{
    char why[200];
    const struct redis_settings settings = {.address = fx->address, .user = "ana", .password = "pw"};
    fx->redis = redis_new(&fx->loop, &settings, fx->metrics, why, sizeof why);
    assert_non_null(fx->redis);
}

static void on_any(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

#define run_until(fx, cond)                                                                                  \
    do {                                                                                                     \
        uint64_t limit_ = clock_ms() + 60000;                                                                \
        while (!(cond)) {                                                                                    \
            assert_true(clock_ms() < limit_);                                                                \
            uv_run(&(fx)->loop, UV_RUN_ONCE);                                                                \
        }                                                                                                    \
    } while (0)

static void stop(struct fixture *fx)
{
    fx->closed = false;
    redis_close(fx->redis, on_closed, fx);
    run_until(fx, fx->closed);
    fx->redis = NULL;
}

static int teardown(void **state)
{
    struct fixture *fx = *state;
    if (fx->redis)
        stop(fx);
    for (struct peer *p = fx->peers; p; p = p->next)
        hang_up(p);
    uv_walk(&fx->loop, on_any, NULL);
    uv_run(&fx->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fx->loop), 0);
    metrics_free(fx->metrics);
    free(fx);
    return 0;
}

/* A list said to have more items than memory: refused by calloc, not the end; AddressSanitizer must agree. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

#define GREETING "+OK\r\n+PONG\r\n" /* to AUTH and PING */

static void say_first(struct fixture *fx, const char *text, size_t len)
{
    fx->first = text;
    fx->first_len = len;
}

static void say_then(struct fixture *fx, const char *text, size_t len)
{
    fx->then = text;
    fx->then_len = len;
}

struct answer {
    int calls, nothing;
};

static void on_answer(void *arg, const struct redis_reply *reply)
{
    struct answer *a = arg;
    a->calls++;
    a->nothing += reply == NULL;
}

static bool ask(struct fixture *fx, struct answer *a)
{
    const struct redis_arg args[] = {redis_arg_text("GET"), redis_arg_text("k")};
    return redis_command(fx->redis, args, 2, on_answer, a);
}

struct text {
    const char *text;
    size_t len;
};
#define TEXT(literal)                                                                                        \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }

/* Bytes that are no answers, or answers that nobody of Redis gives. */
static const struct text nonsense[] = {
    TEXT("HTTP/1.1 400 Bad Request\r\n\r\n"),
    TEXT("\0\0\0\0"),
    TEXT("$-5\r\n"),
    TEXT("$99999999999999999999\r\n"),
    TEXT("$9223372036854775807\r\nx"),
    TEXT("*-7\r\n"),
    TEXT("*9223372036854775807\r\n"),
    TEXT("*1152921504606846977\r\n$1\r\nx\r\n"),
    TEXT("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"),
    TEXT(":not a number\r\n"),
    TEXT("-LOADING Redis is loading the dataset in memory\r\n"),
    TEXT("-NOAUTH Authentication required.\r\n"),
    TEXT("-READONLY You can't write against a read only replica.\r\n"),
    TEXT("-ERR max number of clients reached\r\n+OK\r\n+OK\r\n"), /* more answers than questions */
};

static void test_nonsense_instead_of_a_greeting(void **state)
{
    struct fixture *fx = *state;
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        say_first(fx, nonsense[i].text, nonsense[i].len);
        fx->connections = 0;
        start(fx);
        fx->redis->password[0] = '\0'; /* PING alone */
        run_until(fx, fx->connections >= 2);
        uint64_t until_ms = clock_ms() + 20;
        run_until(fx, clock_ms() >= until_ms);
        assert_false(redis_is_up(fx->redis));
        stop(fx);
    }
}

static void test_nonsense_instead_of_an_answer(void **state)
{
    struct fixture *fx = *state;
    say_first(fx, GREETING, strlen(GREETING));
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        struct answer a = {0};
        say_then(fx, nonsense[i].text, nonsense[i].len);
        start(fx);
        run_until(fx, redis_is_up(fx->redis));
        fx->redis->watchdog_ms = 50; /* for half an answer; its tick was set before */
        assert_true(ask(fx, &a));
        run_until(fx, a.calls);
        run_until(fx, fx->redis->commands.state != REDIS_LINK_UP);
        assert_int_equal(a.calls, 1);
        stop(fx);
    }
}

static void test_subscriber_gets_what_is_no_message(void **state)
{
    static const struct text bad[] = {
        TEXT("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:1\r\n"),
        TEXT("*3\r\n$7\r\nmessage\r\n*0\r\n$1\r\nx\r\n"),
        TEXT("*3\r\n:1\r\n$1\r\nc\r\n$1\r\nx\r\n"),
        TEXT("*3\r\n$-1\r\n$1\r\nc\r\n$1\r\nx\r\n"),
        TEXT("*1\r\n$7\r\nmessage\r\n"),
        TEXT("*0\r\n"),
        TEXT("*-1\r\n"),
        TEXT("*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$1\r\nx\r\n"),
        TEXT("*2\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n"),
        TEXT("+hello\r\n"),
        TEXT("-ERR something\r\n"),
        TEXT(":1\r\n"),
        TEXT("$-1\r\n"),
    };
    struct fixture *fx = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256] = GREETING;
        memcpy(text + strlen(GREETING), bad[i].text, bad[i].len);
        say_first(fx, text, strlen(GREETING) + bad[i].len);
        start(fx);
        uint64_t generation = fx->redis->subscriber.generation;
        run_until(fx, fx->redis->subscriber.generation > generation);
        stop(fx);
    }
}

static void on_message(void *arg, const uint8_t *message, size_t message_len)
{
    struct answer *a = arg;
    (void)message;
    a->calls += message_len == 1;
}

/* Of channels nobody asked for, and more acknowledgements than questions: harmless. */
static void test_subscriber_gets_too_much(void **state)
{
    static const char text[] = GREETING "+PONG\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"
                                        "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
                                        "*3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:2\r\n"
                                        "*3\r\n$7\r\nmessage\r\n$1\r\nz\r\n$1\r\nx\r\n"
                                        "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n";
    struct fixture *fx = *state;
    struct answer a = {0};
    say_first(fx, text, sizeof text - 1);
    start(fx);
    redis_subscribe(fx->redis, "c", on_message, &a);
    run_until(fx, a.calls);
    assert_int_equal(fx->redis->subscriber.state, REDIS_LINK_UP);
    assert_int_equal(fx->redis->subscribing, 0);
}

static void test_it_hangs_up(void **state)
{
    struct fixture *fx = *state;
    struct answer a = {0};
    fx->hangs_up = true;
    start(fx);
    run_until(fx, fx->connections >= 6); /* and again, and again */
    assert_false(redis_is_up(fx->redis));
    say_first(fx, GREETING, strlen(GREETING));
    run_until(fx, redis_is_up(fx->redis));
    say_then(fx, "$5\r\nhe", 7); /* half an answer */
    assert_true(ask(fx, &a));
    run_until(fx, a.calls);
    assert_int_equal(a.nothing, 1);
}

/* A connection that is lost as soon as it is used is not made again at full speed. */
static void test_a_short_life_does_not_reset_the_pause(void **state)
{
    struct fixture *fx = *state;
    struct answer a = {0};
    static const char readonly[] = "-READONLY You can't write against a read only replica.\r\n";
    say_first(fx, GREETING, strlen(GREETING));
    say_then(fx, readonly, strlen(readonly));
    start(fx);
    for (int i = 1; i <= 4; i++) {
        run_until(fx, redis_is_up(fx->redis));
        assert_true(ask(fx, &a));
        run_until(fx, a.calls == i);
        assert_int_equal(a.nothing, i); /* who asked is not told that Redis refused: it was not our Redis */
    }
    assert_int_equal(fx->redis->commands.backoff_ms, 8 * REDIS_BACKOFF_FIRST_MS);
}

/* Silent from the start: given up, so that another try can find a better one. */
static void test_it_never_answers(void **state)
{
    struct fixture *fx = *state;
    start(fx);
    uint64_t begun_ms = clock_ms();
    run_until(fx, fx->connections >= 4);
    assert_true(clock_ms() - begun_ms >= REDIS_CONNECT_LIMIT_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nonsense_instead_of_a_greeting),
        TEST(test_nonsense_instead_of_an_answer),
        TEST(test_subscriber_gets_what_is_no_message),
        TEST(test_subscriber_gets_too_much),
        TEST(test_it_hangs_up),
        TEST(test_a_short_life_does_not_reset_the_pause),
        TEST(test_it_never_answers),
    };
    signal(SIGPIPE, SIG_IGN); /* as in cyand */
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
