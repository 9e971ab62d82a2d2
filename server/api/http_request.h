/* http_request.h: one HTTP request, from its first header to its answer.
 *
 *   RECEIVING --whole--> WORKING --a query asks the fleet--> WAITING --answered--> ANSWERED --sent--> (gone)
 *       \--client gone--> (gone)  \--answered at once---------------------------/
 *   RECEIVING --headers of an upload--> ADMITTING --may--> RECEIVING      \--may not--> ANSWERED
 *   WAITING, ADMITTING --the server closes and will not wait--> ABANDONED --the query's callback comes-->
 * (gone)
 *
 * A request that brings a file says who asks in its headers: nothing of it is kept, and no client that waits
 * for our word is told to go on, before that person was found to be allowed to. What is refused then is still
 * read to its end, so that the client is there to hear why.
 * A request is answered exactly once. A client that vanishes while WAITING is noticed when the answer is
 * sent: the connection is suspended until then, so a query always has its request. In ABANDONED the API may
 * be gone already: a callback that does more than answer asks http_request_continue first.
 * Ownership: made when the headers are there, freed when libmicrohttpd is done with it and no query is under
 * way. Loop thread only. */
#ifndef CYAN_API_HTTP_REQUEST_H
#define CYAN_API_HTTP_REQUEST_H

#include "api/body.h"
#include "api/form.h"
#include "api/room.h"
#include "api/route.h"
#include "api/target.h"

struct MHD_Connection;
struct MHD_Response;
struct http_stream;

#define HTTP_REQUEST_METHOD_SIZE 12
#define HTTP_REQUEST_TOKEN_MAX 128
#define HTTP_REQUEST_HEADERS_MAX 8
#define HTTP_REQUEST_DEVICE_SIZE 80 /* `PRODUCT/DEVICE` */
/* A body over BODY_MAX_BYTES is read up to here, so that the client is there to hear the 413. */
#define HTTP_REQUEST_DRAIN_BYTES 1048576u
#define HTTP_REQUEST_BODY_MS 30000   /* time for a whole body */
#define HTTP_REQUEST_UPLOAD_MS 60000 /* for one with a file */
#define HTTP_REQUEST_UPLOADS_MAX 16  /* with a file, at a time */

enum http_request_state {
    HTTP_REQUEST_RECEIVING,
    HTTP_REQUEST_ADMITTING,
    HTTP_REQUEST_WORKING,
    HTTP_REQUEST_WAITING,
    HTTP_REQUEST_ANSWERED,
    HTTP_REQUEST_ABANDONED
};

struct http_header {
    const char *name; /* static */
    char *value;      /* ours */
};

/* An answer without an end, such as a stream of events. fill is asked for more, of at least 128 bytes,
 * whenever the client can take it; 0: there is nothing now, and it is asked again after http_request_go_on;
 * HTTP_SOURCE_END: that was all. over comes once, when nothing is asked any more. Neither may end another
 * request. */
#define HTTP_SOURCE_END (-1)
#define HTTP_SOURCE_ROOM_BYTES 16384 /* of a client that knows no chunks */
struct http_source {
    ssize_t (*fill)(void *ctx, char *out, size_t out_size);
    void (*over)(void *ctx);
    void *ctx;
};

struct http_request {
    struct api *api;                   /* borrowed; not to be used when ABANDONED */
    struct MHD_Connection *connection; /* NULL once libmicrohttpd is done */
    enum http_request_state state;
    struct http_request *prev, *next; /* in the list of http.c */
    char method[HTTP_REQUEST_METHOD_SIZE];
    struct target target;
    enum target_err target_err;
    const struct route *route; /* NULL until matched */
    json_t *query;             /* ours: names to strings; NULL when it is malformed */
    struct body body;          /* empty until received */
    char token[HTTP_REQUEST_TOKEN_MAX + 1];
    struct fleet_actor actor; /* valid in handlers of routes that ask for a token */
    struct client_address client;
    int product_id; /* of `:product` in the path, which the actor may ask this about; 0: the path has none */
    char device_text[HTTP_REQUEST_DEVICE_SIZE];
    uint64_t started_ms, started_ns;
    size_t file_max_bytes; /* of an upload; 0: it is none */
    struct form *form;     /* ours, of an upload while RECEIVING */
    struct form_file file; /* ours, of an upload that is received */
    char *upload;          /* ours, NUL-terminated: the body as it came, unless it is a form */
    size_t upload_len;
    uint64_t upload_seen; /* including what was not kept */
    struct http_header headers[HTTP_REQUEST_HEADERS_MAX];
    size_t header_count;
    struct MHD_Response *response; /* ours while ANSWERED */
    unsigned status;
    struct http_stream *stream; /* ours: what makes the answer's pieces; NULL unless it comes in pieces */
    void *scratch;              /* ours, see http_request_scratch */
    size_t scratch_bytes;
    struct http_source source; /* over NULL: there is none */
    bool knows_chunks;         /* it speaks HTTP/1.1 */
    bool is_resting;           /* the source has nothing now: suspended as well */
    bool suspended;            /* libmicrohttpd does nothing until it is resumed */
    bool comes_with_headers;   /* suspended with them: its next call brings nothing new */
    bool is_counted;           /* in api->upload_count */
};

/* For http.c. url: the path, not decoded. */
struct http_request *http_request_new(struct api *api, struct MHD_Connection *connection, const char *url,
                                      const char *method);
/* The body is larger than would be read to its end, or than a client that waits for our word may send; or
 * nobody can say how long it is. */
must_check bool http_request_is_hopeless(const struct http_request *r);
/* An upload becomes ADMITTING, or is ANSWERED at once; others stay as they are. */
void http_request_admit(struct http_request *r);
/* With the headers: the body comes next, if it is not suspended first. False: the answer is sent at once. */
must_check bool http_request_reads_body(const struct http_request *r);
/* False: cut the connection. */
must_check bool http_request_upload(struct http_request *r, const char *data, size_t data_len);
/* The body is complete, or will not be read: finds the answer, or leaves the request WAITING. */
void http_request_process(struct http_request *r);
void http_request_refuse_upload(struct http_request *r);   /* before any of a hopeless body is read */
must_check bool http_request_send(struct http_request *r); /* ANSWERED: hands the answer to libmicrohttpd */
void http_request_suspend(struct http_request *r);         /* WORKING without an answer: to WAITING */
/* libmicrohttpd is done with it: frees it, or leaves that to the query under way. */
void http_request_release(struct http_request *r);
/* For authenticate.c and product_gate.c: r->actor may ask this, if its token is good for this product at all.
 */
void http_request_allowed(struct http_request *r);
/* The server closes: answers 503 now, and the query's own answer is dropped. */
void http_request_abandon(struct http_request *r);

/* For handlers. */
/* The segment that stands for `:name` in the route's pattern; NULL when that has none. */
const char *http_request_param(const struct http_request *r, const char *name);
/* What stands for the last part `*rest` of the pattern; the caller frees. NULL when it has none. */
char *http_request_rest(const struct http_request *r);
/* A device named in the path, as the fleet looks for one: ids in lower case; under a product
 * `PRODUCT/DEVICE`, with its id. "" when it can be none. */
const char *http_request_device(struct http_request *r);
const char *http_request_query(const struct http_request *r, const char *name); /* NULL when absent */
/* The file of a multipart body, on routes that take one; its values are in body as always. NULL: there is
 * none. file->data may be taken over: set it NULL. */
struct form_file *http_request_file(struct http_request *r);
/* First thing in a callback that goes on working instead of answering; false: r is gone, return. */
must_check bool http_request_continue(struct http_request *r);
/* The name and password of Basic authentication; false: there are none. Each is given back to
 * http_request_basic_free, which wipes them. */
must_check bool http_request_basic(struct http_request *r, char **name, char **password);
void http_request_basic_free(char *name, char *password);
/* Counts a sign-in, or what else costs as much, by this client; false: too many, it is answered. */
must_check bool http_request_take_login(struct http_request *r);
/* Zeroed memory that lives until the request ends and is wiped then; once per request. */
void *http_request_scratch(struct http_request *r, size_t bytes);
/* To be sent with the answer; name static, value copied. */
void http_request_add_header(struct http_request *r, const char *name, const char *value);
/* For respond.c: takes over text (from malloc), which is the whole body; NULL: none. r may be gone on return.
 */
void http_request_answer(struct http_request *r, unsigned status, const char *content_type, char *text,
                         size_t text_len);
/* The same with what is somebody else's: release(ctx) comes once, when it has been sent or will not be. */
struct http_content {
    const void *data;
    size_t data_len;
    void (*release)(void *ctx);
    void *ctx;
};
void http_request_answer_content(struct http_request *r, unsigned status, const char *content_type,
                                 const struct http_content *content);
/* 200 with what source gives. Not of an ABANDONED request (http_request_continue). */
void http_request_answer_source(struct http_request *r, const char *content_type,
                                const struct http_source *source);
void http_request_go_on(struct http_request *r); /* the source has something; not from inside fill */
/* The client is not listened to and not spoken to any more; over follows. Not from inside fill. */
void http_request_cut(struct http_request *r);
/* For http_stream.c: 200 with a body that s makes; s is taken over. r is not ABANDONED. */
void http_request_answer_stream(struct http_request *r, const char *content_type, struct http_stream *s,
                                struct MHD_Response *response);
void http_request_hold(struct http_request *r); /* nothing to send until http_request_resume */
void http_request_resume(struct http_request *r);

/* Its Accept header names this type. */
bool http_request_accepts(const struct http_request *r, const char *type);

#endif
