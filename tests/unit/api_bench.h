/* api_bench.h: the REST interface over real sockets: the loop with a fake fleet runs in a thread, the tests
 * are its clients. Included by one .c file of a test program. */
#ifndef CYAN_TESTS_API_BENCH_H
#define CYAN_TESTS_API_BENCH_H

#include "api/api.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_fake_fleet.h"
#include "base/clock.h"
#include "fake_firmware.h"

#define ANSWER_TIMEOUT_S 20

static struct server {
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t stop;
    struct fleet fleet;
    struct devices devices;
    struct metrics *metrics;
    struct api *api;
    uint16_t port;
    bool closed;
} server;

static inline void on_api_closed(void *arg)
{
    struct server *s = arg;

    s->closed = true;
    atomic_store(&s->fleet.hold, false); /* what was held comes late, to requests that nobody waits for */
    uv_idle_start(&s->fleet.idle, on_idle);
    uv_close((uv_handle_t *)&s->stop, NULL);
    uv_close((uv_handle_t *)&s->fleet.wake, NULL);
}

static inline void on_stop(uv_async_t *stop)
{
    struct server *s = stop->data;

    api_close(s->api, on_api_closed, s);
}

static inline void run(void *arg)
{
    struct server *s = arg;

    uv_run(&s->loop, UV_RUN_DEFAULT);
}

static inline void fill_view(void *ctx, uint64_t *sessions, uint64_t *handshakes_in_flight,
                             uint64_t *uptime_ms)
{
    (void)ctx;
    *sessions = 3;
    *handshakes_in_flight = 2;
    *uptime_ms = 5500;
}

static inline int start(void **state)
{
    struct api_settings settings = {.bind = "127.0.0.1"};
    struct api_view view = {.fill = fill_view};
    char why[200];

    (void)state;
    memset(&server, 0, sizeof(server));
    uv_loop_init(&server.loop);
    fake_fleet_init(&server.fleet, &server.loop);
    server.devices.fleet = &server.fleet;
    server.metrics = metrics_new();
    uv_async_init(&server.loop, &server.stop, on_stop);
    server.stop.data = &server;
    server.api = api_new(&server.loop, &settings, &server.fleet, &server.devices, server.metrics, &view, why,
                         sizeof(why));
    assert_non_null(server.api);
    server.port = api_port(server.api);
    return uv_thread_create(&server.thread, run, &server);
}

static inline int stop(void **state)
{
    (void)state;
    uv_async_send(&server.stop);
    uv_thread_join(&server.thread);
    assert_true(server.closed);
    uv_close((uv_handle_t *)&server.fleet.idle, NULL);
    uv_run(&server.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&server.loop), 0);
    metrics_free(server.metrics);
    return 0;
}

/* A client with what it has read but not used. */
struct client {
    int fd;
    char text[65536];
    size_t text_len;
};
struct answer {
    int status;
    char head[4096];
    char body[60000];
    json_t *json;
};

static inline struct client *dial(void)
{
    struct client *c = mem_alloc(sizeof(*c));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(server.port)};
    struct timeval patience = {.tv_sec = ANSWER_TIMEOUT_S};

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return c;
}

static inline void hang_up(struct client *c)
{
    close(c->fd);
    free(c);
}

static inline void say_n(struct client *c, const char *text, size_t text_len)
{
    while (text_len > 0) {
        ssize_t n = send(c->fd, text, text_len, MSG_NOSIGNAL);
        assert_true(n > 0);
        text += n;
        text_len -= (size_t)n;
    }
}

static inline void say(struct client *c, const char *text)
{
    say_n(c, text, strlen(text));
}

/* False when the server closed. */
static inline bool more(struct client *c)
{
    ssize_t n = recv(c->fd, c->text + c->text_len, sizeof(c->text) - 1 - c->text_len, 0);

    assert_true(n >= 0 || errno == ECONNRESET);
    if (n <= 0)
        return false;
    c->text_len += (size_t)n;
    c->text[c->text_len] = '\0';
    return true;
}

static inline void hear_of(struct client *c, struct answer *a, bool has_body)
{
    char *end;
    const char *length;
    size_t head_len, body_len = 0;

    memset(a, 0, sizeof(*a));
    while ((end = strstr(c->text, "\r\n\r\n")) == NULL)
        assert_true(more(c));
    head_len = (size_t)(end + 4 - c->text);
    assert_true(head_len < sizeof(a->head));
    memcpy(a->head, c->text, head_len);
    assert_int_equal(sscanf(a->head, "HTTP/1.%*d %d", &a->status), 1);
    length = strstr(a->head, "Content-Length: ");
    if (length != NULL && has_body)
        body_len = (size_t)atol(length + 16);
    while (c->text_len < head_len + body_len)
        assert_true(more(c));
    assert_true(body_len < sizeof(a->body));
    memcpy(a->body, c->text + head_len, body_len);
    c->text_len -= head_len + body_len;
    memmove(c->text, c->text + head_len + body_len, c->text_len + 1);
    a->json = json_loads(a->body, 0, NULL);
}

static inline void hear(struct client *c, struct answer *a)
{
    hear_of(c, a, true);
}

static inline void forget(struct answer *a)
{
    json_decref(a->json);
}

static inline const char *text_of(const struct answer *a, const char *key)
{
    const char *text = json_string_value(json_object_get(a->json, key));

    return text != NULL ? text : "(none)";
}

#define AS_ADMIN "Host: x\r\nAuthorization: Bearer " ADMIN_TOKEN "\r\n"

/* One request on a connection of its own. */
static inline void ask(struct answer *a, const char *request)
{
    struct client *c = dial();

    say(c, request);
    hear(c, a);
    hang_up(c);
}

static inline void ask_with(struct answer *a, const char *line, const char *type, const char *body)
{
    char *request = mem_printf("%s HTTP/1.1\r\n" AS_ADMIN "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                               line, type, strlen(body), body);

    ask(a, request);
    free(request);
}
#define JSON "application/json"
#define FORM "application/x-www-form-urlencoded; charset=utf-8"

static inline void assert_error(const char *request, int status, const char *error)
{
    struct answer a;

    ask(&a, request);
    assert_int_equal(a.status, status);
    assert_non_null(strstr(a.head, "Content-Type: application/json; charset=utf-8\r\n"));
    assert_string_equal(text_of(&a, "error"), error);
    assert_true(json_is_false(json_object_get(a.json, "ok")));
    forget(&a);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, start, stop)

#endif
