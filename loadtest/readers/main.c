/* cyan-readers: very many readers of an event stream, each of which checks that it gets every event of
 * simulated devices once and in order. Loopback only. Says `{"event":"open"}` when all are there; at `end` on
 * stdin, its end, or after --seconds it says what each has got, and ends. */
#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "reader.h"

#define READERS_MAX 50000
#define AT_ONCE 64 /* that connect at the same time */
#define LOOK_MS 1000
#define QUIET_LOOKS 4 /* nothing came for so long: that was all */
#define LOOKS_MAX 120

struct readers {
    uv_loop_t loop;
    uv_timer_t limit, catching;
    uv_pipe_t input;
    struct reader_ops ops;
    struct tally_devices devices;
    struct reader *all; /* ours: those that keep up, then those that stall */
    unsigned count, stalled, started, settled, open;
    unsigned seconds;
    bool said_open, ending;
    uint64_t events_before;
    int looks, quiet_looks;
};

static int usage(FILE *out, int code)
{
    (void)fprintf(out, "usage: cyan-readers --server 127.0.0.1:PORT --token-file FILE [--path "
                       "/v1/devices/events] [--readers N]\n"
                       "                    [--stalled N] [--seconds S]\n");
    return code;
}

/* --- opening --- */

static void start_next(struct readers *rs)
{
    if (rs->started == rs->count + rs->stalled)
        return;
    struct reader *r = &rs->all[rs->started];
    bool stalls = rs->started++ >= rs->count;
    reader_start(r, &rs->loop, &rs->ops, stalls);
}

static void settle(struct readers *rs)
{
    rs->settled++;
    start_next(rs);
    if (rs->settled == rs->count + rs->stalled && !rs->said_open) {
        rs->said_open = true;
        (void)printf("{\"event\":\"open\",\"readers\":%u}\n", rs->open);
        (void)fflush(stdout);
    }
}

static void on_opened(void *ctx, struct reader *r)
{
    struct readers *rs = ctx;

    (void)r;
    rs->open++;
    settle(rs);
}

static void on_ended(void *ctx, struct reader *r)
{
    struct readers *rs = ctx;

    if (!r->was_cut)
        settle(rs);
}

static void on_closed(void *ctx, struct reader *r)
{
    (void)ctx;
    (void)r;
}

/* --- the end --- */

static void report(struct readers *rs)
{
    uint64_t events = 0, missing = 0, late = 0, repeated = 0, malformed = 0, bytes = 0;
    unsigned whole = 0, cut = 0, stalled_cut = 0, refused = 0;

    for (unsigned i = 0; i < rs->count + rs->stalled; i++) {
        const struct reader *r = &rs->all[i];
        bytes += r->bytes;
        refused += r->state == READER_ENDED && !r->was_cut;
        if (r->stalls) {
            stalled_cut += r->was_cut;
            continue;
        }
        cut += r->was_cut;
        events += r->tally.events;
        missing += r->tally.missing;
        late += r->tally.late;
        repeated += r->tally.repeated;
        malformed += r->tally.malformed;
        whole += !r->was_cut && tally_is_whole(&r->tally, &rs->devices);
    }
    (void)printf("{\"event\":\"report\",\"readers\":%u,\"whole\":%u,\"cut\":%u,\"refused\":%u,\"stalled\":%u,"
                 "\"stalled_cut\":%u,"
                 "\"deliveries\":%" PRIu64 ",\"missing\":%" PRIu64 ",\"late\":%" PRIu64
                 ",\"repeated\":%" PRIu64 ",\"malformed\":%" PRIu64 ",\"bytes\":%" PRIu64
                 ",\"devices\":%u,\"published\":%" PRIu64 "}\n",
                 rs->count, whole, cut, refused, rs->stalled, stalled_cut, events, missing, late, repeated,
                 malformed, bytes, rs->devices.count, tally_published(&rs->devices));
    (void)fflush(stdout);
}

static void on_look(uv_timer_t *catching)
{
    struct readers *rs = catching->data;
    uint64_t events = 0;

    for (unsigned i = 0; i < rs->count; i++)
        events += rs->all[i].tally.events;
    rs->quiet_looks = events == rs->events_before ? rs->quiet_looks + 1 : 0;
    rs->events_before = events;
    if (rs->quiet_looks < QUIET_LOOKS && ++rs->looks < LOOKS_MAX)
        return;
    report(rs);
    for (unsigned i = 0; i < rs->started; i++)
        reader_close(&rs->all[i]);
    uv_close((uv_handle_t *)&rs->limit, NULL);
    uv_close((uv_handle_t *)&rs->catching, NULL);
    uv_close((uv_handle_t *)&rs->input, NULL);
}

static void finish(struct readers *rs)
{
    if (rs->ending)
        return;
    rs->ending = true;
    for (unsigned i = rs->count; i < rs->started; i++)
        reader_catch_up(&rs->all[i]);
    (void)uv_timer_start(&rs->catching, on_look, LOOK_MS, LOOK_MS);
}

static void on_limit(uv_timer_t *limit)
{
    finish(limit->data);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    static char text[256];

    (void)handle;
    (void)size;
    *buf = uv_buf_init(text, sizeof(text));
}

static void on_input(uv_stream_t *input, ssize_t len, const uv_buf_t *buf)
{
    if (len < 0 || (len >= 3 && memcmp(buf->base, "end", 3) == 0))
        finish(input->data);
}

/* --- start --- */

static bool read_server(struct sockaddr_in *server, const char *text)
{
    char host[64];
    unsigned port;

    return sscanf(text, "%63[0-9.]:%u", host, &port) == 2 && port < 65536 &&
           uv_ip4_addr(host, (int)port, server) == 0 && (ntohl(server->sin_addr.s_addr) >> 24) == 127;
}

/* NULL: it cannot be read. */
static char *read_token(const char *path)
{
    char text[200] = "";
    FILE *file = path != NULL ? fopen(path, "r") : NULL;

    if (file == NULL)
        return NULL;
    char *line = fgets(text, sizeof(text), file);
    (void)fclose(file);
    text[strcspn(text, "\r\n")] = '\0';
    return line != NULL ? mem_string(text) : NULL;
}

static bool number(unsigned *out, const char *text, unsigned max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    *out = (unsigned)value;
    return *text != '\0' && *end == '\0' && value <= max;
}

static int run(struct readers *rs)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    rs->ops.ctx = rs;
    rs->ops.devices = &rs->devices;
    rs->ops.opened = on_opened;
    rs->ops.ended = on_ended;
    rs->ops.closed = on_closed;
    rs->all = mem_array(rs->count + rs->stalled, sizeof(*rs->all));
    (void)uv_loop_init(&rs->loop);
    (void)uv_timer_init(&rs->loop, &rs->limit);
    (void)uv_timer_init(&rs->loop, &rs->catching);
    (void)uv_pipe_init(&rs->loop, &rs->input, 0);
    rs->limit.data = rs->catching.data = rs->input.data = rs;
    if (uv_pipe_open(&rs->input, 0) == 0)
        (void)uv_read_start((uv_stream_t *)&rs->input, on_alloc, on_input);
    (void)uv_timer_start(&rs->limit, on_limit, rs->seconds * 1000ull, 0);
    for (unsigned i = 0; i < AT_ONCE; i++)
        start_next(rs);
    (void)uv_run(&rs->loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < rs->count + rs->stalled; i++)
        tally_deinit(&rs->all[i].tally);
    tally_devices_deinit(&rs->devices);
    free(rs->all);
    (void)uv_loop_close(&rs->loop);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"server", required_argument, NULL, 's'},  {"token-file", required_argument, NULL, 't'},
        {"path", required_argument, NULL, 'p'},    {"readers", required_argument, NULL, 'r'},
        {"stalled", required_argument, NULL, 'x'}, {"seconds", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    struct readers rs = {.count = 100, .seconds = 3600};
    const char *path = "/v1/devices/events", *token_file = NULL;
    bool fine = true, has_server = false;
    int code;

    while (fine && (code = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (code == 'h')
            return usage(stdout, 0);
        else if (code == 's')
            fine = has_server = read_server(&rs.ops.server, optarg);
        else if (code == 't')
            token_file = optarg;
        else if (code == 'p')
            path = optarg;
        else if (code == 'r')
            fine = number(&rs.count, optarg, READERS_MAX);
        else if (code == 'x')
            fine = number(&rs.stalled, optarg, READERS_MAX);
        else if (code == 'd')
            fine = number(&rs.seconds, optarg, 86400);
        else
            fine = false;
    }
    char *token = read_token(token_file);
    if (!fine || !has_server || token == NULL || optind != argc)
        return usage(stderr, 2);
    char *request =
        mem_printf("GET %s HTTP/1.1\r\nHost: cyan\r\nAuthorization: Bearer %s\r\n\r\n", path, token);
    rs.ops.request = request;
    code = run(&rs);
    free(request);
    free(token);
    return code;
}
