#include "device/update.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "device/ask.h"
#include "device/text.h"
#include "device/update_inner.h"
#include "device/update_pacer.h"
#include "module/module_file.h"

#define CHUNK_BYTES_MIN 512 /* and a multiple of 4 (device-protocol 5.3) */
#define CHUNK_BYTES_MAX 1136
#define CHUNK_BYTES_LEGACY_MIN 64
#define CHUNK_OVERHEAD_BYTES 14
#define CHUNK_OVERHEAD_LEGACY_BYTES 16
/* A device gives up after 300 s without a chunk (device-protocol 5.3): in SENT it is reminded. */
#define SENT_MS 600000
#define CODE_CANCELLED (-140)
#define CODE_DISABLED (-1380)

static const bool may_enter[UPDATE_STATE_COUNT][UPDATE_STATE_COUNT] = {
    [UPDATE_STARTING] = {[UPDATE_TRANSFERRING] = true, [UPDATE_ENDED] = true},
    [UPDATE_TRANSFERRING] = {[UPDATE_SENT] = true, [UPDATE_ENDED] = true},
    [UPDATE_SENT] = {[UPDATE_FINISHING] = true, [UPDATE_ENDED] = true},
    [UPDATE_FINISHING] = {[UPDATE_ENDED] = true},
};

void update_enter(struct device_update *update, enum update_state state)
{
    must(may_enter[update->state][state]);
    update->state = (uint8_t)state;
}

const char *device_update_end_name(enum device_update_end end)
{
    static const char *const names[] = {
        [DEVICE_UPDATE_VALIDATED] = "validated", [DEVICE_UPDATE_REFUSED] = "refused",
        [DEVICE_UPDATE_DISABLED] = "disabled",   [DEVICE_UPDATE_NO_START] = "no_start",
        [DEVICE_UPDATE_STALLED] = "stalled",     [DEVICE_UPDATE_UNKNOWN] = "unknown",
        [DEVICE_UPDATE_GONE] = "gone",           [DEVICE_UPDATE_STOPPED] = "stopped",
    };

    must((size_t)end < sizeof(names) / sizeof(names[0]));
    return names[end];
}

static void log_end(const struct device_update *update)
{
    const struct device_update_result *result = &update->result;
    char name[DEVICE_ID_TEXT_SIZE], quoted[160];

    log_info("update.ended device=%s end=%s code=%" PRId32 " coap=%u.%02u start_bytes=%" PRIu32
             " acked_bytes=%" PRIu32 " sent_bytes=%" PRIu64 " resent_bytes=%" PRIu64 " message=%s",
             link_name(update->device, name), device_update_end_name(result->end), result->device_code,
             result->coap_code >> 5u, result->coap_code & 31u, result->start_bytes, result->acked_bytes,
             result->sent_bytes, result->resent_bytes,
             log_quote(quoted, sizeof(quoted), result->message, strlen(result->message)));
}

/* Frees update before its owner hears of it: it may start the next one. */
static void tell_end(struct device_update *update)
{
    struct device *device = update->device;
    struct update_pacer *pacer = &device->all->pacer;
    const struct device_update_ops *ops = update->ops;
    const struct device_update_result result = update->result;
    void *arg = update->arg;

    log_end(update);
    update_pacer_leave(pacer, update);
    deadline_cancel(device->all->deadlines, &update->due);
    pacer->running->value--;
    pacer->ended[result.end]->value++;
    device->update = NULL;
    free(update);
    /* What waited meanwhile; not of a device that is about to reset: it may be asked when it is back. */
    if (result.end != DEVICE_UPDATE_VALIDATED && result.end != DEVICE_UPDATE_UNKNOWN)
        ask_next_turn(device);
    ops->ended(arg, &result);
}

static void on_due(struct deadline *due, uint64_t now_ms);

void update_end(struct device_update *update, enum device_update_end end)
{
    struct device *device = update->device;

    if (update->state == UPDATE_ENDED)
        return;
    update_enter(update, UPDATE_ENDED);
    update->result.end = end;
    coap_cancel(&device->peer, update);
    update_pacer_leave(&device->all->pacer, update);
    deadline_set(device->all->deadlines, &update->due, clock_ms(), on_due);
}

void update_refused(struct device_update *update, const struct coap_message *response, const uint8_t *body,
                    size_t body_len)
{
    update->result.coap_code = response->code;
    update_code_read(&update->result, body, body_len);
    update_end(update,
               update->result.device_code == CODE_DISABLED ? DEVICE_UPDATE_DISABLED : DEVICE_UPDATE_REFUSED);
}

static enum device_update_end end_by_loss(const struct device_update *update)
{
    return update->state == UPDATE_FINISHING ? DEVICE_UPDATE_UNKNOWN : DEVICE_UPDATE_GONE;
}

void update_session_ended(struct device *device)
{
    struct device_update *update = device->update;

    if (update == NULL)
        return;
    if (update->state != UPDATE_ENDED) {
        update->result.end = end_by_loss(update);
        update_enter(update, UPDATE_ENDED);
    }
    tell_end(update);
}

void update_device_is_back(struct device *device)
{
    if (device->update != NULL)
        update_end(device->update, end_by_loss(device->update));
}

/* Message IDs only grow, so those of its chunks lie between the first of them and the next one. */
static bool is_of_chunk(const struct device_update *update, uint16_t mid)
{
    uint16_t next_mid = update->device->peer.next_mid;

    return update->mids > UINT16_MAX / 2 ||
           (uint16_t)(mid - update->first_mid) < (uint16_t)(next_mid - update->first_mid);
}

void update_stray(struct device *device, const struct coap_message *m)
{
    struct device_update *update = device->update;
    bool is_reset = m->type == COAP_RST;

    /* FINISHING: a chunk that comes late may be rejected; only the answer to the finish counts. */
    if (update == NULL || (update->state != UPDATE_TRANSFERRING && update->state != UPDATE_SENT))
        return;
    if (is_reset ? !is_of_chunk(update, m->mid) : m->code >> 5 < 4)
        return;
    update->result.coap_code = m->code;
    update->result.device_code = CODE_CANCELLED;
    update_end(update, DEVICE_UPDATE_REFUSED);
}

bool update_sends(const struct device_update *update)
{
    return update->device->state == LINK_NAMED && update->state != UPDATE_STARTING &&
           update->state != UPDATE_ENDED;
}

size_t update_chunk_len(const struct device_update *update, uint32_t chunk)
{
    size_t at = update->result.start_bytes + (size_t)chunk * update->chunk_bytes;

    must(at < update->order.data_len);
    return update->order.data_len - at < update->chunk_bytes ? update->order.data_len - at
                                                             : update->chunk_bytes;
}

const uint8_t *update_chunk_at(const struct device_update *update, uint32_t chunk)
{
    return update->order.data + update->result.start_bytes + (size_t)chunk * update->chunk_bytes;
}

void update_count_sent(struct device_update *update, uint16_t mid, size_t bytes, bool again)
{
    struct update_pacer *pacer = &update->device->all->pacer;

    if (update->mids++ == 0)
        update->first_mid = mid;
    update->result.sent_bytes += bytes;
    pacer->sent_bytes->value += bytes;
    if (again) {
        update->result.resent_bytes += bytes;
        pacer->resent_bytes->value += bytes;
    }
}

/* When it has waited too long for the device, or its owner. */
static uint64_t give_up_ms(const struct device_update *update)
{
    switch ((enum update_state)update->state) {
    case UPDATE_STARTING: /* the request has its own time */
    case UPDATE_ENDED:
    case UPDATE_STATE_COUNT:
        return UINT64_MAX;
    case UPDATE_TRANSFERRING:
        return update->progress_ms + UPDATE_STALL_MS;
    case UPDATE_SENT:
    case UPDATE_FINISHING:
        return update->give_up_ms;
    }
    return UINT64_MAX;
}

static void on_due(struct deadline *due, uint64_t now_ms)
{
    struct device_update *update =
        (struct device_update *)((char *)due - offsetof(struct device_update, due));

    if (update->state == UPDATE_ENDED) {
        tell_end(update);
        return;
    }
    if (now_ms >= give_up_ms(update)) {
        update_end(update, update->state == UPDATE_FINISHING ? DEVICE_UPDATE_UNKNOWN : DEVICE_UPDATE_STALLED);
        return;
    }
    if (now_ms >= update->protocol->late_ms(update))
        update->protocol->late(update, now_ms);
    update_go_on(update, now_ms);
}

void update_go_on(struct device_update *update, uint64_t now_ms)
{
    struct devices *all = update->device->all;
    uint64_t at_ms = give_up_ms(update), late_ms = update->protocol->late_ms(update);

    if (update->state == UPDATE_ENDED)
        return;
    if (late_ms < at_ms)
        at_ms = late_ms;
    if (update_sends(update) && !update->is_queued) {
        uint64_t next_ms = update->protocol->next_ms(update, now_ms);
        if (next_ms <= now_ms)
            update_pacer_join(&all->pacer, update, now_ms);
        else if (next_ms < at_ms)
            at_ms = next_ms;
    }
    if (at_ms == UINT64_MAX)
        deadline_cancel(all->deadlines, &update->due);
    else if (!deadline_is_set(&update->due) || update->due.at_ms != at_ms)
        deadline_set(all->deadlines, &update->due, at_ms, on_due);
}

void update_begin_transfer(struct device_update *update, uint32_t start_bytes, uint64_t now_ms)
{
    size_t left = update->order.data_len - start_bytes;

    update->result.start_bytes = update->result.acked_bytes = update->told_bytes = start_bytes;
    update->chunk_count = (uint32_t)((left + update->chunk_bytes - 1) / update->chunk_bytes);
    update->progress_ms = now_ms;
    update_enter(update, UPDATE_TRANSFERRING);
    update->ops->started(update->arg, start_bytes);
}

void update_progressed(struct device_update *update, uint32_t acked_bytes, uint64_t now_ms)
{
    bool whole = acked_bytes == update->order.data_len;

    if (update->state != UPDATE_TRANSFERRING)
        return;
    update->progress_ms = now_ms;
    update->result.acked_bytes = acked_bytes;
    if (whole) {
        update_enter(update, UPDATE_SENT);
        update->touched_ms = now_ms;
        update->give_up_ms = now_ms + SENT_MS;
    }
    if (whole || acked_bytes - update->told_bytes >= UPDATE_TOLD_EVERY_BYTES) {
        update->told_bytes = acked_bytes;
        update->ops->progress(update->arg, acked_bytes, update->result.sent_bytes);
    }
    if (whole && update->state == UPDATE_SENT)
        update->ops->sent(update->arg);
}

/* What the device prefers, as far as its messages hold it; 0 when they are too small for any. Older systems
 * may prefer smaller ones than 512 bytes (device-protocol 4.11). */
static uint16_t choose_chunk_bytes(const struct device *device)
{
    size_t room = device->peer.max_message_bytes;
    bool v3 = device->hello_flags & HELLO_UPDATE_V3;
    size_t least = v3 ? CHUNK_BYTES_MIN : CHUNK_BYTES_LEGACY_MIN;
    size_t overhead = v3 ? CHUNK_OVERHEAD_BYTES : CHUNK_OVERHEAD_LEGACY_BYTES;
    size_t bytes = device->chunk_bytes > least ? device->chunk_bytes : CHUNK_BYTES_MIN;

    if (room > COAP_MESSAGE_MAX)
        room = COAP_MESSAGE_MAX;
    room = room > overhead ? room - overhead : 0;
    if (bytes > CHUNK_BYTES_MAX)
        bytes = CHUNK_BYTES_MAX;
    if (bytes > room)
        bytes = room;
    bytes &= ~(size_t)3;
    return bytes < least ? 0 : (uint16_t)bytes;
}

static const char *why_not_now(const struct device *device)
{
    if (device->state != LINK_NAMED || !device->online || device->quarantined)
        return "the device is not connected";
    if (device->update != NULL)
        return "the device has an update already";
    return NULL;
}

static const char *why_never(const struct device *device, const struct device_update_order *order)
{
    if (order->data_len == 0)
        return "the file is empty";
    if (order->data_len > UINT32_MAX || order->data_len > MODULE_FILE_MAX_BYTES ||
        (device->max_binary_bytes != 0 && order->data_len > device->max_binary_bytes))
        return "the file is larger than the device takes";
    if (choose_chunk_bytes(device) == 0)
        return "the messages of the device are too small for an update";
    if (order->function == MODULE_ASSET && !(device->hello_flags & HELLO_UPDATE_V3))
        return "the device takes no assets";
    return NULL;
}

bool device_update_fits(const struct device *device, const struct device_update_order *order)
{
    return why_never(device, order) == NULL;
}

struct device_update *device_update_start(struct device *device, const struct device_update_order *order,
                                          const struct device_update_ops *ops, void *arg, const char **why)
{
    char name[DEVICE_ID_TEXT_SIZE];

    *why = why_not_now(device);
    if (*why == NULL)
        *why = why_never(device, order);
    if (*why != NULL)
        return NULL;
    struct device_update *update = mem_alloc(sizeof(*update));
    update->device = device;
    update->protocol = device->hello_flags & HELLO_UPDATE_V3 ? &update_v3 : &update_legacy;
    update->ops = ops;
    update->arg = arg;
    update->order = *order;
    update->chunk_bytes = choose_chunk_bytes(device);
    if (!update->protocol->start(update, clock_ms())) {
        *why = "too many messages wait for the device";
        free(update);
        return NULL;
    }
    device->update = update;
    device->all->pacer.started->value++;
    device->all->pacer.running->value++;
    log_info("update.started device=%s version=%u bytes=%zu chunk_bytes=%u", link_name(device, name),
             update->protocol->version, order->data_len, update->chunk_bytes);
    return update;
}

void device_update_finish(struct device_update *update)
{
    uint64_t now_ms = clock_ms();

    if (update->state == UPDATE_ENDED) /* its owner has not heard of it yet */
        return;
    update_enter(update, UPDATE_FINISHING);
    update->give_up_ms = now_ms + UPDATE_FINISH_MS;
    if (!update->protocol->finish(update, now_ms))
        update_end(update, DEVICE_UPDATE_STALLED); /* nothing was sent */
    update_go_on(update, now_ms);
}

void device_update_stop(struct device_update *update)
{
    must(update->state != UPDATE_FINISHING);
    update_end(update, DEVICE_UPDATE_STOPPED);
}

bool device_is_updating(const struct device *device)
{
    return device->update != NULL;
}
