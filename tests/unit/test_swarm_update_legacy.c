/* test_swarm_update_legacy.c: simulated devices that take updates of versions 1 and 2: in flights of chunks,
 * or one chunk at a time. */
#include "swarm_update_bench.h"

#include <zlib.h>

static void begin_legacy(bool fast, uint8_t ack)
{
    struct swarm_coap_out out;
    struct swarm_coap_in in;
    uint8_t payload[12] = {fast};

    be16_store(payload + 1, CHUNK);
    be32_store(payload + 3, (uint32_t)b->file.len);
    ask(&out, SWARM_CON, SWARM_POST, "u");
    swarm_coap_payload(&out, payload, sizeof(payload));
    receive(out.bytes, out.len);
    if (ack) {
        is_acked(ack);
        return;
    }
    in = answered(SWARM_COAP_CODE(2, 4), 100);
    assert_int_equal(in.payload.data[0], fast);
    acknowledge(&in);
}

static void send_legacy(bool fast, uint32_t index)
{
    size_t at = (size_t)index * CHUNK, len = b->file.len - at < CHUNK ? b->file.len - at : CHUNK;
    struct swarm_coap_token token = {.bytes = {9}, .len = 1};
    struct swarm_coap_out out;
    uint8_t crc[4], number[2];

    be32_store(crc, (uint32_t)crc32(0, b->file.data + at, (uInt)len));
    be16_store(number, (uint16_t)index);
    swarm_coap_begin(&out, fast ? SWARM_NON : SWARM_CON, SWARM_POST, ++b->mid, &token);
    swarm_coap_option(&out, SWARM_OPT_PATH, "c", 1);
    swarm_coap_option(&out, SWARM_OPT_QUERY, crc, sizeof(crc));
    if (fast)
        swarm_coap_option(&out, SWARM_OPT_QUERY, number, sizeof(number));
    swarm_coap_payload(&out, b->file.data + at, len);
    receive(out.bytes, out.len);
}

static void done_legacy(void)
{
    struct swarm_coap_out out;

    ask(&out, SWARM_CON, SWARM_PUT, "u");
    receive(out.bytes, out.len);
}

static void tells_what_it_missed(void **state)
{
    const struct module_recipe recipe = {
        .header_at = 0x184, .body_len = 4000, .function = 5, .index = 1, .platform_id = 6, .version = 9};
    struct swarm_coap_in in;

    (void)state;
    begin("photon", 2);
    make_file(&recipe);
    begin_legacy(true, 0);
    for (uint32_t i = 0; i < chunk_count(0); i++)
        if (i != 3 && i != 7)
            send_legacy(true, i);
    done_legacy();
    is_acked(SWARM_COAP_CODE(4, 0));
    in = next_sent();
    assert_int_equal(in.code, SWARM_GET);
    assert_int_equal(in.payload.len, 4);
    assert_memory_equal(in.payload.data, "\0\3\0\7", 4);
    acknowledge(&in);
    send_legacy(true, 7);
    send_legacy(true, 3);
    done_legacy();
    is_acked(SWARM_COAP_CODE(2, 4));
    pass_time(1000 + REBOOT_MS);
    assert_int_equal(runs('u', '1'), 9);
    assert_int_equal(b->world.stats.protocol_errors.count, 0);
    end();
}

static void confirms_each_chunk_of_a_core_patch(void **state)
{
    const struct module_recipe recipe = {.body_len = 1500, .function = 1, .version = 128};

    (void)state;
    begin("core", 0);
    assert_string_equal(b->model.firmware.cc3000, "1.23");
    make_file(&recipe);
    begin_legacy(false, 0);
    for (uint32_t i = 0; i < chunk_count(0); i++) {
        struct swarm_coap_in in;

        send_legacy(false, i);
        in = answered(SWARM_COAP_CODE(2, 4), 0);
        acknowledge(&in);
    }
    done_legacy();
    is_acked(SWARM_COAP_CODE(2, 4));
    pass_time(1000 + REBOOT_MS);
    assert_string_equal(b->model.firmware.cc3000, "1.28");
    assert_int_equal(runs('r', '0'), 128);
    swarm_model_defects(&b->model)->updates_disabled = 1;
    is_online();
    begin_legacy(false, SWARM_COAP_CODE(5, 3));
    end();
}

static void says_nothing_of_a_wrong_platform(void **state)
{
    (void)state;
    begin("photon", 2);
    make_file(&user_part);
    begin_legacy(true, 0);
    for (uint32_t i = 0; i < chunk_count(0); i++)
        send_legacy(true, i);
    done_legacy();
    is_acked(SWARM_COAP_CODE(2, 4));
    pass_time(1000 + REBOOT_MS);
    assert_int_equal(b->world.stats.reboots, 1);
    assert_int_equal(b->world.stats.updates_applied, 0);
    assert_int_equal(runs('u', '1'), 5);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_what_it_missed),
        cmocka_unit_test(confirms_each_chunk_of_a_core_patch),
        cmocka_unit_test(says_nothing_of_a_wrong_platform),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
