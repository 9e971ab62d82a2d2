/* test_handshake_queue.c: whose turn it is, what has no room, what goes with its handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "handshake/handshake_queue.h"

struct fixture {
    struct metrics *metrics;
    struct handshake_queue q;
};

static int begin(void **state)
{
    static struct fixture f;

    f.metrics = metrics_new();
    handshake_queue_init(&f.q, f.metrics);
    *state = &f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    handshake_queue_deinit(&f->q);
    assert_int_equal(f->q.bytes, 0);
    assert_int_equal(f->q.length->value, 0);
    metrics_free(f->metrics);
    return 0;
}

static struct net_path peer(unsigned n)
{
    struct net_path path = {.peer_port = (uint16_t)n};

    path.peer_ip[12] = (uint8_t)(n >> 16);
    return path;
}

static const uint8_t no_random[32];

static void push_hello(struct fixture *f, unsigned n)
{
    struct net_path path = peer(n);
    uint8_t data = (uint8_t)n;

    assert_true(handshake_queue_push_hello(&f->q, &path, no_random, &data, 1, n));
}

static void push(struct fixture *f, struct handshake *h, uint8_t data)
{
    handshake_queue_push(&f->q, h, &h->path, &data, 1, data);
}

/* The byte of the next one, -1 when there is none. */
static int pop(struct fixture *f, struct handshake **h)
{
    struct handshake_datagram *e = handshake_queue_pop(&f->q, h);
    int data = e != NULL ? e->data[0] : -1;

    free(e);
    return data;
}

static void who_has_begun_is_finished_first(void **state)
{
    struct fixture *f = *state;
    struct handshake a = {0}, b = {0}, *h;

    push_hello(f, 1);
    push_hello(f, 2);
    push(f, &a, 10);
    push(f, &a, 11);
    push(f, &b, 20);
    assert_int_equal(pop(f, &h), 10);
    assert_ptr_equal(h, &a);
    assert_int_equal(pop(f, &h), 20); /* one each, in turn */
    assert_ptr_equal(h, &b);
    assert_int_equal(pop(f, &h), 11);
    assert_int_equal(pop(f, &h), 1);
    assert_null(h);
    assert_int_equal(pop(f, &h), 2);
    assert_int_equal(pop(f, &h), -1);
    assert_true(handshake_queue_is_empty(&f->q));
}

/* A handshake that always has more to say. */
static void nobody_is_kept_from_beginning(void **state)
{
    struct fixture *f = *state;
    struct handshake a = {0}, *h;
    unsigned pops = 0;

    push_hello(f, 1);
    do {
        push(f, &a, 10);
        pops++;
    } while (pop(f, &h) != 1);
    assert_in_range(pops, 2, HANDSHAKE_QUEUE_EVERY);
    handshake_queue_forget(&f->q, &a);
}

static void one_that_waits_for_its_key_is_passed_over(void **state)
{
    struct fixture *f = *state;
    struct handshake a = {0}, b = {0}, *h;

    push(f, &a, 10);
    a.state = HANDSHAKE_WAIT_PSK; /* after it was put there */
    b.state = HANDSHAKE_WAIT_PSK;
    push(f, &b, 20);
    assert_int_equal(pop(f, &h), -1);
    assert_true(handshake_queue_is_empty(&f->q));
    b.state = HANDSHAKE_RUNNING;
    handshake_queue_wake(&f->q, &b);
    assert_int_equal(pop(f, &h), 20);
    assert_ptr_equal(h, &b);
    handshake_queue_forget(&f->q, &a);
}

static void a_hello_is_found_by_its_peer(void **state)
{
    struct fixture *f = *state;
    struct net_path one = peer(1), two = peer(2);
    struct handshake *h;

    push_hello(f, 1);
    assert_null(handshake_queue_find_hello(&f->q, &two));
    assert_non_null(handshake_queue_find_hello(&f->q, &one));
    handshake_queue_drop_hello(&f->q, handshake_queue_find_hello(&f->q, &one));
    assert_null(handshake_queue_find_hello(&f->q, &one));
    assert_int_equal(pop(f, &h), -1);
}

static void what_has_no_room_is_counted(void **state)
{
    struct fixture *f = *state;
    static const uint8_t large[65000];
    struct handshake a = {0};
    struct net_path path;
    unsigned count = 0;

    for (uint8_t i = 0; i < HANDSHAKE_QUEUE_FLIGHT + 2; i++)
        push(f, &a, i);
    assert_int_equal(a.waiting_count, HANDSHAKE_QUEUE_FLIGHT);
    assert_int_equal(f->q.repeated->value, 2);
    do {
        path = peer(++count);
    } while (handshake_queue_push_hello(&f->q, &path, no_random, large, sizeof(large), 0));
    assert_true(f->q.bytes <= HANDSHAKE_QUEUE_BYTES);
    assert_in_range(count, HANDSHAKE_QUEUE_BYTES / sizeof(large) - 2,
                    HANDSHAKE_QUEUE_BYTES / sizeof(large) + 2);
    assert_int_equal(f->q.full->value, 1);
    handshake_queue_forget(&f->q, &a);
    assert_null(a.waiting);
    assert_null(f->q.ready);
}

static void the_longest_wait_is_shown(void **state)
{
    struct fixture *f = *state;
    struct handshake a = {0};

    handshake_queue_observe(&f->q, 100);
    assert_int_equal(f->q.wait_ms->value, 0);
    push_hello(f, 40);
    handshake_queue_observe(&f->q, 100);
    assert_int_equal(f->q.wait_ms->value, 60);
    push(f, &a, 25);
    handshake_queue_observe(&f->q, 100);
    assert_int_equal(f->q.wait_ms->value, 75);
    assert_int_equal(f->q.length->value, 2);
    handshake_queue_forget(&f->q, &a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_has_begun_is_finished_first, begin, end),
        cmocka_unit_test_setup_teardown(nobody_is_kept_from_beginning, begin, end),
        cmocka_unit_test_setup_teardown(one_that_waits_for_its_key_is_passed_over, begin, end),
        cmocka_unit_test_setup_teardown(a_hello_is_found_by_its_peer, begin, end),
        cmocka_unit_test_setup_teardown(what_has_no_room_is_counted, begin, end),
        cmocka_unit_test_setup_teardown(the_longest_wait_is_shown, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
