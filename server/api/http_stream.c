#include "api/http_stream.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_request.h"
#include "base/clock.h"
#include "base/mem.h"

#define BLOCK_BYTES 32768

enum state { FULL, ASKED, ENDED, CUT };

struct http_stream {
    struct http_request *r; /* borrowed: owner of this */
    struct http_stream_feed feed;
    enum state state;
    char *piece; /* ours */
    size_t piece_len, taken;
    uint64_t pushed_ms;
};

static void fill(struct http_stream *s, char *piece, size_t piece_len)
{
    free(s->piece);
    s->piece = piece;
    s->piece_len = piece_len;
    s->taken = 0;
    s->state = FULL;
    s->pushed_ms = clock_ms();
}

/* libmicrohttpd has sent what it had and can send more. */
static ssize_t on_read(void *arg, uint64_t offset, char *out, size_t out_size)
{
    struct http_stream *s = arg;
    size_t len = s->piece_len - s->taken;

    (void)offset;
    if (s->state == CUT)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (len > 0) {
        len = len < out_size ? len : out_size;
        memcpy(out, s->piece + s->taken, len);
        s->taken += len;
        return (ssize_t)len;
    }
    if (s->state == ENDED)
        return MHD_CONTENT_READER_END_OF_STREAM;
    http_request_hold(s->r);
    if (s->state == FULL) {
        s->state = ASKED;
        s->feed.pull(s->feed.ctx);
    }
    return 0;
}

struct http_stream *http_stream_start(struct http_request *r, const char *content_type,
                                      const struct http_stream_feed *feed, char *piece, size_t piece_len)
{
    struct http_stream *s = mem_alloc(sizeof(*s));

    s->r = r;
    s->feed = *feed;
    fill(s, piece, piece_len);
    http_request_answer_stream(
        r, content_type, s,
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_read, s, NULL));
    return s;
}

void http_stream_push(struct http_stream *s, char *piece, size_t piece_len)
{
    if (s->state != ASKED) { /* cut meanwhile */
        free(piece);
        return;
    }
    fill(s, piece, piece_len);
    http_request_resume(s->r);
}

void http_stream_end(struct http_stream *s)
{
    if (s->state == CUT)
        return;
    s->state = ENDED;
    http_request_resume(s->r);
}

void http_stream_cut(struct http_stream *s)
{
    s->state = CUT;
    http_request_resume(s->r);
}

bool http_stream_is_stalled(const struct http_stream *s, uint64_t now_ms)
{
    return s->state != ASKED && now_ms - s->pushed_ms > HTTP_STREAM_PIECE_MS;
}

void http_stream_free(struct http_stream *s)
{
    if (s == NULL)
        return;
    s->feed.closed(s->feed.ctx);
    free(s->piece);
    free(s);
}
