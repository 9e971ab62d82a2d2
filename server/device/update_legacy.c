/* update_legacy.c: versions 1 and 2 of the protocol, of systems before 3.0 (device-protocol 5.2).
 *
 * Version 2 sends chunks in flights and asks after each, with UpdateDone, whether the device has all. As it
 * has not, it says which it lacks: the next flight. So that it cannot have all before the owner wants it to,
 * the last chunk is kept back until then. In version 1, which the device may choose, each chunk is confirmed.
 *
 * No chunk is filled up with zeros: systems so old that they need it (before 0.5) speak TCP alone. */
#include <string.h>

#include <zlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "device/request.h"
#include "device/text.h"
#include "device/update_inner.h"

#define FLAG_FAST 1
#define STORE_FIRMWARE 0
#define ASK_AGAIN_MS 10000 /* the list of what is missing should have come: it is confirmable */
#define ASK_ANEW_MS 8000   /* sent twice: what is new comes sooner than the third sending */
#define BUSY_AGAIN_MS 1000
#define REMIND_MS 10000 /* some give up after 30 s without a chunk */
#define BAD_CHUNKS_MAX 10
#define LOST_PERCENT_MANY 10 /* of a flight */
#define GAP_WIDEST 4         /* times the least */
#define SPARE_ROUNDS 100     /* beyond one for each chunk, which is what a device asks for at most */

enum platform {
    PLATFORM_ELECTRON = 10,
    PLATFORM_ARGON = 12,
    PLATFORM_BORON = 13,
    PLATFORM_A_SOM = 22,
    PLATFORM_B_SOM = 23,
    PLATFORM_B5_SOM = 25,
    PLATFORM_TRACKER = 26,
};

static uint8_t flight_most(uint16_t platform_id)
{
    return platform_id == PLATFORM_ARGON || platform_id == PLATFORM_A_SOM ? 20 : UPDATE_FLIGHT_MAX;
}

/* Between chunks (device-protocol 5.2). */
static uint16_t least_gap_ms(uint16_t platform_id)
{
    switch (platform_id) {
    case PLATFORM_ELECTRON:
    case PLATFORM_BORON:
    case PLATFORM_B_SOM:
    case PLATFORM_B5_SOM:
    case PLATFORM_TRACKER:
        return 50;
    default:
        return 10;
    }
}

static uint32_t last_chunk(const struct device_update *update)
{
    return update->chunk_count - 1;
}

static struct coap_request request_to(uint8_t method, const char *letter, uint32_t timeout_ms)
{
    return (struct coap_request){
        .method = method,
        .path = {letter},
        .content_format = UINT16_MAX,
        .max_age_s = UINT32_MAX,
        .timeout_ms = timeout_ms,
    };
}

/* No answer: in FINISHING it may be on its way into its new system. */
static void end_unanswered(struct device_update *update)
{
    update_end(update, update->state == UPDATE_FINISHING ? DEVICE_UPDATE_UNKNOWN : DEVICE_UPDATE_STALLED);
}

/* UpdateDone: is it whole? */

static void keep_text(struct device_update *update, const uint8_t *body, size_t body_len)
{
    if (body_len < sizeof(update->result.message) && text_is_clean(body, body_len) && body_len > 0)
        memcpy(update->result.message, body, body_len);
}

/* Before the owner wanted it, it cannot have all; should it say so, it is on its way too. */
static void on_whole(struct device_update *update, const uint8_t *body, size_t body_len)
{
    keep_text(update, body, body_len);
    update_end(update, update->state == UPDATE_FINISHING ? DEVICE_UPDATE_VALIDATED : DEVICE_UPDATE_UNKNOWN);
}

static void on_done_answer(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                           const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    struct device_update *update = arg;
    struct update_legacy_state *legacy = &update->legacy;
    uint64_t now_ms = clock_ms();

    (void)rtt_ms;
    if (outcome == COAP_PEER_GONE)
        return;
    legacy->is_asking = false;
    legacy->ask_again_ms = UINT64_MAX;
    if (outcome != COAP_RESPONDED)
        end_unanswered(update);
    else if (response->code >> 5 == 2)
        on_whole(update, body, body_len);
    else if (response->code != COAP_400_BAD_REQUEST || legacy->is_confirmed)
        update_refused(update, response, body, body_len);
    else if (legacy->flight_sent == legacy->flight_count && !legacy->is_due)
        legacy->ask_again_ms = now_ms + ASK_AGAIN_MS;
    update_go_on(update, now_ms);
}

/* What was asked is answered otherwise, or asked anew. A response that comes late is nobody's. */
static void stop_asking(struct device_update *update)
{
    if (update->legacy.is_asking)
        coap_cancel(&update->device->peer, update);
    update->legacy.is_asking = false;
}

static void ask(struct device_update *update, uint64_t now_ms)
{
    struct coap_request request = request_to(COAP_PUT, "u", UPDATE_STALL_MS);
    struct update_legacy_state *legacy = &update->legacy;

    legacy->is_due = false;
    legacy->is_asking = coap_request(&update->device->peer, &request, on_done_answer, update, now_ms);
    if (!legacy->is_asking)
        legacy->ask_again_ms = now_ms + BUSY_AGAIN_MS;
    else if (update->state == UPDATE_TRANSFERRING && !legacy->is_confirmed)
        legacy->ask_again_ms = now_ms + ASK_ANEW_MS;
    else /* the answer may be that it applies it */
        legacy->ask_again_ms = UINT64_MAX;
}

/* Chunks. */

struct chunk_options {
    struct coap_option options[2];
    uint8_t crc[4], index[2];
};

static struct coap_request chunk_request(const struct device_update *update, uint32_t chunk,
                                         struct chunk_options *o, uint32_t timeout_ms)
{
    struct coap_request request = request_to(COAP_POST, "c", timeout_ms);

    request.payload = update_chunk_at(update, chunk);
    request.payload_len = update_chunk_len(update, chunk);
    be32_store(o->crc, (uint32_t)crc32(0, request.payload, (uInt)request.payload_len));
    be16_store(o->index, (uint16_t)chunk);
    o->options[0] = (struct coap_option){COAP_OPT_URI_QUERY, o->crc, sizeof(o->crc)};
    o->options[1] = (struct coap_option){COAP_OPT_URI_QUERY, o->index, sizeof(o->index)};
    request.options = o->options;
    request.option_count = update->legacy.is_confirmed ? 1 : 2;
    return request;
}

static void note_sent(struct device_update *update, uint32_t chunk, uint16_t mid)
{
    bool again = chunk < update->legacy.next;

    if (!again)
        update->legacy.next = chunk + 1;
    update_count_sent(update, mid, update_chunk_len(update, chunk), again);
}

static void send_chunk(struct device_update *update, uint32_t chunk, uint64_t now_ms)
{
    struct chunk_options o;
    struct coap_request request = chunk_request(update, chunk, &o, 0);
    uint16_t mid;
    bool fits = coap_send_non(&update->device->peer, &request, true, &mid);

    must(fits); /* the size of chunks was chosen so */
    note_sent(update, chunk, mid);
    update->legacy.pace_ms = now_ms + update->legacy.gap_ms;
}

static void on_confirmed(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                         const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    struct device_update *update = arg;
    struct update_legacy_state *legacy = &update->legacy;
    uint64_t now_ms = clock_ms();

    (void)rtt_ms;
    if (outcome == COAP_PEER_GONE)
        return;
    legacy->is_awaiting = false;
    if (outcome != COAP_RESPONDED) {
        end_unanswered(update);
    } else if (response->code >> 5 == 2) {
        legacy->bad_count = 0;
        legacy->confirmed++;
        update_progressed(update,
                          legacy->confirmed == update->chunk_count ? (uint32_t)update->order.data_len
                                                                   : legacy->confirmed * update->chunk_bytes,
                          now_ms);
    } else if (response->code != COAP_400_BAD_REQUEST || ++legacy->bad_count == BAD_CHUNKS_MAX) {
        update_refused(update, response, body, body_len);
    }
    update_go_on(update, now_ms);
}

static void send_confirmed(struct device_update *update, uint64_t now_ms)
{
    struct update_legacy_state *legacy = &update->legacy;
    struct chunk_options o;
    struct coap_request request = chunk_request(update, legacy->confirmed, &o, UPDATE_STALL_MS);
    uint16_t mid = update->device->peer.next_mid;

    if (!coap_request(&update->device->peer, &request, on_confirmed, update, now_ms)) {
        legacy->pace_ms = now_ms + BUSY_AGAIN_MS;
        return;
    }
    legacy->is_awaiting = true;
    note_sent(update, legacy->confirmed, mid);
}

static uint64_t next_ms(const struct device_update *update, uint64_t now_ms)
{
    const struct update_legacy_state *legacy = &update->legacy;
    uint64_t at_ms = UINT64_MAX;

    if (update->state == UPDATE_SENT)
        at_ms = legacy->next > 0 && !legacy->is_confirmed ? update->touched_ms + REMIND_MS : UINT64_MAX;
    else if (legacy->is_confirmed)
        at_ms = legacy->is_awaiting || update->state != UPDATE_TRANSFERRING ? UINT64_MAX : legacy->pace_ms;
    else if (legacy->flight_sent < legacy->flight_count || (legacy->is_due && !legacy->is_asking))
        at_ms = legacy->pace_ms;
    return at_ms <= now_ms ? 0 : at_ms;
}

static void send_next(struct device_update *update, uint64_t now_ms)
{
    struct update_legacy_state *legacy = &update->legacy;

    if (update->state == UPDATE_SENT) { /* one it has: it waits on */
        update->touched_ms = now_ms;
        send_chunk(update, 0, now_ms);
    } else if (legacy->is_confirmed) {
        send_confirmed(update, now_ms);
    } else if (legacy->flight_sent < legacy->flight_count) {
        send_chunk(update, legacy->flight[legacy->flight_sent++], now_ms);
        legacy->is_due = legacy->flight_sent == legacy->flight_count;
    } else {
        ask(update, now_ms);
    }
}

static uint64_t late_ms(const struct device_update *update)
{
    bool transfers = update->state == UPDATE_TRANSFERRING || update->state == UPDATE_FINISHING;

    return transfers ? update->legacy.ask_again_ms : UINT64_MAX;
}

static void late(struct device_update *update, uint64_t now_ms)
{
    stop_asking(update);
    ask(update, now_ms);
}

/* UpdateBegin. */

static void first_flight(struct update_legacy_state *legacy, uint32_t count)
{
    legacy->flight_count = count < legacy->flight_most ? (uint8_t)count : legacy->flight_most;
    for (uint8_t i = 0; i < legacy->flight_count; i++)
        legacy->flight[i] = i;
}

static void on_ready(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                     const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    struct device_update *update = arg;
    struct update_legacy_state *legacy = &update->legacy;
    uint64_t now_ms = clock_ms();

    (void)rtt_ms;
    if (outcome == COAP_PEER_GONE)
        return;
    if (outcome != COAP_RESPONDED) {
        update_end(update, outcome == COAP_RESET ? DEVICE_UPDATE_REFUSED : DEVICE_UPDATE_NO_START);
        return;
    }
    if (response->code != COAP_204_CHANGED) {
        update_refused(update, response, body, body_len);
        return;
    }
    *legacy = (struct update_legacy_state){
        .flight_most = flight_most(update->device->platform_id),
        .gap_ms = least_gap_ms(update->device->platform_id),
        .ask_again_ms = UINT64_MAX,
        .is_confirmed = body_len == 0 || !(body[0] & FLAG_FAST),
    };
    update_begin_transfer(update, 0, now_ms);
    if (!legacy->is_confirmed)
        first_flight(legacy, last_chunk(update));
    if (!legacy->is_confirmed && last_chunk(update) == 0)
        update_progressed(update, (uint32_t)update->order.data_len, now_ms);
    update_go_on(update, now_ms);
}

/* Sent again after 4 to 6 s, three times, until it is acknowledged; erasing flash takes its time then. */
static bool start(struct device_update *update, uint64_t now_ms)
{
    struct coap_request request = request_to(COAP_POST, "u", UPDATE_START_MS);
    uint8_t payload[12];
    struct bytes_writer w;

    bytes_writer_init(&w, payload, sizeof(payload));
    bytes_put_u8(&w, FLAG_FAST);
    bytes_put_be16(&w, update->chunk_bytes);
    bytes_put_be32(&w, (uint32_t)update->order.data_len);
    bytes_put_u8(&w, STORE_FIRMWARE);
    bytes_put_be32(&w, 0);
    must(!w.bad && bytes_written(&w) == sizeof(payload));
    request.payload = payload;
    request.payload_len = sizeof(payload);
    return coap_request(&update->device->peer, &request, on_ready, update, now_ms);
}

static bool finish(struct device_update *update, uint64_t now_ms)
{
    struct update_legacy_state *legacy = &update->legacy;

    if (legacy->is_confirmed) {
        ask(update, now_ms);
        return legacy->is_asking;
    }
    legacy->flight[0] = (uint16_t)last_chunk(update);
    legacy->flight_count = 1;
    legacy->flight_sent = 0;
    return true;
}

const struct update_protocol update_legacy = {
    .version = 2,
    .start = start,
    .next_ms = next_ms,
    .send = send_next,
    .late_ms = late_ms,
    .late = late,
    .finish = finish,
};

/* The device asks for these. */

static bool is_list(const struct device_update *update, const uint8_t *body, size_t body_len)
{
    if (body_len == 0 || body_len % 2 != 0)
        return false;
    for (size_t i = 0; i < body_len; i += 2) {
        if (be16_load(body + i) >= update->chunk_count)
            return false;
    }
    return true;
}

/* More room between chunks when many of a flight were lost, less again when few were. Where the widest gap
 * does not halve the losses it is not the device that is too slow: what the network loses costs time enough.
 */
static void adapt_gap(struct device_update *update, unsigned lost_count, unsigned sent_count)
{
    struct update_legacy_state *legacy = &update->legacy;
    uint16_t least = least_gap_ms(update->device->platform_id), most = (uint16_t)(GAP_WIDEST * least);
    unsigned lost_percent = lost_count < sent_count ? 100 * lost_count / sent_count
                            : lost_count > 0        ? 100
                                                    : 0;

    if (lost_percent <= LOST_PERCENT_MANY) {
        if (legacy->gap_ms > least)
            legacy->gap_ms--;
    } else if (legacy->gap_ms == most && 2 * lost_percent > legacy->lost_percent) {
        legacy->gap_ms = least;
        legacy->gap_is_no_cure = true;
    } else if (!legacy->gap_is_no_cure) {
        if (legacy->gap_ms == least)
            legacy->lost_percent = (uint8_t)lost_percent;
        legacy->gap_ms = (uint16_t)(legacy->gap_ms * 2 < most ? legacy->gap_ms * 2 : most);
    }
}

/* What the device lacks: the next flight, but for what is kept back. Returns the first of it. */
static uint32_t take_list(struct device_update *update, const uint8_t *body, size_t body_len)
{
    struct update_legacy_state *legacy = &update->legacy;
    unsigned lost_count = 0, sent_count = legacy->flight_sent;
    uint32_t first = last_chunk(update);

    legacy->flight_count = legacy->flight_sent = 0;
    for (size_t i = 0; i < body_len; i += 2) {
        uint16_t chunk = be16_load(body + i);
        if (chunk < first)
            first = chunk;
        if (chunk == last_chunk(update) && update->state != UPDATE_FINISHING)
            continue;
        lost_count += chunk < legacy->next;
        if (legacy->flight_count < legacy->flight_most)
            legacy->flight[legacy->flight_count++] = chunk;
    }
    adapt_gap(update, lost_count, sent_count);
    return first;
}

static void on_list(struct device_update *update, const uint8_t *body, size_t body_len, uint64_t now_ms)
{
    struct update_legacy_state *legacy = &update->legacy;

    if (legacy->rounds++ > update->chunk_count + SPARE_ROUNDS) {
        update_end(update, DEVICE_UPDATE_STALLED);
        return;
    }
    uint32_t first = take_list(update, body, body_len);
    stop_asking(update); /* this answers it too */
    legacy->ask_again_ms = UINT64_MAX;
    legacy->is_due = false;
    update->progress_ms = now_ms; /* it is there; the rounds are bounded */
    if (update->state == UPDATE_FINISHING)
        update->give_up_ms = now_ms + UPDATE_FINISH_MS;
    else if (first == last_chunk(update))
        update_progressed(update, (uint32_t)update->order.data_len, now_ms);
    else if (first > legacy->confirmed) {
        legacy->confirmed = first;
        update_progressed(update, first * update->chunk_bytes, now_ms);
    }
}

void handle_update_missed(const struct device_request *r)
{
    struct device *device = r->device;
    struct device_update *update = device->update;
    bool is_wanted = update != NULL && update->protocol == &update_legacy &&
                     (update->state == UPDATE_TRANSFERRING || update->state == UPDATE_FINISHING) &&
                     !update->legacy.is_confirmed;

    if (is_wanted && !is_list(update, r->body, r->body_len)) {
        request_refuse(r, REFUSED_UPDATE_MALFORMED, "");
        return;
    }
    request_answer(r, COAP_EMPTY);
    /* While a flight is on its way, what it brings is missing still. */
    if (!is_wanted || update->legacy.flight_sent < update->legacy.flight_count)
        return;
    on_list(update, r->body, r->body_len, r->now_ms);
    update_go_on(update, r->now_ms);
}

/* Systems of old say by themselves that they have all. */
void handle_update_done(const struct device_request *r)
{
    struct device_update *update = r->device->update;

    request_answer(r, COAP_EMPTY);
    if (update != NULL && update->protocol == &update_legacy &&
        (update->state == UPDATE_TRANSFERRING || update->state == UPDATE_FINISHING))
        on_whole(update, r->body, r->body_len);
}
