/* swarm_update_bench.h: a simulated device that takes updates. The test is the server, byte by byte; the
 * network is left out. Included by one .c file of a test program. */
#ifndef CYAN_TESTS_SWARM_UPDATE_BENCH_H
#define CYAN_TESTS_SWARM_UPDATE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "fake_clock.h"
#include "module_builder.h"
#include "swarm_answers.h"
#include "swarm_messages.h"
#include "swarm_update.h"

#define REBOOT_MS 10000
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

static inline void on_send(void *owner, const uint8_t *data, size_t data_len)
{
    (void)owner;
    assert_true(b->sent_count < SENT_MAX);
    memcpy(b->sent[b->sent_count], data, data_len);
    b->sent_len[b->sent_count++] = data_len;
}

static inline void on_stop(void *owner)
{
    (void)owner;
}

/* As if it had connected. */
static inline void is_online(void)
{
    b->device.state = SWARM_DEVICE_ONLINE;
    b->device.session.state = SWARM_SESSION_UP;
    b->looked = b->sent_count;
}

static inline void begin(const char *platform, size_t release)
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

static inline void end(void)
{
    swarm_device_deinit(&b->device);
    assert_null(b->world.images.by_key);
    swarm_loop_deinit(&b->world.loop);
    swarm_stats_deinit(&b->world.stats);
    free(b->model.defects);
    free(b->file.data);
    free(b);
}

static inline void pass_time(uint64_t ms)
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
static inline struct swarm_coap_in next_sent(void)
{
    struct swarm_coap_in in;
    bool ok;

    assert_true(b->looked < b->sent_count);
    ok = swarm_coap_parse(&in, b->sent[b->looked], b->sent_len[b->looked]);
    assert_true(ok);
    b->looked++;
    return in;
}

static inline void receive(const uint8_t *data, size_t data_len)
{
    swarm_exchange_receive(&b->device.exchange, data, data_len);
}

static inline void acknowledge(const struct swarm_coap_in *in)
{
    uint8_t ack[4] = {0x60, 0, (uint8_t)(in->mid >> 8), (uint8_t)in->mid};

    receive(ack, sizeof(ack));
}

static inline void ask(struct swarm_coap_out *out, enum swarm_coap_type type, uint8_t code,
                       const char *letter)
{
    struct swarm_coap_token token = {.bytes = {9}, .len = 1};
    bool has_token = !(type == SWARM_NON && *letter == 'C');

    swarm_coap_begin(out, type, code, ++b->mid, has_token ? &token : NULL);
    swarm_coap_option(out, SWARM_OPT_PATH, letter, 1);
}

static inline void is_acked(uint8_t code)
{
    struct swarm_coap_in in = next_sent();

    assert_int_equal(in.type, SWARM_ACK);
    assert_int_equal(in.code, code);
    assert_int_equal(in.mid, b->mid);
}

/* An empty acknowledgement, and later this; acknowledged unless it is looked at first. */
static inline struct swarm_coap_in answered(uint8_t code, uint64_t after_ms)
{
    struct swarm_coap_in in;

    is_acked(0);
    pass_time(after_ms);
    in = next_sent();
    assert_int_equal(in.type, SWARM_CON);
    assert_int_equal(in.code, code);
    return in;
}

static inline void make_file(const struct module_recipe *recipe)
{
    free(b->file.data);
    b->file = module_build(recipe);
    SHA256(b->file.data, b->file.len, b->sha256);
}

static const struct module_recipe user_part = {
    .header_at = 0, .body_len = 4000, .function = 5, .index = 1, .platform_id = 12, .version = 77};

static inline uint32_t chunk_count(uint32_t from)
{
    return (uint32_t)((b->file.len - from + CHUNK - 1) / CHUNK);
}

static inline uint16_t runs(char f, char n)
{
    return swarm_firmware_version(&b->model.firmware, f, n);
}

#endif
