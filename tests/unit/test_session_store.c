/* test_session_store.c: sessions in a real Redis, as a node keeps them there and takes them up again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "handshake/dtls_private.h"
#include "handshake/session_store_private.h"
#include "net/udp.h"
#include "private_redis.h"
#include "store/redis_inner.h"

#define LEASE_MS 5000

static struct private_redis server;

struct fixture {
    uv_loop_t loop;
    uv_timer_t tick;
    struct deadlines deadlines;
    struct metrics *metrics;
    char dir[64], prefix[16];
    struct server_key *key;
    struct redis *redis;
    struct nodes *nodes;
    struct dtls *dtls;
    struct udp *udp;
    struct session_store *store;
    unsigned joined, received, ended, flushed, closed;
    enum session_end why;
    bool all, exact;
};

static size_t on_save(void *ctx, const struct session *s, uint8_t *out)
{
    (void)ctx;
    (void)s;
    out[0] = 1;
    return 1;
}

static bool on_restored(void *ctx, struct session *s, const uint8_t *saved, size_t saved_len, bool exact)
{
    struct fixture *fx = ctx;
    (void)s;
    (void)saved;
    fx->exact = exact;
    return saved_len == 1;
}

static void on_receive(void *ctx, struct session *s, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    struct fixture *fx = ctx;
    (void)s;
    (void)data;
    (void)data_len;
    (void)now_ms;
    fx->received++;
}

static void on_ended(void *ctx, struct session *s, enum session_end why)
{
    struct fixture *fx = ctx;
    (void)s;
    fx->ended++;
    fx->why = why;
}

static const struct dtls_ops ops = {
    .receive = on_receive, .save = on_save, .restored = on_restored, .ended = on_ended};

static void on_joined(void *ctx, bool again)
{
    struct fixture *fx = ctx;
    fx->joined++;
    session_store_joined(fx->store, again);
}

static void on_lost(void *ctx, uint32_t id)
{
    (void)ctx;
    (void)id;
}

static void on_usurped(void *ctx)
{
    (void)ctx;
    fail();
}

static void on_describe(void *ctx, char *out, size_t out_size)
{
    (void)ctx;
    (void)snprintf(out, out_size, "{}");
}

static void on_flushed(void *arg, bool all)
{
    struct fixture *fx = arg;
    fx->flushed++;
    fx->all = all;
}

static void on_closed(void *arg)
{
    struct fixture *fx = arg;
    fx->closed++;
}

static void on_tick(uv_timer_t *tick)
{
    struct fixture *fx = tick->data;
    deadlines_run(&fx->deadlines, clock_ms());
}

#define run_until(fx, condition)                                                                             \
    do {                                                                                                     \
        uint64_t limit_ms = clock_ms() + 20000;                                                              \
        while (!(condition) && clock_ms() < limit_ms)                                                        \
            (void)uv_run(&(fx)->loop, UV_RUN_ONCE);                                                          \
        assert_true(condition);                                                                              \
    } while (0)

static void run_for(struct fixture *fx, uint64_t ms)
{
    for (uint64_t until_ms = clock_ms() + ms; clock_ms() < until_ms;)
        (void)uv_run(&fx->loop, UV_RUN_ONCE);
}

static int setup(void **state)
{
    static unsigned number;
    struct fixture *fx = calloc(1, sizeof *fx);
    char why[256];
    const struct redis_settings redis = {.address = server.socket, .user = "", .password = ""};
    const struct dtls_settings dtls = {.max_in_flight = 10,
                                       .per_source = 10,
                                       .handshake_timeout_ms = 1000,
                                       .max_sessions = 10,
                                       .expiry_ms = 86400000,
                                       .ca_file = ""};
    const struct nodes_ops nodes_ops = {
        .ctx = fx, .joined = on_joined, .lost = on_lost, .usurped = on_usurped, .describe = on_describe};
    (void)snprintf(fx->prefix, sizeof fx->prefix, "t%u:", number++);
    (void)snprintf(fx->dir, sizeof fx->dir, "/tmp/cyan-store-XXXXXX");
    assert_non_null(mkdtemp(fx->dir));
    assert_int_equal(server_key_make(fx->dir, why, sizeof why), 0);
    fx->key = server_key_load(fx->dir, why, sizeof why);
    assert_non_null(fx->key);
    assert_int_equal(uv_loop_init(&fx->loop), 0);
    assert_int_equal(uv_timer_init(&fx->loop, &fx->tick), 0);
    fx->tick.data = fx;
    assert_int_equal(uv_timer_start(&fx->tick, on_tick, 1, 1), 0);
    deadlines_init(&fx->deadlines);
    fx->metrics = metrics_new();
    fx->dtls = dtls_new(&dtls, fx->key, &fx->deadlines, fx->metrics, &ops, fx, why, sizeof why);
    assert_non_null(fx->dtls);
    fx->udp = udp_new(&fx->loop, fx->metrics, dtls_receive, fx->dtls);
    assert_true(udp_listen(fx->udp, "127.0.0.1", 0, why, sizeof why) != 0);
    dtls_set_udp(fx->dtls, fx->udp);
    fx->redis = redis_new(&fx->loop, &redis, fx->metrics, why, sizeof why);
    assert_non_null(fx->redis);
    const struct nodes_settings nodes = {.id = 1, .lease_ms = LEASE_MS, .prefix = fx->prefix};
    fx->nodes = nodes_new(fx->redis, &fx->deadlines, fx->metrics, &nodes, &nodes_ops);
    fx->store = session_store_new(fx->dtls, fx->key, fx->redis, fx->nodes, &fx->deadlines, fx->metrics,
                                  dtls.expiry_ms);
    run_until(fx, fx->joined);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fx = *state;
    char path[96];
    if (fx->store->dtls)
        session_store_stop(fx->store);
    dtls_free(fx->dtls);
    redis_close(fx->redis, on_closed, fx);
    session_store_free(fx->store);
    nodes_free(fx->nodes);
    udp_close(fx->udp, on_closed, fx);
    run_until(fx, fx->closed == 2);
    uv_close((uv_handle_t *)&fx->tick, NULL);
    (void)uv_run(&fx->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fx->loop), 0);
    deadlines_deinit(&fx->deadlines);
    metrics_free(fx->metrics);
    server_key_free(fx->key);
    (void)snprintf(path, sizeof path, "rm -r %s", fx->dir);
    assert_int_equal(system(path), 0);
    free(fx);
    return 0;
}

/* --- sessions and their peers --- */

static struct net_path path_of(uint16_t port)
{
    struct net_path path = {.peer_ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, .peer_port = port};
    memcpy(path.local_ip, path.peer_ip, sizeof path.local_ip);
    return path;
}

static const uint8_t device[SESSION_NAME_BYTES] = "device-name";

/* A session with an id of its own, heard up to recv_max; with a connection ID or without. */
static struct session *make_session(struct fixture *fx, bool has_cid, uint16_t port)
{
    struct session_image image = {.path = path_of(port), .named = true, .owner_len = 1};
    struct dtls_adoption a = {
        .epoch = clock_wall_ms() * 1000, .send_limit = SESSION_SEND_BLOCK, .exact = true};
    uint8_t id[8] = {1, 2, 3, 4, 5, (uint8_t)port};
    dtls_cid_mark(fx->dtls, id);
    a.id = be64_load(id);
    memcpy(image.name, device, sizeof device);
    memset(image.record.read_key, 1, sizeof image.record.read_key);
    memset(image.record.write_key, 2, sizeof image.record.write_key);
    if (has_cid) {
        memcpy(image.record.own_cid, id, sizeof id);
        image.record.own_cid_len = sizeof id;
        image.record.flavour = RECORD_RFC9146;
    }
    image.record.recv_max = 10;
    image.record.recv_window = 1; /* of the ten before it none has come */
    struct session *s = dtls_adopt(fx->dtls, &image, &a);
    assert_non_null(s);
    return s;
}

/* What its peer says with this number. */
static size_t say(const struct record_state *session, uint64_t seq, uint8_t out[128])
{
    struct record_state peer = *session;
    memcpy(peer.write_key, session->read_key, sizeof peer.write_key);
    memcpy(peer.write_iv, session->read_iv, sizeof peer.write_iv);
    memcpy(peer.peer_cid, session->own_cid, sizeof peer.peer_cid);
    peer.peer_cid_len = session->own_cid_len;
    peer.send_seq = seq;
    size_t len = record_seal(&peer, RECORD_APPLICATION, (const uint8_t *)"word", 4, out, 128);
    assert_true(len > 0);
    return len;
}

static void hear(struct fixture *fx, uint16_t port, uint8_t *data, size_t data_len)
{
    struct net_path path = path_of(port);
    dtls_receive(fx->dtls, &path, data, data_len, clock_ms());
}

static const char *ask_of(struct fixture *fx, const char *command, uint64_t id, const char *value)
{
    static char out[2048];
    char key[64];
    (void)snprintf(key, sizeof key, "%ss:%016llx", fx->prefix, (unsigned long long)id);
    return private_redis_ask(&server, out, sizeof out, command, key, value, NULL);
}

static bool is_stored(struct fixture *fx, uint64_t id)
{
    return strcmp(ask_of(fx, "EXISTS", id, NULL), "1") == 0;
}

static void store(struct fixture *fx, struct session *s)
{
    dtls_changed(s);
    run_until(fx, s->is_stored);
}

/* --- tests --- */

static void test_a_lease_that_comes_back_after_the_stop(void **state)
{
    struct fixture *fx = *state;
    dtls_changed(make_session(fx, true, 1000));
    session_store_stop(fx->store);
    session_store_joined(fx->store, true);
    run_for(fx, 20);
}

static void test_a_session_that_ends_while_it_is_first_written(void **state)
{
    struct fixture *fx = *state;
    struct session *s = make_session(fx, true, 1000);
    uint64_t id = s->id;
    dtls_changed(s);
    private_redis_freeze(&server);
    run_until(fx, fx->store->batches == 1); /* on its way, no answer yet */
    dtls_end(s, SESSION_END_PEER_CLOSED, false);
    private_redis_thaw(&server);
    run_until(fx, fx->store->batches == 0 && !fx->store->gone);
    run_until(fx, redis_in_flight(fx->redis) == 0);
    assert_false(is_stored(fx, id));
}

static void test_a_removal_that_is_lost_is_done_again(void **state)
{
    struct fixture *fx = *state;
    struct session *s = make_session(fx, true, 1000);
    uint64_t id = s->id;
    store(fx, s);
    private_redis_freeze(&server);
    dtls_end(s, SESSION_END_PEER_CLOSED, false);
    run_until(fx, !fx->store->gone);
    run_for(fx, 20);
    private_redis_kill(&server);
    assert_true(private_redis_start(&server));
    assert_true(is_stored(fx, id));
    run_until(fx, !is_stored(fx, id));
}

static void test_all_is_written_again_to_a_redis_that_is_back(void **state)
{
    struct fixture *fx = *state;
    struct session *s = make_session(fx, true, 1000);
    store(fx, s);
    run_until(fx, s->dirt == SESSION_CLEAN);
    ask_of(fx, "DEL", s->id, NULL); /* it comes back as it was some time ago, and our lease with it */
    private_redis_kill(&server);
    assert_true(private_redis_start(&server));
    run_until(fx, is_stored(fx, s->id));
    assert_int_equal(fx->joined, 1);
}

static void test_what_was_let_go_of_in_vain_is_not_exact(void **state)
{
    struct fixture *fx = *state;
    struct session *s = make_session(fx, true, 1000);
    store(fx, s);
    private_redis_freeze(&server);
    assert_true(session_store_let_go(fx->store, s, 2));
    dtls_end(s, SESSION_END_MOVED, false);
    run_for(fx, 20);
    private_redis_kill(&server);
    run_until(fx, !redis_is_up(fx->redis));
    assert_true(private_redis_start(&server));
    run_until(fx, redis_is_up(fx->redis) && nodes_is_in(fx->nodes));
    session_store_flush(fx->store, on_flushed, fx);
    run_until(fx, fx->flushed);
    assert_false(fx->all); /* its image is older than what we did, and must not count as exact */
}

static uint64_t commands(const struct fixture *fx)
{
    return (uint64_t)fx->redis->sent->value;
}

/* The session is here, but Redis says of an address what was true before it moved. */
static void test_an_address_that_a_session_has_left(void **state)
{
    struct fixture *fx = *state;
    struct session *s = make_session(fx, false, 1000);
    struct net_path elsewhere = path_of(2000);
    uint8_t record[128];
    store(fx, s);
    session_table_move(&fx->dtls->sessions, s, &elsewhere);
    store(fx, s);
    run_for(fx, 20);
    uint64_t before = commands(fx);
    size_t len = say(&s->record, 11, record);
    hear(fx, 1000, record, len);
    run_until(fx, fx->store->load_count == 0);
    run_for(fx, 100);
    assert_true(commands(fx) - before < 10);
    assert_int_equal(fx->received, 0);
    len = say(&s->record, 11, record);
    hear(fx, 2000, record, len);
    assert_int_equal(fx->received, 1);
}

/* Another session had its address for a while. */
static void test_an_address_that_a_session_lost_is_found_again(void **state)
{
    struct fixture *fx = *state;
    struct session *s = make_session(fx, false, 1000);
    uint8_t record[128];
    store(fx, s);
    session_table_drop_address(&fx->dtls->sessions, s);
    size_t len = say(&s->record, 11, record);
    hear(fx, 1000, record, len);
    run_until(fx, fx->received == 1);
}

/* Stored by somebody who let it go, not here. */
static void put_stored(struct fixture *fx, struct session *s, const char *flag, unsigned send_from)
{
    uint8_t sealed[SESSION_IMAGE_MAX], value[SESSION_IMAGE_MAX + 64];
    char key[64];
    const uint8_t owner = 1;
    size_t sealed_len =
        session_image_seal(fx->store->key, s, SESSION_SEND_BLOCK, clock_wall_ms(), &owner, 1, sealed);
    int used = snprintf((char *)value, sizeof value, "2:1:5:%s:%u:", flag, send_from);
    memcpy(value + used, sealed, sealed_len);
    (void)snprintf(key, sizeof key, "%ss:%016llx", fx->prefix, (unsigned long long)s->id);
    const struct redis_arg args[] = {
        redis_arg_text("SET"), redis_arg_text(key), {value, (size_t)used + sealed_len}};
    assert_true(redis_command(fx->redis, args, 3, NULL, NULL));
    dtls_end(s, SESSION_END_MOVED, false);
    run_until(fx, redis_in_flight(fx->redis) == 0);
}

/* A record that opens brings a session here; only the newest says where its peer is. */
static void test_an_old_record_does_not_move_a_session(void **state)
{
    struct fixture *fx = *state;
    struct session *s = make_session(fx, true, 1000);
    struct record_state peer = s->record;
    uint64_t id = s->id;
    uint8_t record[128];
    put_stored(fx, s, "r", SESSION_SEND_BLOCK);
    size_t len = say(&peer, 5, record);
    hear(fx, 6666, record, len);
    run_until(fx, fx->received == 1);
    s = session_table_find_id(&fx->dtls->sessions, id);
    assert_non_null(s);
    assert_true(fx->exact);
    assert_int_equal(s->path.peer_port, 1000);
    len = say(&peer, 11, record);
    hear(fx, 3000, record, len);
    assert_int_equal(s->path.peer_port, 3000);
}

static void test_numbers_below_those_of_the_image_are_not_believed(void **state)
{
    struct fixture *fx = *state;
    struct session *s = make_session(fx, true, 1000);
    struct record_state peer = s->record;
    uint8_t record[128];
    put_stored(fx, s, "r", SESSION_SEND_BLOCK - 1);
    size_t len = say(&peer, 11, record);
    hear(fx, 1000, record, len);
    run_until(fx, fx->store->load_count == 0);
    assert_int_equal(dtls_session_count(fx->dtls), 0);
}

/* Writes may come in another order than they were sent in, when a connection was lost in between. */
static void test_what_was_reserved_stays_reserved(void **state)
{
    struct fixture *fx = *state;
    struct session *s = make_session(fx, true, 1000);
    char value[64], begin[64];
    (void)snprintf(value, sizeof value, "1:1:%llu:h:200000:x", (unsigned long long)s->epoch);
    ask_of(fx, "SET", s->id, value);
    store(fx, s);
    (void)snprintf(begin, sizeof begin,
                   "1:%llu:%llu:h:200000:", (unsigned long long)nodes_incarnation(fx->nodes),
                   (unsigned long long)s->epoch);
    assert_memory_equal(ask_of(fx, "GET", s->id, NULL), begin, strlen(begin));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_lease_that_comes_back_after_the_stop),
        TEST(test_a_session_that_ends_while_it_is_first_written),
        TEST(test_a_removal_that_is_lost_is_done_again),
        TEST(test_all_is_written_again_to_a_redis_that_is_back),
        TEST(test_what_was_let_go_of_in_vain_is_not_exact),
        TEST(test_an_address_that_a_session_has_left),
        TEST(test_an_address_that_a_session_lost_is_found_again),
        TEST(test_an_old_record_does_not_move_a_session),
        TEST(test_numbers_below_those_of_the_image_are_not_believed),
        TEST(test_what_was_reserved_stays_reserved),
    };
    log_set_level(LOG_ERROR);
    if (!private_redis_init(&server))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    private_redis_deinit(&server);
    return failed;
}
