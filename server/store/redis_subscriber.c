/* redis_subscriber.c: the connection on which messages come.
 *
 * Subscribed, Redis sends lists on its own: [subscribe, channel, count], [message, channel, bytes] and, to
 * PING, [pong, ""]; with no channel yet a plain PONG (Redis documentation, Pub/Sub). Anything else ends it.
 */
#include "store/redis_inner.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"

static void put_subscribe(struct redis *r, const char *channel)
{
    struct redis_buffer *out = &r->subscriber.out;
    redis_put_count(out, 2);
    redis_put_text(out, "SUBSCRIBE");
    redis_put_text(out, channel);
    if (r->subscribing++ == 0)
        r->subscriber.heard_ms = clock_ms();
    redis_wake(r);
}

static void greeted(struct redis *r)
{
    struct redis_subscription *s;
    r->subscribing = 0;
    r->ping_due = false;
    LL_FOREACH (r->subscriptions, s)
        if (s->fn)
            put_subscribe(r, s->channel);
    if (r->subscribing == 0)
        redis_link_enter_up(&r->subscriber);
}

static void ping(struct redis *r)
{
    redis_put_count(&r->subscriber.out, 1);
    redis_put_text(&r->subscriber.out, "PING");
    r->ping_due = true;
    redis_wake(r);
}

static bool is_waiting(const struct redis *r)
{
    return r->ping_due || r->subscribing > 0;
}

static bool is_text(const redisReply *reply, const char *text)
{
    return (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) &&
           strcasecmp(reply->str, text) == 0;
}

/* Calls out last. */
static void deliver(struct redis *r, const redisReply *channel, const redisReply *message)
{
    struct redis_subscription *s;
    uint64_t generation = r->subscriber.generation;
    LL_FOREACH (r->subscriptions, s) { /* none is ever taken out: a callback may do as it likes */
        if (!s->fn || strcmp(s->channel, channel->str) != 0)
            continue;
        s->fn(s->arg, (const uint8_t *)message->str, message->len);
        if (r->subscriber.generation != generation)
            return;
    }
}

static void on_subscribed(struct redis *r)
{
    if (r->subscribing > 0)
        r->subscribing--;
    if (r->subscribing == 0 && r->subscriber.state == REDIS_LINK_GREETING)
        redis_link_enter_up(&r->subscriber);
}

static void take(struct redis *r, const redisReply *reply)
{
    bool is_list = reply->type == REDIS_REPLY_ARRAY;
    redisReply **items = reply->element;
    if (is_text(reply, "PONG") || (is_list && reply->elements == 2 && is_text(items[0], "pong")))
        r->ping_due = false;
    else if (is_list && reply->elements == 3 && is_text(items[0], "subscribe"))
        on_subscribed(r);
    else if (is_list && reply->elements == 3 && is_text(items[0], "message") &&
             items[1]->type == REDIS_REPLY_STRING && items[2]->type == REDIS_REPLY_STRING)
        deliver(r, items[1], items[2]);
    else
        redis_link_lose(&r->subscriber,
                        reply->type == REDIS_REPLY_ERROR ? reply->str : "neither a message nor an answer");
}

const struct redis_link_ops redis_subscriber_ops = {
    .greeted = greeted, .take = take, .ping = ping, .is_waiting = is_waiting};

void redis_subscribe(struct redis *r, const char *channel, redis_message_fn *fn, void *arg)
{
    struct redis_subscription *s = mem_alloc(sizeof *s);
    s->channel = mem_string(channel);
    s->fn = fn;
    s->arg = arg;
    LL_APPEND(r->subscriptions, s);
    /* While GREETING: before the SUBSCRIBEs are sent they include this one; afterwards it follows them. */
    if (r->subscriber.state == REDIS_LINK_UP ||
        (r->subscriber.state == REDIS_LINK_GREETING && r->subscriber.greetings == 0))
        put_subscribe(r, channel);
}

void redis_subscriber_free(struct redis *r)
{
    struct redis_subscription *s, *next;
    LL_FOREACH_SAFE (r->subscriptions, s, next) {
        free(s->channel);
        free(s);
    }
    r->subscriptions = NULL;
}
