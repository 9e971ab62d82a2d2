/* test_nodes.c: nodes that share a real Redis: the others, messages, leaving, lists. */
#include "nodes_bench.h"

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
