/* update_v3.c: version 3 of the protocol, of Device OS 3.0 and later (device-protocol 5.3). */
#include "base/bytes.h"
#include "base/clock.h"
#include "device/request.h"
#include "device/update_inner.h"
#include "module/module_file.h"

#define OPT_CHUNK_INDEX 2049
#define OPT_WINDOW 2053
#define OPT_FILE_BYTES 2057 /* in the answer: from where */
#define OPT_FILE_SHA256 2061
#define OPT_CHUNK_BYTES 2065
#define OPT_FUNCTION 2077
#define SHA256_BYTES 32
#define OPTIONS_MAX 4
/* A chunk that the device has makes it acknowledge at once, and waits on (device-protocol 5.3). */
#define REMIND_MS 10000

/* Options of a request, with the bytes of the numbers among them. */
struct option_list {
    struct coap_option options[OPTIONS_MAX];
    uint8_t bytes[OPTIONS_MAX][4];
    size_t count;
};

static void put(struct option_list *list, uint16_t number, const uint8_t *value, size_t value_len)
{
    must(list->count < OPTIONS_MAX);
    list->options[list->count++] = (struct coap_option){number, value, value_len};
}

static void put_uint(struct option_list *list, uint16_t number, uint32_t value)
{
    uint8_t *bytes = list->bytes[list->count];
    size_t zeros = 0;

    be32_store(bytes, value);
    while (zeros < sizeof(value) && bytes[zeros] == 0)
        zeros++;
    put(list, number, bytes + zeros, sizeof(value) - zeros);
}

static struct coap_request post(const char *letter, const struct option_list *list, uint32_t timeout_ms)
{
    return (struct coap_request){
        .method = COAP_POST,
        .path = {letter},
        .content_format = UINT16_MAX,
        .max_age_s = UINT32_MAX,
        .options = list->options,
        .option_count = list->count,
        .timeout_ms = timeout_ms,
    };
}

static bool read_uint(const struct coap_message *m, uint16_t number, uint32_t *value)
{
    struct coap_option option;

    return coap_option_find(m, number, &option) && coap_option_uint(&option, value);
}

static void on_start_answer(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                            const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    struct device_update *update = arg;
    uint32_t room, start_bytes;
    uint64_t now_ms = clock_ms();

    if (outcome == COAP_PEER_GONE) /* told when the session has ended */
        return;
    if (outcome != COAP_RESPONDED) {
        update_end(update, outcome == COAP_RESET ? DEVICE_UPDATE_REFUSED : DEVICE_UPDATE_NO_START);
        return;
    }
    if (response->code != COAP_201_CREATED || !read_uint(response, OPT_WINDOW, &room) || room == 0 ||
        !read_uint(response, OPT_FILE_BYTES, &start_bytes) || start_bytes > update->order.data_len) {
        update_refused(update, response, body, body_len);
        return;
    }
    update_begin_transfer(update, start_bytes, now_ms);
    if (update->state != UPDATE_TRANSFERRING)
        return;
    update_window_init(&update->window, update->chunk_count, room, rtt_ms);
    if (update->chunk_count == 0)
        update_progressed(update, start_bytes, now_ms);
    update_go_on(update, now_ms);
}

static bool start(struct device_update *update, uint64_t now_ms)
{
    const struct device_update_order *order = &update->order;
    struct option_list list = {.count = 0};

    put_uint(&list, OPT_FILE_BYTES, (uint32_t)order->data_len);
    put(&list, OPT_FILE_SHA256, order->sha256, SHA256_BYTES);
    put_uint(&list, OPT_CHUNK_BYTES, update->chunk_bytes);
    if (order->function == MODULE_ASSET) /* the only one a device asks for */
        put_uint(&list, OPT_FUNCTION, order->function);
    struct coap_request request = post("S", &list, UPDATE_START_MS);
    return coap_request(&update->device->peer, &request, on_start_answer, update, now_ms);
}

static uint64_t next_ms(const struct device_update *update, uint64_t now_ms)
{
    if (update->state == UPDATE_SENT && update->chunk_count > 0)
        return update->touched_ms + REMIND_MS <= now_ms ? 0 : update->touched_ms + REMIND_MS;
    if (update->state != UPDATE_TRANSFERRING || update_window_next(&update->window) == 0)
        return UINT64_MAX;
    return update_window_pace_ms(&update->window, now_ms);
}

/* Non-confirmable and without token: with one the device ends the update. */
static void send_chunk(struct device_update *update, uint32_t index, bool again)
{
    struct option_list list = {.count = 0};
    uint16_t mid;

    put_uint(&list, OPT_CHUNK_INDEX, index);
    struct coap_request request = post("C", &list, 0);
    request.payload = update_chunk_at(update, index - 1);
    request.payload_len = update_chunk_len(update, index - 1);
    bool fits = coap_send_non(&update->device->peer, &request, false, &mid);
    must(fits); /* the size of chunks was chosen so */
    update_count_sent(update, mid, request.payload_len, again);
}

static void send_next(struct device_update *update, uint64_t now_ms)
{
    if (update->state == UPDATE_SENT) {
        update->touched_ms = now_ms;
        send_chunk(update, update->chunk_count, true);
        return;
    }
    uint32_t index = update_window_next(&update->window);
    send_chunk(update, index, update_window_sent(&update->window, index, now_ms));
}

static uint64_t late_ms(const struct device_update *update)
{
    return update->state == UPDATE_TRANSFERRING ? update_window_late_ms(&update->window) : UINT64_MAX;
}

static void late(struct device_update *update, uint64_t now_ms)
{
    update_window_late(&update->window, now_ms);
}

static void on_finish_answer(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                             const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    struct device_update *update = arg;

    (void)rtt_ms;
    if (outcome == COAP_PEER_GONE)
        return;
    if (outcome != COAP_RESPONDED)
        update_end(update, DEVICE_UPDATE_UNKNOWN);
    else if (response->code == COAP_204_CHANGED) /* acknowledged by now: with that the device applies it */
        update_end(update, DEVICE_UPDATE_VALIDATED);
    else
        update_refused(update, response, body, body_len);
}

static bool finish(struct device_update *update, uint64_t now_ms)
{
    struct option_list list = {.count = 0};
    struct coap_request request = post("F", &list, UPDATE_FINISH_MS);

    return coap_request(&update->device->peer, &request, on_finish_answer, update, now_ms);
}

const struct update_protocol update_v3 = {
    .version = 3,
    .start = start,
    .next_ms = next_ms,
    .send = send_next,
    .late_ms = late_ms,
    .late = late,
    .finish = finish,
};

static uint32_t bytes_acked(const struct device_update *update)
{
    if (update->window.acked == update->chunk_count)
        return (uint32_t)update->order.data_len;
    return update->result.start_bytes + update->window.acked * update->chunk_bytes;
}

/* UpdateAck: how many chunks without a gap, and a bitmap of those behind it. */
void handle_update_ack(const struct device_request *r)
{
    struct device *device = r->device;
    struct device_update *update = device->update;
    uint32_t acked;
    uint64_t now_ms = r->now_ms;
    bool has_count = read_uint(r->m, OPT_CHUNK_INDEX, &acked);

    if (r->m->type == COAP_NON) /* nothing is remembered of it: taking it twice is taking it once */
        coap_forget(&device->peer, r->in);
    else
        request_answer(r, COAP_EMPTY);
    if (update == NULL || update->protocol != &update_v3 || update->state != UPDATE_TRANSFERRING)
        return;
    enum update_ack ack = has_count
                              ? update_window_acked(&update->window, acked, r->body, r->body_len, now_ms)
                              : UPDATE_ACK_NONSENSE;
    if (ack == UPDATE_ACK_NONSENSE)
        link_refused(device, REFUSED_UPDATE_MALFORMED, "");
    if (ack == UPDATE_ACK_NEWS || bytes_acked(update) != update->result.acked_bytes)
        update_progressed(update, bytes_acked(update), now_ms);
    update_go_on(update, now_ms);
}
