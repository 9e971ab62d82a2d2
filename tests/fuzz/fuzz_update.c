/* fuzz_update.c: what a device may say while it is updated, in both protocols. The first byte chooses the
 * system; then each control byte is a message of so many bytes, an answer to our newest request, an
 * acknowledgement of chunks, the passing of time, or something the owner does. */
#include "../unit/fake_clock.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "device/devices.h"
#include "device/update.h"

#define FILE_BYTES 30000
#define SAY_MAX 199 /* control bytes up to it are lengths */

static const char id_text[] = "e00fce68ffffffff00000001";
static uint8_t file[FILE_BYTES], sha256[32];

static struct {
    struct deadlines deadlines;
    struct metrics *metrics;
    struct devices *all;
    struct session *session;
    struct device_update *update;
    device_done_fn *hello_done;
    void *hello_arg;
    uint16_t request_mid, mid;
    uint8_t request_token;
    bool is_started, is_sent, is_finishing;
    uint32_t acked_bytes;
} f;

bool dtls_send(struct session *s, const uint8_t *data, size_t data_len)
{
    struct coap_message m;

    must(s == f.session && data_len <= COAP_MESSAGE_MAX);
    must(coap_message_decode(&m, data, data_len) == COAP_DECODED);
    if (m.type == COAP_CON && m.token_len == 1) {
        f.request_mid = m.mid;
        f.request_token = m.token[0];
    }
    must(m.type != COAP_RST);
    return true;
}

void dtls_name(struct session *s, const uint8_t name[SESSION_NAME_BYTES])
{
    memcpy(s->name, name, SESSION_NAME_BYTES);
}

void dtls_changed(struct session *s)
{
    (void)s;
}

void dtls_prove(struct session *s)
{
    (void)s;
}

void dtls_conclude(struct session *s, enum handshake_outcome outcome, const char *stage)
{
    (void)s;
    (void)outcome;
    (void)stage;
}

void dtls_end(struct session *s, enum session_end why, bool tell_peer)
{
    (void)tell_peer;
    devices_dtls_ops.ended(f.all, s, why);
    free(s);
    f.session = NULL;
}

/* The registry: everything is fine at once, but from the loop. */

static void on_authorise(void *ctx, const struct session_proof *proof, device_admit_fn *answer, void *arg)
{
    struct device_id id;
    bool parsed = device_id_parse(&id, id_text, strlen(id_text));

    (void)ctx;
    (void)proof;
    must(parsed);
    answer(arg, DEVICE_ADMIT, &id);
}

static void on_hello(void *ctx, const struct device_facts *facts, const struct hello *hello, bool enrol,
                     const uint8_t *spki, size_t spki_len, device_done_fn *done, void *arg)
{
    (void)ctx;
    (void)facts;
    (void)hello;
    (void)enrol;
    (void)spki;
    (void)spki_len;
    if (f.hello_done != NULL)
        f.hello_done(f.hello_arg, DEVICE_BUSY);
    f.hello_done = done;
    f.hello_arg = arg;
}

static void on_describe(void *ctx, const struct device_facts *facts, const struct describe *d,
                        device_done_fn *done, void *arg)
{
    (void)ctx;
    (void)facts;
    (void)d;
    done(arg, DEVICE_STORED);
}

static void on_event(void *ctx, const struct device_facts *facts, const struct device_event *event,
                     device_done_fn *done, void *arg)
{
    (void)ctx;
    (void)facts;
    (void)event;
    done(arg, DEVICE_STORED);
}

static void on_subscription(void *ctx, const struct device_facts *facts,
                            const struct device_subscription *subscription, uint64_t generation,
                            device_done_fn *done, void *arg)
{
    (void)ctx;
    (void)facts;
    (void)subscription;
    (void)generation;
    done(arg, DEVICE_STORED);
}

static void on_online(void *ctx, const struct device_facts *facts, bool resumed)
{
    (void)ctx;
    (void)facts;
    (void)resumed;
}

static void on_heard(void *ctx, const struct device_facts *facts, uint64_t wall_ms)
{
    (void)ctx;
    (void)facts;
    (void)wall_ms;
}

static void on_offline(void *ctx, const struct device_facts *facts, enum device_offline_reason reason,
                       const struct device_goodbye *goodbye)
{
    (void)ctx;
    (void)facts;
    (void)reason;
    (void)goodbye;
}

static const struct device_ops ops = {
    .authorise = on_authorise,
    .hello = on_hello,
    .describe = on_describe,
    .event = on_event,
    .subscription = on_subscription,
    .online = on_online,
    .heard = on_heard,
    .offline = on_offline,
};

/* The owner. */

static void on_started(void *arg, uint32_t start_bytes)
{
    (void)arg;
    must(!f.is_started && start_bytes <= FILE_BYTES);
    f.is_started = true;
    f.acked_bytes = start_bytes;
}

static void on_progress(void *arg, uint32_t acked_bytes, uint64_t sent_bytes)
{
    (void)arg;
    (void)sent_bytes;
    must(f.is_started && !f.is_sent && acked_bytes >= f.acked_bytes && acked_bytes <= FILE_BYTES);
    f.acked_bytes = acked_bytes;
}

static void on_sent(void *arg)
{
    (void)arg;
    must(f.is_started && !f.is_sent && f.acked_bytes == FILE_BYTES);
    f.is_sent = true;
}

static void on_ended(void *arg, const struct device_update_result *result)
{
    (void)arg;
    must(f.update != NULL && result->acked_bytes <= FILE_BYTES);
    must(result->resent_bytes <= result->sent_bytes);
    must(result->end != DEVICE_UPDATE_VALIDATED || f.is_finishing);
    must(memchr(result->message, '\0', sizeof(result->message)) != NULL);
    f.update = NULL;
}

static void receive(const uint8_t *data, size_t data_len)
{
    uint8_t *copy = malloc(data_len > 0 ? data_len : 1); /* exactly: one byte too many is seen */

    if (data_len > 0)
        memcpy(copy, data, data_len);
    if (f.session != NULL) {
        f.session->heard_ms = fake_clock_ms;
        devices_dtls_ops.receive(f.all, f.session, copy, data_len, fake_clock_ms);
    }
    free(copy);
}

static void pass(uint64_t ms)
{
    fake_clock_ms += ms;
    deadlines_run_some(&f.deadlines, fake_clock_ms, 256);
}

/* type and code, our newest request's message ID or one of its own, its token, then what the fuzzer says. */
static void answer(enum coap_type type, uint8_t code, const uint8_t *tail, size_t tail_len)
{
    uint8_t out[5 + SAY_MAX];

    out[0] = (uint8_t)(0x41 | type << 4);
    out[1] = code;
    be16_store(out + 2, type == COAP_ACK ? f.request_mid : ++f.mid);
    out[4] = f.request_token;
    if (tail_len > 0)
        memcpy(out + 5, tail, tail_len);
    receive(out, 5 + tail_len);
}

/* UpdateAck, or the list of what is missing. */
static void say(const char *head, const uint8_t *tail, size_t tail_len)
{
    uint8_t out[16 + SAY_MAX];
    size_t head_len = strlen(head) / 2;
    bool decoded = hex_decode(out, head_len, head, strlen(head));

    must(decoded);
    be16_store(out + 2, ++f.mid);
    if (tail_len > 0)
        memcpy(out + head_len, tail, tail_len);
    receive(out, head_len + tail_len);
}

static void start(void)
{
    struct device_update_order order = {file, FILE_BYTES, sha256, 5};
    static const struct device_update_ops update_ops = {on_started, on_progress, on_sent, on_ended};
    struct device_id id;
    const char *why;
    bool parsed = device_id_parse(&id, id_text, strlen(id_text));

    must(parsed);
    struct device *device = devices_find(f.all, &id);
    if (device == NULL || f.update != NULL)
        return;
    f.is_started = f.is_sent = f.is_finishing = false;
    f.update = device_update_start(device, &order, &update_ops, NULL, &why);
    must(f.update != NULL || why != NULL);
}

static void act(uint8_t control)
{
    switch (control) {
    case 230:
        start();
        return;
    case 231:
        if (f.update != NULL && f.is_sent && !f.is_finishing) {
            f.is_finishing = true;
            device_update_finish(f.update);
        }
        return;
    case 232:
        if (f.update != NULL && !f.is_finishing)
            device_update_stop(f.update);
        return;
    case 233:
        if (f.hello_done != NULL)
            f.hello_done(f.hello_arg, DEVICE_STORED);
        f.hello_done = NULL;
        return;
    case 234:
        if (f.session != NULL)
            dtls_end(f.session, SESSION_END_PEER_CLOSED, false);
        return;
    default:
        pass(control < 250 ? control - 205u : (control - 249u) * 10000u);
        return;
    }
}

static void open_session(bool is_legacy)
{
    struct session_proof proof = {.profile = SESSION_DEVICE_OS, .spki_len = 91};
    uint8_t hello[64];
    static const char text[] = "40020001b168ff000d000300f6000d000ce00fce68ffffffff00000001183804800017"
                               "70000200";
    bool decoded = hex_decode(hello, strlen(text) / 2, text, strlen(text));

    must(decoded);
    if (is_legacy)
        hello[12] &= 0x7f;
    f.session = mem_alloc(sizeof(*f.session));
    f.session->profile = SESSION_DEVICE_OS;
    f.session->id = 1;
    f.mid = 1;
    devices_dtls_ops.established(f.all, f.session, &proof);
    receive(hello, strlen(text) / 2);
    act(233);
    start();
    must(f.update != NULL);
}

static void run(const uint8_t *data, size_t data_len)
{
    struct bytes_reader r;

    bytes_reader_init(&r, data, data_len);
    while (bytes_left(&r) > 0) {
        uint8_t control = bytes_get_u8(&r);
        if (control > 205) {
            act(control);
            continue;
        }
        size_t len = control <= SAY_MAX ? control : bytes_get_u8(&r) % 64;
        uint8_t code = control == 200 || control == 201 ? bytes_get_u8(&r) : 0;
        len = len < bytes_left(&r) ? len : bytes_left(&r);
        const uint8_t *said = bytes_get(&r, len);
        if (control <= SAY_MAX)
            receive(said, len);
        else if (control <= 201)
            answer(control == 200 ? COAP_ACK : COAP_CON, code, said, len);
        else
            say(control == 202   ? "50020000b141"
                : control == 203 ? "40010000b163ff"
                                 : "40030000b175",
                said, len);
        pass(0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

/* The devices are made once: their metrics take longer than a run. */
static void set_up(void)
{
    static const struct devices_settings settings = {600000, 30000};

    log_set_level(LOG_ERROR);
    fake_clock_ms = 1000000;
    deadlines_init(&f.deadlines);
    f.metrics = metrics_new();
    f.all = devices_new(&f.deadlines, &ops, f.metrics, &settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    if (data_len == 0)
        return 0;
    if (f.all == NULL)
        set_up();
    open_session(data[0] & 1);
    run(data + 1, data_len - 1);
    if (f.session != NULL)
        dtls_end(f.session, SESSION_END_SHUTDOWN, false);
    must(f.update == NULL); /* each that was started has ended */
    if (f.hello_done != NULL)
        f.hello_done(f.hello_arg, DEVICE_BUSY);
    f.hello_done = NULL;
    while (deadlines_next(&f.deadlines, 0) != UINT64_MAX) /* the wheel's, the pacer's: nothing of a session */
        pass(10000);
    return 0;
}
