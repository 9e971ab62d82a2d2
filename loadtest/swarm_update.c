#include "swarm_update.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_device_private.h"
#include "swarm_update_private.h"
#include <stdlib.h>
#include <string.h>

#define ERASE_MS_PER_KIB 4
#define FLUSH_EVERY_MS 30000
#define IDLE_MS 300000
#define IDLE_SHORT_MS 30000 /* Core, Photon, P1: device-protocol 5.2 */
#define NOTICE_EVERY_BYTES 65536
#define WAITING_MAX 40
#define WAITING_MAX_NCP 25
#define V3_FLAG 0x80

static struct deadlines *deadlines_of(const struct swarm_update *u)
{
    return &u->device->world->loop.deadlines;
}

uint64_t swarm_update_scaled(const struct swarm_update *u, uint64_t ms)
{
    return (uint64_t)((double)ms * u->device->world->time_scale);
}

struct swarm_update *swarm_update_of(struct swarm_device *d)
{
    if (!d->update) {
        d->update = mem_alloc(sizeof(*d->update));
        d->update->device = d;
    }
    return d->update;
}

const struct swarm_told *swarm_update_told(const struct swarm_device *d)
{
    return d->update ? &d->update->told : NULL;
}

bool swarm_update_is_busy(const struct swarm_device *d)
{
    return d->update && d->update->state != SWARM_UPDATE_NONE && d->update->state != SWARM_UPDATE_APPLYING;
}

bool swarm_update_take(struct swarm_device *d, const struct swarm_coap_in *in, uint8_t letter)
{
    /* Devices of version 3 have nothing of the old protocols any more, nor the other way round. */
    if (swarm_platform_hello_flags(d->model->platform, d->model->firmware.system_version) & V3_FLAG)
        return swarm_update_v3_take(d, in, letter);
    return swarm_update_legacy_take(d, in, letter);
}

void swarm_update_acknowledged(struct swarm_device *d, unsigned int kind)
{
    if (d->update && d->update->state == SWARM_UPDATE_ANSWERED)
        swarm_update_v3_acknowledged(d->update, kind);
}

/* --- beginning --- */

enum swarm_code swarm_update_refusal(const struct swarm_update *u, uint32_t file_bytes)
{
    const struct swarm_device *d = u->device;
    const struct swarm_defects *defects = d->model->defects;
    uint32_t max = d->model->platform->max_binary;

    if (u->state >= SWARM_UPDATE_VALIDATING)
        return SWARM_CODE_STATE;
    if (defects && defects->updates_disabled && !d->forced_updates)
        return SWARM_CODE_DISABLED;
    if (defects && defects->start_code)
        return (enum swarm_code)defects->start_code;
    return max > 0 && file_bytes > max ? SWARM_CODE_SIZE : SWARM_CODE_OK;
}

void swarm_update_quiet(struct swarm_update *u)
{
    struct swarm_chunk *next;

    deadline_cancel(deadlines_of(u), &u->step);
    deadline_cancel(deadlines_of(u), &u->idle);
    deadline_cancel(deadlines_of(u), &u->ack);
    deadline_cancel(deadlines_of(u), &u->drain);
    for (; u->waiting; u->waiting = next) {
        next = u->waiting->next;
        free(u->waiting);
    }
    u->waiting_count = 0;
    free(u->got);
    u->got = NULL;
}

void swarm_update_discard(struct swarm_update *u)
{
    swarm_image_release(u->image);
    u->image = NULL;
    u->kept_bytes = u->flushed_bytes = 0;
}

void swarm_update_throw_away(struct swarm_update *u, uint32_t but_bytes)
{
    struct swarm_told_file *file = swarm_told_file(&u->told, &u->key);

    if (file->held_bytes > but_bytes)
        file->held_bytes = but_bytes;
    if (but_bytes == 0)
        swarm_update_discard(u);
    else
        u->kept_bytes = but_bytes;
}

/* Only version 3 knows how to go on, and only when the file is named by its SHA-256. */
static void keep_or_discard(struct swarm_update *u, const struct swarm_image_key *key)
{
    static const uint8_t none[SWARM_HASH_BYTES];

    if (u->image && u->protocol == SWARM_UPDATE_V3 && memcmp(&u->key, key, sizeof(*key)) == 0 &&
        memcmp(key->sha256, none, sizeof(none)) != 0)
        return;
    swarm_update_discard(u);
    u->image = swarm_image_get(&u->device->world->images, key);
}

static void tell_started(struct swarm_update *u)
{
    struct swarm_told_file *file = swarm_told_file(&u->told, &u->key);
    char sha256[2 * SWARM_HASH_BYTES + 1];
    json_t *fields;

    if (file->starts++ == 0)
        file->first_start_bytes = u->start_bytes;
    file->last_start_bytes = u->start_bytes;
    hex_encode(sha256, u->key.sha256, SWARM_HASH_BYTES);
    fields = json_pack("{s:i,s:s,s:I,s:I,s:i}", "protocol", (int)u->protocol, "sha256", sha256, "file_bytes",
                       (json_int_t)u->key.file_bytes, "start_bytes", (json_int_t)u->start_bytes,
                       "chunk_bytes", (int)u->chunk_bytes);
    swarm_truth_tell(u->device, "update_started", json_deep_copy(fields));
    swarm_device_notice(u->device, "update_started", fields);
}

void swarm_update_begin(struct swarm_update *u, const struct swarm_image_key *key, uint32_t chunk_bytes,
                        deadline_fn *on_ready, deadline_fn *on_idle)
{
    uint64_t now_ms = clock_ms(),
             erase_ms = swarm_update_scaled(u, (uint64_t)ERASE_MS_PER_KIB * (key->file_bytes / 1024));

    swarm_update_quiet(u);
    keep_or_discard(u, key);
    u->key = *key;
    u->chunk_bytes = chunk_bytes;
    u->start_bytes = u->kept_bytes;
    u->chunk_count = (key->file_bytes - u->start_bytes + chunk_bytes - 1) / chunk_bytes;
    u->got = mem_alloc(u->chunk_count / 8 + 1);
    u->cumulative = u->highest = u->got_count = u->got_bytes = 0;
    u->recv_chunks = u->dup_chunks = u->ooo_chunks = u->sent_acks = u->unacked = u->flight = 0;
    u->noticed_bytes = u->start_bytes;
    u->started_ms = u->flushed_ms = now_ms;
    u->state = SWARM_UPDATE_ERASING;
    u->device->world->stats.updates_started++;
    deadline_set(deadlines_of(u), &u->step, now_ms + erase_ms, on_ready);
    u->idle.fn = on_idle;
    swarm_update_heard(u);
    tell_started(u);
}

void swarm_update_heard(struct swarm_update *u)
{
    const struct swarm_platform *p = u->device->model->platform;
    bool is_short = p->generation <= 2 && !p->cellular;

    deadline_set(deadlines_of(u), &u->idle,
                 clock_ms() + swarm_update_scaled(u, is_short ? IDLE_SHORT_MS : IDLE_MS), u->idle.fn);
}

/* --- receiving --- */

bool swarm_update_has(const struct swarm_update *u, uint32_t index)
{
    return u->got[(index - 1) / 8] >> (index - 1) % 8 & 1;
}

size_t swarm_update_chunk_len(const struct swarm_update *u, uint32_t index)
{
    size_t before = u->start_bytes + (size_t)(index - 1) * u->chunk_bytes;
    size_t left = u->key.file_bytes - before;

    return left < u->chunk_bytes ? left : u->chunk_bytes;
}

static void advance(struct swarm_update *u)
{
    uint64_t now_ms = clock_ms();
    size_t bytes;

    while (u->cumulative < u->chunk_count && swarm_update_has(u, u->cumulative + 1))
        u->cumulative++;
    bytes = u->start_bytes + (size_t)u->cumulative * u->chunk_bytes;
    u->kept_bytes = bytes > u->key.file_bytes ? u->key.file_bytes : (uint32_t)bytes;
    if (u->kept_bytes == u->key.file_bytes ||
        now_ms - u->flushed_ms >= swarm_update_scaled(u, FLUSH_EVERY_MS)) {
        u->flushed_bytes = u->kept_bytes;
        u->flushed_ms = now_ms;
    }
    if (u->kept_bytes - u->noticed_bytes < NOTICE_EVERY_BYTES)
        return;
    u->noticed_bytes = u->kept_bytes;
    swarm_device_notice(u->device, "update_progress",
                        json_pack("{s:I,s:I}", "bytes", (json_int_t)u->kept_bytes, "file_bytes",
                                  (json_int_t)u->key.file_bytes));
}

/* True when its power went with this byte. */
static bool power_goes(struct swarm_update *u)
{
    struct swarm_defects *defects = u->device->model->defects;

    if (!defects || defects->power_loss_at <= 0 || u->kept_bytes < (uint32_t)defects->power_loss_at)
        return false;
    defects->power_loss_at = 0;
    swarm_truth_tell(u->device, "power_lost",
                     json_pack("{s:I,s:I}", "bytes", (json_int_t)u->kept_bytes, "flushed_bytes",
                               (json_int_t)u->flushed_bytes));
    swarm_device_cold_boot(u->device);
    return true;
}

static void complete(struct swarm_update *u)
{
    uint64_t took_ms = clock_ms() - u->started_ms;
    struct swarm_stats *stats = &u->device->world->stats;

    u->flushed_bytes = u->kept_bytes;
    swarm_samples_add(&stats->transfer_ms, took_ms);
    swarm_samples_add(&stats->goodput, (u->key.file_bytes - u->start_bytes) * 1000ULL / (took_ms + 1));
}

enum swarm_stored swarm_update_store(struct swarm_update *u, const struct swarm_chunk *chunk)
{
    struct swarm_told_file *file = swarm_told_file(&u->told, &u->key);
    struct swarm_stats *stats = &u->device->world->stats;
    size_t len = swarm_update_chunk_len(u, chunk->index);

    stats->chunks++;
    u->recv_chunks++;
    file->received_bytes += len;
    if (swarm_update_has(u, chunk->index)) {
        stats->dup_chunks++;
        u->dup_chunks++;
        return SWARM_STORED_AGAIN;
    }
    stats->update_bytes += len;
    u->got[(chunk->index - 1) / 8] |= (uint8_t)(1 << (chunk->index - 1) % 8);
    u->got_count++;
    u->got_bytes += (uint32_t)len;
    u->ooo_chunks += chunk->index < u->highest;
    if (!swarm_image_write(&u->image, u->start_bytes + (size_t)(chunk->index - 1) * u->chunk_bytes,
                           chunk->data, len) &&
        u->protocol == SWARM_UPDATE_V3)
        swarm_device_error(u->device, "file_differs"); /* from what others got under the same SHA-256 */
    if (chunk->index > u->highest)
        u->highest = chunk->index;
    advance(u);
    swarm_told_hold(file, u->start_bytes + u->got_bytes);
    if (power_goes(u))
        return SWARM_STORED_GONE;
    if (u->got_count == u->chunk_count)
        complete(u);
    return SWARM_STORED;
}

static void on_drain(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_update *u = SWARM_UPDATE_OF(deadline, drain);
    struct swarm_chunk *chunk = u->waiting;

    u->waiting = chunk->next;
    u->waiting_count--;
    if (u->waiting)
        deadline_set(deadlines_of(u), &u->drain, now_ms + (uint64_t)u->device->model->defects->chunk_ms,
                     on_drain);
    u->take(u, chunk);
    free(chunk);
}

/* Loses what does not fit, as a socket's buffer does. */
static void wait_in_line(struct swarm_update *u, struct swarm_chunk *chunk)
{
    struct swarm_chunk **last = &u->waiting;
    uint64_t chunk_ms = (uint64_t)u->device->model->defects->chunk_ms;

    if (u->waiting_count >=
        (swarm_firmware_version(&u->device->model->firmware, 'c', '0') ? WAITING_MAX_NCP : WAITING_MAX)) {
        u->device->world->stats.overrun_chunks++;
        free(chunk);
        return;
    }
    if (!u->waiting)
        deadline_set(deadlines_of(u), &u->drain, clock_ms() + chunk_ms, on_drain);
    while (*last)
        last = &(*last)->next;
    *last = chunk;
    u->waiting_count++;
}

void swarm_update_pass(struct swarm_update *u, const struct swarm_chunk *chunk, swarm_chunk_fn *take)
{
    const struct swarm_defects *defects = u->device->model->defects;
    struct swarm_chunk *copy;

    if (!defects || defects->chunk_ms <= 0) {
        take(u, chunk);
        return;
    }
    u->take = take;
    copy = mem_alloc(sizeof(*copy) + chunk->len);
    *copy = *chunk;
    copy->next = NULL;
    copy->data = memcpy(copy->bytes, chunk->data, chunk->len);
    wait_in_line(u, copy);
}

/* --- ending --- */

enum swarm_code swarm_update_judge(struct swarm_update *u)
{
    const struct swarm_model *m = u->device->model;
    enum swarm_code code = swarm_image_check(u->image);

    for (size_t i = 0; code == SWARM_CODE_OK && i < u->image->binary.part_count; i++)
        code = swarm_firmware_judge(&m->firmware, m->platform, &u->image->binary.parts[i]);
    return code;
}

static json_t *parts_json(const struct swarm_binary *binary)
{
    json_t *parts = json_array();

    for (size_t i = 0; i < binary->part_count; i++) {
        const struct swarm_part *part = &binary->parts[i];

        json_array_append_new(parts, json_pack("{s:s%,s:s%,s:i}", "f", &part->f, (size_t)1, "n", &part->n,
                                               (size_t)1, "v", (int)part->version));
    }
    return parts;
}

void swarm_update_validated(struct swarm_update *u)
{
    struct swarm_told_file *file = swarm_told_file(&u->told, &u->key);
    json_t *parts = parts_json(&u->image->binary);

    file->validated++;
    u->device->world->stats.updates_validated++;
    swarm_truth_tell(u->device, "update_validated",
                     json_pack("{s:O,s:I,s:I}", "modules", parts, "received_bytes",
                               (json_int_t)file->received_bytes, "twice_bytes",
                               (json_int_t)swarm_told_twice(file)));
    swarm_device_notice(u->device, "update_validated", json_pack("{s:o}", "modules", parts));
}

void swarm_update_fail(struct swarm_update *u, const char *reason, int code)
{
    json_t *fields =
        json_pack("{s:s,s:i,s:I}", "reason", reason, "code", code, "bytes", (json_int_t)u->kept_bytes);

    swarm_update_quiet(u);
    u->flushed_bytes = u->kept_bytes;
    u->state = SWARM_UPDATE_NONE;
    u->device->world->stats.updates_failed++;
    if (u->protocol != SWARM_UPDATE_V3)
        swarm_update_throw_away(u, 0);
    swarm_truth_tell(u->device, "update_failed", json_deep_copy(fields));
    swarm_device_notice(u->device, "update_failed", fields);
}

void swarm_update_link_down(struct swarm_device *d)
{
    if (swarm_update_is_busy(d))
        swarm_update_fail(d->update, "link_down", 0);
}

void swarm_update_power_lost(struct swarm_device *d)
{
    if (!swarm_update_is_busy(d))
        return;
    swarm_update_throw_away(d->update, d->update->flushed_bytes);
    swarm_update_fail(d->update, "power_lost", 0);
}

void swarm_update_free(struct swarm_device *d)
{
    if (!d->update)
        return;
    swarm_boot_stop(d->update);
    swarm_update_quiet(d->update);
    swarm_update_discard(d->update);
    free(d->update);
    d->update = NULL;
}
