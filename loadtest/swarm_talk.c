#include "swarm_talk.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_firmware.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKWISE_SINCE 3300
#define UPDATE_EVENTS_SINCE 1200
#define DEVICE_DESCRIBES_SINCE 2000
#define LONG_HELLO_SINCE 3000

static void confirm(struct swarm_device *d, const struct swarm_coap_out *out, enum swarm_kind kind,
                    bool settling, void *arg)
{
    if (settling)
        d->settle_left++;
    swarm_exchange_confirm(&d->exchange, out, (uint8_t)(kind | (settling ? SWARM_SETTLING : 0)), arg);
}

void swarm_talk_hello(struct swarm_device *d)
{
    struct swarm_coap_out out;

    swarm_message_hello(&out, swarm_exchange_mid(&d->exchange), d->model);
    d->world->stats.hellos++;
    confirm(d, &out, SWARM_KIND_HELLO, false, NULL);
}

void swarm_talk_ping(struct swarm_device *d)
{
    struct swarm_coap_out out;

    swarm_coap_begin(&out, SWARM_CON, 0, swarm_exchange_mid(&d->exchange), NULL);
    d->world->stats.pings++;
    d->pinged_ms = clock_ms();
    confirm(d, &out, SWARM_KIND_PING, false, NULL);
}

void swarm_talk_goodbye(struct swarm_device *d, uint32_t sleep_s)
{
    struct swarm_coap_out out;

    swarm_message_goodbye(&out, swarm_exchange_mid(&d->exchange), sleep_s);
    d->world->stats.goodbyes++;
    confirm(d, &out, SWARM_KIND_GOODBYE, false, NULL);
}

/* The message remembers name and data, NUL-terminated one after the other, for the ledger. */
void swarm_talk_event(struct swarm_device *d, const char *name, const char *data, bool settling)
{
    struct swarm_coap_out out;
    size_t name_size = strlen(name) + 1, data_size = strlen(data) + 1;
    char *arg = mem_alloc(name_size + data_size);

    memcpy(arg, name, name_size);
    memcpy(arg + name_size, data, data_size);
    swarm_message_event(&out, swarm_exchange_mid(&d->exchange), d->model, name, data);
    d->world->stats.events_sent++;
    confirm(d, &out, SWARM_KIND_EVENT, settling, arg);
}

void swarm_talk_tick(struct swarm_device *d)
{
    char data[64];

    (void)snprintf(data, sizeof(data), "%s:%llu", d->model->id_text, (unsigned long long)++d->event_counter);
    swarm_talk_event(d, "swarm/tick", data, false);
}

/* --- describes --- */

/* Blocks of 1024 bytes, or 512 when the device's messages are short (device-protocol 3.8). */
static unsigned int block_size_exponent(const struct swarm_device *d)
{
    return swarm_platform_max_message(d->model->platform, d->model->firmware.system_version) < 1040 ? 5 : 6;
}

static void send_block(struct swarm_device *d, const struct swarm_push *push, bool settling)
{
    unsigned int szx = block_size_exponent(d);
    size_t block_bytes = (size_t)16 << szx, start = push->block * block_bytes;
    bool blockwise = push->block_count > 1;
    size_t part = blockwise && push->len - start > block_bytes ? block_bytes : push->len - start;
    struct swarm_coap_token token = swarm_exchange_token(&d->exchange);
    struct swarm_push *copy = mem_copy(push, sizeof(*push));
    uint8_t flags = (uint8_t)push->flags;
    struct swarm_coap_out out;

    copy->payload = NULL; /* made again for the next block, and not kept between */
    swarm_coap_begin(&out, SWARM_CON, SWARM_POST, swarm_exchange_mid(&d->exchange),
                     swarm_describe_has_token(d->model) ? &token : NULL);
    swarm_coap_option(&out, SWARM_OPT_PATH, "d", 1);
    if (swarm_describe_is_protobuf(d->model, push->flags))
        swarm_coap_uint(&out, SWARM_OPT_FORMAT, 42);
    swarm_coap_option(&out, SWARM_OPT_QUERY, &flags, 1);
    if (blockwise)
        swarm_coap_uint(&out, SWARM_OPT_BLOCK1,
                        push->block << 4 | (push->block + 1 < push->block_count ? 8U : 0U) | szx);
    swarm_coap_payload(&out, push->payload + start, part);
    confirm(d, &out, SWARM_KIND_DESCRIBE, settling, copy);
}

void swarm_talk_describe(struct swarm_device *d, unsigned int flags, bool settling)
{
    struct swarm_push push = {.flags = flags};
    uint16_t version = d->model->firmware.system_version;
    size_t max = swarm_platform_max_message(d->model->platform, version);
    size_t block_bytes = (size_t)16 << block_size_exponent(d);
    uint8_t *payload =
        swarm_describe_payload(d->model, flags, (uint32_t)((clock_ms() - d->boot_ms) / 1000), &push.len);

    push.block_count = push.len + 16 > max ? (uint32_t)((push.len + block_bytes - 1) / block_bytes) : 1;
    if (push.block_count > 1 && version < BLOCKWISE_SINCE) { /* such a device could not say it */
        swarm_device_error(d, "own_describe_too_long");
        free(payload);
        return;
    }
    push.payload = payload;
    send_block(d, &push, settling);
    free(payload);
}

void swarm_talk_describe_on(struct swarm_device *d, const struct swarm_con *con)
{
    struct swarm_push push;
    uint8_t *payload;
    size_t len;

    memcpy(&push, con->arg, sizeof(push));
    if (++push.block >= push.block_count) {
        d->world->stats.describes++;
        swarm_device_notice(d, "described", json_pack("{s:i}", "flags", (int)push.flags));
        return;
    }
    payload = swarm_describe_payload(d->model, push.flags, 0, &len);
    push.payload = payload;
    if (len == push.len) /* else a module was changed in between: the next describe tells it */
        send_block(d, &push, con->kind & SWARM_SETTLING);
    free(payload);
}

/* --- sequences --- */

static void subscribe(struct swarm_device *d, const char *prefix)
{
    struct swarm_coap_out out;

    swarm_message_subscribe(&out, swarm_exchange_mid(&d->exchange), d->model, prefix);
    confirm(d, &out, SWARM_KIND_SUBSCRIBE, true, NULL);
}

static void ask_time(struct swarm_device *d)
{
    struct swarm_coap_token token = swarm_exchange_token(&d->exchange);
    struct swarm_coap_out out;

    swarm_message_time(&out, swarm_exchange_mid(&d->exchange), &token);
    confirm(d, &out, SWARM_KIND_TIME, true, NULL);
}

/* Once a boot. */
static void tell_reset(struct swarm_device *d)
{
    if (!d->told_reset)
        swarm_talk_event(d, "spark/device/last_reset", d->reset_reason, true);
    d->told_reset = true;
    d->reset_reason = "power_down"; /* of the next boot, unless that knows better */
}

static void tell_updates(struct swarm_device *d)
{
    if (d->model->firmware.system_version < UPDATE_EVENTS_SINCE)
        return;
    swarm_talk_event(d, "particle/device/updates/enabled",
                     d->model->defects && d->model->defects->updates_disabled ? "false" : "true", true);
    swarm_talk_event(d, "particle/device/updates/forced", d->forced_updates ? "true" : "false", true);
}

void swarm_talk_introduce(struct swarm_device *d)
{
    uint16_t version = d->model->firmware.system_version;
    char max_binary[16];

    d->changed = false;
    if (version >= DEVICE_DESCRIBES_SINCE)
        swarm_talk_describe(d, SWARM_DESCRIBE_SYSTEM, true);
    ask_time(d);
    if (swarm_firmware_is_in_safe_mode(&d->model->firmware))
        swarm_talk_event(d, "spark/device/safemode", "", true);
    tell_reset(d);
    if (d->model->firmware.cc3000[0])
        swarm_talk_event(d, "spark/cc3000-patch-version", d->model->firmware.cc3000, true);
    if (version < LONG_HELLO_SINCE) {
        (void)snprintf(max_binary, sizeof(max_binary), "%u", d->model->platform->max_binary);
        swarm_talk_event(d, "spark/hardware/max_binary", max_binary, true);
    }
    tell_updates(d);
    if (version >= DEVICE_DESCRIBES_SINCE)
        swarm_talk_describe(d, SWARM_DESCRIBE_APP, true);
    subscribe(d, "particle");
    subscribe(d, "spark");
    subscribe(d, "demo/");
}

/* device-protocol 4.2: item 6 again, the time only when it is not known any more. */
void swarm_talk_resumed(struct swarm_device *d)
{
    if (!d->clock_valid)
        ask_time(d);
    tell_reset(d);
    tell_updates(d);
}
