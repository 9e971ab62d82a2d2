#include "swarm_bench.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_coap.h"
#include "swarm_loop.h"
#include "swarm_messages.h"
#include "swarm_server_key.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ANSWER_WAIT_MS 2000
#define RETRY_MS 50
#define SETUP_MAX_MS 60000
#define UNDER_WAY_MAX 64

enum exchange { EXCHANGE_GET, EXCHANGE_PING, EXCHANGE_HELLO };
enum client_state { CLIENT_CONNECTING, CLIENT_IDLE, CLIENT_WAITING };

struct bench;
struct bench_client {
    struct deadline watchdog; /* must stay first */
    struct swarm_session session;
    struct swarm_credentials credentials;
    struct bench *bench;
    const struct swarm_model *model; /* NULL with --identity */
    enum client_state state;
    uint16_t mid;
    bool greeted; /* Device OS: Hello is acknowledged */
};

struct bench {
    struct swarm_loop loop;
    const struct swarm_options *options;
    struct deadline end;
    struct bench_client *clients;
    uint32_t client_count, up_count;
    uint32_t turn; /* the session that exchanges next */
    enum exchange exchange;
    bool handshakes, measuring;
    uint64_t handshake_count, exchange_count, error_count, start_ms;
    double server_cpu_s, own_cpu_s, wall_s;
    uint8_t psk[64];
};

/* utime + stime of /proc/PID/stat, fields 14 and 15: the 12th and 13th word after the name (proc(5)). */
static double process_cpu_s(double pid)
{
    char path[64], line[1024], *word, *save = NULL;
    unsigned long long ticks = 0;
    FILE *file;

    if (pid < 1)
        return 0;
    (void)snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    file = fopen(path, "re");
    if (!file)
        return 0;
    word = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
    (void)fclose(file);
    if (!word)
        return 0;
    word = strtok_r(word + 1, " ", &save);
    for (int i = 1; word && i <= 13; i++, word = strtok_r(NULL, " ", &save))
        if (i >= 12)
            ticks += strtoull(word, NULL, 10);
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu_s(void)
{
    struct rusage use;

    if (getrusage(RUSAGE_SELF, &use) != 0)
        return 0;
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void on_watchdog(struct deadline *deadline, uint64_t now_ms);

static void watch(struct bench_client *c, uint64_t wait_ms)
{
    deadline_set(&c->bench->loop.deadlines, &c->watchdog, clock_ms() + wait_ms, on_watchdog);
}

static void connect_client(struct bench_client *c)
{
    c->state = CLIENT_CONNECTING;
    c->greeted = false;
    if (!swarm_session_open(&c->session, &c->credentials, clock_ms())) {
        c->bench->error_count++;
        watch(c, RETRY_MS);
    }
}

static void put_get(struct swarm_coap_out *out, uint16_t mid, const char *path)
{
    struct swarm_coap_token token = {.bytes = {(uint8_t)mid}, .len = 1};

    swarm_coap_begin(out, SWARM_CON, SWARM_GET, mid, &token);
    while (*path) {
        size_t len;

        path += strspn(path, "/");
        len = strcspn(path, "/");
        if (len > 0)
            swarm_coap_option(out, SWARM_OPT_PATH, path, len);
        path += len;
    }
}

static void request(struct bench_client *c)
{
    struct bench *b = c->bench;
    struct swarm_coap_out out;
    bool hello = b->exchange == EXCHANGE_HELLO && !c->greeted;

    c->mid++;
    if (hello)
        swarm_message_hello(&out, c->mid, c->model);
    else if (b->exchange == EXCHANGE_GET)
        put_get(&out, c->mid, b->options->path);
    else
        swarm_coap_begin(&out, SWARM_CON, 0, c->mid, NULL);
    c->state = CLIENT_WAITING;
    watch(c, ANSWER_WAIT_MS);
    if (out.bad || !swarm_session_send(&c->session, out.bytes, out.len))
        b->error_count++;
}

static void measure_begin(struct bench *b)
{
    b->measuring = true;
    b->handshake_count = b->exchange_count = b->error_count = 0;
    b->start_ms = clock_ms();
    b->server_cpu_s = process_cpu_s(b->options->server_pid);
    b->own_cpu_s = own_cpu_s();
}

static void measure_end(struct bench *b)
{
    b->measuring = false;
    b->wall_s = (double)(clock_ms() - b->start_ms) / 1000.0;
    b->server_cpu_s = process_cpu_s(b->options->server_pid) - b->server_cpu_s;
    b->own_cpu_s = own_cpu_s() - b->own_cpu_s;
}

static void on_end(struct deadline *deadline, uint64_t now_ms)
{
    struct bench *b = (struct bench *)(void *)((char *)deadline - offsetof(struct bench, end));

    (void)now_ms;
    if (b->measuring)
        measure_end(b);
    swarm_loop_end(&b->loop);
}

/* Sessions take turns, so that all of them are in use while few exchanges are under way: more would only show
 * the size of the server's socket buffer. */
static void request_by_next(struct bench *b)
{
    for (uint32_t tried = 0; tried < b->client_count; tried++) {
        struct bench_client *c = &b->clients[b->turn++ % b->client_count];

        if (c->state == CLIENT_IDLE) {
            request(c);
            return;
        }
    }
}

/* All clients of "exchanges" have their session: the clock starts. */
static void start_exchanges(struct bench *b)
{
    measure_begin(b);
    deadline_set(&b->loop.deadlines, &b->end, clock_ms() + (uint64_t)(b->options->seconds * 1000), on_end);
    for (uint32_t i = 0; i < b->client_count && i < UNDER_WAY_MAX; i++)
        request_by_next(b);
}

static void on_up(void *owner)
{
    struct bench_client *c = owner;
    struct bench *b = c->bench;

    b->handshake_count++;
    c->state = CLIENT_IDLE;
    deadline_cancel(&b->loop.deadlines, &c->watchdog);
    if (b->handshakes || b->measuring || b->exchange == EXCHANGE_HELLO) {
        request(c);
        return;
    }
    if (++b->up_count == b->client_count)
        start_exchanges(b);
}

static void on_failed(void *owner, enum swarm_dtls_result result, uint8_t alert)
{
    struct bench_client *c = owner;

    c->bench->error_count++;
    if (c->bench->error_count == 1)
        (void)fprintf(stderr, "bench: first failure: %s %u\n", swarm_dtls_result_name(result), alert);
    watch(c, RETRY_MS);
}

static void on_ended(void *owner, uint8_t alert)
{
    struct bench_client *c = owner;

    (void)alert;
    c->bench->error_count++;
    watch(c, RETRY_MS);
}

static void on_watchdog(struct deadline *deadline, uint64_t now_ms)
{
    struct bench_client *c = (struct bench_client *)(void *)deadline;

    (void)now_ms;
    if (c->session.state != SWARM_SESSION_UP) {
        connect_client(c);
        return;
    }
    c->bench->error_count++;
    request(c);
}

/* A separate response: the server sent an empty acknowledgement before it. */
static void acknowledge(struct bench_client *c, uint16_t mid)
{
    struct swarm_coap_out out;

    swarm_coap_begin(&out, SWARM_ACK, 0, mid, NULL);
    swarm_session_send(&c->session, out.bytes, out.len);
}

static bool is_answer(struct bench_client *c, const struct swarm_coap_in *in)
{
    if (in->type == SWARM_CON && in->code >= SWARM_COAP_CODE(2, 0))
        acknowledge(c, in->mid);
    if (c->state != CLIENT_WAITING)
        return false;
    if (c->bench->exchange != EXCHANGE_GET)
        return in->type >= SWARM_ACK && in->mid == c->mid;
    return in->code >= SWARM_COAP_CODE(2, 0) && in->token.len == 1 && in->token.bytes[0] == (uint8_t)c->mid;
}

static void on_message(void *owner, const uint8_t *data, size_t data_len)
{
    struct bench_client *c = owner;
    struct bench *b = c->bench;
    struct swarm_coap_in in;

    if (!swarm_coap_parse(&in, data, data_len) || !is_answer(c, &in))
        return;
    c->state = CLIENT_IDLE;
    deadline_cancel(&b->loop.deadlines, &c->watchdog);
    if (in.code >= SWARM_COAP_CODE(4, 0))
        b->error_count++;
    else
        b->exchange_count++;
    if (b->handshakes) {
        swarm_session_close_notify(&c->session);
        connect_client(c);
        return;
    }
    if (b->exchange == EXCHANGE_HELLO &&
        !c->greeted) { /* set-up of "exchanges" with Device OS: pings from here on */
        c->greeted = true;
        if (!b->measuring) {
            if (++b->up_count == b->client_count)
                start_exchanges(b);
            return;
        }
    }
    request_by_next(b);
}

static const struct swarm_session_ops session_ops = {
    .up = on_up, .failed = on_failed, .ended = on_ended, .message = on_message};

static void on_stop(void *owner)
{
    struct bench *b = owner;

    swarm_loop_end(&b->loop);
}

static int refuse(const char *why)
{
    (void)fprintf(stderr, "cyan-swarm: bench: %s\n", why);
    return 1;
}

static bool pick_exchange(struct bench *b, bool deviceos)
{
    const char *kind = b->options->exchange ? b->options->exchange : deviceos ? "hello" : "get";

    b->exchange = strcmp(kind, "ping") == 0    ? EXCHANGE_PING
                  : strcmp(kind, "hello") == 0 ? EXCHANGE_HELLO
                                               : EXCHANGE_GET;
    return b->exchange != EXCHANGE_HELLO || !b->options->identity;
}

/* All clients with one PSK. */
static bool use_identity(struct bench *b, struct swarm_credentials *credentials)
{
    const struct swarm_options *o = b->options;
    size_t psk_len = strlen(o->psk) / 2;

    if (psk_len == 0 || psk_len > sizeof(b->psk) || !hex_decode(b->psk, psk_len, o->psk, strlen(o->psk)) ||
        strlen(o->identity) > 128)
        return false;
    *credentials = (struct swarm_credentials){.identity = {(const uint8_t *)o->identity, strlen(o->identity)},
                                              .psk = {b->psk, psk_len},
                                              .profile = SWARM_PROFILE_PSK,
                                              .cid = !o->no_cid};
    return true;
}

static bool fill_clients(struct bench *b, struct swarm_models *models, const struct swarm_verifier *server)
{
    const struct swarm_options *o = b->options;
    enum swarm_profile profile = strcmp(o->profile, "psk") == 0 ? SWARM_PROFILE_PSK : SWARM_PROFILE_DEVICEOS;
    const struct swarm_model *m = models ? swarm_models_first(models) : NULL;

    for (uint32_t i = 0; i < b->client_count; i++) {
        struct bench_client *c = &b->clients[i];

        c->bench = b;
        if (o->identity) {
            if (!use_identity(b, &c->credentials))
                return false;
        } else {
            while (m && m->profile != profile)
                m = swarm_models_next(m);
            if (!m)
                return false;
            c->model = m;
            c->credentials = swarm_model_credentials(m, server);
            c->credentials.cid = !o->no_cid;
            m = swarm_models_next(m);
        }
        if (strcmp(o->suite, "gcm") == 0)
            c->credentials.suite = SWARM_SUITE_GCM;
        swarm_session_init(&c->session, &b->loop.env, &session_ops, c);
    }
    return true;
}

static void print_result(const struct bench *b)
{
    const struct swarm_options *o = b->options;
    json_t *line =
        json_pack("{s:s,s:s,s:i,s:I,s:I,s:I,s:f,s:f,s:f}", "bench", o->bench, "profile", o->profile,
                  "clients", (int)b->client_count, "handshakes", (json_int_t)b->handshake_count, "exchanges",
                  (json_int_t)b->exchange_count, "errors", (json_int_t)b->error_count, "wall_s", b->wall_s,
                  "server_cpu_s", b->server_cpu_s, "client_cpu_s", b->own_cpu_s);

    json_dumpf(line, stdout, JSON_REAL_PRECISION(6));
    (void)printf("\n");
    json_decref(line);
}

static int run(struct bench *b, struct swarm_models *models, const struct swarm_verifier *server)
{
    bool measured;

    if (!pick_exchange(b, strcmp(b->options->profile, "psk") != 0))
        return refuse("hello needs --state-dir");
    if (!fill_clients(b, models, server))
        return refuse("--psk is no hex, or --state-dir holds too few devices of this profile");
    if (b->handshakes) {
        measure_begin(b);
        deadline_set(&b->loop.deadlines, &b->end, clock_ms() + (uint64_t)(b->options->seconds * 1000),
                     on_end);
    } else {
        deadline_set(&b->loop.deadlines, &b->end, clock_ms() + SETUP_MAX_MS, on_end);
    }
    for (uint32_t i = 0; i < b->client_count; i++)
        watch(&b->clients[i], (uint64_t)i); /* a thousand a second */
    swarm_loop_run(&b->loop);
    measured = b->wall_s > 0;
    for (uint32_t i = 0; i < b->client_count; i++) {
        swarm_session_close_notify(&b->clients[i].session);
        swarm_session_drop(&b->clients[i].session);
        deadline_cancel(&b->loop.deadlines, &b->clients[i].watchdog);
    }
    if (!measured)
        return refuse("stopped, or not all clients got a session in time");
    print_result(b);
    return 0;
}

int swarm_bench_run(const struct swarm_options *o)
{
    struct bench b = {.options = o, .client_count = (uint32_t)o->clients, .handshakes = o->bench[0] == 'h'};
    struct swarm_net_options net = {.sources = (uint32_t)o->sources, .faults = {.seed = 1}};
    struct swarm_models *models = NULL;
    struct swarm_verifier *server = NULL;
    char error[SWARM_ERROR_SIZE] = "";
    int status = 1;

    if (!swarm_net_parse_server(&net.server, o->server))
        return refuse("--server must be HOST:PORT of a loopback address");
    swarm_loop_init(&b.loop, &net, o->time_scale, on_stop, &b);
    b.clients = mem_array(b.client_count, sizeof(*b.clients));
    if (strcmp(o->profile, "psk") != 0) {
        server = swarm_server_key_load(b.loop.env.crypto, o->server_key, error);
        if (!server) {
            refuse(error);
            goto end;
        }
    }
    if (!o->identity) {
        models = swarm_models_open(b.loop.env.crypto, o->state_dir, error);
        if (!models) {
            refuse(error);
            goto end;
        }
    }
    status = run(&b, models, server);
end:
    swarm_models_free(models);
    swarm_verifier_free(server);
    swarm_loop_deinit(&b.loop);
    free(b.clients);
    return status;
}
