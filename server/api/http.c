#include "api/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "api/certificate.h"
#include "api/http_request.h"
#include "api/http_stream.h"
#include "api/listener.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define JANITOR_MS 5000
#define HANDLES 4
#define LAST_RUNS 3 /* resume, queue, send */

/* A client's connection; in the list while it has not brought a whole request. */
struct client {
    struct client *prev, *next;
    struct http *http; /* borrowed */
    struct MHD_Connection *connection;
    uint64_t since_ms; /* the list is in this order: clients are appended at the present time */
    bool listed;
};

struct http {
    struct MHD_Daemon *daemon; /* ours */
    struct api *api;           /* borrowed: outlives this */
    uv_poll_t poll;
    uv_timer_t due, janitor;
    uv_idle_t now; /* due in the next turn; a timer of 0 ms would come again and again in this one */
    struct certificate certificate; /* ours */
    struct client *incomplete;
    struct http_request *requests;
    uint16_t port;
    int handles_open;
    bool running, closing, refusing; /* refusing: no request is begun any more */
    void (*closed)(void *arg);
    void *closed_arg;
    char last_message[160]; /* of libmicrohttpd: the reason why it does not start */
};

static void on_drained(uv_timer_t *janitor);
static void on_due(uv_timer_t *due);
static void on_now(uv_idle_t *now);

static void on_message(void *arg, const char *format, va_list args)
{
    struct http *h = arg;
    char quoted[256];

    (void)vsnprintf(h->last_message, sizeof(h->last_message), format, args);
    h->last_message[strcspn(h->last_message, "\r\n")] = '\0';
    log_debug("http.library says=%s",
              log_quote(quoted, sizeof(quoted), h->last_message, strlen(h->last_message)));
}

static void client_wait(struct http *h, struct client *c)
{
    c->since_ms = clock_ms();
    c->listed = true;
    DL_APPEND(h->incomplete, c);
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macro */
static void client_done(struct http *h, struct client *c)
{
    if (!c->listed)
        return;
    c->listed = false;
    DL_DELETE(h->incomplete, c);
}

static struct client *client_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void on_client(void *arg, struct MHD_Connection *connection, void **context,
                      enum MHD_ConnectionNotificationCode code)
{
    struct http *h = arg;
    struct client *c;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        c = mem_alloc(sizeof(*c));
        c->http = h;
        c->connection = connection;
        client_wait(h, c);
        *context = c;
        return;
    }
    c = *context;
    client_done(h, c);
    free(c);
    *context = NULL;
}

static enum MHD_Result begin(struct http *h, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, void **slot)
{
    struct http_request *r = http_request_new(h->api, connection, url, method);

    r->knows_chunks = strcmp(version, MHD_HTTP_VERSION_1_1) == 0;
    *slot = r;
    DL_APPEND(h->requests, r);
    if (http_request_is_hopeless(r)) {
        http_request_refuse_upload(r);
        return http_request_send(r) ? MHD_YES : MHD_NO;
    }
    http_request_admit(r);
    return http_request_reads_body(r) || http_request_send(r) ? MHD_YES : MHD_NO;
}

/* NOLINTBEGIN(readability-function-size): signatures are the library's, nesting the list macros' */
/* libmicrohttpd calls this once with the headers, for each piece of the body, at its end, and after each
 * resume. */
static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data, size_t *data_len,
                                 void **slot)
{
    struct http *h = arg;
    struct http_request *r = *slot;

    if (h->refusing && (r == NULL || r->state == HTTP_REQUEST_RECEIVING))
        return MHD_NO; /* the library does not stop while a request is suspended */
    if (r == NULL)
        return begin(h, connection, url, method, version, slot);
    if (*data_len > 0) {
        size_t piece_len = *data_len;
        *data_len = 0;
        return http_request_upload(r, data, piece_len) ? MHD_YES : MHD_NO;
    }
    if (r->comes_with_headers) {
        r->comes_with_headers = false;
        return http_request_reads_body(r) || http_request_send(r) ? MHD_YES : MHD_NO;
    }
    if (r->state == HTTP_REQUEST_RECEIVING) {
        client_done(h, client_of(connection));
        http_request_process(r);
        if (r->state == HTTP_REQUEST_WORKING) {
            http_request_suspend(r);
            return MHD_YES;
        }
    }
    return http_request_send(r) ? MHD_YES : MHD_NO;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode how)
{
    struct http *h = arg;
    struct client *c = client_of(connection);
    struct http_request *r = *slot;

    if (r == NULL)
        return;
    *slot = NULL;
    if (how != MHD_REQUEST_TERMINATED_COMPLETED_OK && r->source.over == NULL)
        h->api->vanished->value++;
    DL_DELETE(h->requests, r);
    http_request_release(r);
    client_done(h, c);
    client_wait(h, c);
    if (h->closing && h->requests == NULL)
        uv_timer_start(&h->janitor, on_drained, 0, 0); /* not from in here: libmicrohttpd is running */
}

/* NOLINTEND(readability-function-size) */

/* Decoding is ours: segments are split first (target.h). */
static size_t on_unescape(void *arg, struct MHD_Connection *connection, char *text)
{
    (void)arg, (void)connection;
    return strlen(text);
}

static void http_run(struct http *h)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;

    must(!h->running);
    h->running = true;
    (void)MHD_run(h->daemon);
    h->running = false;
    uv_timer_stop(&h->due);
    uv_idle_stop(&h->now);
    if (MHD_get_timeout(h->daemon, &wait_ms) != MHD_YES)
        return;
    if (wait_ms == 0)
        uv_idle_start(&h->now, on_now);
    else
        uv_timer_start(&h->due, on_due, wait_ms, 0);
}

static void on_now(uv_idle_t *now)
{
    http_run(now->data);
}

static void on_due(uv_timer_t *due)
{
    http_run(due->data);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events; /* libmicrohttpd looks for itself */
    http_run(poll->data);
}

void http_count_unreadable(struct MHD_Connection *connection)
{
    client_of(connection)->http->api->unreadable->value++;
}

void http_wake(struct http *h)
{
    if (!h->running)
        uv_idle_start(&h->now, on_now);
}

/* libmicrohttpd reads the end and cleans up. */
static void cut(struct MHD_Connection *connection)
{
    (void)shutdown(MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
                   SHUT_RDWR);
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macro */
static void cut_stalled_streams(struct http *h, uint64_t now_ms)
{
    struct http_request *r;

    DL_FOREACH (h->requests, r) {
        if (r->stream == NULL || !http_stream_is_stalled(r->stream, now_ms))
            continue;
        h->api->stalled->value++;
        log_info("http.cut route=%s why=stalled", r->route->pattern);
        cut(r->connection);
    }
}

static void on_janitor(uv_timer_t *janitor)
{
    struct http *h = janitor->data;
    uint64_t now_ms = clock_ms();

    while (h->incomplete != NULL && now_ms - h->incomplete->since_ms > HTTP_RECEIVE_MS) {
        struct client *c = h->incomplete;
        client_done(h, c);
        cut(c->connection);
    }
    cut_stalled_streams(h, now_ms);
}

static bool daemon_start(struct http *h, const struct stream_settings *streams, int fd)
{
    unsigned streams_per_address = streams->per_address > 0 ? streams->per_address : streams->most;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, h->certificate.chain},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, h->certificate.key},
        {MHD_OPTION_END, 0, NULL},
    };

    if (h->certificate.chain != NULL)
        flags |= MHD_USE_TLS;
    else
        tls[0] = tls[2];
    h->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, h, MHD_OPTION_EXTERNAL_LOGGER, on_message, h,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX + streams->most,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, HTTP_CONNECTIONS_PER_ADDRESS + streams_per_address,
        MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTP_CONNECTION_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
        MHD_OPTION_NOTIFY_CONNECTION, on_client, h, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, h,
        MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    return h->daemon != NULL;
}

static void handles_start(struct http *h, uv_loop_t *loop)
{
    int fd = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;

    must(uv_poll_init(loop, &h->poll, fd) == 0);
    must(uv_timer_init(loop, &h->due) == 0);
    must(uv_idle_init(loop, &h->now) == 0);
    must(uv_timer_init(loop, &h->janitor) == 0);
    h->handles_open = HANDLES;
    h->poll.data = h->due.data = h->now.data = h->janitor.data = h;
    must(uv_poll_start(&h->poll, UV_READABLE, on_ready) == 0);
    must(uv_timer_start(&h->janitor, on_janitor, JANITOR_MS, JANITOR_MS) == 0);
    must(uv_timer_start(&h->due, on_due, 0, 0) == 0); /* the first run starts the listening */
}

static void http_free(struct http *h)
{
    certificate_deinit(&h->certificate);
    free(h);
}

struct http *http_new(uv_loop_t *loop, const struct api_settings *settings, struct api *api, char *why,
                      size_t why_size)
{
    struct http *h = mem_alloc(sizeof(*h));
    int fd;

    h->api = api;
    if (!certificate_read(&h->certificate, settings->tls_cert, settings->tls_key, why, why_size))
        goto fail;
    fd = listener_open(settings->bind, settings->port, &h->port, why, why_size);
    if (fd < 0)
        goto fail;
    if (!daemon_start(h, &settings->streams, fd)) {
        /* libmicrohttpd closes fd in some cases of failure, in others not; it goes with the process that
         * cannot start */
        const char *reason = h->last_message[0] != '\0' ? h->last_message : "libmicrohttpd does not start";
        if (h->certificate.chain != NULL)
            (void)snprintf(why, why_size, "http: %s (http.tls_cert %s)", reason, settings->tls_cert);
        else
            (void)snprintf(why, why_size, "http: %s", reason);
        goto fail;
    }
    handles_start(h, loop);
    return h;
fail:
    http_free(h);
    return NULL;
}

uint16_t http_port(const struct http *h)
{
    return h->port;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http *h = handle->data;
    void (*closed)(void *) = h->closed;
    void *closed_arg = h->closed_arg;

    if (--h->handles_open > 0)
        return;
    http_free(h);
    closed(closed_arg);
}

/* Every request was answered, or time is up. */
static void on_drained(uv_timer_t *janitor)
{
    struct http *h = janitor->data;
    struct http_request *r;

    h->refusing = true; /* also what was pipelined behind a request that is answered below */
    DL_FOREACH (h->requests, r) {
        if (r->stream != NULL)
            http_stream_cut(r->stream);
        else if (r->suspended)
            http_request_abandon(r);
    }
    for (int i = 0; i < LAST_RUNS && h->requests != NULL; i++)
        (void)MHD_run(h->daemon);
    uv_close((uv_handle_t *)&h->poll, on_handle_closed); /* before its descriptor goes */
    uv_close((uv_handle_t *)&h->due, on_handle_closed);
    uv_close((uv_handle_t *)&h->now, on_handle_closed);
    uv_close((uv_handle_t *)&h->janitor, on_handle_closed);
    h->closing = false; /* requests that end from here on change nothing */
    MHD_stop_daemon(h->daemon);
    h->daemon = NULL;
}

void http_close(struct http *h, void (*closed)(void *arg), void *arg)
{
    int fd = MHD_quiesce_daemon(h->daemon);

    if (fd >= 0)
        close(fd);
    h->closed = closed;
    h->closed_arg = arg;
    h->closing = true;
    uv_timer_start(&h->janitor, on_drained, h->requests == NULL ? 0 : HTTP_DRAIN_MS, 0);
}
