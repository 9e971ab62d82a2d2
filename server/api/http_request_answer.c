/* http_request_answer.c: the answer to a request: one text, content of somebody else, or pieces without an
 * end. */
#include <inttypes.h>
#include <microhttpd.h>
#include <sys/socket.h>

#include "api/http.h"
#include "api/http_request_inner.h"
#include "api/library_answer.h"
#include "api/refused.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define SOURCE_UNSENT_BYTES 131072

bool http_request_send(struct http_request *r)
{
    struct MHD_Response *response = r->response;
    bool queued;

    must(response != NULL);
    r->response = NULL;
    queued = library_answer_queue(r->connection, r->status, response);
    MHD_destroy_response(response);
    if (r->state == HTTP_REQUEST_ANSWERED) {
        r->api->answers[r->status / 100 - 2]->value++;
        log_debug("http.answered method=%s route=%s status=%u ms=%" PRIu64, r->method,
                  r->route != NULL ? r->route->pattern : "-", r->status, clock_ms() - r->started_ms);
    }
    return queued;
}

/* The query of an abandoned request is over. */
static void late(struct http_request *r)
{
    if (r->connection == NULL)
        http_request_free(r);
    else
        http_request_enter(r, HTTP_REQUEST_ANSWERED);
}

bool http_request_continue(struct http_request *r)
{
    if (r->state != HTTP_REQUEST_ABANDONED)
        return true;
    late(r);
    return false;
}

static void add_headers(struct http_request *r, struct MHD_Response *response, const char *content_type)
{
    bool is_source = r->source.over != NULL;

    must(response != NULL);
    if (content_type != NULL)
        MHD_add_response_header(response, "Content-Type", content_type);
    MHD_add_response_header(response, "Access-Control-Allow-Origin", "*");
    MHD_add_response_header(response, "Cache-Control", is_source ? "no-cache" : "no-store");
    if (is_source)
        MHD_add_response_header(response, "X-Accel-Buffering", "no"); /* for a proxy in between */
    for (size_t i = 0; i < r->header_count; i++)
        MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
}

static struct MHD_Response *response_make(char *text, size_t text_len)
{
    if (text != NULL)
        return MHD_create_response_from_buffer(text_len, text, MHD_RESPMEM_MUST_FREE);
    return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
}

/* Takes over response; text: what it says, as far as it is at hand. r may be gone on return. */
static void answer(struct http_request *r, unsigned status, const char *content_type,
                   struct MHD_Response *response, const char *text, size_t text_len)
{
    if (r->state == HTTP_REQUEST_ABANDONED) {
        MHD_destroy_response(response);
        late(r);
        return;
    }
    http_request_enter(r, HTTP_REQUEST_ANSWERED);
    r->status = status;
    r->response = response;
    refused_note(r, text, text_len);
    add_headers(r, response, content_type);
    http_request_resume(r);
}

void http_request_answer(struct http_request *r, unsigned status, const char *content_type, char *text,
                         size_t text_len)
{
    answer(r, status, content_type, response_make(text, text_len), text, text_len);
}

void http_request_answer_content(struct http_request *r, unsigned status, const char *content_type,
                                 const struct http_content *content)
{
    /* libmicrohttpd does not write into it, whatever its signature says */
    answer(r, status, content_type,
           MHD_create_response_from_buffer_with_free_callback_cls(content->data_len, (void *)content->data,
                                                                  content->release, content->ctx),
           NULL, 0);
}

/* --- an answer without an end --- */

static ssize_t on_fill(void *arg, uint64_t at, char *out, size_t out_size)
{
    struct http_request *r = arg;
    ssize_t len = r->source.fill(r->source.ctx, out, out_size);

    (void)at;
    if (len < 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (len == 0) {
        r->is_resting = true;
        MHD_suspend_connection(r->connection);
    }
    return len;
}

static int socket_of(const struct http_request *r)
{
    return MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

void http_request_answer_source(struct http_request *r, const char *content_type,
                                const struct http_source *source)
{
    int unsent_bytes = SOURCE_UNSENT_BYTES;
    size_t room = r->knows_chunks ? 1 : HTTP_SOURCE_ROOM_BYTES; /* chunks are made where all answers are */

    must(r->state != HTTP_REQUEST_ABANDONED);
    r->source = *source;
    /* what the kernel may hold for a client that does not read; it takes less when it may not be set */
    (void)setsockopt(socket_of(r), SOL_SOCKET, SO_SNDBUF, &unsent_bytes, sizeof(unsent_bytes));
    answer(r, 200, content_type, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, room, on_fill, r, NULL),
           NULL, 0);
}

void http_request_go_on(struct http_request *r)
{
    if (!r->is_resting)
        return;
    r->is_resting = false;
    MHD_resume_connection(r->connection);
    http_wake(r->api->http);
}

void http_request_cut(struct http_request *r)
{
    (void)shutdown(socket_of(r), SHUT_RDWR); /* libmicrohttpd sees the end and cleans up */
    http_request_go_on(r);
}

void http_request_answer_stream(struct http_request *r, const char *content_type, struct http_stream *s,
                                struct MHD_Response *response)
{
    must(r->state != HTTP_REQUEST_ABANDONED && r->stream == NULL);
    r->stream = s;
    answer(r, 200, content_type, response, NULL, 0);
}

void http_request_abandon(struct http_request *r)
{
    static const char text[] = "{\"ok\":false,\"error\":\"The server is shutting down.\"}";

    http_request_enter(r, HTTP_REQUEST_ABANDONED);
    r->status = 503;
    r->response = response_make(mem_string(text), sizeof(text) - 1);
    add_headers(r, r->response, "application/json; charset=utf-8");
    http_request_resume(r);
}
