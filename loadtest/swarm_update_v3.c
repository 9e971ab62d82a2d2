/* Updates as Device OS 3 and later take them: windows of chunks, cumulative acknowledgements with gaps
 * (device-protocol 5.3). */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_device_private.h"
#include "swarm_reply.h"
#include "swarm_update_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPT_CHUNK_INDEX 2049
#define OPT_WINDOW 2053
#define OPT_FILE_BYTES 2057
#define OPT_SHA256 2061
#define OPT_CHUNK_BYTES 2065
#define OPT_DISCARD 2069
#define OPT_CANCEL 2073
#define CHUNK_MIN_BYTES 512
#define WINDOW_BYTES 131072
#define ACK_EVERY_CHUNKS 2
#define ACK_AFTER_MS 200
#define VALIDATE_MS_PER_KIB 1
#define JSON_SIZE 160
#define BITMAP_MAX_BYTES 64

static struct deadlines *deadlines_of(const struct swarm_update *u)
{
    return &u->device->world->loop.deadlines;
}

static bool has(const struct swarm_coap_in *in, uint16_t option)
{
    struct swarm_coap_piece value;

    return swarm_coap_find(in, option, 0, &value);
}

/* 4.00 for bad arguments, 5.03 for everything else we say (device-protocol 5.4). */
static uint8_t coap_of(int code)
{
    return code == SWARM_CODE_ARGUMENT ? SWARM_COAP_CODE(4, 0) : SWARM_COAP_CODE(5, 3);
}

static struct swarm_coap_piece error_json(char out[JSON_SIZE], int code)
{
    int len = snprintf(out, JSON_SIZE, "{\"code\":%d,\"message\":\"%s\"}", code, swarm_code_text(code));

    return (struct swarm_coap_piece){(const uint8_t *)out, (size_t)len};
}

/* The result of an update; what its acknowledgement means is swarm_update_v3_acknowledged. */
static void answer(struct swarm_update *u, uint8_t code, struct swarm_coap_piece payload,
                   enum swarm_kind kind)
{
    struct swarm_device *d = u->device;
    struct swarm_coap_out out;

    u->state = SWARM_UPDATE_ANSWERED;
    swarm_coap_begin(&out, SWARM_CON, code, swarm_exchange_mid(&d->exchange), &u->token);
    swarm_coap_payload(&out, payload.data, payload.len);
    swarm_exchange_confirm(&d->exchange, &out, (uint8_t)kind, NULL);
}

static void answer_error(struct swarm_update *u, int code)
{
    char text[JSON_SIZE];

    u->refused_code = code;
    answer(u, coap_of(code), error_json(text, code), SWARM_KIND_UPDATE_REFUSED);
    swarm_truth_tell(u->device, "update_refused", json_pack("{s:i}", "code", code));
}

/* --- start --- */

static void on_ready(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_update *u = SWARM_UPDATE_OF(deadline, step);
    struct swarm_device *d = u->device;
    struct swarm_coap_out out;

    (void)now_ms;
    u->state = SWARM_UPDATE_RECEIVING;
    swarm_coap_begin(&out, SWARM_CON, SWARM_COAP_CODE(2, 1), swarm_exchange_mid(&d->exchange), &u->token);
    swarm_coap_uint(&out, OPT_WINDOW, u->window);
    swarm_coap_uint(&out, OPT_FILE_BYTES, u->start_bytes);
    swarm_exchange_confirm(&d->exchange, &out, SWARM_KIND_RESPONSE, NULL);
}

static void on_idle(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_update *u = SWARM_UPDATE_OF(deadline, idle);
    struct swarm_device *d = u->device;

    (void)now_ms;
    swarm_update_fail(u, "timeout", 0);
    swarm_device_drop_link(d, "update_timeout");
}

/* False: what a device answers with an error at once. */
static bool read_start(const struct swarm_device *d, const struct swarm_coap_in *in,
                       struct swarm_image_key *key, uint32_t *chunk_bytes)
{
    struct swarm_coap_piece value;
    size_t max = swarm_platform_max_message(d->model->platform, d->model->firmware.system_version);

    memset(key, 0, sizeof(*key));
    if (in->type != SWARM_CON || in->token.len != 1 || in->payload.len > 0)
        return false;
    if (!swarm_coap_find(in, OPT_FILE_BYTES, 0, &value) || value.len > 4 || swarm_coap_number(value) == 0)
        return false;
    key->file_bytes = swarm_coap_number(value);
    if (!swarm_coap_find(in, OPT_CHUNK_BYTES, 0, &value) || value.len > 4)
        return false;
    *chunk_bytes = swarm_coap_number(value);
    if (*chunk_bytes % 4 || *chunk_bytes < CHUNK_MIN_BYTES || *chunk_bytes > SWARM_CHUNK_MAX_BYTES ||
        *chunk_bytes + 14 > max)
        return false;
    if (!swarm_coap_find(in, OPT_SHA256, 0, &value))
        return true;
    if (value.len == SWARM_HASH_BYTES)
        memcpy(key->sha256, value.data, SWARM_HASH_BYTES);
    return value.len == SWARM_HASH_BYTES;
}

static void refuse_start(struct swarm_device *d, const struct swarm_coap_in *in, int code)
{
    char text[JSON_SIZE];

    swarm_reply_separate(d, &in->token, coap_of(code), error_json(text, code));
    swarm_truth_tell(d, "start_refused", json_pack("{s:i}", "code", code));
    swarm_device_notice(d, "update_failed", json_pack("{s:s,s:i}", "reason", "start_refused", "code", code));
}

static void on_start(struct swarm_device *d, const struct swarm_coap_in *in)
{
    struct swarm_update *u = swarm_update_of(d);
    struct swarm_image_key key;
    char text[JSON_SIZE];
    uint32_t chunk_bytes;
    int code;

    if (!read_start(d, in, &key, &chunk_bytes)) {
        swarm_device_error(d, "update_start_form");
        swarm_reply_ack(d, in, SWARM_COAP_CODE(4, 0), error_json(text, SWARM_CODE_ARGUMENT));
        return;
    }
    swarm_reply_ack(d, in, 0, SWARM_NO_PAYLOAD);
    code = swarm_update_refusal(u, key.file_bytes);
    if (code != SWARM_CODE_OK) {
        refuse_start(d, in, code);
        return;
    }
    if (u->state != SWARM_UPDATE_NONE) /* a new start takes the place of the one under way */
        swarm_update_fail(u, "replaced", 0);
    if (has(in, OPT_DISCARD))
        swarm_update_discard(u);
    u->protocol = SWARM_UPDATE_V3;
    u->token = in->token;
    u->window = WINDOW_BYTES / chunk_bytes;
    if (d->model->defects && d->model->defects->window > 0)
        u->window = (uint32_t)d->model->defects->window;
    swarm_update_begin(u, &key, chunk_bytes, on_ready, on_idle);
}

/* --- chunks --- */

/* Bits of the chunks after the cumulative ones, in little-endian words without trailing zero words. */
static size_t bitmap(const struct swarm_update *u, uint8_t out[BITMAP_MAX_BYTES])
{
    size_t len = 0;

    memset(out, 0, BITMAP_MAX_BYTES);
    for (uint32_t index = u->cumulative + 1; index <= u->highest; index++) {
        uint32_t bit = index - u->cumulative - 1;

        if (!swarm_update_has(u, index) || bit / 8 >= BITMAP_MAX_BYTES)
            continue;
        out[bit / 8] |= (uint8_t)(1 << bit % 8);
        len = bit / 32 * 4 + 4;
    }
    return len;
}

static void send_ack(struct swarm_update *u)
{
    struct swarm_device *d = u->device;
    struct swarm_coap_out out;
    uint8_t bits[BITMAP_MAX_BYTES];
    size_t len = bitmap(u, bits);

    deadline_cancel(deadlines_of(u), &u->ack);
    u->unacked = 0;
    u->sent_acks++;
    swarm_coap_begin(&out, SWARM_NON, SWARM_POST, swarm_exchange_mid(&d->exchange), NULL);
    swarm_coap_option(&out, SWARM_OPT_PATH, "A", 1);
    swarm_coap_uint(&out, OPT_CHUNK_INDEX, u->cumulative);
    swarm_coap_payload(&out, bits, len);
    swarm_exchange_tell(&d->exchange, &out);
}

static void on_ack(struct deadline *deadline, uint64_t now_ms)
{
    (void)now_ms;
    send_ack(SWARM_UPDATE_OF(deadline, ack));
}

static void ack_soon(struct swarm_update *u, bool at_once)
{
    if (++u->unacked >= ACK_EVERY_CHUNKS || at_once)
        send_ack(u);
    else
        deadline_set(deadlines_of(u), &u->ack, clock_ms() + swarm_update_scaled(u, ACK_AFTER_MS), on_ack);
}

static void take_chunk(struct swarm_update *u, const struct swarm_chunk *chunk)
{
    bool in_order = chunk->index == u->highest + 1; /* else a gap opens or closes */
    enum swarm_stored stored;

    swarm_update_heard(u);
    if (chunk->index > u->cumulative + u->window) {
        swarm_device_error(u->device, "chunk_beyond_window");
        ack_soon(u, false);
        return;
    }
    stored = swarm_update_store(u, chunk);
    if (stored == SWARM_STORED_GONE)
        return;
    ack_soon(u, !in_order || stored == SWARM_STORED_AGAIN || u->got_count == u->chunk_count);
}

static void reset(struct swarm_device *d, const struct swarm_coap_in *in)
{
    struct swarm_coap_out out;

    swarm_coap_begin(&out, SWARM_RST, 0, in->mid, NULL);
    swarm_exchange_tell(&d->exchange, &out);
}

/* What makes a device give up the update and its connection (device-protocol 5.3). */
static void choke(struct swarm_update *u, const struct swarm_coap_in *in, const char *what)
{
    struct swarm_device *d = u->device;

    swarm_device_error(d, what);
    reset(d, in);
    swarm_update_fail(u, what, SWARM_CODE_PROTOCOL);
    swarm_device_drop_link(d, what);
}

/* NULL, or what is wrong with it. */
static const char *read_chunk(const struct swarm_update *u, const struct swarm_coap_in *in,
                              struct swarm_chunk *chunk)
{
    struct swarm_coap_piece value;

    if (in->token.len > 0)
        return "chunk_with_token";
    if (in->payload.len == 0)
        return "chunk_empty";
    if (!swarm_coap_find(in, OPT_CHUNK_INDEX, 0, &value) || value.len > 4)
        return "chunk_without_index";
    *chunk = (struct swarm_chunk){
        .index = swarm_coap_number(value), .data = in->payload.data, .len = in->payload.len};
    if (chunk->index == 0 || chunk->index > u->chunk_count)
        return "chunk_index";
    return chunk->len == swarm_update_chunk_len(u, chunk->index) ? NULL : "chunk_length";
}

static void on_chunk(struct swarm_device *d, const struct swarm_coap_in *in)
{
    struct swarm_update *u = swarm_update_of(d);
    struct swarm_chunk chunk;
    const char *wrong;

    if (in->type == SWARM_CON) {
        swarm_device_error(d, "chunk_confirmable");
        swarm_reply_ack(d, in, SWARM_COAP_CODE(4, 0), SWARM_NO_PAYLOAD);
        return;
    }
    if (u->state == SWARM_UPDATE_ERASING) {
        swarm_device_error(d, "chunk_before_ready");
        return;
    }
    if (u->state != SWARM_UPDATE_RECEIVING) { /* late ones of an update that is over */
        d->world->stats.stray_chunks++;
        reset(d, in);
        return;
    }
    wrong = read_chunk(u, in, &chunk);
    if (wrong)
        choke(u, in, wrong);
    else
        swarm_update_pass(u, &chunk, take_chunk);
}

/* --- finish --- */

static void on_validated(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_update *u = SWARM_UPDATE_OF(deadline, step);
    const struct swarm_defects *defects = u->device->model->defects;
    int code = swarm_update_judge(u);
    char text[JSON_SIZE];
    int len;

    if (code == SWARM_CODE_OK && defects)
        code = defects->finish_code;
    if (code != SWARM_CODE_OK) {
        answer_error(u, code);
        return;
    }
    swarm_update_validated(u);
    len = snprintf(
        text, sizeof(text),
        "{\"recv_chunks\":%u,\"dup_chunks\":%u,\"ooo_chunks\":%u,\"sent_acks\":%u,\"proc_time\":%u}",
        u->recv_chunks, u->dup_chunks, u->ooo_chunks, u->sent_acks, (unsigned int)(now_ms - u->started_ms));
    answer(u, SWARM_COAP_CODE(2, 4), (struct swarm_coap_piece){(const uint8_t *)text, (size_t)len},
           SWARM_KIND_UPDATE_DONE);
}

static void cancel(struct swarm_update *u, const struct swarm_coap_in *in)
{
    struct swarm_device *d = u->device;

    if (u->state != SWARM_UPDATE_NONE)
        swarm_update_fail(u, "cancelled", 0);
    if (has(in, OPT_DISCARD))
        swarm_update_discard(u);
    swarm_reply_separate(d, &in->token, SWARM_COAP_CODE(2, 4), SWARM_NO_PAYLOAD);
}

static void validate(struct swarm_update *u)
{
    struct swarm_defects *defects = u->device->model->defects;

    u->state = SWARM_UPDATE_VALIDATING;
    swarm_update_heard(u);
    if (u->got_count < u->chunk_count) {
        swarm_device_error(u->device, "finish_before_all");
        answer_error(u, SWARM_CODE_PROTOCOL);
        return;
    }
    if (defects && swarm_defect_strikes(&defects->ignore_finish)) {
        swarm_truth_tell(u->device, "finish_ignored", json_object());
        return; /* until it is idle for too long */
    }
    deadline_set(deadlines_of(u), &u->step,
                 clock_ms() +
                     swarm_update_scaled(u, (uint64_t)VALIDATE_MS_PER_KIB * (u->key.file_bytes / 1024)),
                 on_validated);
}

static void on_finish(struct swarm_device *d, const struct swarm_coap_in *in)
{
    struct swarm_update *u = swarm_update_of(d);
    char text[JSON_SIZE];

    if (in->type != SWARM_CON || in->token.len != 1 || in->payload.len > 0) {
        swarm_device_error(d, "update_finish_form");
        swarm_reply_ack(d, in, SWARM_COAP_CODE(4, 0), error_json(text, SWARM_CODE_ARGUMENT));
        return;
    }
    swarm_reply_ack(d, in, 0, SWARM_NO_PAYLOAD);
    if (has(in, OPT_CANCEL)) {
        cancel(u, in);
        return;
    }
    if (u->state != SWARM_UPDATE_RECEIVING) {
        swarm_device_error(d, "finish_without_update");
        swarm_reply_separate(d, &in->token, coap_of(SWARM_CODE_STATE), error_json(text, SWARM_CODE_STATE));
        return;
    }
    u->token = in->token;
    validate(u);
}

/* --- the end --- */

void swarm_update_v3_acknowledged(struct swarm_update *u, unsigned int kind)
{
    struct swarm_device *d = u->device;

    if (kind == SWARM_KIND_UPDATE_DONE) {
        swarm_boot_apply(u, true);
    } else if (kind == SWARM_KIND_UPDATE_REFUSED) {
        swarm_update_fail(u, "refused", u->refused_code);
        swarm_update_throw_away(u, 0);
        swarm_device_drop_link(d, "update_refused");
    }
}

bool swarm_update_v3_take(struct swarm_device *d, const struct swarm_coap_in *in, uint8_t letter)
{
    if (in->code != SWARM_POST || in->path_count != 1)
        return false;
    if (letter == 'S')
        on_start(d, in);
    else if (letter == 'C')
        on_chunk(d, in);
    else if (letter == 'F')
        on_finish(d, in);
    else
        return false;
    return true;
}
