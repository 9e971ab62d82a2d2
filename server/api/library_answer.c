#include "api/library_answer.h"

#include <dlfcn.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "api/http.h"
#include "base/log.h"

#define ANSWER_SIZE 512
#define DATE_SIZE 40

typedef enum MHD_Result queue_fn(struct MHD_Connection *connection, unsigned status,
                                 struct MHD_Response *response);

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
        return "The body is too large.";
    case MHD_HTTP_URI_TOO_LONG:
    case MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE:
        return "The headers of the request are too long.";
    case MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED:
        return "This version of HTTP is not supported.";
    case MHD_HTTP_INTERNAL_SERVER_ERROR:
        return "Something went wrong in the server; its log says more.";
    default:
        return "The request is not valid HTTP.";
    }
}

/* Right into the socket, and nothing after it: libmicrohttpd 0.9.75 sends the head of such an answer twice
 * when it finds the fault in a header, and none at all when its memory is full. Whatever was answered before
 * has left, since it reads no request before. */
static void say(struct MHD_Connection *connection, unsigned status)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char text[ANSWER_SIZE], date[DATE_SIZE];
    time_t now = time(NULL);
    struct tm utc;

    must(gmtime_r(&now, &utc) != NULL);
    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    int len = snprintf(text, sizeof(text),
                       "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\nContent-Type: application/json; "
                       "charset=utf-8\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: %zu\r\n\r\n"
                       "{\"ok\":false,\"error\":\"%s\"}",
                       status, MHD_get_reason_phrase_for(status), date,
                       strlen("{\"ok\":false,\"error\":\"\"}") + strlen(words(status)), words(status));
    must(len > 0 && (size_t)len < sizeof(text));
    if (info == NULL)
        return;
    (void)send(info->connect_fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(info->connect_fd, SHUT_WR);
}

static bool is_encrypted(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    return info != NULL && info->tls_session != NULL;
}

/* In place of the library's. Its page is queued all the same, so that it goes on as it would; it gets an
 * error from the socket and ends the connection. */
__attribute__((visibility("default"))) enum MHD_Result
MHD_queue_response(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
    if (!is_ours && status >= MHD_HTTP_BAD_REQUEST) { /* its pages are all of errors */
        log_debug("http.unreadable status=%u", status);
        http_count_unreadable(connection);
        if (!is_encrypted(connection))
            say(connection, status);
    }
    return library_queue()(connection, status, response);
}
