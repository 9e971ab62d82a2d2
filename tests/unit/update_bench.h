/* update_bench.h: an update between the device room and a simulated device, over a simulated network that
 * loses, repeats and delays, in simulated time: what happens is the same in every run.
 *
 * Included by one .c file of a test program. The device takes version 3 of the protocol (device-protocol 5.3)
 * and says what a test tells it to. */
#ifndef CYAN_TESTS_UPDATE_BENCH_H
#define CYAN_TESTS_UPDATE_BENCH_H

#include "fake_clock.h"

#include "device_bench.h"

#include <openssl/sha.h>
#include <zlib.h>

#include "device/link.h"
#include "device/update.h"

#define SIM_EVENTS_MAX 8192
#define SIM_FILE_MAX 262144
#define SIM_CHUNKS_MAX 512

struct sim_event {
    uint64_t at_ms;
    uint64_t order;
    bool to_device;
    size_t data_len;
    uint8_t data[COAP_MESSAGE_MAX];
};

static struct sim {
    /* The network. */
    struct sim_event *events[SIM_EVENTS_MAX]; /* a heap */
    size_t event_count;
    uint64_t event_order;
    unsigned loss_percent, repeat_percent, jitter_ms, delay_ms;
    uint64_t random;
    uint64_t dark_from_ms, dark_to_ms; /* all is lost */

    /* The device. */
    struct session *session;
    uint8_t file[SIM_FILE_MAX], got[SIM_FILE_MAX];
    uint32_t file_bytes, chunk_bytes, chunk_count, start_bytes, room;
    uint32_t max_index, most_beyond; /* beyond the window: never */
    bool had[SIM_CHUNKS_MAX + 1];
    uint32_t had_count, acked, unacked;
    bool is_running, is_finished, is_applied;
    uint64_t ack_at_ms, erase_ms, turn_ms, busy_to_ms;
    uint16_t mid, final_mid, last_mid;
    bool drops_chunks, drops_finish, accepts_finish;
    bool is_slow; /* legacy: takes no fast update */
    uint32_t flight_most;
    uint32_t flight_count; /* legacy: chunks since the last UpdateDone */
    unsigned bad_chunks;   /* legacy: so many arrive broken */
    unsigned lists;
    const char *start_error, *finish_error; /* JSON */
    uint8_t start_code, finish_code;
    unsigned chunks_received, repeats, starts, finishes;
    uint32_t acks_lost_percent;
    bool is_gone; /* says nothing more */
    uint8_t sha256[32];

    /* The owner. */
    struct device_update *update;
    unsigned started, sent, ended, progress_count;
    uint32_t started_bytes, progress_bytes;
    uint64_t sent_ms, ended_ms, begun_ms;
    struct device_update_result result;
    bool finish_at_once;
    uint32_t stop_at_bytes, hold_at_bytes; /* the latter: the bench stops running */
} sim;

static uint32_t sim_random(uint32_t below)
{
    sim.random ^= sim.random << 13;
    sim.random ^= sim.random >> 7;
    sim.random ^= sim.random << 17;
    return below > 0 ? (uint32_t)(sim.random >> 33) % below : 0;
}

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void sim_push(struct sim_event *event)
{
    size_t i = sim.event_count++;

    assert_true(sim.event_count < SIM_EVENTS_MAX);
    event->order = sim.event_order++;
    for (; i > 0 && is_before(event, sim.events[(i - 1) / 2]); i = (i - 1) / 2)
        sim.events[i] = sim.events[(i - 1) / 2];
    sim.events[i] = event;
}

static struct sim_event *sim_pop(void)
{
    struct sim_event *first = sim.events[0], *last = sim.events[--sim.event_count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < sim.event_count && is_before(sim.events[child + 1], sim.events[child]))
            child++;
        if (child >= sim.event_count || !is_before(sim.events[child], last))
            break;
        sim.events[i] = sim.events[child];
        i = child;
    }
    sim.events[i] = last;
    return first;
}

static void sim_transmit(bool to_device, const uint8_t *data, size_t data_len, unsigned loss_percent)
{
    unsigned copies = sim_random(100) < sim.repeat_percent ? 2 : 1;

    assert_true(data_len <= COAP_MESSAGE_MAX);
    if (sim_random(100) < loss_percent ||
        (fake_clock_ms >= sim.dark_from_ms && fake_clock_ms < sim.dark_to_ms))
        return;
    for (unsigned i = 0; i < copies; i++) {
        struct sim_event *event = mem_alloc(sizeof(*event));
        event->at_ms = fake_clock_ms + sim.delay_ms + sim_random(sim.jitter_ms + 1);
        event->to_device = to_device;
        event->data_len = data_len;
        memcpy(event->data, data, data_len);
        sim_push(event);
    }
}

static void on_server_sends(struct session *s, const uint8_t *data, size_t data_len)
{
    assert_ptr_equal(s, sim.session);
    sim_transmit(true, data, data_len, sim.loss_percent);
}

/* What the device says. */

static void device_sends(struct coap_builder *b)
{
    size_t len = coap_build_finish(b);

    assert_true(len > 0);
    sim_transmit(false, b->out, len, sim.loss_percent);
}

static void device_says_empty(enum coap_type type, uint16_t mid)
{
    struct coap_builder b;
    uint8_t out[4];

    coap_build(&b, out, sizeof(out), type, COAP_EMPTY, mid, NULL, 0);
    device_sends(&b);
}

/* Confirmable: it is sent again until it arrives. */
static void device_insists(struct coap_builder *b)
{
    size_t len = coap_build_finish(b);
    struct sim_event *event = mem_alloc(sizeof(*event));

    assert_true(len > 0);
    event->at_ms = fake_clock_ms + sim.delay_ms;
    while (sim_random(100) < sim.loss_percent)
        event->at_ms += 4000;
    event->data_len = len;
    memcpy(event->data, b->out, len);
    sim_push(event);
}

static void device_answers(const struct coap_message *m, uint8_t code, const char *text)
{
    struct coap_builder b;
    uint8_t out[COAP_MESSAGE_MAX];

    coap_build(&b, out, sizeof(out), COAP_CON, code, ++sim.mid, m->token, m->token_len);
    if (code == COAP_201_CREATED) {
        coap_build_option_uint(&b, 2053, sim.room);
        coap_build_option_uint(&b, 2057, sim.start_bytes);
    }
    if (text != NULL)
        coap_build_payload(&b, text, strlen(text));
    sim.final_mid = sim.mid;
    device_insists(&b);
}

static void device_acks(void)
{
    struct coap_builder b;
    uint8_t out[64], bits[SIM_CHUNKS_MAX / 8] = {0};
    size_t bits_len = 0;

    while (sim.acked < sim.chunk_count && sim.had[sim.acked + 1])
        sim.acked++;
    for (uint32_t i = sim.acked + 1; i <= sim.max_index; i++) {
        uint32_t k = i - sim.acked - 1;
        if (sim.had[i]) {
            bits[k / 8] |= (uint8_t)(1 << k % 8);
            bits_len = (k / 32 + 1) * 4; /* whole words */
        }
    }
    coap_build(&b, out, sizeof(out), COAP_NON, COAP_POST, ++sim.mid, NULL, 0);
    coap_build_option(&b, COAP_OPT_URI_PATH, "A", 1);
    coap_build_option_uint(&b, 2049, sim.acked);
    coap_build_payload(&b, bits, bits_len);
    sim.unacked = 0;
    sim.ack_at_ms = UINT64_MAX;
    if (sim_random(100) >= sim.acks_lost_percent)
        device_sends(&b);
}

static uint32_t option_uint(const struct coap_message *m, uint16_t number)
{
    struct coap_option option;
    uint32_t value;

    assert_true(coap_option_find(m, number, &option) && coap_option_uint(&option, &value));
    return value;
}

static void device_starts(const struct coap_message *m)
{
    struct coap_option option;

    device_says_empty(COAP_ACK, m->mid);
    if (sim.is_running) /* the same once more */
        return;
    sim.starts++;
    if (sim.start_code != 0) {
        device_answers(m, sim.start_code, sim.start_error);
        return;
    }
    assert_int_equal(m->token_len, 1);
    assert_int_equal(option_uint(m, 2057), sim.file_bytes);
    sim.chunk_bytes = option_uint(m, 2065);
    assert_true(sim.chunk_bytes % 4 == 0 && sim.chunk_bytes >= 512 && sim.chunk_bytes <= 1136);
    assert_true(coap_option_find(m, 2061, &option));
    assert_memory_equal(option.value, sim.sha256, 32);
    sim.chunk_count = (sim.file_bytes - sim.start_bytes + sim.chunk_bytes - 1) / sim.chunk_bytes;
    assert_true(sim.chunk_count <= SIM_CHUNKS_MAX);
    memcpy(sim.got, sim.file, sim.start_bytes); /* from an earlier attempt */
    sim.is_running = true;
    device_answers(m, COAP_201_CREATED, NULL);
}

static void device_takes_chunk(const struct coap_message *m)
{
    uint32_t index = option_uint(m, 2049);

    assert_int_equal(m->type, COAP_NON);
    assert_int_equal(m->token_len, 0);
    if (!sim.is_running) {
        device_says_empty(COAP_RST, m->mid);
        return;
    }
    sim.chunks_received++;
    if (sim.drops_chunks)
        return;
    assert_in_range(index, 1, sim.chunk_count);
    uint32_t at = sim.start_bytes + (index - 1) * sim.chunk_bytes;
    uint32_t bytes = sim.file_bytes - at < sim.chunk_bytes ? sim.file_bytes - at : sim.chunk_bytes;
    assert_int_equal(m->payload_len, bytes);
    if (index > sim.acked + sim.room)
        sim.most_beyond++;
    if (sim.had[index]) {
        sim.repeats++;
        device_acks();
        return;
    }
    bool in_order = index == sim.acked + 1 && sim.had_count == sim.acked;
    sim.had[index] = true;
    sim.had_count++;
    if (index > sim.max_index)
        sim.max_index = index;
    memcpy(sim.got + at, m->payload, bytes);
    while (sim.acked < sim.chunk_count && sim.had[sim.acked + 1])
        sim.acked++;
    if (++sim.unacked >= 2 || !in_order || sim.had_count == sim.chunk_count)
        device_acks();
    else
        sim.ack_at_ms = fake_clock_ms + 200;
}

static void device_finishes(const struct coap_message *m)
{
    if (sim.drops_finish)
        return;
    device_says_empty(COAP_ACK, m->mid);
    if (sim.is_finished || sim.accepts_finish)
        return;
    sim.finishes++;
    assert_int_equal(m->token_len, 1);
    assert_int_equal(sim.had_count, sim.chunk_count);
    sim.is_finished = true;
    if (sim.finish_code != 0)
        device_answers(m, sim.finish_code, sim.finish_error);
    else
        device_answers(m, COAP_204_CHANGED, "{\"recv_chunks\":20}");
}

/* Versions 1 and 2, as Device OS 2.3 has them. */

static void legacy_begins(const struct coap_message *m)
{
    uint8_t flag = !sim.is_slow;
    struct bytes_reader r;

    if (sim.start_code != 0) {
        struct coap_builder b;
        uint8_t out[16];
        coap_build(&b, out, sizeof(out), COAP_ACK, sim.start_code, m->mid, m->token, m->token_len);
        device_sends(&b);
        return;
    }
    device_says_empty(COAP_ACK, m->mid);
    if (sim.is_running)
        return;
    sim.starts++;
    bytes_reader_init(&r, m->payload, m->payload_len);
    assert_int_equal(bytes_get_u8(&r), 1);
    sim.chunk_bytes = bytes_get_be16(&r);
    assert_int_equal(bytes_get_be32(&r), sim.file_bytes);
    assert_int_equal(bytes_get_u8(&r), 0);
    assert_int_equal(bytes_get_be32(&r), 0);
    assert_true(!r.bad && bytes_left(&r) == 0);
    sim.chunk_count = (sim.file_bytes + sim.chunk_bytes - 1) / sim.chunk_bytes;
    sim.is_running = true;
    device_answers(m, COAP_204_CHANGED, flag ? "\1" : "\2");
}

static void legacy_takes_chunk(const struct coap_message *m)
{
    struct coap_option_iter it;
    struct coap_option option;
    uint32_t crc = 0, chunk = sim.had_count;
    unsigned queries = 0;

    if (m->type == COAP_CON)
        device_says_empty(COAP_ACK, m->mid);
    if (!sim.is_running || sim.drops_chunks)
        return;
    assert_int_equal(m->token_len, 1);
    coap_options_begin(&it, m);
    while (coap_options_next(&it, &option)) {
        if (option.number != COAP_OPT_URI_QUERY)
            continue;
        if (queries++ == 0) {
            assert_int_equal(option.value_len, 4);
            crc = be32_load(option.value);
        } else {
            assert_int_equal(option.value_len, 2);
            chunk = be16_load(option.value);
        }
    }
    assert_int_equal(queries, sim.is_slow ? 1 : 2);
    assert_int_equal(m->type, sim.is_slow ? COAP_CON : COAP_NON);
    if (sim.is_slow && m->mid == sim.last_mid) /* the same message once more */
        return;
    sim.last_mid = m->mid;
    assert_in_range(chunk, 0, sim.chunk_count - 1);
    sim.chunks_received++;
    sim.flight_count++;
    assert_in_range(sim.flight_count, 0, sim.flight_most);
    bool is_bad = sim.bad_chunks > 0 && sim_random(4) == 0;
    sim.bad_chunks -= is_bad;
    if (crc32(0, m->payload, (uInt)m->payload_len) != crc)
        fail_msg("chunk %u", chunk);
    if (!is_bad && !sim.had[chunk]) {
        uint32_t at = chunk * sim.chunk_bytes;
        assert_true(at + m->payload_len <= sim.file_bytes);
        memcpy(sim.got + at, m->payload, m->payload_len);
        sim.had[chunk] = true;
        sim.had_count++;
    }
    if (sim.is_slow) {
        sim.flight_count = 0;
        device_answers(m, is_bad ? COAP_400_BAD_REQUEST : COAP_204_CHANGED, NULL);
    }
}

static void legacy_lists_missing(void)
{
    struct coap_builder b;
    uint8_t out[128], list[80];
    size_t list_len = 0;
    uint32_t most = sim.flight_count + (sim.flight_count / 5 > 2 ? sim.flight_count / 5 : 2);

    sim.flight_count = 0;
    for (uint32_t i = 0; i < sim.chunk_count && list_len / 2 < most && list_len < sizeof(list); i++) {
        if (sim.had[i])
            continue;
        be16_store(list + list_len, (uint16_t)i);
        list_len += 2;
    }
    sim.lists++;
    coap_build(&b, out, sizeof(out), COAP_CON, COAP_GET, ++sim.mid, NULL, 0);
    coap_build_option(&b, COAP_OPT_URI_PATH, "c", 1);
    coap_build_payload(&b, list, list_len);
    device_insists(&b);
}

static void legacy_is_done(const struct coap_message *m)
{
    struct coap_builder b;
    uint8_t out[32];
    bool whole = sim.had_count == sim.chunk_count;

    if (sim.drops_finish || (!sim.is_running && !sim.is_finished))
        return;
    coap_build(&b, out, sizeof(out), COAP_ACK, whole ? COAP_204_CHANGED : COAP_400_BAD_REQUEST, m->mid,
               m->token, m->token_len);
    if (whole)
        coap_build_payload(&b, "{\"r\":0}", 7);
    device_sends(&b);
    if (m->mid == sim.last_mid && !whole) /* the same message once more: the same answer alone */
        return;
    sim.last_mid = m->mid;
    if (!whole) {
        legacy_lists_missing();
        return;
    }
    sim.finishes += !sim.is_finished;
    sim.is_applied = sim.is_finished = true;
    sim.is_running = false;
}

static void device_takes(const uint8_t *data, size_t data_len)
{
    struct coap_message m;
    char path[8] = "";

    if (sim.is_gone)
        return;
    assert_int_equal(coap_message_decode(&m, data, data_len), COAP_DECODED);
    if (m.type == COAP_ACK) {
        if (m.mid == sim.final_mid && sim.is_finished)
            sim.is_applied = sim.finish_code == 0;
        return;
    }
    if (m.code == COAP_EMPTY) {
        device_says_empty(COAP_ACK, m.mid);
        return;
    }
    assert_true(coap_options_join(&m, COAP_OPT_URI_PATH, '/', path, sizeof(path)));
    if (strcmp(path, "u") == 0) {
        if (m.code == COAP_PUT)
            legacy_is_done(&m);
        else
            legacy_begins(&m);
        return;
    }
    assert_int_equal(m.code, COAP_POST);
    if (strcmp(path, "c") == 0)
        legacy_takes_chunk(&m);
    else if (strcmp(path, "S") == 0)
        device_starts(&m);
    else if (strcmp(path, "C") == 0)
        device_takes_chunk(&m);
    else if (strcmp(path, "F") == 0)
        device_finishes(&m);
    else
        fail_msg("%s", path);
}

/* The owner. */

static void on_started(void *arg, uint32_t start_bytes)
{
    assert_ptr_equal(arg, &sim);
    assert_int_equal(sim.started++, 0);
    sim.started_bytes = start_bytes;
}

static void on_progress(void *arg, uint32_t acked_bytes, uint64_t sent_bytes)
{
    (void)arg;
    (void)sent_bytes;
    assert_true(acked_bytes >= sim.progress_bytes && sim.ended == 0 && sim.sent == 0);
    sim.progress_bytes = acked_bytes;
    sim.progress_count++;
    if (sim.stop_at_bytes > 0 && acked_bytes >= sim.stop_at_bytes)
        device_update_stop(sim.update);
}

static void on_sent(void *arg)
{
    (void)arg;
    assert_int_equal(sim.sent++, 0);
    sim.sent_ms = fake_clock_ms;
    if (sim.finish_at_once)
        device_update_finish(sim.update);
}

static void on_update_ended(void *arg, const struct device_update_result *result)
{
    (void)arg;
    assert_int_equal(sim.ended++, 0);
    sim.ended_ms = fake_clock_ms;
    sim.result = *result;
    sim.update = NULL;
}

static const struct device_update_ops sim_ops = {on_started, on_progress, on_sent, on_update_ended};

static struct device *sim_device(void)
{
    struct device_id id = bench_id(BORON);

    return devices_find(bench.all, &id);
}

static inline int sim_setup(void **state)
{
    memset(&sim, 0, sizeof(sim));
    sim.random = 88172645463325252u;
    sim.delay_ms = 20;
    sim.room = 128;
    sim.mid = 100;
    sim.flight_most = 40;
    sim.ack_at_ms = UINT64_MAX;
    sim.finish_at_once = true;
    sim.file_bytes = 100000;
    for (size_t i = 0; i < SIM_FILE_MAX; i++)
        sim.file[i] = (uint8_t)sim_random(256);
    bench_setup(state);
    sim.session = bench_online(SESSION_DEVICE_OS);
    bench.on_sent = on_server_sends;
    return 0;
}

static inline int sim_teardown(void **state)
{
    while (sim.event_count > 0)
        free(sim_pop());
    bench.on_sent = NULL;
    return bench_teardown(state);
}

/* It says Hello again, as a system of that kind. */
static inline void sim_says_hello(const char *hex)
{
    bench_receive(sim.session, hex);
    bench_answer(bench.asked_count - 1, DEVICE_STORED);
}

static inline void sim_start(void)
{
    const char *why;

    SHA256(sim.file, sim.file_bytes, sim.sha256);
    struct device_update_order order = {sim.file, sim.file_bytes, sim.sha256, 5};
    sim.begun_ms = fake_clock_ms;
    sim.update = device_update_start(sim_device(), &order, &sim_ops, &sim, &why);
    assert_non_null(sim.update);
    assert_null(why);
    assert_int_equal(sim.started + sim.sent + sim.ended, 0);
}

/* To the next thing that happens. False when nothing will. */
static inline bool sim_step(void)
{
    uint64_t next_ms = UINT64_MAX, wait_ms = deadlines_next(&bench.deadlines, fake_clock_ms);

    if (wait_ms != UINT64_MAX)
        next_ms = fake_clock_ms + wait_ms;
    if (sim.event_count > 0 && sim.events[0]->at_ms < next_ms)
        next_ms = sim.events[0]->at_ms;
    if (sim.ack_at_ms < next_ms)
        next_ms = sim.ack_at_ms;
    if (next_ms == UINT64_MAX)
        return false;
    if (next_ms > fake_clock_ms)
        fake_clock_ms = next_ms;
    bench.now_ms = fake_clock_ms;
    if (sim.ack_at_ms <= fake_clock_ms)
        device_acks();
    while (sim.event_count > 0 && sim.events[0]->at_ms <= fake_clock_ms) {
        struct sim_event *event = sim_pop();
        if (event->to_device && fake_clock_ms < sim.busy_to_ms) { /* one message in each of its turns */
            event->at_ms = sim.busy_to_ms;
            sim_push(event);
            continue;
        }
        if (event->to_device) {
            sim.busy_to_ms = fake_clock_ms + sim.turn_ms;
            device_takes(event->data, event->data_len);
        } else if (is_session_open(sim.session, open_ids[0])) {
            sim.session->heard_ms = fake_clock_ms;
            devices_dtls_ops.receive(bench.all, sim.session, event->data, event->data_len, fake_clock_ms);
        }
        free(event);
    }
    deadlines_run_some(&bench.deadlines, fake_clock_ms, 256);
    return true;
}

/* Until it has ended, or that long. */
static inline void sim_run(uint64_t most_ms)
{
    uint64_t until_ms = fake_clock_ms + most_ms;

    while (sim.ended == 0 && fake_clock_ms < until_ms && sim_step()) {
        if (sim.hold_at_bytes > 0 && sim.progress_bytes >= sim.hold_at_bytes)
            return;
    }
}

#endif
