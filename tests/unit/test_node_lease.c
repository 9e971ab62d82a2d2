/* test_node_lease.c: the lease of a node's id in a real Redis: who may have it, how it is lost. */
#include "nodes_bench.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    if (!private_redis_init(&server))
        return 1;
    log_set_level(LOG_ERROR);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    private_redis_deinit(&server);
    return failed;
}
