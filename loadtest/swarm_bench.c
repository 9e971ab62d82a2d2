#include "swarm_bench.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_control.h"
#include "swarm_cpu.h"
#include "swarm_derive.h"
#include "swarm_load.h"
#include "swarm_run.h"
#include "swarm_server_key.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNDER_WAY_MAX 64
#define LOOK_MS 1000
#define LOOKS_MAX 60
#define QUIET_SHARE 0.05 /* of all cores' time */

struct bench {
    struct swarm_loop loop;
    struct swarm_load load;
    const struct swarm_options *options;
    struct swarm_models *models;   /* ours: of --state-dir, or NULL */
    struct swarm_model *derived;   /* ours: of --derive-keys, or NULL */
    struct swarm_verifier *server; /* ours: NULL for PSK */
    struct swarm_control *keepers; /* ours: waits for the end of stdin, or NULL */
    struct deadline end, look;
    uint64_t start_ms;
    unsigned looks;          /* at a machine that has not come to rest yet */
    struct swarm_cores seen; /* at the last look */
    double settled_s;        /* how long it took to come to rest */
    double server_cpu_s, own_cpu_s, wall_s;
    bool measuring;
    uint8_t psk[64];
};

static void measure_begin(struct bench *b)
{
    b->measuring = true;
    b->load.handshake_count = b->load.exchange_count = b->load.error_count = 0;
    b->start_ms = clock_ms();
    b->server_cpu_s = swarm_cpu_of(b->options->server_pid);
    b->own_cpu_s = swarm_cpu_own();
}

static void measure_end(struct bench *b)
{
    b->measuring = false;
    b->wall_s = (double)(clock_ms() - b->start_ms) / 1000.0;
    b->server_cpu_s = swarm_cpu_of(b->options->server_pid) - b->server_cpu_s;
    b->own_cpu_s = swarm_cpu_own() - b->own_cpu_s;
}

static void print_result(const struct bench *b)
{
    const struct swarm_options *o = b->options;
    json_t *line = json_pack(
        "{s:s,s:s,s:i,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:I}", "bench", o->bench, "profile", o->profile, "clients",
        (int)b->load.client_count, "handshakes", (json_int_t)b->load.handshake_count, "exchanges",
        (json_int_t)b->load.exchange_count, "errors", (json_int_t)b->load.error_count, "settled_s",
        b->settled_s, "wall_s", b->wall_s, "server_cpu_s", b->server_cpu_s, "client_cpu_s", b->own_cpu_s,
        "client_bytes_per_session", (json_int_t)(swarm_resident_own_bytes() / b->load.client_count));

    json_dumpf(line, stdout, JSON_REAL_PRECISION(6));
    (void)printf("\n");
    (void)fflush(stdout);
    json_decref(line);
}

static void on_end(struct deadline *deadline, uint64_t now_ms)
{
    struct bench *b = (struct bench *)(void *)((char *)deadline - offsetof(struct bench, end));

    (void)now_ms;
    if (b->measuring)
        measure_end(b);
    swarm_loop_end(&b->loop);
}

static void end_after(struct bench *b, double seconds)
{
    deadline_set(&b->loop.deadlines, &b->end, clock_ms() + (uint64_t)(seconds * 1000), on_end);
}

static void exchange(struct bench *b)
{
    measure_begin(b);
    end_after(b, b->options->seconds);
    swarm_load_exchange(&b->load, UNDER_WAY_MAX);
}

/* What the handshakes have left to do, by the server or by a database that shares our core, is no part of an
 * exchange, and with ten times the sessions there is ten times as much of it. */
static void on_look(struct deadline *deadline, uint64_t now_ms)
{
    struct bench *b = (struct bench *)(void *)((char *)deadline - offsetof(struct bench, look));
    struct swarm_cores cores = swarm_cpu_cores();
    bool quiet = cores.busy_s - b->seen.busy_s <= QUIET_SHARE * (cores.all_s - b->seen.all_s);

    b->seen = cores;
    b->settled_s += LOOK_MS / 1000.0;
    if (quiet || ++b->looks == LOOKS_MAX)
        exchange(b);
    else
        deadline_set(&b->loop.deadlines, &b->look, now_ms + LOOK_MS, on_look);
}

/* All clients have their session: the machine comes to rest, then the clock starts; or the sessions are only
 * kept. */
static void on_ready(void *owner)
{
    struct bench *b = owner;

    if (b->load.kind == SWARM_LOAD_SESSIONS) {
        deadline_cancel(&b->loop.deadlines, &b->end);
        measure_end(b);
        print_result(b);
        return;
    }
    deadline_cancel(&b->loop.deadlines, &b->end);
    b->seen = swarm_cpu_cores();
    deadline_set(&b->loop.deadlines, &b->look, clock_ms() + LOOK_MS, on_look);
}

static void on_stop(void *owner)
{
    struct bench *b = owner;

    swarm_loop_end(&b->loop);
}

static void on_command(void *owner, json_t *command)
{
    (void)owner;
    (void)command;
}

static const struct swarm_control_ops keeper_ops = {.command = on_command, .ended = on_stop};

static int refuse(const char *why)
{
    (void)fprintf(stderr, "cyan-swarm: bench: %s\n", why);
    return 1;
}

static bool is_deviceos(const struct swarm_options *o)
{
    return strcmp(o->profile, "psk") != 0;
}

static bool pick(struct bench *b)
{
    const struct swarm_options *o = b->options;
    const char *exchange = o->exchange ? o->exchange : is_deviceos(o) ? "hello" : "get";

    b->load.exchange = strcmp(exchange, "ping") == 0    ? SWARM_LOAD_PING
                       : strcmp(exchange, "hello") == 0 ? SWARM_LOAD_HELLO
                       : strcmp(exchange, "none") == 0  ? SWARM_LOAD_NONE
                                                        : SWARM_LOAD_GET;
    b->load.kind = o->bench[0] == 'h'   ? SWARM_LOAD_HANDSHAKES
                   : o->bench[0] == 'e' ? SWARM_LOAD_EXCHANGES
                                        : SWARM_LOAD_SESSIONS;
    if (b->load.exchange == SWARM_LOAD_NONE && b->load.kind == SWARM_LOAD_EXCHANGES)
        return false;
    return b->load.exchange != SWARM_LOAD_HELLO || !o->identity;
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
                                              .profile = SWARM_PROFILE_PSK};
    return true;
}

static void use_model(struct bench *b, struct swarm_load_client *c, const struct swarm_model *m)
{
    c->model = m;
    c->credentials = swarm_model_credentials(m, b->server);
}

static const struct swarm_model *next_of(const struct swarm_model *m, enum swarm_profile profile)
{
    while (m && m->profile != profile)
        m = swarm_models_next(m);
    return m;
}

static bool fill_clients(struct bench *b)
{
    const struct swarm_options *o = b->options;
    enum swarm_profile profile = is_deviceos(o) ? SWARM_PROFILE_DEVICEOS : SWARM_PROFILE_PSK;
    const struct swarm_model *m = b->models ? next_of(swarm_models_first(b->models), profile) : NULL;

    for (uint32_t i = 0; i < b->load.client_count; i++) {
        struct swarm_load_client *c = &b->load.clients[i];

        if (o->identity) {
            if (!use_identity(b, &c->credentials))
                return false;
        } else if (b->derived) {
            use_model(b, c, &b->derived[i]);
        } else {
            if (!m)
                return false;
            use_model(b, c, m);
            m = next_of(swarm_models_next(m), profile);
        }
        c->credentials.cid = !o->no_cid;
        if (strcmp(o->suite, "gcm") == 0)
            c->credentials.suite = SWARM_SUITE_GCM;
    }
    return true;
}

/* NULL when the choice is not understood. */
static struct swarm_model *derive_models(struct bench *b, char error[SWARM_ERROR_SIZE])
{
    struct swarm_choice choice = swarm_run_choice(b->options);
    struct swarm_model *models = mem_array(b->load.client_count, sizeof(*models));
    struct swarm_derive derive;

    if (!swarm_derive_init(&derive, &choice, error)) {
        free(models);
        return NULL;
    }
    for (uint32_t i = 0; i < b->load.client_count; i++) {
        swarm_derive_model(&derive, i, &models[i]);
        swarm_derive_keys(&derive, b->loop.env.crypto, i, &models[i]);
    }
    return models;
}

static bool find_models(struct bench *b, char error[SWARM_ERROR_SIZE])
{
    const struct swarm_options *o = b->options;

    if (is_deviceos(o)) {
        b->server = swarm_server_key_load(b->loop.env.crypto, o->server_key, error);
        if (!b->server)
            return false;
    }
    if (o->identity)
        return true;
    if (o->derive_keys)
        b->derived = derive_models(b, error);
    else
        b->models = swarm_models_open(b->loop.env.crypto, o->state_dir, error);
    return b->derived || b->models;
}

static int run(struct bench *b)
{
    if (!pick(b))
        return refuse("hello needs devices of its own, and exchanges cannot be none");
    if (!fill_clients(b))
        return refuse("--psk is no hex, or --state-dir holds too few devices of this profile");
    measure_begin(b);
    end_after(b, b->load.kind == SWARM_LOAD_HANDSHAKES ? b->options->seconds : b->options->patience_s);
    if (b->load.kind == SWARM_LOAD_SESSIONS)
        b->keepers = swarm_control_start(&b->loop.uv, &keeper_ops, b);
    b->measuring = b->load.kind == SWARM_LOAD_HANDSHAKES;
    swarm_load_start(&b->load);
    swarm_loop_run(&b->loop);
    if (b->keepers)
        swarm_control_close(b->keepers);
    if (b->wall_s == 0)
        return refuse("stopped, or not all clients got a session in time");
    if (b->load.kind != SWARM_LOAD_SESSIONS)
        print_result(b);
    return 0;
}

int swarm_bench_run(const struct swarm_options *o)
{
    struct bench b = {.options = o};
    struct swarm_net_options net = {
        .sources = (uint32_t)o->sources, .shared = (uint32_t)o->shared_sockets, .faults = {.seed = 1}};
    char error[SWARM_ERROR_SIZE] = "";
    int status;

    if (!swarm_net_parse_server(&net.server, o->server))
        return refuse("--server must be HOST:PORT of a loopback address");
    swarm_loop_init(&b.loop, &net, o->time_scale, on_stop, &b);
    b.load = (struct swarm_load){.loop = &b.loop,
                                 .path = o->path,
                                 .ready = on_ready,
                                 .owner = &b,
                                 .client_count = (uint32_t)o->clients,
                                 .in_flight = (uint32_t)o->in_flight};
    swarm_load_init(&b.load);
    status = find_models(&b, error) ? run(&b) : refuse(error);
    swarm_load_deinit(&b.load);
    swarm_models_free(b.models);
    swarm_verifier_free(b.server);
    swarm_loop_deinit(&b.loop);
    free(b.derived);
    return status;
}
