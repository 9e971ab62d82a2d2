/* Updates as devices before version 3 take them: chunks confirmed one by one, or fast with a list of those
 * that are missing (device-protocol 5.2). */
#include "base/bytes.h"
#include "base/clock.h"
#include "swarm_device_private.h"
#include "swarm_reply.h"
#include "swarm_update_private.h"
#include <string.h>
#include <zlib.h>

#define BEGIN_BYTES 12
#define FLAG_FAST 1
#define CHUNKS_MAX 65535
#define OVERHEAD_BYTES 24 /* of a chunk's message */
#define APPLY_AFTER_MS 1000
#define MISSED_MAX 40
#define MISSED_MAX_NCP 20
#define RESULT_TEXT_FROM 200 /* such systems tell a result in their answer to the end */
#define RESULT_TEXT_BEFORE 2000

static struct deadlines *deadlines_of(const struct swarm_update *u)
{
    return &u->device->world->loop.deadlines;
}

/* --- begin --- */

static void on_ready(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_update *u = SWARM_UPDATE_OF(deadline, step);
    uint8_t is_fast = u->protocol == SWARM_UPDATE_FAST;

    (void)now_ms;
    u->state = SWARM_UPDATE_RECEIVING;
    swarm_reply_separate(u->device, &u->token, SWARM_COAP_CODE(2, 4), (struct swarm_coap_piece){&is_fast, 1});
}

/* Such a device cannot be told to stop: it waits, and then resets itself. */
static void on_idle(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_update *u = SWARM_UPDATE_OF(deadline, idle);

    (void)now_ms;
    swarm_update_fail(u, "timeout", 0);
    u->device->reset_reason = "update_timeout";
    swarm_device_reboot(u->device);
}

/* The fixed layout at byte 7: flags, chunk size, file length, store, address. False: it makes no sense. */
static bool read_begin(const struct swarm_device *d, const struct swarm_coap_in *in,
                       struct swarm_image_key *key, uint32_t *chunk_bytes, bool *is_fast)
{
    size_t max = swarm_platform_max_message(d->model->platform, d->model->firmware.system_version);
    struct bytes_reader r;

    memset(key, 0, sizeof(*key));
    if (in->type != SWARM_CON || in->token.len != 1 || in->has_query || in->payload.len != BEGIN_BYTES)
        return false;
    bytes_reader_init(&r, in->payload.data, in->payload.len);
    *is_fast = bytes_get_u8(&r) & FLAG_FAST;
    *chunk_bytes = bytes_get_be16(&r);
    key->file_bytes = bytes_get_be32(&r);
    if (*chunk_bytes == 0)
        *chunk_bytes = SWARM_CHUNK_DEFAULT_BYTES;
    return key->file_bytes > 0 && *chunk_bytes + OVERHEAD_BYTES <= max &&
           key->file_bytes / *chunk_bytes < CHUNKS_MAX && bytes_get_u8(&r) == 0 && bytes_get_be32(&r) == 0;
}

static void refuse(struct swarm_device *d, const struct swarm_coap_in *in, int code)
{
    swarm_reply_ack(d, in, SWARM_COAP_CODE(5, 3), SWARM_NO_PAYLOAD);
    swarm_truth_tell(d, "start_refused", json_pack("{s:i}", "code", code));
    swarm_device_notice(d, "update_failed", json_pack("{s:s,s:i}", "reason", "start_refused", "code", code));
}

static void on_begin(struct swarm_device *d, const struct swarm_coap_in *in)
{
    struct swarm_update *u = swarm_update_of(d);
    struct swarm_image_key key;
    uint32_t chunk_bytes;
    bool is_fast;
    int code;

    if (!read_begin(d, in, &key, &chunk_bytes, &is_fast)) {
        swarm_device_error(d, "update_begin_form");
        refuse(d, in, SWARM_CODE_ARGUMENT);
        return;
    }
    code = swarm_update_refusal(u, key.file_bytes);
    if (code != SWARM_CODE_OK) {
        refuse(d, in, code);
        return;
    }
    swarm_reply_ack(d, in, 0, SWARM_NO_PAYLOAD);
    u->token = in->token;
    if (u->state == SWARM_UPDATE_ERASING) /* asked again: it is still at it */
        return;
    if (u->state != SWARM_UPDATE_NONE)
        swarm_update_fail(u, "replaced", 0);
    if (d->model->defects && swarm_defect_strikes(&d->model->defects->confirm_chunks))
        is_fast = false;
    u->protocol = is_fast ? SWARM_UPDATE_FAST : SWARM_UPDATE_CONFIRMED;
    swarm_update_begin(u, &key, chunk_bytes, on_ready, on_idle);
}

/* --- chunks --- */

static void take_fast(struct swarm_update *u, const struct swarm_chunk *chunk)
{
    swarm_update_heard(u);
    u->flight++;
    (void)swarm_update_store(u, chunk);
}

static void take_confirmed(struct swarm_update *u, const struct swarm_chunk *chunk)
{
    struct swarm_device *d = u->device;

    swarm_update_heard(u);
    if (swarm_update_store(u, chunk) != SWARM_STORED_GONE)
        swarm_reply_separate(d, &chunk->token, SWARM_COAP_CODE(2, 4), SWARM_NO_PAYLOAD);
}

/* What a parser of fixed places reads (device-protocol, appendix A); NULL, or what is wrong with it. */
static const char *read_chunk(const struct swarm_update *u, const struct swarm_coap_in *in,
                              struct swarm_chunk *chunk)
{
    bool is_fast = u->protocol == SWARM_UPDATE_FAST;
    struct swarm_coap_piece index, more;
    size_t len;

    if (in->type != (is_fast ? SWARM_NON : SWARM_CON) || in->token.len != 1)
        return "chunk_form";
    if (!in->has_query || in->query.len != 4 || in->payload.len == 0)
        return "chunk_without_crc";
    if (swarm_coap_find(in, SWARM_OPT_QUERY, 1, &index) != is_fast || (is_fast && index.len != 2) ||
        swarm_coap_find(in, SWARM_OPT_QUERY, 2, &more))
        return "chunk_without_index";
    *chunk = (struct swarm_chunk){.token = in->token, .data = in->payload.data, .len = in->payload.len};
    chunk->index = is_fast ? swarm_coap_number(index) + 1 : u->highest + 1;
    if (chunk->index > u->chunk_count)
        return "chunk_index";
    len = swarm_update_chunk_len(u, chunk->index);
    /* the last one may be padded: device-protocol 5.2 */
    return chunk->len == len || (chunk->index == u->chunk_count && chunk->len == u->chunk_bytes)
               ? NULL
               : "chunk_length";
}

static void on_chunk(struct swarm_device *d, const struct swarm_coap_in *in)
{
    struct swarm_update *u = swarm_update_of(d);
    struct swarm_chunk chunk;
    const char *wrong;

    if (u->state != SWARM_UPDATE_RECEIVING) {
        if (u->state == SWARM_UPDATE_ERASING)
            swarm_device_error(d, "chunk_before_ready");
        d->world->stats.stray_chunks++;
        swarm_reply_ack(d, in, 0, SWARM_NO_PAYLOAD);
        return;
    }
    wrong = read_chunk(u, in, &chunk);
    swarm_reply_ack(d, in, 0, SWARM_NO_PAYLOAD);
    if (wrong) {
        swarm_device_error(d, wrong);
        return;
    }
    if (crc32(0, chunk.data, (uInt)chunk.len) != swarm_coap_number(in->query)) {
        swarm_device_error(d, "chunk_crc");
        if (u->protocol == SWARM_UPDATE_CONFIRMED)
            swarm_reply_separate(d, &in->token, SWARM_COAP_CODE(4, 0), SWARM_NO_PAYLOAD);
        return;
    }
    swarm_update_pass(u, &chunk, u->protocol == SWARM_UPDATE_FAST ? take_fast : take_confirmed);
}

/* --- done --- */

static void on_apply(struct deadline *deadline, uint64_t now_ms)
{
    (void)now_ms;
    swarm_boot_apply(SWARM_UPDATE_OF(deadline, step), false);
}

/* No more than a fifth above what came through since the last list. */
static uint32_t missed_most(const struct swarm_update *u)
{
    uint32_t most = u->flight + (u->flight / 5 > 2 ? u->flight / 5 : 2);
    uint32_t cap =
        swarm_firmware_version(&u->device->model->firmware, 'c', '0') ? MISSED_MAX_NCP : MISSED_MAX;

    return most < cap ? most : cap;
}

static void tell_missed(struct swarm_update *u)
{
    struct swarm_device *d = u->device;
    struct swarm_coap_out out;
    uint8_t list[2 * MISSED_MAX];
    uint32_t count = 0, most = missed_most(u);

    for (uint32_t index = u->cumulative + 1; index <= u->chunk_count && count < most; index++)
        if (!swarm_update_has(u, index))
            be16_store(list + (size_t)2 * count++, (uint16_t)(index - 1));
    u->flight = 0;
    swarm_coap_begin(&out, SWARM_CON, SWARM_GET, swarm_exchange_mid(&d->exchange), NULL);
    swarm_coap_option(&out, SWARM_OPT_PATH, "c", 1);
    swarm_coap_payload(&out, list, (size_t)2 * count);
    swarm_exchange_confirm(&d->exchange, &out, SWARM_KIND_RESPONSE, NULL);
}

static void on_done(struct swarm_device *d, const struct swarm_coap_in *in)
{
    struct swarm_update *u = swarm_update_of(d);
    uint16_t version = d->model->firmware.system_version;
    static const char text[] = "{\"r\":0}";

    if (in->type != SWARM_CON || in->token.len != 1 || in->payload.len > 0)
        swarm_device_error(d, "update_done_form");
    if (u->state != SWARM_UPDATE_RECEIVING) {
        swarm_device_error(d, "done_without_update");
        swarm_reply_ack(d, in, SWARM_COAP_CODE(4, 0), SWARM_NO_PAYLOAD);
        return;
    }
    swarm_update_heard(u);
    if (u->got_count < u->chunk_count) {
        swarm_reply_ack(d, in, SWARM_COAP_CODE(4, 0), SWARM_NO_PAYLOAD);
        tell_missed(u);
        return;
    }
    if (d->model->defects && swarm_defect_strikes(&d->model->defects->ignore_finish)) {
        swarm_reply_ack(d, in, 0, SWARM_NO_PAYLOAD);
        swarm_truth_tell(d, "finish_ignored", json_object());
        u->state = SWARM_UPDATE_VALIDATING;
        return;
    }
    /* Whatever is wrong with the file, it says that it has it all. */
    swarm_reply_ack(d, in, SWARM_COAP_CODE(2, 4),
                    version >= RESULT_TEXT_FROM && version < RESULT_TEXT_BEFORE
                        ? (struct swarm_coap_piece){(const uint8_t *)text, sizeof(text) - 1}
                        : SWARM_NO_PAYLOAD);
    if (swarm_update_judge(u) == SWARM_CODE_OK)
        swarm_update_validated(u);
    else
        swarm_truth_tell(d, "update_refused", json_pack("{s:i}", "code", (int)swarm_update_judge(u)));
    u->state = SWARM_UPDATE_APPLYING;
    deadline_set(deadlines_of(u), &u->step, clock_ms() + swarm_update_scaled(u, APPLY_AFTER_MS), on_apply);
}

bool swarm_update_legacy_take(struct swarm_device *d, const struct swarm_coap_in *in, uint8_t letter)
{
    if (in->path_count != 1)
        return false;
    if (letter == 'u' && in->code == SWARM_POST)
        on_begin(d, in);
    else if (letter == 'u' && in->code == SWARM_PUT)
        on_done(d, in);
    else if (letter == 'c' && in->code == SWARM_POST)
        on_chunk(d, in);
    else
        return false;
    return true;
}
