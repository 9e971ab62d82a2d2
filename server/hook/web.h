/* web.h: HTTP requests to servers of others, by libcurl's multi interface on the loop.
 *
 *   call: SENDING --answered, refused or late--> done (gone)
 *
 * Where a request goes is decided by the address that a name came to, when the socket is made: one that is
 * not of the public internet gets no socket (address.h), whatever the name was looked up to before. Redirects
 * are not followed, proxies of the environment not used. Names are looked up by libcurl on threads of its
 * own. done comes exactly once, from the loop, never from inside web_send, and not after web_cancel or
 * web_close. Ownership: web_new makes it; web_close gives it up, and it frees itself when the loop has closed
 * its handles. Loop thread only. The only file that knows libcurl besides hook_spec.c. */
#ifndef CYAN_HOOK_WEB_H
#define CYAN_HOOK_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define WEB_BODY_MAX 8192       /* of an answer's body are kept */
#define WEB_BODY_READ_MAX 65536 /* and so much is read, to keep the connection; then it is cut */

struct web;
struct web *web_new(uv_loop_t *loop, bool allow_private);
void web_allow_private(struct web *web, bool allow);
void web_close(struct web *web);

struct web_request { /* all borrowed for the call */
    const char *method, *url;
    const char *const *headers; /* `Name: value` */
    size_t header_count;
    const char *body; /* NULL: none */
    size_t body_len;
    const char *username, *password; /* NULL: none */
    bool checks_certificate;
    uint32_t timeout_ms; /* for all of it */
};

enum web_err {
    WEB_ANSWERED = 0,
    WEB_REFUSED, /* every address of the name is one that is not asked */
    WEB_FAILED,  /* no answer: why says what went wrong */
};
struct web_answer { /* borrowed, valid during the callback */
    enum web_err err;
    int status;
    const char *body; /* NUL-terminated; what is kept of it */
    size_t body_len;
    uint32_t retry_after_s; /* 0: it did not say */
    const char *why;        /* static */
};
typedef void web_done_fn(void *arg, const struct web_answer *answer);

struct web_call;
struct web_call *web_send(struct web *web, const struct web_request *request, web_done_fn *done, void *arg);
void web_cancel(struct web_call **call); /* *call becomes NULL; NULL is fine */

#endif
