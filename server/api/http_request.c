#include "api/http_request_inner.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/http.h"
#include "api/http_stream.h"
#include "api/respond.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"

static const bool may_enter[6][6] = {
    [HTTP_REQUEST_RECEIVING] = {[HTTP_REQUEST_WORKING] = true, [HTTP_REQUEST_ADMITTING] = true},
    [HTTP_REQUEST_ADMITTING] =
        {[HTTP_REQUEST_RECEIVING] = true, [HTTP_REQUEST_ANSWERED] = true, [HTTP_REQUEST_ABANDONED] = true},
    [HTTP_REQUEST_WORKING] = {[HTTP_REQUEST_WAITING] = true, [HTTP_REQUEST_ANSWERED] = true},
    [HTTP_REQUEST_WAITING] = {[HTTP_REQUEST_ANSWERED] = true, [HTTP_REQUEST_ABANDONED] = true},
    [HTTP_REQUEST_ABANDONED] = {[HTTP_REQUEST_ANSWERED] =
                                    true}, /* the late answer came; only the sending is still to end */
};

void http_request_enter(struct http_request *r, enum http_request_state state)
{
    must(may_enter[r->state][state]);
    r->state = state;
}

void http_request_hold(struct http_request *r)
{
    r->suspended = true;
    MHD_suspend_connection(r->connection);
}

void http_request_resume(struct http_request *r)
{
    if (!r->suspended)
        return;
    r->suspended = false;
    MHD_resume_connection(r->connection);
    http_wake(r->api->http);
}

const char *http_request_header(const struct http_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
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

/* Of a request that brings a file: on a route that takes one. Else 0. */
static size_t file_max_bytes(const struct http_request *r)
{
    char allow[ROUTE_ALLOW_SIZE];
    const struct route *route;

    if (r->target_err != TARGET_OK || route_find(&route, r->method, &r->target, allow) != ROUTE_FOUND ||
        !body_is_type(http_request_header(r, "Content-Type"), BODY_MULTIPART_TYPE))
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

void http_request_drop_upload(struct http_request *r)
{
    if (r->upload != NULL)
        bytes_wipe(r->upload, r->upload_len);
    free(r->upload);
    r->upload = NULL;
    r->upload_len = 0;
}

void http_request_suspend(struct http_request *r)
{
    http_request_enter(r, HTTP_REQUEST_WAITING);
    http_request_hold(r);
}

void http_request_free(struct http_request *r)
{
    if (r->response != NULL)
        MHD_destroy_response(r->response);
    for (size_t i = 0; i < r->header_count; i++)
        free(r->headers[i].value);
    http_stream_free(r->stream);
    if (r->scratch != NULL)
        bytes_wipe(r->scratch, r->scratch_bytes);
    free(r->scratch);
    http_request_drop_upload(r);
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
        http_request_free(r);
}

/* --- what handlers ask it --- */

bool http_request_accepts(const struct http_request *r, const char *type)
{
    const char *accept = http_request_header(r, "Accept");

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
