/* http_request_inner.h: what the files of one request share: http_request.c its life, http_request_receive.c
 * its coming, http_request_answer.c its answer. */
#ifndef CYAN_API_HTTP_REQUEST_INNER_H
#define CYAN_API_HTTP_REQUEST_INNER_H

#include "api/http_request.h"

void http_request_enter(struct http_request *r, enum http_request_state state);
const char *http_request_header(const struct http_request *r, const char *name); /* NULL: it has none */
void http_request_drop_upload(struct http_request *r); /* wipes what is kept of the body as it came */
void http_request_free(struct http_request *r); /* libmicrohttpd and the query, if any, are done with it */

#endif
