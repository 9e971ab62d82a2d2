/* test_udp.c: the endpoint on real loopback sockets: answers to a batch, more than the outbox holds, one that
 * cannot be sent, the last ones before the end. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/outbox.h"
#include "net/udp.h"

#define BURST 100

struct fixture {
    uv_loop_t loop;
    struct metrics *metrics;
    struct udp *udp;
    int client;
    struct net_path path; /* of the newest datagram */
    unsigned received, echoes, worked_after;
    int works;
    bool closed;
};

static void on_receive(void *ctx, const struct net_path *path, uint8_t *data, size_t data_len,
                       uint64_t now_ms)
{
    struct fixture *f = ctx;

    (void)now_ms;
    f->path = *path;
    f->received++;
    for (unsigned i = 0; i < f->echoes; i++) {
        if (data_len == 2)
            data[1] = (uint8_t)i;
        assert_true(udp_send(f->udp, path, data, data_len));
    }
}

static uint64_t counted(const struct fixture *f, const char *name)
{
    return metrics_add(f->metrics, METRIC_COUNTER, name, NULL, "")->value;
}

static int begin(void **state)
{
    static struct fixture f;
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 5};
    char why[128];

    memset(&f, 0, sizeof(f));
    assert_int_equal(uv_loop_init(&f.loop), 0);
    f.metrics = metrics_new();
    f.udp = udp_new(&f.loop, f.metrics, on_receive, &f);
    uint16_t port = udp_listen(f.udp, "127.0.0.1", 0, why, sizeof(why));
    assert_int_not_equal(port, 0);
    server.sin_port = htons(port);
    f.client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(f.client >= 0);
    assert_int_equal(connect(f.client, (struct sockaddr *)&server, sizeof(server)), 0);
    assert_int_equal(setsockopt(f.client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    f.echoes = 1;
    *state = &f;
    return 0;
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed = true;
}

static void close_endpoint(struct fixture *f)
{
    udp_close(f->udp, on_closed, f);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(f->closed);
}

static int end(void **state)
{
    struct fixture *f = *state;

    if (!f->closed)
        close_endpoint(f);
    close(f->client);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    metrics_free(f->metrics);
    return 0;
}

static void say(struct fixture *f, uint8_t number)
{
    uint8_t data[2] = {number, 0};

    assert_int_equal(send(f->client, data, sizeof(data), 0), (ssize_t)sizeof(data));
}

static void hear(struct fixture *f, uint8_t number, uint8_t echo)
{
    uint8_t data[8];

    assert_int_equal(recv(f->client, data, sizeof(data), 0), 2);
    assert_int_equal(data[0], number);
    assert_int_equal(data[1], echo);
}

static void run_until_received(struct fixture *f, unsigned count)
{
    while (f->received < count)
        uv_run(&f->loop, UV_RUN_ONCE);
    uv_run(&f->loop, UV_RUN_NOWAIT); /* up to where the loop would wait: what was sent leaves */
}

static void a_burst_is_answered_in_order(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < BURST; i++)
        say(f, (uint8_t)i);
    run_until_received(f, BURST);
    for (unsigned i = 0; i < BURST; i++)
        hear(f, (uint8_t)i, 0);
    assert_int_equal(counted(f, "cyan_udp_sent_total"), BURST);
}

static void more_than_the_outbox_holds_goes_out(void **state)
{
    struct fixture *f = *state;

    f->echoes = 3 * OUTBOX_SLOTS + 1;
    say(f, 7);
    run_until_received(f, 1);
    for (unsigned i = 0; i < f->echoes; i++)
        hear(f, 7, (uint8_t)i);
    assert_int_equal(counted(f, "cyan_udp_send_failed_total"), 0);
}

/* Without leave to broadcast the kernel refuses the second of three. */
static void one_that_cannot_be_sent_is_lost_alone(void **state)
{
    struct fixture *f = *state;
    struct net_path nowhere;
    uint8_t data[2] = {1, 0};

    say(f, 0);
    run_until_received(f, 1);
    hear(f, 0, 0);
    nowhere = f->path;
    memset(nowhere.peer_ip + 12, 255, 4);
    assert_true(udp_send(f->udp, &f->path, data, sizeof(data)));
    assert_true(udp_send(f->udp, &nowhere, data, sizeof(data)));
    data[0] = 2;
    assert_true(udp_send(f->udp, &f->path, data, sizeof(data)));
    uv_run(&f->loop, UV_RUN_NOWAIT); /* before the loop waits */
    hear(f, 1, 0);
    hear(f, 2, 0);
    assert_int_equal(counted(f, "cyan_udp_sent_total"), 3);
    assert_int_equal(counted(f, "cyan_udp_send_failed_total"), 1);
}

static void what_is_sent_before_the_end_leaves(void **state)
{
    struct fixture *f = *state;
    uint8_t data[2] = {9, 9};

    say(f, 0);
    run_until_received(f, 1);
    hear(f, 0, 0);
    assert_true(udp_send(f->udp, &f->path, data, sizeof(data)));
    close_endpoint(f);
    hear(f, 9, 9);
}

static bool on_work(void *ctx)
{
    struct fixture *f = ctx;

    f->worked_after = f->received;
    return f->works-- > 0;
}

/* After everything that was received, and again at once while there is more. */
static void work_has_its_turn(void **state)
{
    struct fixture *f = *state;

    f->works = 3;
    udp_set_work(f->udp, on_work, f);
    say(f, 1);
    say(f, 2);
    while (f->works >= 0) /* would wait for ever if the loop did */
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->received, 2);
    assert_int_equal(f->worked_after, 2);
    udp_stop(f->udp);
    f->works = 3;
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->works, 3);
}

static void what_is_too_long_is_refused(void **state)
{
    struct fixture *f = *state;
    static const uint8_t data[OUTBOX_DATAGRAM_MAX + 1];

    say(f, 0);
    run_until_received(f, 1);
    assert_false(udp_send(f->udp, &f->path, data, sizeof(data)));
    assert_true(udp_send(f->udp, &f->path, data, OUTBOX_DATAGRAM_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_burst_is_answered_in_order, begin, end),
        cmocka_unit_test_setup_teardown(more_than_the_outbox_holds_goes_out, begin, end),
        cmocka_unit_test_setup_teardown(one_that_cannot_be_sent_is_lost_alone, begin, end),
        cmocka_unit_test_setup_teardown(what_is_sent_before_the_end_leaves, begin, end),
        cmocka_unit_test_setup_teardown(work_has_its_turn, begin, end),
        cmocka_unit_test_setup_teardown(what_is_too_long_is_refused, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
