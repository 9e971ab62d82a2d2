/* test_nodes.c: nodes that share a real Redis: leases, the others, messages. Each node has a client of its
 * own, as in processes of their own. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void on_joined(void *ctx, bool again)
{
    struct member *m = ctx;
    *(again ? &m->joined_again : &m->joined) += 1;
    if (m->free_when_joined) {
        nodes_free(m->nodes);
        m->nodes = NULL;
    }
}

static void on_lost(void *ctx, uint32_t id)
{
    struct member *m = ctx;
    m->lost[id]++;
}

static void on_usurped(void *ctx)
{
    struct member *m = ctx;
    m->usurped++;
}

static void on_describe(void *ctx, char *out, size_t out_size)
{
    const struct member *m = ctx;
    snprintf(out, out_size, "{\"node\": %d}", (int)(m - m->fx->members));
}

static void on_message(void *ctx, uint32_t from, const uint8_t *data, size_t data_len)
{
    struct member *m = ctx;
    size_t used = strlen(m->messages);
    m->received++;
    snprintf(m->messages + used, sizeof m->messages - used, "%u:%.*s ", from, (int)data_len,
             (const char *)data);
}

static void on_listed(void *arg, bool ok, const struct node_seen *seen, size_t count)
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

static void on_left(void *arg)
{
    struct member *m = arg;
    m->left++;
}

static void on_closed(void *arg)
{
    struct member *m = arg;
    m->closed = true;
}

static void on_tick(uv_timer_t *tick)
{
    struct fixture *fx = tick->data;
    deadlines_run(&fx->deadlines, clock_ms());
}

static struct member *start(struct fixture *fx, int place, uint32_t id)
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
static void vanish(struct member *m)
{
    nodes_free(m->nodes);
    m->nodes = NULL;
}

static int setup(void **state)
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

static int teardown(void **state)
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
static const char *ask(struct fixture *fx, const char *command, const char *key, ...)
    __attribute__((sentinel));
static const char *ask(struct fixture *fx, const char *command, const char *key, ...)
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
static void put_lease(struct fixture *fx, const char *key, const char *nonce, const char *host, int64_t pid,
                      uint64_t started, const char *lives_ms)
{
    struct nodes_process holder = {.pid = pid, .started = started, .name = "elsewhere"};
    char text[NODES_TEXT_MAX], whole[NODES_TEXT_MAX + 8];
    snprintf(holder.host, sizeof holder.host, "%s", host);
    nodes_text_print(text, sizeof text, nonce, &holder, "{}");
    snprintf(whole, sizeof whole, "77 %s", text);
    assert_string_equal(ask(fx, "SET", key, whole, "PX", lives_ms, NULL), "OK");
}

static void run_for(struct fixture *fx, uint64_t duration_ms)
{
    uint64_t until_ms = clock_ms() + duration_ms;
    while (clock_ms() < until_ms)
        uv_run(&fx->loop, UV_RUN_ONCE);
}

static void test_two_see_each_other_and_talk(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 0), *b = start(fx, 1, 7);
    assert_false(nodes_is_in(a->nodes));
    assert_int_equal(nodes_incarnation(a->nodes), 0);
    run_until(fx, nodes_is_alive(a->nodes, 7) && nodes_is_alive(b->nodes, 0));
    assert_true(nodes_is_in(a->nodes) && nodes_is_in(b->nodes));
    assert_true(nodes_is_alive(a->nodes, 0));
    assert_false(nodes_is_alive(a->nodes, 3));
    assert_true(nodes_incarnation(a->nodes) > 0);
    assert_true(nodes_incarnation(a->nodes) != nodes_incarnation(b->nodes));
    assert_true(nodes_send(a->nodes, 7, NODES_EVENT, "one", 3));
    assert_true(nodes_send_all(a->nodes, NODES_EVENT, "two", 3));
    assert_true(nodes_send(a->nodes, 7, NODES_ASK, "nobody listens", 14));
    assert_true(nodes_send(a->nodes, 7, NODES_EVENT, "", 0));
    assert_true(nodes_send(a->nodes, 0, NODES_EVENT, "self", 4));
    run_until(fx, b->received == 3 && a->received == 1);
    assert_string_equal(b->messages, "0:one 0:two 0: ");
    assert_string_equal(a->messages, "0:self "); /* not its own broadcast */
    assert_int_equal(a->joined, 1);
    assert_int_equal(a->joined_again, 0);
}

static void test_messages_stay_in_order(void **state)
{
    struct fixture *fx = *state;
    enum { N = 400 };
    struct member *a = start(fx, 0, 1), *b = start(fx, 1, 2);
    char text[8], all[4096] = "";
    run_until(fx, nodes_is_in(a->nodes) && nodes_is_in(b->nodes));
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "%d", i);
        assert_true(i % 3 ? nodes_send(a->nodes, 2, NODES_EVENT, text, strlen(text))
                          : nodes_send_all(a->nodes, NODES_EVENT, text, strlen(text)));
        snprintf(all + strlen(all), sizeof all - strlen(all), "1:%d ", i);
    }
    run_until(fx, b->received == N);
    assert_string_equal(b->messages, all);
    assert_int_equal(a->received, 0);
}

struct big {
    int calls;
    size_t len;
    uint8_t first, last;
};

static void on_big(void *ctx, uint32_t from, const uint8_t *data, size_t data_len)
{
    struct big *big = ctx;
    (void)from;
    big->calls++;
    big->len = data_len;
    big->first = data[0];
    big->last = data[data_len - 1];
}

static void test_longest_message_and_longer(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 1), *b = start(fx, 1, 255);
    uint8_t *data = malloc(NODES_MESSAGE_MAX + 1);
    struct big big = {0};
    memset(data, 0, NODES_MESSAGE_MAX + 1);
    data[NODES_MESSAGE_MAX - 1] = 0xff;
    nodes_on(b->nodes, NODES_SESSIONS, on_big, &big);
    assert_false(nodes_send(a->nodes, 255, NODES_SESSIONS, "x", 1)); /* Redis is not there yet */
    run_until(fx, nodes_is_in(a->nodes) && nodes_is_in(b->nodes));
    assert_false(nodes_send(a->nodes, 255, NODES_SESSIONS, data, NODES_MESSAGE_MAX + 1));
    assert_true(nodes_send(a->nodes, 255, NODES_SESSIONS, data, NODES_MESSAGE_MAX));
    run_until(fx, big.calls);
    assert_int_equal(big.len, NODES_MESSAGE_MAX);
    assert_int_equal(big.first, 0);
    assert_int_equal(big.last, 0xff);
    free(data);
}

static void test_messages_that_no_node_sends(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 0), *b = start(fx, 1, 1);
    run_until(fx, nodes_is_in(a->nodes) && nodes_is_in(b->nodes));
    ask(fx, "PUBLISH", "to:0", "", NULL);
    ask(fx, "PUBLISH", "to:0", "e", NULL);
    ask(fx, "PUBLISH", "to:0", "exxxx", NULL); /* from a node far beyond the last */
    ask(fx, "PUBLISH", "all", "exxxxdata", NULL);
    ask(fx, "PUBLISH", "to:0", "Qxxxxdata", NULL); /* nor such a topic */
    assert_true(nodes_send(b->nodes, 0, NODES_EVENT, "good", 4));
    run_until(fx, a->received);
    assert_string_equal(a->messages, "1:good ");
}

static void test_dead_predecessor_is_replaced_at_once(void **state)
{
    struct fixture *fx = *state;
    struct nodes_process self;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    nodes_process_self(&self);
    put_lease(fx, "node:0", "0123", self.host, child, 0, "600000");
    struct member *a = start(fx, 0, 0);
    run_until(fx, a->joined); /* run_until gives up long before that lease ends */
    assert_true(nodes_incarnation(a->nodes) > 77);
    assert_int_equal(a->joined, 1);
    assert_int_equal(a->usurped, 0);
}

/* The same number, given to another process since. */
static void test_pid_used_again_is_not_the_predecessor(void **state)
{
    struct fixture *fx = *state;
    struct nodes_process self;
    nodes_process_self(&self);
    put_lease(fx, "node:0", "0123", self.host, getpid(), self.started + 1, "600000");
    struct member *a = start(fx, 0, 0);
    run_until(fx, a->joined);
    assert_int_equal(a->usurped, 0);
}

static void test_zombie_is_dead(void **state)
{
    struct fixture *fx = *state;
    struct nodes_process self;
    siginfo_t info;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    nodes_process_self(&self);
    put_lease(fx, "node:0", "0123", self.host, child, 0, "600000");
    struct member *a = start(fx, 0, 0);
    run_until(fx, a->joined);
    waitpid(child, NULL, 0);
}

static void test_id_of_a_living_process_is_refused(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 5);
    run_until(fx, a->joined);
    struct member *b = start(fx, 1, 5);
    run_until(fx, b->usurped);
    run_for(fx, LEASE_MS / 2);
    assert_int_equal(b->usurped, 1);
    assert_int_equal(b->joined, 0);
    assert_false(nodes_is_in(b->nodes));
    assert_true(nodes_is_in(a->nodes));
    assert_int_equal(a->usurped, 0);
    nodes_leave(b->nodes, true, on_left, b); /* gives nothing back that is not its own */
    assert_int_equal(b->left, 0);
    run_until(fx, b->left);
    assert_string_equal(ask(fx, "EXISTS", "node:5", NULL), "1");
    assert_string_equal(ask(fx, "SISMEMBER", "nodes", "5", NULL), "1");
}

static void test_lease_of_another_host_is_waited_for(void **state)
{
    struct fixture *fx = *state;
    uint64_t begun_ms = clock_ms();
    put_lease(fx, "node:0", "0123", "another-boot/pid:[1]", getpid(), 0, "1200");
    struct member *a = start(fx, 0, 0);
    run_until(fx, a->joined);
    assert_true(clock_ms() - begun_ms >= 1190);
    assert_int_equal(a->usurped, 0);
}

/* What nobody of us wrote is no reason to take the id, nor to fall over. */
static void test_lease_that_no_node_wrote(void **state)
{
    struct fixture *fx = *state;
    uint64_t begun_ms = clock_ms();
    assert_string_equal(ask(fx, "SET", "node:0", "hello", "PX", "700", NULL), "OK");
    assert_string_equal(ask(fx, "SET", "incarnation", "many", NULL), "OK");
    struct member *a = start(fx, 0, 0);
    run_until(fx, a->joined);
    assert_true(clock_ms() - begun_ms >= 690);
    assert_true(nodes_incarnation(a->nodes) > 0);
}

/* Executed, but the answer was lost with the connection: it is our own lease that we find. */
static void test_own_lease_is_known_again(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 0);
    put_lease(fx, "node:0", a->nodes->nonce, "whatever", 1, 1, "600000");
    run_until(fx, a->joined);
    assert_int_equal(nodes_incarnation(a->nodes), 77);
    assert_int_equal(a->usurped, 0);
}

static void test_foreign_lease_usurps(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 0);
    run_until(fx, a->joined);
    put_lease(fx, "node:0", "0123", "another-boot/pid:[1]", 1, 1, "600000");
    run_until(fx, a->usurped);
    run_for(fx, LEASE_MS);
    assert_int_equal(a->usurped, 1);
    assert_false(nodes_is_in(a->nodes));
    assert_int_equal(a->joined_again, 0);
}

static void test_lapse_while_redis_is_stopped(void **state)
{
    struct fixture *fx = *state;
    fx->lease_ms = SHORT_LEASE_MS;
    struct member *a = start(fx, 0, 0);
    run_until(fx, nodes_is_in(a->nodes));
    uint64_t incarnation = nodes_incarnation(a->nodes);
    int again = a->joined_again;
    private_redis_freeze(&server);
    uint64_t frozen_ms = clock_ms();
    run_until(fx, !nodes_is_in(a->nodes));
    assert_true(clock_ms() - frozen_ms <= SHORT_LEASE_MS + 200); /* by our clock, without being told */
    run_for(fx, SHORT_LEASE_MS);
    assert_false(nodes_is_in(a->nodes));
    private_redis_thaw(&server);
    run_until(fx, nodes_is_in(a->nodes));
    assert_true(a->joined_again > again);
    assert_int_equal(a->joined, 1);
    assert_int_equal(nodes_incarnation(a->nodes), incarnation);
}

/* The process itself stood still: no timer of it ran, yet it does not believe in its lease. */
static void test_lapse_while_we_stand_still(void **state)
{
    struct fixture *fx = *state;
    fx->lease_ms = SHORT_LEASE_MS;
    struct member *a = start(fx, 0, 0);
    run_until(fx, nodes_is_in(a->nodes));
    usleep((SHORT_LEASE_MS + 50) * 1000);
    assert_false(nodes_is_in(a->nodes));
    run_until(fx, nodes_is_in(a->nodes));
    assert_true(a->joined_again >= 1);
}

static void test_killed_redis_comes_back(void **state)
{
    struct fixture *fx = *state;
    fx->lease_ms = SHORT_LEASE_MS;
    struct member *a = start(fx, 0, 0), *b = start(fx, 1, 1);
    run_until(fx, nodes_is_alive(a->nodes, 1) && nodes_is_in(b->nodes));
    private_redis_kill(&server);
    run_until(fx, !nodes_is_in(a->nodes) && !nodes_is_in(b->nodes));
    assert_false(nodes_send(a->nodes, 1, NODES_EVENT, "lost", 4));
    assert_true(private_redis_start(&server));
    run_until(fx, a->joined_again && b->joined_again && nodes_is_alive(a->nodes, 1));
    assert_true(nodes_send(a->nodes, 1, NODES_EVENT, "back", 4));
    run_until(fx, b->received);
    assert_string_equal(b->messages, "0:back ");
    assert_int_equal(a->usurped + b->usurped, 0);
}

static void test_data_lost_gives_no_incarnation_twice(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 0);
    run_until(fx, a->joined);
    uint64_t incarnation = nodes_incarnation(a->nodes);
    assert_string_equal(ask(fx, "DEL", "node:0", NULL), "1");
    assert_string_equal(ask(fx, "DEL", "nodes", NULL), "1");
    assert_string_equal(ask(fx, "DEL", "incarnation", NULL), "1");
    run_until(fx, a->joined_again); /* others may have seen us as gone */
    assert_int_equal(nodes_incarnation(a->nodes), incarnation);
    struct member *b = start(fx, 1, 1);
    run_until(fx, b->joined);
    assert_true(nodes_incarnation(b->nodes) > incarnation);
}

static void test_lost_until_forgotten(void **state)
{
    struct fixture *fx = *state;
    fx->lease_ms = SHORT_LEASE_MS;
    struct member *a = start(fx, 0, 0), *b = start(fx, 1, 9);
    run_until(fx, nodes_is_alive(a->nodes, 9));
    assert_int_equal(a->lost[9], 0);
    nodes_forget(a->nodes, 9); /* one that lives is not forgotten */
    vanish(b);
    run_until(fx, a->lost[9] >= 3);
    assert_false(nodes_is_alive(a->nodes, 9));
    nodes_forget(a->nodes, 9);
    run_for(fx, SHORT_LEASE_MS / 2);
    int lost = a->lost[9];
    run_for(fx, 2 * SHORT_LEASE_MS);
    assert_int_equal(a->lost[9], lost);
    assert_string_equal(ask(fx, "SISMEMBER", "nodes", "9", NULL), "0");
    assert_int_equal(a->lost[0], 0);
}

static void test_clean_leave_leaves_its_mark(void **state)
{
    struct fixture *fx = *state;
    fx->lease_ms = SHORT_LEASE_MS;
    struct member *a = start(fx, 0, 0), *b = start(fx, 1, 1), *c = start(fx, 2, 2);
    char mark[64];
    run_until(fx, nodes_is_alive(a->nodes, 1) && nodes_is_alive(a->nodes, 2) && b->joined && c->joined);
    nodes_leave(b->nodes, true, on_left, b);
    nodes_leave(c->nodes, false, on_left, c);
    assert_int_equal(b->left + c->left, 0); /* not from inside */
    assert_false(nodes_is_in(b->nodes));
    run_until(fx, b->left && c->left);
    snprintf(mark, sizeof mark, "clean:1:%llu", (unsigned long long)nodes_incarnation(b->nodes));
    assert_string_equal(ask(fx, "GET", mark, NULL), "1");
    assert_true(strtoll(ask(fx, "TTL", mark, NULL), NULL, 10) > 30 * 24 * 3600);
    snprintf(mark, sizeof mark, "clean:2:%llu", (unsigned long long)nodes_incarnation(c->nodes));
    assert_string_equal(ask(fx, "EXISTS", mark, NULL), "0");
    assert_string_equal(ask(fx, "EXISTS", "node:1", NULL), "0");
    assert_string_equal(ask(fx, "SCARD", "nodes", NULL), "1");
    run_until(fx, !nodes_is_alive(a->nodes, 1) && !nodes_is_alive(a->nodes, 2));
    run_for(fx, SHORT_LEASE_MS);
    assert_int_equal(a->lost[1] + a->lost[2], 0);
    assert_int_equal(b->left, 1);
    assert_string_equal(ask(fx, "EXISTS", "node:1", NULL), "0"); /* and it is not taken again */
}

static void test_leave_does_not_wait_for_ever(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 0);
    run_until(fx, a->joined);
    private_redis_freeze(&server);
    uint64_t begun_ms = clock_ms();
    nodes_leave(a->nodes, true, on_left, a);
    run_until(fx, a->left);
    assert_true(clock_ms() - begun_ms >= NODES_LEAVE_LIMIT_MS - 10);
    private_redis_thaw(&server);
    run_for(fx, 100);
    assert_int_equal(a->left, 1);
}

/* Without the mark: it may have come back with less than was written. */
static void test_leave_goes_on_when_redis_is_back_in_time(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 0), *b = start(fx, 1, 1);
    char mark[64];
    run_until(fx, a->joined && b->joined);
    private_redis_kill(&server);
    nodes_leave(a->nodes, true, on_left, a);
    run_until(fx, !redis_is_up(a->redis));
    assert_int_equal(a->left, 0);
    assert_true(private_redis_start(&server));
    run_until(fx, a->left);
    snprintf(mark, sizeof mark, "clean:0:%llu", (unsigned long long)nodes_incarnation(a->nodes));
    assert_string_equal(ask(fx, "EXISTS", mark, NULL), "0");
    assert_string_equal(ask(fx, "EXISTS", "node:0", NULL), "0");
}

static void test_leave_before_joining(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 0);
    nodes_leave(a->nodes, true, on_left, a);
    run_until(fx, a->left);
    run_for(fx, 200);
    assert_int_equal(a->joined, 0);
    assert_string_equal(ask(fx, "EXISTS", "node:0", NULL), "0");
}

static void test_list_shows_every_lease(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 11), *b = start(fx, 1, 3);
    nodes_list(a->nodes, on_listed, a); /* Redis is not there yet */
    assert_false(a->listed);
    run_until(fx, a->listed);
    assert_false(a->list_ok);
    run_until(fx, a->joined && b->joined);
    ask(fx, "SADD", "nodes", "4", "1000", "-1", "x", NULL);
    ask(fx, "SET", "node:4", "not a lease", NULL);
    put_lease(fx, "node:1000", "0123", "h", 1, 1, "600000");
    a->listed = false;
    nodes_list(a->nodes, on_listed, a);
    assert_false(a->listed);
    run_until(fx, a->listed);
    assert_true(a->list_ok);
    assert_int_equal(a->list_count, 2);
    assert_int_equal(a->seen[0].id, 3);
    assert_int_equal(a->seen[0].incarnation, nodes_incarnation(b->nodes));
    assert_string_equal(a->texts[0], "{\"node\": 1}");
    assert_int_equal(a->seen[1].id, 11);
    assert_string_equal(a->texts[1], "{\"node\": 0}");
    assert_true(a->seen[1].lease_left_ms > 0 && a->seen[1].lease_left_ms <= LEASE_MS);
}

static void test_list_has_a_limit(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 0);
    run_until(fx, a->joined);
    private_redis_freeze(&server);
    nodes_list(a->nodes, on_listed, a);
    run_until(fx, a->listed);
    assert_false(a->list_ok);
    a->listed = false;
    nodes_list(a->nodes, on_listed, a);
    vanish(a); /* which ends it */
    assert_true(a->listed);
    assert_false(a->list_ok);
    private_redis_thaw(&server);
    run_for(fx, 100); /* the answers find nobody */
}

/* The other order at the end: Redis first, then its nodes. */
static void test_outlives_its_redis(void **state)
{
    struct fixture *fx = *state;
    struct member *a = start(fx, 0, 0);
    run_until(fx, a->joined);
    nodes_list(a->nodes, on_listed, a);
    redis_close(a->redis, on_closed, a);
    assert_true(a->listed && !a->list_ok);
    assert_false(nodes_send(a->nodes, 0, NODES_EVENT, "x", 1));
    run_until(fx, a->closed);
    a->redis = NULL;
    run_for(fx, LEASE_MS / 2); /* a renewal would be due */
    assert_false(nodes_send_all(a->nodes, NODES_EVENT, "x", 1));
    nodes_forget(a->nodes, 1);
    a->listed = false;
    nodes_list(a->nodes, on_listed, a);
    nodes_leave(a->nodes, true, on_left, a);
    run_until(fx, a->listed && a->left);
    assert_false(a->list_ok);
    nodes_free(a->nodes);
    a->nodes = NULL;
}

static void test_freed_from_its_own_callback(void **state)
{
    struct fixture *fx = *state;
    ask(fx, "SADD", "nodes", "8", NULL); /* one that would be told as lost right afterwards */
    struct member *a = start(fx, 0, 0);
    a->free_when_joined = true;
    run_until(fx, a->joined);
    run_for(fx, 100);
    assert_null(a->nodes);
    assert_int_equal(a->lost[8], 0);
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "5",
        "5 a h 1 1 n",
        "x a h 1 1 n {}",
        "0 a h 1 1 n {}",
        "5  h 1 1 n {}",
        "5 a h x 1 n {}",
        "5 a h -1 1 n {}",
        "5 01234567890123456 h 1 1 n {}",
        "99999999999999999999 a h 1 1 n {}",
    };
    struct nodes_text t;
    char whole[NODES_TEXT_MAX + 2];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(nodes_text_parse(&t, bad[i], strlen(bad[i])));
    assert_false(nodes_text_parse(&t, "5 a h 1 1 n {\0}", 15));
    memset(whole, 'x', sizeof whole);
    memcpy(whole, "5 a h 1 1 n ", 12);
    assert_false(nodes_text_parse(&t, whole, NODES_TEXT_MAX + 1));
    assert_true(nodes_text_parse(&t, "5 a h 12 13 n {\"a b\"}", 21));
    assert_int_equal(t.incarnation, 5);
    assert_string_equal(t.nonce, "a");
    assert_string_equal(t.holder.host, "h");
    assert_int_equal(t.holder.pid, 12);
    assert_int_equal(t.holder.started, 13);
    assert_string_equal(t.holder.name, "n");
    assert_string_equal(t.describe, "{\"a b\"}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_two_see_each_other_and_talk),
        TEST(test_messages_stay_in_order),
        TEST(test_longest_message_and_longer),
        TEST(test_messages_that_no_node_sends),
        TEST(test_dead_predecessor_is_replaced_at_once),
        TEST(test_pid_used_again_is_not_the_predecessor),
        TEST(test_zombie_is_dead),
        TEST(test_id_of_a_living_process_is_refused),
        TEST(test_lease_of_another_host_is_waited_for),
        TEST(test_lease_that_no_node_wrote),
        TEST(test_own_lease_is_known_again),
        TEST(test_foreign_lease_usurps),
        TEST(test_lapse_while_redis_is_stopped),
        TEST(test_lapse_while_we_stand_still),
        TEST(test_killed_redis_comes_back),
        TEST(test_data_lost_gives_no_incarnation_twice),
        TEST(test_lost_until_forgotten),
        TEST(test_clean_leave_leaves_its_mark),
        TEST(test_leave_does_not_wait_for_ever),
        TEST(test_leave_goes_on_when_redis_is_back_in_time),
        TEST(test_leave_before_joining),
        TEST(test_list_shows_every_lease),
        TEST(test_list_has_a_limit),
        TEST(test_outlives_its_redis),
        TEST(test_freed_from_its_own_callback),
        cmocka_unit_test(test_texts),
    };
    if (!private_redis_init(&server))
        return 1;
    log_set_level(LOG_ERROR);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    private_redis_deinit(&server);
    return failed;
}
