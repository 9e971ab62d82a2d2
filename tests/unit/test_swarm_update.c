/* Simulated devices that take updates: what they answer, and what they are afterwards. The test is the
 * server, byte by byte; the network is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "fake_clock.h"
#include "module_builder.h"
#include "swarm_answers.h"
#include "swarm_messages.h"
#include "swarm_update.h"

#define REBOOT_MS 10000
#define BETWEEN_MS 8000
#define SENT_MAX 512
#define CHUNK 512

static struct bench {
    struct swarm_world world;
    struct swarm_model model;
    struct swarm_device device;
    struct swarm_exchange_ops ops;
    uint8_t sent[SENT_MAX][SWARM_COAP_MAX_BYTES];
    size_t sent_len[SENT_MAX], sent_count, looked; /* looked: those before are done with */
    uint16_t mid;
    struct built file;
    uint8_t sha256[32];
} * b;

static void on_send(void *owner, const uint8_t *data, size_t data_len)
{
    (void)owner;
    assert_true(b->sent_count < SENT_MAX);
    memcpy(b->sent[b->sent_count], data, data_len);
    b->sent_len[b->sent_count++] = data_len;
}

static void on_stop(void *owner)
{
    (void)owner;
}

/* As if it had connected. */
static void is_online(void)
{
    b->device.state = SWARM_DEVICE_ONLINE;
    b->device.session.state = SWARM_SESSION_UP;
    b->looked = b->sent_count;
}

static void begin(const char *platform, size_t release)
{
    struct swarm_net_options net = {.sources = 1};
    bool ok;

    b = mem_alloc(sizeof(*b));
    ok = swarm_net_parse_server(&net.server, "127.0.0.1:9");
    assert_true(ok);
    swarm_loop_init(&b->world.loop, &net, 1, on_stop, NULL);
    b->world.time_scale = 1;
    b->model.platform = swarm_platform_by_name(platform);
    swarm_platform_firmware(b->model.platform, release, &b->model.firmware);
    memset(b->model.id.bytes, 7, sizeof(b->model.id.bytes));
    device_id_format(b->model.id_text, &b->model.id);
    b->model.profile = SWARM_PROFILE_DEVICEOS;
    swarm_device_init(&b->device, &b->world, &b->model);
    b->ops = swarm_answers_ops;
    b->ops.send = on_send;
    b->device.exchange.ops = &b->ops;
    is_online();
}

static void end(void)
{
    swarm_device_deinit(&b->device);
    assert_null(b->world.images.by_key);
    swarm_loop_deinit(&b->world.loop);
    swarm_stats_deinit(&b->world.stats);
    free(b->model.defects);
    free(b->file.data);
    free(b);
}

static void pass_time(uint64_t ms)
{
    struct deadlines *all = &b->world.loop.deadlines;
    uint64_t until_ms = fake_clock_ms + ms;

    for (;;) {
        uint64_t wait_ms = deadlines_next(all, fake_clock_ms);

        if (wait_ms > until_ms - fake_clock_ms)
            break;
        fake_clock_ms += wait_ms;
        deadlines_run(all, fake_clock_ms);
    }
    fake_clock_ms = until_ms;
}

/* The next message of the device that is not looked at yet. */
static struct swarm_coap_in next_sent(void)
{
    struct swarm_coap_in in;
    bool ok;

    assert_true(b->looked < b->sent_count);
    ok = swarm_coap_parse(&in, b->sent[b->looked], b->sent_len[b->looked]);
    assert_true(ok);
    b->looked++;
    return in;
}

static void receive(const uint8_t *data, size_t data_len)
{
    swarm_exchange_receive(&b->device.exchange, data, data_len);
}

static void acknowledge(const struct swarm_coap_in *in)
{
    uint8_t ack[4] = {0x60, 0, (uint8_t)(in->mid >> 8), (uint8_t)in->mid};

    receive(ack, sizeof(ack));
}

static void ask(struct swarm_coap_out *out, enum swarm_coap_type type, uint8_t code, const char *letter)
{
    struct swarm_coap_token token = {.bytes = {9}, .len = 1};
    bool has_token = !(type == SWARM_NON && *letter == 'C');

    swarm_coap_begin(out, type, code, ++b->mid, has_token ? &token : NULL);
    swarm_coap_option(out, SWARM_OPT_PATH, letter, 1);
}

static void is_acked(uint8_t code)
{
    struct swarm_coap_in in = next_sent();

    assert_int_equal(in.type, SWARM_ACK);
    assert_int_equal(in.code, code);
    assert_int_equal(in.mid, b->mid);
}

/* An empty acknowledgement, and later this; acknowledged unless it is looked at first. */
static struct swarm_coap_in answered(uint8_t code, uint64_t after_ms)
{
    struct swarm_coap_in in;

    is_acked(0);
    pass_time(after_ms);
    in = next_sent();
    assert_int_equal(in.type, SWARM_CON);
    assert_int_equal(in.code, code);
    return in;
}

static uint32_t option_of(const struct swarm_coap_in *in, uint16_t number)
{
    struct swarm_coap_piece value;
    bool ok = swarm_coap_find(in, number, 0, &value);

    assert_true(ok);
    return swarm_coap_number(value);
}

static void make_file(const struct module_recipe *recipe)
{
    free(b->file.data);
    b->file = module_build(recipe);
    SHA256(b->file.data, b->file.len, b->sha256);
}

/* --- version 3 --- */

static const struct module_recipe user_part = {
    .header_at = 0, .body_len = 4000, .function = 5, .index = 1, .platform_id = 12, .version = 77};

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

static uint32_t chunk_count(uint32_t from)
{
    return (uint32_t)((b->file.len - from + CHUNK - 1) / CHUNK);
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

static uint16_t runs(char f, char n)
{
    return swarm_firmware_version(&b->model.firmware, f, n);
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

/* --- before version 3 --- */

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

/* --- what is shared --- */

static void shares_a_file_until_it_differs(void **state)
{
    struct swarm_images images = {NULL};
    struct swarm_image_key key = {.file_bytes = 8};
    struct swarm_image *one = swarm_image_get(&images, &key), *two = swarm_image_get(&images, &key);

    (void)state;
    assert_ptr_equal(one, two);
    assert_true(swarm_image_write(&one, 0, (const uint8_t *)"abcd", 4));
    assert_true(swarm_image_write(&two, 4, (const uint8_t *)"efgh", 4));
    assert_true(swarm_image_write(&two, 0, (const uint8_t *)"abcd", 4));
    assert_false(swarm_image_write(&one, 4, (const uint8_t *)"efgX", 4));
    assert_ptr_not_equal(one, two);
    assert_memory_equal(one->data, "abcdefgX", 8);
    assert_memory_equal(two->data, "abcdefgh", 8);
    swarm_image_release(one);
    swarm_image_release(two);
    assert_null(images.by_key);
}

static void looks_into_both_modules_of_a_file(void **state)
{
    struct module_recipe radio = {
        .body_len = 900, .function = 8, .platform_id = 12, .version = 202, .flags = 1};
    struct module_recipe boot = {
        .header_at = 0x200, .body_len = 700, .function = 2, .platform_id = 12, .version = 3100};
    struct built first = module_build(&radio), second = module_build(&boot),
                 both = module_combine(&first, &second);
    struct swarm_binary binary;

    (void)state;
    assert_int_equal(swarm_binary_parse(&binary, both.data, both.len), SWARM_CODE_OK);
    assert_int_equal(binary.part_count, 2);
    assert_int_equal(binary.parts[0].f, 'a');
    assert_int_equal(binary.parts[0].version, 202);
    assert_int_equal(binary.parts[1].f, 'b');
    assert_int_equal(binary.parts[1].version, 3100);
    for (size_t len = 1; len < both.len;
         len++) { /* however much is missing; nothing beyond the end is read */
        uint8_t *part = mem_copy(both.data, len);
        enum swarm_code code = swarm_binary_parse(&binary, part, len);

        free(part);
        if (len != first.len)
            assert_int_not_equal(code, SWARM_CODE_OK);
    }
    free(first.data);
    free(second.data);
    free(both.data);
}

static void gives_a_share_of_the_fleet_its_defects(void **state)
{
    const struct swarm_defect_shares shares = {.lie = 10, .never_back = 50};
    size_t liars = 0, lost = 0, both = 0;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        struct swarm_defects one, again;
        char id[16];
        bool any, any_again;

        (void)snprintf(id, sizeof(id), "%d", i);
        any = swarm_defects_draw(&one, &shares, "seed", id);
        any_again = swarm_defects_draw(&again, &shares, "seed", id);
        assert_int_equal(any, any_again);
        assert_int_equal(any, one.lie || one.never_back);
        assert_memory_equal(&one, &again, sizeof(one));
        liars += one.lie == SWARM_ALWAYS;
        lost += one.never_back == SWARM_ALWAYS;
        both += one.lie && one.never_back;
    }
    assert_in_range(liars, 140, 260);
    assert_in_range(lost, 900, 1100);
    assert_in_range(both, 60, 140);
}

static void refuses_defects_there_are_none_of(void **state)
{
    static const char *const bad[] = {"{\"lies\":1}",
                                      "{\"lie\":1.5}",
                                      "{\"window\":257}",
                                      "{\"finish_code\":1}",
                                      "{\"collateral\":{\"f\":\"b\"}}",
                                      "[]"};
    struct swarm_defects defects = {0};
    json_t *good = json_loads("{\"lie\":true,\"updates_disabled\":true,\"window\":4,"
                              "\"collateral\":{\"f\":\"b\",\"n\":\"0\",\"v\":1200}}",
                              0, NULL);
    char why[128];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *object = json_loads(bad[i], 0, NULL);

        assert_non_null(object);
        assert_false(swarm_defects_read(&defects, object, why, sizeof(why)));
        json_decref(object);
    }
    assert_true(swarm_defects_read(&defects, good, why, sizeof(why)));
    assert_int_equal(defects.lie, SWARM_ALWAYS);
    assert_int_equal(defects.updates_disabled, 1);
    assert_int_equal(defects.collateral.v, 1200);
    json_decref(good);
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
        cmocka_unit_test(tells_what_it_missed),
        cmocka_unit_test(confirms_each_chunk_of_a_core_patch),
        cmocka_unit_test(says_nothing_of_a_wrong_platform),
        cmocka_unit_test(shares_a_file_until_it_differs),
        cmocka_unit_test(looks_into_both_modules_of_a_file),
        cmocka_unit_test(gives_a_share_of_the_fleet_its_defects),
        cmocka_unit_test(refuses_defects_there_are_none_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
