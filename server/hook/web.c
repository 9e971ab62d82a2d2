#include "hook/web.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/mem.h"
#include "base/must.h"
#include "hook/address.h"

#define CONNECT_TIMEOUT_MS 10000
#define CONNECTIONS_KEPT 64
#define RETRY_AFTER_MAX_S 86400
#define AGENT "cyan-webhooks"

/* Of a socket of libcurl's; frees itself when closed. */
struct poll {
    uv_poll_t uv;
    struct web *web;
    curl_socket_t socket;
};

struct web_call {
    struct web_call *prev, *next;
    struct web *web;
    CURL *easy; /* ours, as the next */
    struct curl_slist *headers;
    char *sent; /* ours: the body */
    web_done_fn *done;
    void *arg;
    bool refused; /* an address was */
    bool cut;
    size_t read_bytes, kept_bytes;
    char kept[WEB_BODY_MAX + 1];
};

struct web {
    uv_loop_t *loop;
    uv_timer_t timer;
    CURLM *multi;
    struct web_call *calls;
    bool allow_private, closed;
};

/* --- the end of calls --- */

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macro */
static void call_free(struct web_call *call)
{
    DL_DELETE(call->web->calls, call);
    (void)curl_multi_remove_handle(call->web->multi, call->easy);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    free(call->sent);
    free(call);
}

void web_cancel(struct web_call **call)
{
    if (*call)
        call_free(*call);
    *call = NULL;
}

static struct web_answer answer_of(const struct web_call *call, CURLcode code)
{
    long status = 0;
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after);
    struct web_answer answer = {.why = "", .body = call->kept, .body_len = call->kept_bytes};
    if (code == CURLE_OK || (call->cut && status >= 200)) {
        answer.status = (int)status;
        answer.retry_after_s = (uint32_t)(retry_after < 0                   ? 0
                                          : retry_after > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S
                                                                            : retry_after);
    } else if ((code == CURLE_COULDNT_CONNECT || code == CURLE_ABORTED_BY_CALLBACK) && call->refused) {
        answer.err = WEB_REFUSED;
        answer.why = "its address is not one of the public internet";
    } else {
        answer.err = WEB_FAILED;
        answer.why = curl_easy_strerror(code);
    }
    return answer;
}

/* Ends what has come to its end. */
static void reap(struct web *web)
{
    CURLMsg *message;
    int left;
    while (!web->closed && (message = curl_multi_info_read(web->multi, &left)) != NULL) {
        struct web_call *call = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        must(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call) == CURLE_OK && call);
        struct web_answer answer = answer_of(call, code);
        web_done_fn *done = call->done;
        void *arg = call->arg;
        char *body = mem_copy(call->kept, call->kept_bytes + 1);
        answer.body = body;
        call_free(call);
        done(arg, &answer);
        free(body);
    }
}

/* --- libcurl on the loop --- */

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct poll *poll = handle->data;
    struct web *web = poll->web;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0, running;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    (void)curl_multi_socket_action(web->multi, poll->socket, flags, &running); /* poll may be gone */
    reap(web);
}

static void on_timer(uv_timer_t *timer)
{
    struct web *web = timer->data;
    int running;
    (void)curl_multi_socket_action(web->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(web);
}

static int on_set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct web *web = arg;
    (void)multi;
    if (web->closed)
        return 0;
    if (timeout_ms < 0) {
        (void)uv_timer_stop(&web->timer);
        return 0;
    }
    uv_update_time(web->loop);
    (void)uv_timer_start(&web->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct poll *poll_new(struct web *web, curl_socket_t socket)
{
    struct poll *poll = mem_alloc(sizeof *poll);
    poll->web = web;
    poll->socket = socket;
    must(uv_poll_init_socket(web->loop, &poll->uv, socket) == 0);
    poll->uv.data = poll;
    (void)curl_multi_assign(web->multi, socket, poll);
    return poll;
}

/* NOLINTNEXTLINE(readability-function-size): the signature is libcurl's */
static int on_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *socket_arg)
{
    struct web *web = arg;
    struct poll *poll = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (poll) {
            (void)curl_multi_assign(web->multi, socket, NULL);
            (void)uv_poll_stop(&poll->uv);
            uv_close((uv_handle_t *)&poll->uv, on_poll_closed);
        }
        return 0;
    }
    if (!poll)
        poll = poll_new(web, socket);
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    (void)uv_poll_start(&poll->uv, events, on_poll);
    return 0;
}

/* --- one call --- */

/* The name has been looked up, and this is what is connected to. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct web_call *call = arg;
    (void)purpose;
    if (!call->web->allow_private && !address_is_public(&address->addr)) {
        call->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Of a connection that is used again, too: it may have been made when more was allowed. */
static int on_before_request(void *arg, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
    struct web_call *call = arg;
    (void)own_ip;
    (void)peer_port;
    (void)own_port;
    if (call->web->allow_private || address_ip_is_public(peer_ip))
        return CURL_PREREQFUNC_OK;
    call->refused = true;
    return CURL_PREREQFUNC_ABORT;
}

static size_t on_body(char *data, size_t item_bytes, size_t count, void *arg)
{
    struct web_call *call = arg;
    size_t data_len = item_bytes * count, room = WEB_BODY_MAX - call->kept_bytes;
    size_t kept = data_len < room ? data_len : room;
    memcpy(call->kept + call->kept_bytes, data, kept);
    call->kept_bytes += kept;
    call->read_bytes += data_len;
    call->cut = call->read_bytes > WEB_BODY_READ_MAX;
    return call->cut ? 0 : data_len;
}

static void set_body(struct web_call *call, const struct web_request *request)
{
    if (!strcmp(request->method, "GET"))
        return;
    call->sent = mem_copy(request->body ? request->body : "", request->body_len + 1);
    (void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->sent);
    (void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE, (long)request->body_len);
    (void)curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_headers(struct web_call *call, const struct web_request *request)
{
    call->headers = curl_slist_append(NULL, "Expect:"); /* no waiting for a 100 */
    for (size_t i = 0; i < request->header_count; i++)
        call->headers = curl_slist_append(call->headers, request->headers[i]);
    (void)curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    (void)curl_easy_setopt(call->easy, CURLOPT_USERAGENT, AGENT);
}

static void set_limits(struct web_call *call, const struct web_request *request)
{
    CURL *easy = call->easy;
    long checks = request->checks_certificate;
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* a look-up that is given up goes on alone: waiting for its thread would hold the loop */
    (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
#if LIBCURL_VERSION_NUM >= 0x075500
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, checks);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, checks ? 2L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_before_request);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
}

struct web_call *web_send(struct web *web, const struct web_request *request, web_done_fn *done, void *arg)
{
    struct web_call *call = mem_alloc(sizeof *call);
    call->web = web;
    call->done = done;
    call->arg = arg;
    call->easy = curl_easy_init();
    must(call->easy != NULL);
    DL_APPEND(web->calls, call);
    (void)curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
    (void)curl_easy_setopt(call->easy, CURLOPT_URL, request->url);
    (void)curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
    if (request->username) {
        (void)curl_easy_setopt(call->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        (void)curl_easy_setopt(call->easy, CURLOPT_USERNAME, request->username);
        (void)curl_easy_setopt(call->easy, CURLOPT_PASSWORD, request->password);
    }
    set_limits(call, request);
    set_body(call, request);
    set_headers(call, request);
    must(curl_multi_add_handle(web->multi, call->easy) == CURLM_OK);
    return call;
}

/* --- life --- */

struct web *web_new(uv_loop_t *loop, bool allow_private)
{
    struct web *web = mem_alloc(sizeof *web);
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    web->loop = loop;
    web->allow_private = allow_private;
    must(uv_timer_init(loop, &web->timer) == 0);
    web->timer.data = web;
    web->multi = curl_multi_init();
    must(web->multi != NULL);
    (void)curl_multi_setopt(web->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(web->multi, CURLMOPT_SOCKETDATA, web);
    (void)curl_multi_setopt(web->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
    (void)curl_multi_setopt(web->multi, CURLMOPT_TIMERDATA, web);
    (void)curl_multi_setopt(web->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    return web;
}

void web_allow_private(struct web *web, bool allow)
{
    web->allow_private = allow;
}

static void on_web_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void web_close(struct web *web)
{
    struct web_call *call, *next;
    DL_FOREACH_SAFE (web->calls, call, next)
        call_free(call);
    web->closed = true;
    (void)curl_multi_cleanup(web->multi); /* its kept connections go: on_socket is called for each */
    curl_global_cleanup();
    (void)uv_timer_stop(&web->timer);
    uv_close((uv_handle_t *)&web->timer, on_web_closed);
}
