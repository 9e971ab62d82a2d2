#include "api/http_request.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "api/authenticate.h"
#include "api/http.h"
#include "api/http_stream.h"
#include "api/library_answer.h"
#include "api/refused.h"
#include "api/respond.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define HEADERS_MAX_BYTES 32768
#define SOURCE_UNSENT_BYTES 131072

static const bool may_enter[6][6] = {
    [HTTP_REQUEST_RECEIVING] = {[HTTP_REQUEST_WORKING] = true, [HTTP_REQUEST_ADMITTING] = true},
    [HTTP_REQUEST_ADMITTING] =
        {[HTTP_REQUEST_RECEIVING] = true, [HTTP_REQUEST_ANSWERED] = true, [HTTP_REQUEST_ABANDONED] = true},
    [HTTP_REQUEST_WORKING] = {[HTTP_REQUEST_WAITING] = true, [HTTP_REQUEST_ANSWERED] = true},
    [HTTP_REQUEST_WAITING] = {[HTTP_REQUEST_ANSWERED] = true, [HTTP_REQUEST_ABANDONED] = true},
    [HTTP_REQUEST_ABANDONED] = {[HTTP_REQUEST_ANSWERED] =
                                    true}, /* the late answer came; only the sending is still to end */
};

static void enter(struct http_request *r, enum http_request_state state)
{
    must(may_enter[r->state][state]);
    r->state = state;
}

static void suspend(struct http_request *r)
{
    r->suspended = true;
    MHD_suspend_connection(r->connection);
}

static void resume(struct http_request *r)
{
    if (!r->suspended)
        return;
    r->suspended = false;
    MHD_resume_connection(r->connection);
    http_wake(r->api->http);
}

/* One name of the query. With libmicrohttpd's own decoding switched off (http.c) both arrive as sent, but for
 * `+`. */
static enum MHD_Result on_argument(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct http_request *r = arg;
    char *name_text = mem_string(name);
    char *value_text = mem_string(value != NULL ? value : "");
    bool fine = target_unescape(name_text) && target_unescape(value_text);

    (void)kind;
    /* json_object_set_new and json_string refuse what is not UTF-8 */
    fine = fine && json_object_set_new(r->query, name_text, json_string(value_text)) == 0;
    free(name_text);
    bytes_wipe(value_text, strlen(value_text)); /* it may be a token */
    free(value_text);
    if (fine)
        return MHD_YES;
    json_decref(r->query);
    r->query = NULL;
    return MHD_NO;
}

static const char *header(const struct http_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

static bool client_waits(const struct http_request *r) /* RFC 9110 10.1.1 */
{
    return header(r, "Expect") != NULL;
}

/* Of a request that brings a file: on a route that takes one. Else 0. */
static size_t file_max_bytes(const struct http_request *r)
{
    char allow[ROUTE_ALLOW_SIZE];
    const struct route *route;

    if (r->target_err != TARGET_OK || route_find(&route, r->method, &r->target, allow) != ROUTE_FOUND ||
        !body_is_type(header(r, "Content-Type"), BODY_MULTIPART_TYPE))
        return 0;
    return route_file_max_bytes(route);
}

struct lines {
    char *text; /* ours; NULL: only their length is wanted */
    size_t len;
};

static enum MHD_Result on_forwarded(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct lines *lines = arg;
    size_t len = value != NULL ? strlen(value) : 0;

    (void)kind;
    if (strcasecmp(name, "X-Forwarded-For") != 0)
        return MHD_YES;
    if (lines->text != NULL) {
        memcpy(lines->text + lines->len, value != NULL ? value : "", len);
        lines->text[lines->len + len] = ',';
    }
    lines->len += len + 1;
    return MHD_YES;
}

/* All its lines as one (RFC 9110 5.3): some proxies add a line of their own behind that of the client. NULL:
 * there is none, or nobody is believed. */
static char *forwarded_for(const struct http_request *r)
{
    struct lines lines = {.text = NULL};

    if (r->api->proxies.count == 0)
        return NULL;
    (void)MHD_get_connection_values(r->connection, MHD_HEADER_KIND, on_forwarded, &lines);
    if (lines.len == 0)
        return NULL;
    lines.text = mem_alloc(lines.len);
    lines.len = 0;
    (void)MHD_get_connection_values(r->connection, MHD_HEADER_KIND, on_forwarded, &lines);
    lines.text[lines.len - 1] = '\0';
    return lines.text;
}

static void read_client(struct http_request *r)
{
    char *forwarded = forwarded_for(r);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    client_address_read(&r->client, &r->api->proxies, info->client_addr, forwarded);
    free(forwarded);
}

struct http_request *http_request_new(struct api *api, struct MHD_Connection *connection, const char *url,
                                      const char *method)
{
    struct http_request *r = mem_alloc(sizeof(*r));

    r->api = api;
    r->connection = connection;
    r->started_ms = clock_ms();
    read_client(r);
    r->started_ns = uv_hrtime();
    if (strlen(method) < sizeof(r->method))
        memcpy(r->method, method, strlen(method) + 1);
    else
        r->method[0] = '?'; /* no method of ours is that long */
    r->target_err = target_parse(&r->target, url);
    r->query = json_object();
    (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, on_argument, r);
    r->file_max_bytes = file_max_bytes(r);
    return r;
}

static void upload_drop(struct http_request *r)
{
    if (r->upload != NULL)
        bytes_wipe(r->upload, r->upload_len);
    free(r->upload);
    r->upload = NULL;
    r->upload_len = 0;
}

/* --- the body as it comes --- */

static enum MHD_Result count_lengths(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    size_t *count = arg;

    (void)kind, (void)value;
    *count += strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0;
    return MHD_YES;
}

/* Where the body ends must be clear: a proxy before us may think otherwise (RFC 9112 6.3). */
static bool is_ambiguous(const struct http_request *r)
{
    const char *coding = header(r, "Transfer-Encoding");
    size_t count = 0;

    (void)MHD_get_connection_values(r->connection, MHD_HEADER_KIND, count_lengths, &count);
    return count > 1 || (coding != NULL && strcasecmp(coding, "chunked") != 0);
}

bool http_request_is_hopeless(const struct http_request *r)
{
    if (is_ambiguous(r))
        return true;
    const char *length = header(r, "Content-Length");
    size_t most = r->file_max_bytes + (client_waits(r) ? BODY_MAX_BYTES : HTTP_REQUEST_DRAIN_BYTES);

    return length != NULL && strtoull(length, NULL, 10) > most;
}

bool http_request_reads_body(const struct http_request *r)
{
    return r->state == HTTP_REQUEST_RECEIVING || r->state == HTTP_REQUEST_ADMITTING ||
           (r->state == HTTP_REQUEST_ANSWERED && !client_waits(r));
}

bool http_request_upload(struct http_request *r, const char *data, size_t data_len)
{
    uint64_t limit_ms = r->file_max_bytes > 0 ? HTTP_REQUEST_UPLOAD_MS : HTTP_REQUEST_BODY_MS;

    if (clock_ms() - r->started_ms > limit_ms)
        return false;
    r->upload_seen += data_len;
    if (r->upload_seen > r->file_max_bytes + HTTP_REQUEST_DRAIN_BYTES)
        return false;
    if (r->state == HTTP_REQUEST_ANSWERED) /* refused with its headers */
        return true;
    if (r->form != NULL) {
        form_push(r->form, data, data_len);
        return true;
    }
    if (r->upload_seen > BODY_MAX_BYTES) {
        upload_drop(r);
        return true;
    }
    r->upload = mem_grow(r->upload, r->upload_len + data_len + 1, 1);
    memcpy(r->upload + r->upload_len, data, data_len);
    r->upload_len += data_len;
    r->upload[r->upload_len] = '\0';
    return true;
}

static void answer_options(struct http_request *r)
{
    http_request_add_header(r, "Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS");
    http_request_add_header(
        r, "Access-Control-Allow-Headers",
        "Authorization, Content-Type, Accept, X-Requested-With, X-Particle-Tool, X-Particle-Project");
    http_request_add_header(r, "Access-Control-Max-Age", "300");
    respond_no_content(r);
}

/* True when r->route is found; else it is answered. */
static bool find_route(struct http_request *r)
{
    char allow[ROUTE_ALLOW_SIZE];

    if (r->target_err == TARGET_OK) {
        switch (route_find(&r->route, r->method, &r->target, allow)) {
        case ROUTE_FOUND:
            return true;
        case ROUTE_OPTIONS:
            answer_options(r);
            return false;
        case ROUTE_WRONG_METHOD:
            http_request_add_header(r, "Allow", allow);
            respond_error(r, 405, "This path does not know that method.");
            return false;
        case ROUTE_UNKNOWN_PATH:
            break;
        }
    }
    if (r->target_err == TARGET_BAD_ESCAPE)
        respond_error(r, 400, "The path is not valid percent-encoded UTF-8.");
    else
        respond_error(r, 404, "There is nothing at this path.");
    return false;
}

static size_t header_bytes(const struct http_request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    return info != NULL ? info->header_size : 0;
}

/* What watches the server must not be kept out by who crowds it. */
static bool is_watching(const struct http_request *r)
{
    return r->target_err == TARGET_OK && r->target.count == 1 &&
           (strcmp(r->target.segments[0], "health") == 0 || strcmp(r->target.segments[0], "metrics") == 0);
}

/* False: it is answered. */
static bool check_headers(struct http_request *r)
{
    uint64_t wait_ms;

    if (!is_watching(r) && !limits_take_address(r->api->limits, r->client.network, &wait_ms)) {
        respond_too_many(r, wait_ms);
        return false;
    }
    if (header_bytes(r) > HEADERS_MAX_BYTES) {
        respond_error(r, 431, "The headers of the request are too long.");
        return false;
    }
    if (!find_route(r))
        return false;
    if (r->query != NULL)
        return true;
    respond_error(r, 400, "The query is not valid percent-encoded UTF-8.");
    return false;
}

/* --- an upload --- */

void http_request_admit(struct http_request *r)
{
    if (r->file_max_bytes == 0)
        return;
    enter(r, HTTP_REQUEST_ADMITTING);
    if (!check_headers(r))
        return;
    authenticate_and_handle(r, authenticate_extract(r->token, header(r, "Authorization"), r->query, NULL));
    if (r->state != HTTP_REQUEST_ADMITTING)
        return;
    r->comes_with_headers = true;
    suspend(r);
}

static void admitted(struct http_request *r)
{
    if (r->api->upload_count >= HTTP_REQUEST_UPLOADS_MAX) {
        http_request_add_header(r, "Retry-After", "1");
        respond_error(r, 503, "Too many files are on their way already. Please try again.");
        return;
    }
    r->form = form_new(r->connection, r->file_max_bytes);
    if (r->form == NULL) {
        respond_error(r, 400, BODY_BAD_FORM);
        return;
    }
    r->api->upload_count++;
    r->is_counted = true;
    enter(r, HTTP_REQUEST_RECEIVING);
    resume(r);
}

void http_request_allowed(struct http_request *r)
{
    if (authenticate_is_confined_elsewhere(r))
        respond_forbidden(r, "The token is good for its own product only.");
    else if (r->state == HTTP_REQUEST_ADMITTING && route_reads_file(r->route))
        admitted(r);
    else
        r->route->handle(r);
}

static void process_upload(struct http_request *r)
{
    char text[96];
    bool too_large;
    const char *why = form_end(r->form, &r->body.fields, &r->file, &too_large);

    r->form = NULL;
    r->body.is_form = true;
    if (why == NULL) {
        (void)json_object_del(r->body.fields, "access_token");
        r->route->handle(r);
    } else if (too_large) {
        (void)snprintf(text, sizeof(text), "The file is too large: at most %zu bytes are taken.",
                       r->file_max_bytes);
        respond_error(r, 413, text);
    } else {
        respond_error(r, 400, why);
    }
}

struct form_file *http_request_file(struct http_request *r)
{
    return r->file.field != NULL ? &r->file : NULL;
}

/* --- the answer --- */

void http_request_process(struct http_request *r)
{
    const char *why;
    enum token_found found;

    enter(r, HTTP_REQUEST_WORKING);
    if (r->form != NULL) {
        process_upload(r);
        return;
    }
    if (!check_headers(r))
        return;
    if (r->upload_seen > BODY_MAX_BYTES) {
        respond_error(r, 413, "The body is too large.");
        return;
    }
    why = body_parse(&r->body, r->connection, header(r, "Content-Type"), r->upload != NULL ? r->upload : "",
                     r->upload_len);
    upload_drop(r);
    if (why != NULL) {
        respond_error(r, 400, why);
        return;
    }
    found = authenticate_extract(r->token, header(r, "Authorization"), r->query, r->body.fields);
    authenticate_and_handle(r, found);
}

void http_request_refuse_upload(struct http_request *r)
{
    enter(r, HTTP_REQUEST_WORKING);
    if (!is_ambiguous(r)) {
        respond_error(r, 413, "The body is too large.");
        return;
    }
    http_request_add_header(r, "Connection", "close");
    respond_error(r, 400, "The headers do not say clearly how long the body is.");
}

void http_request_suspend(struct http_request *r)
{
    enter(r, HTTP_REQUEST_WAITING);
    suspend(r);
}

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

static void request_free(struct http_request *r)
{
    if (r->response != NULL)
        MHD_destroy_response(r->response);
    for (size_t i = 0; i < r->header_count; i++)
        free(r->headers[i].value);
    http_stream_free(r->stream);
    if (r->scratch != NULL)
        bytes_wipe(r->scratch, r->scratch_bytes);
    free(r->scratch);
    upload_drop(r);
    form_free(r->form);
    form_file_deinit(&r->file);
    body_deinit(&r->body);
    json_decref(r->query);
    target_deinit(&r->target);
    bytes_wipe(r->token, sizeof(r->token));
    free(r);
}

void http_request_release(struct http_request *r)
{
    must(!r->suspended && !r->is_resting);
    if (r->source.over != NULL)
        r->source.over(r->source.ctx);
    r->source = (struct http_source){NULL};
    r->connection = NULL;
    if (r->is_counted)
        r->api->upload_count--;
    r->is_counted = false;
    if (r->state != HTTP_REQUEST_ABANDONED)
        request_free(r);
}

/* The query of an abandoned request is over. */
static void late(struct http_request *r)
{
    if (r->connection == NULL)
        request_free(r);
    else
        enter(r, HTTP_REQUEST_ANSWERED);
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
    enter(r, HTTP_REQUEST_ANSWERED);
    r->status = status;
    r->response = response;
    refused_note(r, text, text_len);
    add_headers(r, response, content_type);
    resume(r);
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

void http_request_hold(struct http_request *r)
{
    suspend(r);
}

void http_request_resume(struct http_request *r)
{
    resume(r);
}

void http_request_abandon(struct http_request *r)
{
    static const char text[] = "{\"ok\":false,\"error\":\"The server is shutting down.\"}";

    enter(r, HTTP_REQUEST_ABANDONED);
    r->status = 503;
    r->response = response_make(mem_string(text), sizeof(text) - 1);
    add_headers(r, r->response, "application/json; charset=utf-8");
    resume(r);
}

bool http_request_accepts(const struct http_request *r, const char *type)
{
    const char *accept = header(r, "Accept");

    return accept != NULL && strstr(accept, type) != NULL;
}

const char *http_request_param(const struct http_request *r, const char *name)
{
    return route_param(r->route, &r->target, name);
}

char *http_request_rest(const struct http_request *r)
{
    return route_rest(r->route, &r->target);
}

const char *http_request_device(struct http_request *r)
{
    const char *text = http_request_param(r, "device");
    char id_text[DEVICE_ID_TEXT_SIZE];
    struct device_id id;
    int len;

    if (strchr(text, '/') != NULL) /* an escaped one: only the path itself says which product it is about */
        return "";
    if (device_id_parse(&id, text, strlen(text))) {
        device_id_format(id_text, &id);
        text = id_text;
    }
    if (r->product_id != 0)
        len = snprintf(r->device_text, sizeof(r->device_text), "%d/%s", r->product_id, text);
    else
        len = snprintf(r->device_text, sizeof(r->device_text), "%s", text);
    return (size_t)len < sizeof(r->device_text) ? r->device_text : "";
}

const char *http_request_query(const struct http_request *r, const char *name)
{
    return json_string_value(json_object_get(r->query, name));
}

bool http_request_basic(struct http_request *r, char **name, char **password)
{
    *name = MHD_basic_auth_get_username_password(r->connection, password);
    if (*name == NULL)
        return false;
    if (*password != NULL)
        return true;
    http_request_basic_free(*name, NULL);
    return false;
}

void http_request_basic_free(char *name, char *password)
{
    if (name != NULL)
        bytes_wipe(name, strlen(name)); /* a client's secret may stand here as well */
    if (password != NULL)
        bytes_wipe(password, strlen(password));
    MHD_free(name);
    MHD_free(password);
}

bool http_request_take_login(struct http_request *r)
{
    uint64_t wait_ms;

    if (limits_take_login(r->api->limits, r->client.network, &wait_ms))
        return true;
    respond_too_many(r, wait_ms);
    return false;
}

void *http_request_scratch(struct http_request *r, size_t bytes)
{
    must(r->scratch == NULL);
    r->scratch = mem_alloc(bytes);
    r->scratch_bytes = bytes;
    return r->scratch;
}

void http_request_add_header(struct http_request *r, const char *name, const char *value)
{
    must(r->header_count < HTTP_REQUEST_HEADERS_MAX);
    r->headers[r->header_count++] = (struct http_header){.name = name, .value = mem_string(value)};
}
