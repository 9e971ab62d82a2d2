/* test_swarm_update.c: simulated devices that take updates of version 3: what they answer, and what they are
 * afterwards. */
#include "swarm_update_bench.h"

#define BETWEEN_MS 8000

static uint32_t option_of(const struct swarm_coap_in *in, uint16_t number)
{
    struct swarm_coap_piece value;
    bool ok = swarm_coap_find(in, number, 0, &value);

    assert_true(ok);
    return swarm_coap_number(value);
}

/* Where it goes on, in bytes. */
static uint32_t start_v3(void)
{
    struct swarm_coap_out out;
    struct swarm_coap_in in;

    ask(&out, SWARM_CON, SWARM_POST, "S");
    swarm_coap_uint(&out, 2057, (uint32_t)b->file.len);
    swarm_coap_option(&out, 2061, b->sha256, sizeof(b->sha256));
    swarm_coap_uint(&out, 2065, CHUNK);
    receive(out.bytes, out.len);
    in = answered(SWARM_COAP_CODE(2, 1), 100);
    acknowledge(&in);
    assert_int_equal(option_of(&in, 2053), 131072 / CHUNK);
    return option_of(&in, 2057);
}

static void send_v3(uint32_t from, uint32_t index)
{
    size_t at = from + (size_t)(index - 1) * CHUNK;
    struct swarm_coap_out out;

    ask(&out, SWARM_NON, SWARM_POST, "C");
    swarm_coap_uint(&out, 2049, index);
    swarm_coap_payload(&out, b->file.data + at, b->file.len - at < CHUNK ? b->file.len - at : CHUNK);
    receive(out.bytes, out.len);
}

static void is_v3_ack(uint32_t cumulative, const char *bitmap_hex)
{
    struct swarm_coap_in in = next_sent();
    char hex[64];

    assert_int_equal(in.type, SWARM_NON);
    assert_int_equal(in.path[0].data[0], 'A');
    assert_int_equal(in.token.len, 0);
    assert_int_equal(option_of(&in, 2049), cumulative);
    hex_encode(hex, in.payload.data, in.payload.len);
    assert_string_equal(hex, bitmap_hex);
}

static void send_all_v3(uint32_t from)
{
    for (uint32_t i = 1; i <= chunk_count(from); i++)
        send_v3(from, i);
    pass_time(200);
    b->looked = b->sent_count;
}

static void finish_v3(void)
{
    struct swarm_coap_out out;

    ask(&out, SWARM_CON, SWARM_POST, "F");
    receive(out.bytes, out.len);
}

static void says(const struct swarm_coap_in *in, const char *text)
{
    char *payload = mem_string_n((const char *)in->payload.data, in->payload.len);

    if (!strstr(payload, text))
        fail_msg("%s is not in %s", text, payload);
    free(payload);
}

static void acknowledges_windows_and_gaps(void **state)
{
    struct swarm_coap_in in;

    (void)state;
    begin("argon", 2);
    make_file(&user_part);
    assert_int_equal(start_v3(), 0);
    send_v3(0, 1);
    assert_int_equal(b->looked, b->sent_count); /* one chunk: not yet */
    pass_time(200);
    is_v3_ack(1, "");
    send_v3(0, 2);
    send_v3(0, 3);
    is_v3_ack(3, "");
    send_v3(0, 5); /* a gap opens */
    is_v3_ack(3, "02000000");
    send_v3(0, 6);
    send_v3(0, 7);
    is_v3_ack(3, "0e000000");
    send_v3(0, 7); /* again */
    is_v3_ack(3, "0e000000");
    send_v3(0, 4); /* and closes */
    is_v3_ack(7, "");
    send_v3(0, 8);
    is_v3_ack(8, ""); /* it has all */
    assert_int_equal(chunk_count(0), 8);
    finish_v3();
    in = answered(SWARM_COAP_CODE(2, 4), 100);
    says(&in, "\"recv_chunks\":9,\"dup_chunks\":1,\"ooo_chunks\":1,");
    assert_int_equal(runs('u', '1'), 6); /* validated is not applied */
    acknowledge(&in);
    assert_int_equal(b->device.state, SWARM_DEVICE_REBOOTING);
    pass_time(REBOOT_MS - 1);
    assert_int_equal(runs('u', '1'), 6);
    pass_time(1);
    assert_int_equal(runs('u', '1'), 77);
    in = next_sent(); /* inside the old session */
    assert_int_equal(in.path[0].data[0], 'h');
    assert_int_equal(in.payload.data[5], 0xf6 | 1);
    assert_int_equal(swarm_update_told(&b->device)->files[0].applied, 1);
    assert_int_equal(swarm_told_twice(&swarm_update_told(&b->device)->files[0]), CHUNK);
    assert_int_equal(b->world.stats.protocol_errors.count, 0);
    end();
}

static void goes_on_after_a_broken_link_but_not_with_another_file(void **state)
{
    (void)state;
    begin("argon", 2);
    make_file(&user_part);
    assert_int_equal(start_v3(), 0);
    for (uint32_t i = 1; i <= 5; i++)
        send_v3(0, i);
    send_v3(0, 7);
    assert_true(swarm_device_resume(&b->device));
    is_online();
    assert_int_equal(start_v3(), 5 * CHUNK);
    send_all_v3(5 * CHUNK);
    assert_int_equal(swarm_update_told(&b->device)->files[0].held_bytes, b->file.len);
    assert_int_equal(swarm_told_twice(&swarm_update_told(&b->device)->files[0]), CHUNK);
    assert_true(swarm_device_resume(&b->device));
    is_online();
    assert_int_equal(start_v3(), b->file.len); /* nothing is missing */
    b->sha256[0] ^= 1;
    assert_int_equal(start_v3(), 0);
    end();
}

static void keeps_through_a_loss_of_power_what_was_flushed(void **state)
{
    (void)state;
    begin("argon", 2);
    make_file(&user_part);
    swarm_model_defects(&b->model)->power_loss_at = 3 * CHUNK;
    assert_int_equal(start_v3(), 0);
    for (uint32_t i = 1; i <= 3; i++)
        send_v3(0, i);
    assert_int_equal(b->device.state, SWARM_DEVICE_OFFLINE);
    assert_int_equal(b->world.stats.cold_boots, 1);
    is_online();
    assert_int_equal(start_v3(), 0); /* half a minute had not passed */
    end();
}

static void drops_the_link_when_it_chokes(void **state)
{
    static const struct {
        const char *what;
        uint32_t index;
        size_t len;
    } cases[] = {{"chunk_index", 0, CHUNK},
                 {"chunk_index", 9, CHUNK},
                 {"chunk_length", 1, CHUNK - 1},
                 {"chunk_empty", 1, 0}};
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct swarm_coap_out out;
        struct swarm_coap_in in;

        begin("argon", 2);
        make_file(&user_part);
        (void)start_v3();
        ask(&out, SWARM_NON, SWARM_POST, "C");
        swarm_coap_uint(&out, 2049, cases[i].index);
        swarm_coap_payload(&out, b->file.data, cases[i].len);
        receive(out.bytes, out.len);
        in = next_sent();
        assert_int_equal(in.type, SWARM_RST);
        assert_int_equal(in.mid, b->mid);
        assert_int_equal(b->device.state, SWARM_DEVICE_OFFLINE);
        assert_int_equal(b->device.session.state, SWARM_SESSION_SUSPENDED);
        assert_string_equal(b->world.stats.protocol_errors.items[0].name, cases[i].what);
        end();
    }
}

/* Finishes with this code, and drops the link once that is acknowledged. */
static void is_refused(int code)
{
    struct swarm_coap_in in;
    char text[32];

    finish_v3();
    in = answered(SWARM_COAP_CODE(5, 3), 100);
    (void)snprintf(text, sizeof(text), "{\"code\":%d,", code);
    says(&in, text);
    assert_int_equal(b->device.state, SWARM_DEVICE_ONLINE);
    acknowledge(&in);
    assert_int_equal(b->device.state, SWARM_DEVICE_OFFLINE);
    is_online();
    assert_int_equal(start_v3(), 0); /* and has thrown away what it had */
}

static void refuses_what_it_cannot_run(void **state)
{
    struct module_recipe recipe = user_part;

    (void)state;
    begin("argon", 2); /* bootloader 1200 */
    make_file(&user_part);
    (void)start_v3();
    send_v3(0, 1);
    pass_time(200);
    b->looked = b->sent_count;
    is_refused(-240); /* not complete */
    send_all_v3(0);

    recipe.platform_id = 13;
    make_file(&recipe);
    assert_int_equal(start_v3(), 0);
    send_all_v3(0);
    is_refused(-1360);
    send_all_v3(0);

    recipe = (struct module_recipe){.header_at = 0x200,
                                    .body_len = 3000,
                                    .function = 4,
                                    .index = 1,
                                    .platform_id = 12,
                                    .version = 6200,
                                    .needs = {{2, 0, 3100}, {8, 0, 202}}};
    make_file(&recipe);
    assert_int_equal(start_v3(), 0);
    send_all_v3(0);
    is_refused(-1340);
    send_all_v3(0);

    make_file(&user_part);
    b->file.data[500] ^= 1;
    SHA256(b->file.data, b->file.len, b->sha256);
    assert_int_equal(start_v3(), 0);
    send_all_v3(0);
    is_refused(-1330);
    assert_int_equal(b->world.stats.updates_validated, 0);
    end();
}

/* Everything up to the reboot. */
static void take_v3(void)
{
    struct swarm_coap_in in;

    send_all_v3(start_v3());
    finish_v3();
    in = answered(SWARM_COAP_CODE(2, 4), 100);
    acknowledge(&in);
}

static void lies_when_it_is_told_to(void **state)
{
    struct swarm_coap_in in;

    (void)state;
    begin("argon", 2);
    make_file(&user_part);
    swarm_model_defects(&b->model)->lie = 1;
    take_v3();
    pass_time(REBOOT_MS);
    assert_int_equal(runs('u', '1'), 6);
    assert_int_equal(b->world.stats.updates_validated, 1);
    assert_int_equal(b->world.stats.updates_applied, 0);
    in = next_sent(); /* nothing has changed: a ping, and no Hello */
    assert_int_equal(in.code, 0);
    is_online();
    take_v3();
    pass_time(REBOOT_MS);
    assert_int_equal(runs('u', '1'), 77);
    end();
}

static void falls_back(void **state)
{
    (void)state;
    begin("argon", 2);
    make_file(&user_part);
    swarm_model_defects(&b->model)->fall_back_s = 3;
    take_v3();
    pass_time(REBOOT_MS);
    assert_int_equal(runs('u', '1'), 77);
    pass_time(2999);
    assert_int_equal(runs('u', '1'), 77);
    pass_time(1);
    assert_int_equal(runs('u', '1'), 6);
    assert_int_equal(swarm_update_told(&b->device)->fall_backs, 1);
    end();
}

/* What its describe says of the co-processor. */
static int described_ncp(void)
{
    size_t len;
    char *text = (char *)swarm_describe_payload(&b->model, SWARM_DESCRIBE_SYSTEM, 0, &len);
    json_t *root = json_loads(text, 0, NULL), *module;
    int version = -1;
    size_t i;

    json_array_foreach (json_object_get(root, "m"), i, module)
        if (strcmp(json_string_value(json_object_get(module, "f")), "c") == 0)
            version = (int)json_integer_value(json_object_get(module, "v"));
    json_decref(root);
    free(text);
    return version;
}

static void reboots_again_and_again_for_a_co_processor(void **state)
{
    struct module_recipe recipe = {
        .body_len = 5000, .function = 7, .platform_id = 12, .version = 5, .mcu = 0x21, .hash_of_body = true};

    (void)state;
    begin("argon", 2);
    make_file(&recipe);
    swarm_model_defects(&b->model)->collateral = (struct swarm_dependency){'b', '0', 1101};
    take_v3();
    assert_int_equal(described_ncp(), 4);
    pass_time(REBOOT_MS); /* the first reboot */
    assert_int_equal(described_ncp(), 4);
    assert_int_equal(b->world.stats.reboots, 1);
    pass_time(BETWEEN_MS); /* silent again */
    assert_int_equal(b->device.state, SWARM_DEVICE_REBOOTING);
    pass_time(REBOOT_MS);
    assert_int_equal(described_ncp(), 0);
    assert_int_equal(runs('b', '0'), 1200);
    pass_time(BETWEEN_MS + REBOOT_MS);
    assert_int_equal(b->world.stats.reboots, 3);
    assert_int_equal(described_ncp(), 5);
    assert_int_equal(runs('b', '0'), 1101);
    end();
}

static void goes_into_safe_mode_and_out_of_reach(void **state)
{
    struct module_recipe recipe = user_part;

    (void)state;
    begin("argon", 2);
    recipe.needs[0] = (struct module_dependency){4, 1, 6200};
    make_file(&recipe);
    take_v3();
    pass_time(REBOOT_MS);
    assert_true(swarm_firmware_is_in_safe_mode(&b->model.firmware));
    assert_true(swarm_firmware_become(&b->model.firmware, b->model.platform, 's', '1', 6200));
    assert_false(swarm_firmware_is_in_safe_mode(&b->model.firmware));
    assert_true(swarm_firmware_can_connect(&b->model.firmware, b->model.platform));
    assert_true(swarm_firmware_become(&b->model.firmware, b->model.platform, 'c', '0', 3));
    swarm_device_reboot(&b->device);
    pass_time(0);
    assert_int_equal(b->device.state, SWARM_DEVICE_STOPPED);
    end();
}

static void does_not_want_updates(void **state)
{
    struct swarm_coap_out out;
    struct swarm_coap_in in;

    (void)state;
    begin("argon", 2);
    make_file(&user_part);
    swarm_model_defects(&b->model)->updates_disabled = 1;
    ask(&out, SWARM_CON, SWARM_POST, "S");
    swarm_coap_uint(&out, 2057, (uint32_t)b->file.len);
    swarm_coap_uint(&out, 2065, CHUNK);
    receive(out.bytes, out.len);
    in = answered(SWARM_COAP_CODE(5, 3), 0);
    says(&in, "{\"code\":-1380,");
    acknowledge(&in);
    b->device.forced_updates = true;
    assert_int_equal(start_v3(), 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledges_windows_and_gaps),
        cmocka_unit_test(goes_on_after_a_broken_link_but_not_with_another_file),
        cmocka_unit_test(keeps_through_a_loss_of_power_what_was_flushed),
        cmocka_unit_test(drops_the_link_when_it_chokes),
        cmocka_unit_test(refuses_what_it_cannot_run),
        cmocka_unit_test(lies_when_it_is_told_to),
        cmocka_unit_test(falls_back),
        cmocka_unit_test(reboots_again_and_again_for_a_co_processor),
        cmocka_unit_test(goes_into_safe_mode_and_out_of_reach),
        cmocka_unit_test(does_not_want_updates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
