#include "api/streams.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "api/http_request.h"
#include "api/respond.h"
#include "api/stream.h"
#include "api/stream_text.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define JANITOR_MS 250
#define HANDLES 2
#define ENTRY_MAX_BYTES 16384

/* --- what is published --- */

struct telling {
    struct streams *s;
    const struct told_event *event;
    char *text[2]; /* ours: as products have it, or not; NULL: not needed so far */
    size_t len[2];
};

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macro */
static void on_match(void *ctx, struct stream_feed *feed)
{
    struct telling *t = ctx;
    struct streams *s = t->s;
    int which = stream_key_is_product(&feed->key);

    if (t->text[which] == NULL)
        t->text[which] = stream_text(t->event, which, &t->len[which]);
    if (t->len[which] > ENTRY_MAX_BYTES) {
        s->oversize->value++;
        return;
    }
    stream_log_append(&feed->log, t->text[which], t->len[which]);
    s->round_bytes += t->len[which];
    s->deliveries->value += feed->reader_count;
    if (feed->is_fresh)
        return;
    feed->is_fresh = true;
    DL_APPEND2(s->fresh, feed, prev_fresh, next_fresh);
}

static bool on_event(void *ctx, const struct told_event *event)
{
    struct telling t = {.s = ctx, .event = event};

    stream_index_match(&t.s->index, event, on_match, &t);
    free(t.text[0]);
    free(t.text[1]);
    return t.s->round_bytes < STREAMS_ROUND_BYTES;
}

static bool on_wanted(void *ctx)
{
    const struct streams *s = ctx;

    return s->count > 0;
}

/* Who is further behind than behind_bytes, for so long: the network, or the client, does not take it. Those
 * who rest have all. */
static void cut_slow(struct stream_feed *feed, uint64_t behind_bytes, uint64_t for_ms)
{
    struct stream *stream, *next, *flowing = feed->flowing;
    uint64_t end = feed->log.end, now_ms = clock_ms();

    DL_FOREACH_SAFE (flowing, stream, next) {
        if (end - stream->place.at <= behind_bytes)
            stream->behind_ms = 0;
        else if (stream->behind_ms == 0 && for_ms > 0)
            stream->behind_ms = now_ms;
        else if (now_ms - stream->behind_ms >= for_ms)
            stream_end(stream, STREAM_SLOW); /* with the last of them the feed goes */
    }
}

static struct stream_feed *heaviest(struct streams *s)
{
    struct stream_feed *feed, *found = NULL;

    DL_FOREACH (s->feeds, feed) {
        if (feed->flowing != NULL &&
            (found == NULL || stream_log_lag(&feed->log) > stream_log_lag(&found->log)))
            found = feed;
    }
    return found;
}

static void relieve(struct streams *s)
{
    struct stream_feed *feed;

    while (s->bytes > STREAMS_BYTES_MAX && (feed = heaviest(s)) != NULL &&
           stream_log_lag(&feed->log) > STREAM_CHUNK_MAX_BYTES) {
        size_t before = s->bytes;
        cut_slow(feed, stream_log_lag(&feed->log) / 2, 0);
        if (s->bytes == before)
            break;
    }
    s->held->value = s->bytes;
}

static void on_turn(uv_idle_t *turn)
{
    struct streams *s = turn->data;

    /* Those that have more than one piece to get go on by themselves: others wait until they are done, or
     * held up. */
    for (; s->written_count < STREAMS_A_TURN && s->waking != NULL; s->written_count++)
        stream_turn(s->waking);
    s->written_count = 0;
    if (s->waking != NULL)
        return;
    (void)uv_idle_stop(turn);
    if (s->in_round) {
        s->in_round = false;
        fleet_events_passed_on(s->api->fleet);
    }
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macro */
static void on_round(void *ctx)
{
    struct streams *s = ctx;
    struct stream_feed *feed;

    while ((feed = s->fresh) != NULL) {
        DL_DELETE2(s->fresh, feed, prev_fresh, next_fresh);
        feed->is_fresh = false;
        while (feed->resting != NULL)
            stream_wake(feed->resting);
        if (stream_log_lag(&feed->log) > s->settings.lag_bytes)
            cut_slow(feed, s->settings.lag_bytes, STREAMS_BEHIND_MS);
    }
    relieve(s);
    s->round_bytes = 0;
    s->in_round = true;
    (void)uv_idle_start(&s->turn, on_turn);
}

/* --- time --- */

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macro */
static void say_still_here(struct streams *s, uint64_t now_ms)
{
    struct stream *stream;

    while ((stream = s->silent) != NULL && now_ms - stream->written_ms >= s->settings.keepalive_ms) {
        stream->written_ms = now_ms; /* looked at again after as long */
        DL_DELETE2(s->silent, stream, prev_silent, next_silent);
        DL_APPEND2(s->silent, stream, prev_silent, next_silent);
        if (stream->state != STREAM_RESTING)
            continue; /* it gets something anyway, or takes nothing */
        stream->owes_line = true;
        stream_wake(stream);
        (void)uv_idle_start(&s->turn, on_turn);
    }
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macro */
static void cut_ending(struct streams *s, uint64_t now_ms)
{
    struct stream *stream;

    while ((stream = s->ending) != NULL && now_ms - stream->ending_ms >= STREAMS_LAST_WORDS_MS) {
        stream->ending_ms = now_ms;
        DL_DELETE(s->ending, stream);
        DL_APPEND(s->ending, stream);
        http_request_cut(stream->request);
    }
}

static void on_janitor(uv_timer_t *janitor)
{
    struct streams *s = janitor->data;
    uint64_t now_ms = clock_ms();

    say_still_here(s, now_ms);
    cut_ending(s, now_ms);
    stream_rights_look(s, now_ms);
    s->held->value = s->bytes;
}

/* --- opening --- */

/* NOLINTNEXTLINE(readability-function-size): nesting inside the hash macros */
static struct stream_address *address_of(struct streams *s, const struct client_address *client)
{
    struct stream_address *address;

    HASH_FIND(hh, s->addresses, client->network, sizeof(client->network), address);
    if (address != NULL)
        return address;
    address = mem_alloc(sizeof(*address));
    memcpy(address->network, client->network, sizeof(address->network));
    HASH_ADD(hh, s->addresses, network, sizeof(address->network), address);
    return address;
}

static void address_drop(struct streams *s, struct stream_address *address)
{
    if (address->count > 0)
        return;
    HASH_DEL(s->addresses, address);
    free(address);
}

/* False: it is answered. */
static bool is_room_for(struct streams *s, struct http_request *r, const struct stream_address *address)
{
    if (s->stopped || s->count >= s->settings.most) {
        s->refused_full->value++;
        http_request_add_header(r, "Retry-After", "5");
        respond_error(r, 503, "This server has no room for more event streams. Please try again later.");
        return false;
    }
    if (s->settings.per_address > 0 && address->count >= s->settings.per_address) {
        s->refused_address->value++;
        http_request_add_header(r, "Retry-After", "10");
        respond_error(r, 429, "Too many event streams are open from this address.");
        return false;
    }
    return true;
}

void streams_follow(struct streams *s)
{
    if (s->follows || s->stopped)
        return;
    s->follows = true;
    fleet_set_event_follower(s->api->fleet, &s->follower);
}

void streams_open(struct streams *s, struct http_request *r, const struct stream_key *key,
                  const struct stream_right *right)
{
    struct stream_address *address = address_of(s, &r->client);

    if (is_room_for(s, r, address))
        (void)stream_new(s, r, key, right, address);
    else
        address_drop(s, address);
}

/* --- the whole --- */

static void add_metrics(struct streams *s, struct metrics *metrics)
{
    static const char *const labels[STREAM_WHY_COUNT] = {
        [STREAM_LEFT] = "reason=\"left\"",         [STREAM_SLOW] = "reason=\"slow\"",
        [STREAM_TOKEN] = "reason=\"token\"",       [STREAM_RIGHTS] = "reason=\"rights\"",
        [STREAM_SHUTDOWN] = "reason=\"shutdown\"",
    };
    static const char refused[] = "Event streams that were not opened.";

    s->open = metrics_add(metrics, METRIC_GAUGE, "cyan_streams", NULL, "Event streams that are read now.");
    s->opened =
        metrics_add(metrics, METRIC_COUNTER, "cyan_streams_opened_total", NULL, "Event streams opened.");
    for (size_t i = 0; i < STREAM_WHY_COUNT; i++)
        s->ended[i] =
            metrics_add(metrics, METRIC_COUNTER, "cyan_streams_ended_total", labels[i],
                        "Event streams ended, by reason; slow: cut because the reader was too far behind.");
    s->refused_address =
        metrics_add(metrics, METRIC_COUNTER, "cyan_streams_refused_total", "reason=\"address\"", refused);
    s->refused_full =
        metrics_add(metrics, METRIC_COUNTER, "cyan_streams_refused_total", "reason=\"full\"", refused);
    s->deliveries = metrics_add(metrics, METRIC_COUNTER, "cyan_stream_deliveries_total", NULL,
                                "Events for readers of streams, counted once for each reader.");
    s->written = metrics_add(metrics, METRIC_COUNTER, "cyan_stream_bytes_total", NULL,
                             "Bytes written to event streams.");
    s->held = metrics_add(metrics, METRIC_GAUGE, "cyan_stream_held_bytes", NULL,
                          "Memory of events that readers of streams have still to get.");
    s->oversize = metrics_add(metrics, METRIC_COUNTER, "cyan_stream_oversize_total", NULL,
                              "Events too long for a stream, which nobody gets.");
}

struct streams *streams_new(uv_loop_t *loop, struct api *api, const struct stream_settings *settings)
{
    struct streams *s = mem_alloc(sizeof(*s));

    s->api = api;
    s->settings = *settings;
    s->follower =
        (struct event_follower){.ctx = s, .is_wanted = on_wanted, .event = on_event, .round = on_round};
    add_metrics(s, api->metrics);
    must(uv_idle_init(loop, &s->turn) == 0);
    must(uv_timer_init(loop, &s->janitor) == 0);
    s->turn.data = s->janitor.data = s;
    s->handles_open = HANDLES;
    must(uv_timer_start(&s->janitor, on_janitor, JANITOR_MS, JANITOR_MS) == 0);
    return s;
}

void streams_stop(struct streams *s)
{
    s->stopped = true;
    if (s->follows)
        fleet_set_event_follower(s->api->fleet, NULL);
    stream_rights_forget(s);
    while (s->check != NULL)
        stream_end(s->check, STREAM_SHUTDOWN);
    (void)uv_idle_stop(&s->turn);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct streams *s = handle->data;
    void (*closed)(void *) = s->closed;
    void *closed_arg = s->closed_arg;

    if (--s->handles_open > 0)
        return;
    free(s);
    closed(closed_arg);
}

void streams_close(struct streams *s, void (*closed)(void *arg), void *arg)
{
    must(s->stopped && s->count == 0 && s->ending == NULL && s->addresses == NULL);
    stream_index_deinit(&s->index);
    s->closed = closed;
    s->closed_arg = arg;
    uv_close((uv_handle_t *)&s->turn, on_handle_closed);
    uv_close((uv_handle_t *)&s->janitor, on_handle_closed);
}
