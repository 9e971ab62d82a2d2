/* http_request_receive.c: a request while it comes: its body, what is refused with its headers already, and
 * who is asked about it. */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/authenticate.h"
#include "api/http_request_inner.h"
#include "api/respond.h"
#include "base/clock.h"
#include "base/mem.h"

#define HEADERS_MAX_BYTES 32768

static bool client_waits(const struct http_request *r) /* RFC 9110 10.1.1 */
{
    return http_request_header(r, "Expect") != NULL;
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
    const char *coding = http_request_header(r, "Transfer-Encoding");
    size_t count = 0;

    (void)MHD_get_connection_values(r->connection, MHD_HEADER_KIND, count_lengths, &count);
    return count > 1 || (coding != NULL && strcasecmp(coding, "chunked") != 0);
}

bool http_request_is_hopeless(const struct http_request *r)
{
    if (is_ambiguous(r))
        return true;
    const char *length = http_request_header(r, "Content-Length");
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
        http_request_drop_upload(r);
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
    http_request_enter(r, HTTP_REQUEST_ADMITTING);
    if (!check_headers(r))
        return;
    authenticate_and_handle(
        r, authenticate_extract(r->token, http_request_header(r, "Authorization"), r->query, NULL));
    if (r->state != HTTP_REQUEST_ADMITTING)
        return;
    r->comes_with_headers = true;
    http_request_hold(r);
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
    http_request_enter(r, HTTP_REQUEST_RECEIVING);
    http_request_resume(r);
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

/* --- all of it --- */

void http_request_process(struct http_request *r)
{
    const char *why;
    enum token_found found;

    http_request_enter(r, HTTP_REQUEST_WORKING);
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
    why = body_parse(&r->body, r->connection, http_request_header(r, "Content-Type"),
                     r->upload != NULL ? r->upload : "", r->upload_len);
    http_request_drop_upload(r);
    if (why != NULL) {
        respond_error(r, 400, why);
        return;
    }
    found = authenticate_extract(r->token, http_request_header(r, "Authorization"), r->query, r->body.fields);
    authenticate_and_handle(r, found);
}

void http_request_refuse_upload(struct http_request *r)
{
    http_request_enter(r, HTTP_REQUEST_WORKING);
    if (!is_ambiguous(r)) {
        respond_error(r, 413, "The body is too large.");
        return;
    }
    http_request_add_header(r, "Connection", "close");
    respond_error(r, 400, "The headers do not say clearly how long the body is.");
}
