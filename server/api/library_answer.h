/* library_answer.h: what libmicrohttpd answers by itself: to what is not HTTP, to headers over its memory, to
 * a body whose length or chunks make no sense. It has pages in HTML for that; clients read JSON only
 * (rest-api 0.2).
 *
 * The library queues its pages with its own MHD_queue_response, which it calls through the dynamic linker:
 * the one of library_answer.c stands in front of it, says what is wrong in JSON and ends the connection. Over
 * TLS they stay. With a library that was linked otherwise its pages stay, and a test of
 * tests/unit/test_api_http.c says so. Loop thread only. */
#ifndef CYAN_API_LIBRARY_ANSWER_H
#define CYAN_API_LIBRARY_ANSWER_H

#include <stdbool.h>

#include "base/must.h"

struct MHD_Connection;
struct MHD_Response;

/* Queues an answer of ours, as it is. */
must_check bool library_answer_queue(struct MHD_Connection *connection, unsigned status,
                                     struct MHD_Response *response);

#endif
