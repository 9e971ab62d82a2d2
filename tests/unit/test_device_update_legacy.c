/* test_device_update_legacy.c: updates of versions 1 and 2 (device-protocol 5.2). */
#include "update_bench.h"

/* Product 13, flags 0076, no ID length beyond it: a Boron of before 3.0. */
#define BORON_2_HELLO "40020002b168ff000d00030076000d000ce00fce68ffffffff00000001"
#define ARGON_2_HELLO "40020002b168ff000c00030076000c000ce00fce68ffffffff00000001"

static int setup(void **state)
{
    sim_setup(state);
    bench.on_sent = NULL;
    sim_says_hello(BORON_2_HELLO);
    bench.on_sent = on_server_sends;
    return 0;
}

static void assert_whole(void)
{
    assert_int_equal(sim.ended, 1);
    assert_string_equal(device_update_end_name(sim.result.end), "validated");
    assert_memory_equal(sim.got, sim.file, sim.file_bytes);
    assert_int_equal(sim.result.acked_bytes, sim.file_bytes);
    assert_int_equal(sim.progress_bytes, sim.file_bytes);
    assert_int_equal(sim.started + sim.sent + sim.starts + sim.finishes, 4);
    assert_true(sim.result.sent_bytes - sim.result.resent_bytes == sim.file_bytes);
    assert_true(sim.is_applied);
}

static void test_fast(void **state)
{
    (void)state;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_int_equal(sim.result.resent_bytes, 0);
    assert_string_equal(sim.result.message, "{\"r\":0}");
}

static void test_slow(void **state)
{
    (void)state;
    sim.is_slow = true;
    sim.bad_chunks = 5;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_int_equal(sim.result.resent_bytes, 5 * 512);
}

static void test_loss(void **state)
{
    for (unsigned loss = 1; loss <= 15; loss = loss * 2 + 1) {
        sim.loss_percent = loss;
        sim_start();
        sim_run(6000000);
        print_message("loss %u: %llu ms, resent %llu, lists %u\n", loss,
                      (unsigned long long)(sim.ended_ms - sim.begun_ms),
                      (unsigned long long)sim.result.resent_bytes, sim.lists);
        assert_whole();
        sim_teardown(state);
        setup(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fast, setup, sim_teardown),
        cmocka_unit_test_setup_teardown(test_slow, setup, sim_teardown),
        cmocka_unit_test_setup_teardown(test_loss, setup, sim_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
