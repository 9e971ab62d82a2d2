/* test_device_restored.c: devices of an earlier process or another node: what is told of them and asked. */
#include "device_bench.h"

#include "handshake/session_store.h"

static uint8_t saved[SESSION_OWNER_MAX];
static size_t saved_len;

static void save_one(void)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);

    saved_len = devices_dtls_ops.save(bench.all, s, saved);
    assert_true(saved_len > 0);
    dtls_end(s, SESSION_END_MOVED, false);
}

/* As it is taken up by the nth of several nodes that found the same image, and heard. Returns the mid it is
 * challenged with. */
static uint16_t challenge_of(unsigned nth)
{
    struct session *s = mem_alloc(sizeof(*s));

    s->profile = SESSION_DEVICE_OS;
    s->id = bench.next_session_id++;
    s->record.send_seq = 100 + nth * SESSION_SEND_BLOCK;
    s->heard_ms = bench.now_ms;
    s->epoch = nth;
    assert_true(devices_dtls_ops.restored(bench.all, s, saved, saved_len, false));
    bench_receive(s, "40000777");
    bench_admit(DEVICE_ADMIT, BORON);
    const struct sent *sent = &bench.sent[bench.sent_count - 1];
    uint16_t mid = be16_load(sent->data + 2);
    assert_int_equal(sent->session_id, s->id);
    assert_int_equal(be16_load(sent->data), 0x4000);
    dtls_end(s, SESSION_END_MOVED, false);
    return mid;
}

static void what_one_node_was_answered_proves_nothing_to_the_next(void **state)
{
    uint16_t mids[8];
    (void)state;

    save_one();
    for (unsigned i = 0; i < 8; i++) {
        mids[i] = challenge_of(i);
        for (unsigned j = 0; j < i; j++) /* nor what it asked after that */
            assert_in_range((uint16_t)(mids[i] - mids[j]), 0x800, 0x10000 - 0x800);
    }
}

static void those_online_are_told_again(void **state)
{
    struct session *s = bench_online(SESSION_DEVICE_OS);
    size_t told = bench.told_count;
    (void)state;

    devices_tell_online(bench.all);
    assert_int_equal(bench.told_count, told + 1);
    assert_int_equal(bench.told[told].kind, TOLD_ONLINE);
    assert_true(bench.told[told].resumed && bench.told[told].facts.session_id == s->id);
    bench.now_ms += 2ull * OFFLINE_AFTER_MS;
    deadlines_run(&bench.deadlines, bench.now_ms);
    told = bench.told_count;
    devices_tell_online(bench.all);
    assert_int_equal(bench.told_count, told);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_one_node_was_answered_proves_nothing_to_the_next),
        TEST(those_online_are_told_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
