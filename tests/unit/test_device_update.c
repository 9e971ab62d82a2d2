/* test_device_update.c: an update of version 3 through a network of each kind (device-protocol 5.3). */
#include "update_bench.h"

static void assert_whole(void)
{
    assert_int_equal(sim.ended, 1);
    assert_string_equal(device_update_end_name(sim.result.end), "validated");
    assert_memory_equal(sim.got, sim.file, sim.file_bytes);
    assert_int_equal(sim.result.acked_bytes, sim.file_bytes);
    assert_int_equal(sim.progress_bytes, sim.file_bytes);
    assert_int_equal(sim.started + sim.sent + sim.starts + sim.finishes, 4);
    assert_int_equal(sim.most_beyond, 0);
    assert_true(sim.result.sent_bytes - sim.result.resent_bytes == sim.file_bytes - sim.start_bytes);
}

static void test_whole_file(void **state)
{
    (void)state;
    sim_start();
    sim_run(600000);
    assert_whole();
    assert_int_equal(sim.result.resent_bytes, 0);
    assert_int_equal(sim.progress_count, 7); /* every 16 KiB, and at the end */
}

static void test_loss(void **state)
{
    (void)state;
    for (unsigned loss = 1; loss <= 40; loss = loss * 2 + 1) {
        sim.loss_percent = loss;
        sim_start();
        sim_run(600000);
        print_message("loss %u: %llu ms, resent %llu\n", loss,
                      (unsigned long long)(sim.ended_ms - sim.begun_ms),
                      (unsigned long long)sim.result.resent_bytes);
        assert_whole();
        sim_teardown(state);
        sim_setup(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_file, sim_setup, sim_teardown),
        cmocka_unit_test_setup_teardown(test_loss, sim_setup, sim_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
