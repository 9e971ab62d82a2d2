#include "api/library_answer.h"

#include <dlfcn.h>
#include <microhttpd.h>
#include <string.h>

#include "api/http.h"
#include "base/log.h"

typedef enum MHD_Result queue_fn(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response);

static bool is_ours; /* what is being queued right now */

static queue_fn *library_queue(void)
{
    static queue_fn *queue;

    if (queue == NULL)
        *(void **)&queue = dlsym(RTLD_NEXT, "MHD_queue_response");
    must(queue != NULL);
    return queue;
}

bool library_answer_queue(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
    is_ours = true;
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    is_ours = false;
    return queued == MHD_YES;
}

static const char *words(unsigned status)
{
    switch (status) {
    case MHD_HTTP_CONTENT_TOO_LARGE:
        return "{\"ok\":false,\"error\":\"The body is too large.\"}";
    case MHD_HTTP_URI_TOO_LONG:
    case MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE:
        return "{\"ok\":false,\"error\":\"The headers of the request are too long.\"}";
    case MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED:
        return "{\"ok\":false,\"error\":\"This version of HTTP is not supported.\"}";
    case MHD_HTTP_INTERNAL_SERVER_ERROR:
        return "{\"ok\":false,\"error\":\"Something went wrong in the server; its log says more.\"}";
    default:
        return "{\"ok\":false,\"error\":\"The request is not valid HTTP.\"}";
    }
}

static struct MHD_Response *page(unsigned status)
{
    const char *text = words(status);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);

    must(response != NULL);
    (void)MHD_add_response_header(response, "Content-Type", "application/json; charset=utf-8");
    (void)MHD_add_response_header(response, "Access-Control-Allow-Origin", "*");
    return response;
}

/* In place of the library's. A page stays the library's to destroy; what is queued in its place is ours. */
__attribute__((visibility("default"))) enum MHD_Result
MHD_queue_response(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
    if (is_ours || status < MHD_HTTP_BAD_REQUEST) /* its pages are all of errors */
        return library_queue()(connection, status, response);
    log_debug("http.unreadable status=%u", status);
    http_count_unreadable(connection);
    response = page(status);
    enum MHD_Result queued = library_queue()(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}
