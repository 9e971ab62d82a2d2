/* device_bench.h: struct devices between a faked DTLS endpoint and a faked registry, for the tests of the
 * device room.
 *
 * Included by one .c file of a test program: it defines dtls_send, dtls_end, dtls_name,
 * dtls_conclude, dtls_changed and dtls_prove. What the room asks
 * of the registry waits in bench.asked until the test answers it. */
#ifndef CYAN_TESTS_DEVICE_BENCH_H
#define CYAN_TESTS_DEVICE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "device/devices.h"

#define BENCH_LOG_MAX 256
#define OFFLINE_AFTER_MS 600000
#define HELLO_TIMEOUT_MS 30000
#define BORON "e00fce68ffffffff00000001"
#define BORON_HELLO                                                                                          \
    "40020001b168ff000d000300f6000d000ce00fce68ffffffff000000011838048000177000"                             \
    "0200"

enum asked_kind { ASKED_ADMISSION, ASKED_HELLO, ASKED_DESCRIBE, ASKED_EVENT, ASKED_SUBSCRIPTION };

struct asked {
    enum asked_kind kind;
    bool answered;
    device_admit_fn *admit;
    device_done_fn *done;
    void *arg;
    struct device_facts facts;
    struct hello hello;
    bool enrol;
    size_t spki_len;
    unsigned parts;
    size_t module_count, function_count, variable_count, metric_count;
    uint16_t module_version;
    struct device_event event;
    char name[DEVICE_EVENT_NAME_MAX + 1];
    uint8_t data[DEVICE_EVENT_DATA_MAX];
    struct device_subscription subscription;
    uint64_t generation;
};
struct told {
    enum { TOLD_ONLINE, TOLD_OFFLINE, TOLD_HEARD } kind;
    struct device_facts facts;
    bool resumed;
    enum device_offline_reason reason;
    bool has_goodbye;
    struct device_goodbye goodbye;
};
struct sent {
    uint64_t session_id;
    uint8_t data[1400];
    size_t data_len;
};
struct ended {
    uint64_t session_id;
    enum session_end why;
    bool tell_peer;
};

static struct {
    struct deadlines deadlines;
    struct metrics *metrics;
    struct devices *all;
    uint64_t now_ms, next_session_id;
    struct asked asked[BENCH_LOG_MAX];
    struct told told[BENCH_LOG_MAX];
    struct sent sent[BENCH_LOG_MAX];
    struct ended ended[BENCH_LOG_MAX];
    struct handshake_attempt attempts[BENCH_LOG_MAX];
    size_t asked_count, told_count, sent_count, ended_count, attempt_count, welcome_count;
    size_t changed_count, proved_count;
    /* When set, takes what is sent instead of the log. */
    void (*on_sent)(struct session *s, const uint8_t *data, size_t data_len);
} bench;

/* The DTLS endpoint. */

bool dtls_send(struct session *s, const uint8_t *data, size_t data_len)
{
    if (bench.on_sent != NULL) {
        bench.on_sent(s, data, data_len);
        return true;
    }
    struct sent *sent = &bench.sent[bench.sent_count++];
    assert_true(bench.sent_count < BENCH_LOG_MAX && data_len <= sizeof(sent->data));
    sent->session_id = s->id;
    sent->data_len = data_len;
    memcpy(sent->data, data, data_len);
    return true;
}

void dtls_name(struct session *s, const uint8_t name[SESSION_NAME_BYTES])
{
    memcpy(s->name, name, sizeof s->name);
    s->named = true;
}

void dtls_changed(struct session *s)
{
    (void)s;
    bench.changed_count++;
}

void dtls_prove(struct session *s)
{
    (void)s;
    bench.proved_count++;
}

/* As the real one; attempts that were welcome are only counted. */
void dtls_conclude(struct session *s, enum handshake_outcome outcome, const char *stage)
{
    struct handshake_attempt *attempt = s->attempt;

    if (attempt == NULL)
        return;
    s->attempt = NULL;
    attempt->outcome = outcome;
    attempt->stage = stage;
    if (outcome == HANDSHAKE_OK)
        bench.welcome_count++;
    else
        devices_dtls_ops.attempted(bench.all, attempt);
    free(attempt);
}

void dtls_end(struct session *s, enum session_end why, bool tell_peer)
{
    bench.ended[bench.ended_count++] = (struct ended){s->id, why, tell_peer};
    devices_dtls_ops.ended(bench.all, s, why);
    dtls_conclude(s, HANDSHAKE_OK, "");
    free(s);
}

/* The registry. */

static struct asked *ask(enum asked_kind kind, const struct device_facts *facts, device_done_fn *done,
                         void *arg)
{
    struct asked *asked = &bench.asked[bench.asked_count++];

    assert_true(bench.asked_count < BENCH_LOG_MAX);
    *asked = (struct asked){.kind = kind, .done = done, .arg = arg};
    if (facts != NULL)
        asked->facts = *facts;
    return asked;
}

static void on_find_psk(void *ctx, const char *identity, struct dtls_psk_query *query)
{
    (void)ctx;
    assert_string_equal(identity, BORON);
    assert_ptr_equal(query, &bench);
    bench.next_session_id += 1000;
}

static void on_authorise(void *ctx, const struct session_proof *proof, device_admit_fn *answer, void *arg)
{
    struct asked *asked = ask(ASKED_ADMISSION, NULL, NULL, arg);

    (void)ctx;
    asked->admit = answer;
    asked->spki_len = proof->spki_len;
}

static void on_hello(void *ctx, const struct device_facts *facts, const struct hello *hello, bool enrol,
                     const uint8_t *spki, size_t spki_len, device_done_fn *done, void *arg)
{
    struct asked *asked = ask(ASKED_HELLO, facts, done, arg);

    (void)ctx;
    asked->hello = *hello;
    asked->enrol = enrol;
    asked->spki_len = spki_len;
    for (size_t i = 0; i < spki_len; i++)
        assert_int_equal(spki[i], 0x5a);
}

static void on_describe(void *ctx, const struct device_facts *facts, const struct describe *d,
                        device_done_fn *done, void *arg)
{
    struct asked *asked = ask(ASKED_DESCRIBE, facts, done, arg);

    (void)ctx;
    asked->parts = d->parts;
    asked->module_count = d->module_count;
    asked->function_count = d->function_count;
    asked->variable_count = d->variable_count;
    asked->metric_count = d->metric_count;
    if (d->module_count > 0)
        asked->module_version = d->modules[d->module_count - 1].version;
}

static void on_event(void *ctx, const struct device_facts *facts, const struct device_event *event,
                     device_done_fn *done, void *arg)
{
    struct asked *asked = ask(ASKED_EVENT, facts, done, arg);

    (void)ctx;
    asked->event = *event;
    strcpy(asked->name, event->name);
    if (event->data_len > 0)
        memcpy(asked->data, event->data, event->data_len);
}

static void on_subscription(void *ctx, const struct device_facts *facts,
                            const struct device_subscription *subscription, uint64_t generation,
                            device_done_fn *done, void *arg)
{
    struct asked *asked = ask(ASKED_SUBSCRIPTION, facts, done, arg);

    (void)ctx;
    asked->subscription = *subscription;
    asked->generation = generation;
}

static struct told *tell(int kind, const struct device_facts *facts)
{
    struct told *told = &bench.told[bench.told_count++];

    assert_true(bench.told_count < BENCH_LOG_MAX);
    *told = (struct told){.facts = *facts};
    told->kind = kind;
    return told;
}

static void on_online(void *ctx, const struct device_facts *facts, bool resumed)
{
    (void)ctx;
    tell(TOLD_ONLINE, facts)->resumed = resumed;
}

static void on_heard(void *ctx, const struct device_facts *facts, uint64_t wall_ms)
{
    (void)ctx;
    assert_true(wall_ms > 1500000000000u);
    tell(TOLD_HEARD, facts);
}

static void on_offline(void *ctx, const struct device_facts *facts, enum device_offline_reason reason,
                       const struct device_goodbye *goodbye)
{
    struct told *told = tell(TOLD_OFFLINE, facts);

    (void)ctx;
    told->reason = reason;
    told->has_goodbye = goodbye != NULL;
    if (goodbye != NULL)
        told->goodbye = *goodbye;
}

static void on_attempted(void *ctx, const struct handshake_attempt *attempt)
{
    (void)ctx;
    bench.attempts[bench.attempt_count++] = *attempt;
}

static const struct device_ops bench_ops = {
    .find_psk = on_find_psk,
    .authorise = on_authorise,
    .hello = on_hello,
    .describe = on_describe,
    .event = on_event,
    .subscription = on_subscription,
    .online = on_online,
    .heard = on_heard,
    .offline = on_offline,
    .attempted = on_attempted,
};

static inline int bench_setup(void **state)
{
    static const struct devices_settings settings = {OFFLINE_AFTER_MS, HELLO_TIMEOUT_MS};

    (void)state;
    log_set_level(LOG_ERROR);
    memset(&bench, 0, sizeof(bench));
    bench.next_session_id = 0x1122334455667700;
    bench.now_ms = clock_ms();
    deadlines_init(&bench.deadlines);
    bench.metrics = metrics_new();
    bench.all = devices_new(&bench.deadlines, &bench_ops, bench.metrics, &settings);
    return 0;
}

static inline void bench_run(uint64_t later_ms)
{
    bench.now_ms = clock_ms() + later_ms;
    deadlines_run(&bench.deadlines, bench.now_ms);
}

static inline void bench_answer(size_t i, enum device_verdict verdict)
{
    assert_true(i < bench.asked_count && !bench.asked[i].answered && bench.asked[i].done != NULL);
    bench.asked[i].answered = true;
    bench.asked[i].done(bench.asked[i].arg, verdict);
}

/* Sessions still open are ended as dtls_free would; questions still open are answered as at the end of the
 * process. */
static struct session *open_sessions[BENCH_LOG_MAX];

static inline bool is_session_open(const struct session *s, uint64_t id)
{
    for (size_t i = 0; i < bench.ended_count; i++) {
        if (bench.ended[i].session_id == id)
            return false;
    }
    return s != NULL;
}

static uint64_t open_ids[BENCH_LOG_MAX];
static size_t open_count;

static inline int bench_teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < open_count; i++) {
        if (is_session_open(open_sessions[i], open_ids[i]))
            dtls_end(open_sessions[i], SESSION_END_SHUTDOWN, false);
    }
    open_count = 0;
    devices_free(bench.all); /* with callbacks still to come */
    for (size_t i = 0; i < bench.asked_count; i++) {
        struct asked *asked = &bench.asked[i];
        if (asked->answered)
            continue;
        if (asked->kind == ASKED_ADMISSION)
            asked->admit(asked->arg, DEVICE_REFUSE_AWAY, NULL);
        else
            asked->done(asked->arg, DEVICE_BUSY);
    }
    metrics_free(bench.metrics);
    assert_true(deadlines_next(&bench.deadlines, 0) == UINT64_MAX);
    deadlines_deinit(&bench.deadlines);
    return 0;
}

/* A finished handshake; its admission is the newest of bench.asked. */
static inline struct session *bench_open(enum session_profile profile)
{
    struct session *s = mem_alloc(sizeof(*s));
    struct session_proof proof = {.profile = profile, .spki_len = profile == SESSION_PSK ? 0 : 91};

    memset(proof.spki, 0x5a, proof.spki_len);
    memset(proof.key_sha256, profile == SESSION_PSK ? 0 : 0xc5, sizeof(proof.key_sha256));
    if (profile == SESSION_PSK)
        strcpy(proof.identity, BORON);
    s->profile = profile;
    s->id = bench.next_session_id++;
    s->heard_ms = bench.now_ms;
    s->path.peer_ip[10] = s->path.peer_ip[11] = 0xff;
    s->path.peer_ip[12] = 10;
    s->path.peer_ip[15] = 7;
    s->path.peer_port = 40000;
    s->attempt = mem_alloc(sizeof(*s->attempt));
    s->attempt->profile = session_profile_name(profile);
    s->attempt->path = s->path;
    memcpy(s->attempt->key_sha256, proof.key_sha256, sizeof(proof.key_sha256));
    memcpy(s->attempt->identity, proof.identity, sizeof(proof.identity));
    open_sessions[open_count] = s;
    open_ids[open_count++] = s->id;
    devices_dtls_ops.established(bench.all, s, &proof);
    assert_int_equal(bench.asked[bench.asked_count - 1].kind, ASKED_ADMISSION);
    return s;
}

static inline struct device_id bench_id(const char *text)
{
    struct device_id id;

    assert_true(device_id_parse(&id, text, strlen(text)));
    return id;
}

static inline void bench_admit(enum device_admission admission, const char *id_text)
{
    struct device_id id;
    struct asked *asked = NULL;

    for (size_t i = 0; i < bench.asked_count; i++) {
        if (bench.asked[i].kind == ASKED_ADMISSION && !bench.asked[i].answered)
            asked = &bench.asked[i];
    }
    assert_non_null(asked);
    asked->answered = true;
    if (id_text != NULL)
        id = bench_id(id_text);
    asked->admit(asked->arg, admission, id_text != NULL ? &id : NULL);
}

static inline void bench_receive(struct session *s, const char *hex)
{
    size_t data_len = strlen(hex) / 2;
    uint8_t *data = mem_alloc(data_len); /* exactly: one byte too many is seen */

    assert_true(hex_decode(data, data_len, hex, strlen(hex)));
    s->heard_ms = bench.now_ms;
    devices_dtls_ops.receive(bench.all, s, data, data_len, bench.now_ms);
    free(data);
}

/* The newest message sent, as hex. */
static inline const char *bench_sent_hex(void)
{
    static char hex[2 * 1400 + 1];
    const struct sent *sent = &bench.sent[bench.sent_count - 1];

    if (bench.sent_count == 0)
        return "";
    hex_encode(hex, sent->data, sent->data_len);
    return hex;
}

/* A device of that profile that has said Hello and is online; the logs are empty again. */
static inline struct session *bench_online(enum session_profile profile)
{
    struct session *s = bench_open(profile);

    bench_admit(DEVICE_ADMIT, BORON);
    bench_receive(s, BORON_HELLO);
    bench_answer(bench.asked_count - 1, DEVICE_STORED);
    assert_string_equal(bench_sent_hex(), "60000001");
    bench.asked_count = bench.told_count = bench.sent_count = 0;
    return s;
}

/* The value of a line of /metrics, known by all before its last space; 0 when there is none. */
static inline unsigned long bench_metric(const char *name)
{
    char key[128];
    size_t text_len;
    char *text = metrics_print(bench.metrics, &text_len);

    int key_len = snprintf(key, sizeof(key), "\n%s ", name);
    const char *line = strstr(text, key);
    unsigned long value = line != NULL ? strtoul(line + key_len, NULL, 10) : 0;
    free(text);
    return value;
}

static inline unsigned long bench_refused(const char *reason)
{
    char name[96];

    snprintf(name, sizeof(name), "cyan_device_refused_total{reason=\"%s\"}", reason);
    return bench_metric(name);
}

#endif
