#include "api/stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "api/http_request.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define WRITE_MAX_BYTES 32768 /* what one reader gets before others do */
#define HELLO ":ok\n\n"

static const char *const last_words[STREAM_WHY_COUNT] = {
    [STREAM_SLOW] = ":too slow: events were left out\n\n",
    [STREAM_TOKEN] = ":the token is no longer valid\n\n",
    [STREAM_RIGHTS] = ":this is not yours any more\n\n",
    [STREAM_SHUTDOWN] = ":the server is shutting down\n\n",
};
static const char *const why_names[STREAM_WHY_COUNT] = {
    [STREAM_LEFT] = "left",     [STREAM_SLOW] = "slow",         [STREAM_TOKEN] = "token",
    [STREAM_RIGHTS] = "rights", [STREAM_SHUTDOWN] = "shutdown",
};

static const bool may_enter[4][4] = {
    [STREAM_RESTING] = {[STREAM_WAKING] = true, [STREAM_ENDING] = true},
    [STREAM_WAKING] = {[STREAM_FLOWING] = true, [STREAM_ENDING] = true},
    [STREAM_FLOWING] = {[STREAM_RESTING] = true, [STREAM_ENDING] = true},
    [STREAM_ENDING] = {false},
};

/* The list that a stream is in because of its state. */
static struct stream **list_of(struct stream *stream)
{
    switch (stream->state) {
    case STREAM_RESTING:
        return &stream->feed->resting;
    case STREAM_WAKING:
        return &stream->all->waking;
    case STREAM_FLOWING:
        return &stream->feed->flowing;
    case STREAM_ENDING:
        break;
    }
    return &stream->all->ending;
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macros */
static void enter(struct stream *stream, enum stream_state state)
{
    struct stream **list = list_of(stream);

    must(may_enter[stream->state][state]);
    DL_DELETE(*list, stream);
    stream->state = state;
    list = list_of(stream);
    DL_APPEND(*list, stream);
}

/* --- its feed --- */

static struct stream_feed *feed_ref(struct streams *s, const struct stream_key *key)
{
    struct stream_feed *feed = stream_index_find(&s->index, key);

    if (feed == NULL) {
        feed = mem_alloc(sizeof(*feed));
        feed->key = *key;
        stream_log_init(&feed->log, &s->bytes);
        stream_index_add(&s->index, feed);
        DL_APPEND(s->feeds, feed);
    }
    feed->reader_count++;
    return feed;
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macros */
static void feed_unref(struct streams *s, struct stream_feed *feed)
{
    if (--feed->reader_count > 0)
        return;
    if (feed->is_fresh)
        DL_DELETE2(s->fresh, feed, prev_fresh, next_fresh);
    DL_DELETE(s->feeds, feed);
    stream_index_remove(&s->index, feed);
    stream_log_deinit(&feed->log);
    free(feed);
}

/* --- writing --- */

static void note_written(struct stream *stream, size_t len)
{
    struct streams *s = stream->all;

    stream->written_ms = clock_ms();
    stream->owes_line = false;
    s->written->value += len;
    s->written_count++;
    DL_DELETE2(s->silent, stream, prev_silent, next_silent);
    DL_APPEND2(s->silent, stream, prev_silent, next_silent);
}

static ssize_t fill_last(struct stream *stream, char *out, size_t out_size)
{
    size_t len = strlen(last_words[stream->why]);

    if (stream->said_last || len > out_size)
        return HTTP_SOURCE_END;
    stream->said_last = true;
    memcpy(out, last_words[stream->why], len);
    return (ssize_t)len;
}

static ssize_t on_fill(void *ctx, char *out, size_t out_size)
{
    struct stream *stream = ctx;
    size_t len;

    if (stream->state == STREAM_ENDING)
        return fill_last(stream, out, out_size);
    if (!stream->said_hello) {
        len = strlen(HELLO);
        must(out_size >= len);
        memcpy(out, HELLO, len);
        stream->said_hello = true;
    } else {
        len = stream_log_read(&stream->feed->log, &stream->place, out,
                              out_size < WRITE_MAX_BYTES ? out_size : WRITE_MAX_BYTES);
        if (len == 0 && stream_log_has_more(&stream->feed->log, &stream->place)) {
            stream_end(stream, STREAM_SLOW); /* the library has no room for one event: headers of 60 KiB */
            return HTTP_SOURCE_END;
        }
        if (len == 0 && stream->owes_line)
            out[len++] = '\n';
    }
    if (len > 0) {
        note_written(stream, len);
        return (ssize_t)len;
    }
    stream->behind_ms = 0;
    enter(stream, STREAM_RESTING);
    return 0;
}

/* --- its life --- */

static void detach(struct stream *stream)
{
    struct streams *s = stream->all;

    stream_log_leave(&stream->feed->log, &stream->place);
    feed_unref(s, stream->feed);
    stream->feed = NULL;
    DL_DELETE2(s->silent, stream, prev_silent, next_silent);
    DL_DELETE2(s->check, stream, prev_check, next_check);
    HASH_DEL(s->by_serial, stream);
    s->open->value = --s->count;
    s->held->value = s->bytes;
    s->ended[stream->why]->value++;
    log_info("stream.ended serial=%" PRIu64 " why=%s", stream->serial, why_names[stream->why]);
}

/* libmicrohttpd is done with it. */
static void on_over(void *ctx)
{
    struct stream *stream = ctx;
    struct streams *s = stream->all;
    struct stream **list = list_of(stream);

    DL_DELETE(*list, stream);
    if (stream->state != STREAM_ENDING) {
        stream->why = STREAM_LEFT;
        detach(stream);
    }
    if (--stream->address->count == 0) {
        HASH_DEL(s->addresses, stream->address);
        free(stream->address);
    }
    free(stream);
}

struct stream *stream_new(struct streams *s, struct http_request *r, const struct stream_key *key,
                          const struct stream_right *right, struct stream_address *address)
{
    struct stream *stream = mem_alloc(sizeof(*stream));

    stream->all = s;
    stream->request = r;
    stream->feed = feed_ref(s, key);
    stream_log_join(&stream->feed->log, &stream->place);
    stream->address = address;
    address->count++;
    stream->right = *right;
    stream->serial = ++s->serial;
    stream->written_ms = clock_ms();
    stream->state = STREAM_FLOWING;
    DL_APPEND(stream->feed->flowing, stream);
    DL_APPEND2(s->silent, stream, prev_silent, next_silent);
    DL_APPEND2(s->check, stream, prev_check, next_check);
    HASH_ADD(hh, s->by_serial, serial, sizeof(stream->serial), stream);
    s->open->value = ++s->count;
    s->opened->value++;
    log_info("stream.opened serial=%" PRIu64 " user=%" PRId64 " scope=%u", stream->serial, r->actor.user_id,
             (unsigned)key->scope);
    http_request_answer_source(r, "text/event-stream; charset=utf-8",
                               &(struct http_source){.fill = on_fill, .over = on_over, .ctx = stream});
    return stream;
}

void stream_wake(struct stream *stream)
{
    enter(stream, STREAM_WAKING);
}

void stream_turn(struct stream *stream)
{
    enter(stream, STREAM_FLOWING);
    http_request_go_on(stream->request);
}

void stream_end(struct stream *stream, enum stream_why why)
{
    bool is_held = stream->state == STREAM_RESTING || stream->state == STREAM_WAKING;
    struct stream **list = list_of(stream);

    must(may_enter[stream->state][STREAM_ENDING]);
    DL_DELETE(*list, stream); /* the feed, and with it its lists, may go in detach */
    stream->state = STREAM_ENDING;
    stream->why = why;
    stream->ending_ms = clock_ms();
    DL_APPEND(stream->all->ending, stream);
    detach(stream);
    if (is_held)
        http_request_go_on(stream->request);
}
