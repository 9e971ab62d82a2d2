/* http_stream.h: an answer that is made piece by piece, as fast as the client takes it.
 *
 *   FULL --the client has taken it all--> ASKED (pull is called) --http_stream_push--> FULL
 *                                              \--http_stream_end--> ENDED
 *   any --http_stream_cut--> CUT: the client sees that it is incomplete
 *
 * One piece is held at a time, so that a client that reads slowly costs one piece of memory. One that has not
 * taken a piece within HTTP_STREAM_PIECE_MS is cut (http.c). Ownership: the request owns the stream; whoever
 * feeds it must not use it any more once closed was called. Loop thread only. */
#ifndef CYAN_API_HTTP_STREAM_H
#define CYAN_API_HTTP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_request;
struct http_stream;

#define HTTP_STREAM_PIECE_MS 60000

struct http_stream_feed {
    void (*pull)(void *ctx);   /* the next piece is wanted: push or end follows, not from inside */
    void (*closed)(void *ctx); /* once, last: all was sent, or the client is gone */
    void *ctx;
};
/* Answers r with 200 and the first piece, a text from malloc that is taken over. */
struct http_stream *http_stream_start(struct http_request *r, const char *content_type,
                                      const struct http_stream_feed *feed, char *piece, size_t piece_len);
void http_stream_push(struct http_stream *s, char *piece /* taken over */, size_t piece_len);
void http_stream_end(struct http_stream *s);
void http_stream_cut(struct http_stream *s);

/* For http.c and http_request.c. */
bool http_stream_is_stalled(const struct http_stream *s, uint64_t now_ms);
void http_stream_free(struct http_stream *s); /* NULL is fine */

#endif
