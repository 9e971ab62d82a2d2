/* redis_link.c: one connection to Redis: connecting, greeting, bytes both ways, and noticing when it is dead.
 */
#include "store/redis_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define WHY_SIZE 200

static void on_retry(uv_timer_t *timer);

static void set_timer(struct redis_link *link, uint64_t in_ms, uv_timer_cb fn)
{
    uv_update_time(link->redis->loop); /* the loop's idea of now may be as old as this turn of it */
    (void)uv_timer_start(&link->timer, fn, in_ms, 0);
}

/* --- losing --- */

static void on_socket_closed(uv_handle_t *handle)
{
    struct redis_socket *s = handle->data;
    struct redis *r = s->redis;
    free(s->sending.data);
    free(s);
    redis_on_handle_closed(r);
}

static void abandon_socket(struct redis_link *link)
{
    struct redis_socket *s = link->socket;
    if (!s)
        return;
    link->socket = NULL;
    s->link = NULL;
    uv_close(&s->uv.handle, on_socket_closed);
}

static void drop(struct redis_link *link)
{
    link->generation++;
    link->state = REDIS_LINK_DOWN;
    link->greetings = 0;
    (void)uv_timer_stop(&link->timer);
    abandon_socket(link);
    redisReaderFree(link->reader); /* its buffer; answers given out are the taker's */
    link->reader = NULL;
    redis_buffer_reset(&link->out);
}

void redis_link_lose(struct redis_link *link, const char *why)
{
    struct redis *r = link->redis;
    char kept[WHY_SIZE]; /* why may point into the answer or the parser */
    snprintf(kept, sizeof kept, "%s", why);
    /* One that lasts starts afresh; one that is lost again and again is not tried at full speed. */
    bool lasted = link->state == REDIS_LINK_UP && clock_ms() - link->up_ms >= REDIS_BACKOFF_LAST_MS;
    link->backoff_ms = lasted || !link->backoff_ms ? REDIS_BACKOFF_FIRST_MS : link->backoff_ms * 2;
    if (link->backoff_ms > REDIS_BACKOFF_LAST_MS)
        link->backoff_ms = REDIS_BACKOFF_LAST_MS;
    drop(link);
    set_timer(link, link->backoff_ms, on_retry);
    redis_on_link_lost(r, link, kept);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct redis_link *link = handle->data;
    redis_on_handle_closed(link->redis);
}

void redis_link_close(struct redis_link *link)
{
    drop(link);
    uv_close((uv_handle_t *)&link->timer, on_timer_closed);
}

/* --- sending --- */

static void on_written(uv_write_t *write, int status)
{
    struct redis_socket *s = write->data;
    s->writing = false;
    if (!s->link)
        return; /* the buffer goes with the socket */
    redis_buffer_reset(&s->sending);
    if (status < 0)
        redis_link_lose(s->link, uv_strerror(status));
    else
        redis_wake(s->redis);
}

void redis_link_flush(struct redis_link *link)
{
    struct redis_socket *s = link->socket;
    if (!s || s->writing || link->out.len == 0)
        return;
    struct redis_buffer empty = s->sending;
    s->sending = link->out;
    link->out = empty;
    uv_buf_t buf = uv_buf_init((char *)s->sending.data, (unsigned)s->sending.len);
    int sent = uv_try_write(&s->uv.stream, &buf, 1); /* mostly takes all: no callback needed */
    if (sent == (int)s->sending.len) {
        redis_buffer_reset(&s->sending);
        return;
    }
    if (sent > 0) {
        buf.base += sent;
        buf.len -= (size_t)sent;
    }
    s->write.data = s;
    s->writing = true;
    int err = uv_write(&s->write, &s->uv.stream, &buf, 1, on_written);
    if (err != 0) {
        s->writing = false;
        redis_link_lose(link, uv_strerror(err));
    }
}

size_t redis_link_unsent(const struct redis_link *link)
{
    return link->out.len + (link->socket ? link->socket->sending.len : 0);
}

/* --- life: every link is asked for a sign of it, so that a half-open one is noticed --- */

static void on_look_after(uv_timer_t *timer)
{
    struct redis_link *link = timer->data;
    uint64_t silent_ms = clock_ms() - link->heard_ms;
    if (link->ops->is_waiting(link->redis)) {
        if (silent_ms >= link->redis->watchdog_ms) {
            redis_link_lose(link, "no answer");
            return;
        }
    } else if (silent_ms >= link->redis->watchdog_ms / 3) {
        link->ops->ping(link->redis);
        link->heard_ms = clock_ms(); /* from here on an answer is due */
    }
    set_timer(link, link->redis->watchdog_ms / 10 + 1, on_look_after);
}

void redis_link_enter_up(struct redis_link *link)
{
    must(link->state == REDIS_LINK_GREETING);
    link->state = REDIS_LINK_UP;
    link->up_ms = link->heard_ms = clock_ms();
    set_timer(link, link->redis->watchdog_ms / 10 + 1, on_look_after);
    redis_on_link_up(link->redis);
}

/* --- answers --- */

static void take_greeting(struct redis_link *link, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR)
        redis_link_lose(link, reply->str);
    else if (--link->greetings == 0)
        link->ops->greeted(link->redis);
}

/* False: the link was lost, or closed, by what was called. */
static bool take_all(struct redis_link *link)
{
    uint64_t generation = link->generation;
    void *reply = NULL;
    int err;
    while ((err = redisReaderGetReply(link->reader, &reply)) == REDIS_OK && reply) {
        if (link->greetings > 0)
            take_greeting(link, reply);
        else
            link->ops->take(link->redis, reply);
        freeReplyObject(reply);
        if (link->generation != generation)
            return false;
    }
    if (err != REDIS_OK) {
        redis_link_lose(link, link->reader->errstr);
        return false;
    }
    return true;
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct redis_socket *s = stream->data;
    struct redis_link *link = s->link;
    if (!link || got == 0)
        return;
    if (got < 0) {
        redis_link_lose(link, got == UV_EOF ? "closed by Redis" : uv_strerror((int)got));
        return;
    }
    link->heard_ms = clock_ms();
    if (redisReaderFeed(link->reader, buf->base, (size_t)got) != REDIS_OK)
        redis_link_lose(link, link->reader->errstr);
    else if (take_all(link) && link->reader->len - link->reader->pos > REDIS_REPLY_MAX)
        redis_link_lose(link, "an answer too long");
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
    const struct redis_socket *s = handle->data;
    (void)wanted;
    *buf = uv_buf_init(s->redis->read_buffer, sizeof s->redis->read_buffer);
}

/* --- connecting --- */

/* AUTH and SELECT as configured, and a PING, which is refused for want of a password or while Redis still
 * reads its files. */
static void greet(struct redis_link *link)
{
    struct redis *r = link->redis;
    struct redis_buffer *out = &link->out;
    char database[12];
    link->greetings = 1;
    if (r->password[0] != '\0') {
        redis_put_count(out, r->user[0] != '\0' ? 3 : 2);
        redis_put_text(out, "AUTH");
        if (r->user[0] != '\0')
            redis_put_text(out, r->user);
        redis_put_text(out, r->password);
        link->greetings++;
    }
    if (r->database != 0) {
        snprintf(database, sizeof database, "%u", r->database);
        redis_put_count(out, 2);
        redis_put_text(out, "SELECT");
        redis_put_text(out, database);
        link->greetings++;
    }
    redis_put_count(out, 1);
    redis_put_text(out, "PING");
    redis_wake(r);
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct redis_socket *s = connect->data;
    struct redis_link *link = s->link;
    if (!link)
        return;
    if (status == 0 && s->uv.handle.type == UV_TCP)
        (void)uv_tcp_nodelay(&s->uv.tcp, 1);
    if (status == 0)
        status = uv_read_start(&s->uv.stream, on_alloc, on_read);
    if (status < 0) {
        redis_link_lose(link, uv_strerror(status));
        return;
    }
    link->reader = redisReaderCreate();
    must(link->reader != NULL);
    link->state = REDIS_LINK_GREETING;
    greet(link);
}

static void on_connect_limit(uv_timer_t *timer)
{
    redis_link_lose(timer->data, "no answer while connecting");
}

static void on_retry(uv_timer_t *timer)
{
    struct redis_link *link = timer->data;
    struct redis *r = link->redis;
    struct redis_socket *s = mem_alloc(sizeof *s);
    bool is_unix = r->peer.ss_family == AF_UNIX;
    must(link->state == REDIS_LINK_DOWN);
    int err = is_unix ? uv_pipe_init(r->loop, &s->uv.pipe, 0) : uv_tcp_init(r->loop, &s->uv.tcp);
    must(err == 0); /* neither opens anything yet */
    s->redis = r;
    s->link = link;
    s->uv.handle.data = s->connect.data = s;
    r->open_handles++;
    link->socket = s;
    link->state = REDIS_LINK_CONNECTING;
    set_timer(link, REDIS_CONNECT_LIMIT_MS, on_connect_limit);
    if (is_unix)
        uv_pipe_connect(&s->connect, &s->uv.pipe, r->address, on_connect);
    else
        err = uv_tcp_connect(&s->connect, &s->uv.tcp, (const struct sockaddr *)&r->peer, on_connect);
    if (err != 0)
        redis_link_lose(link, uv_strerror(err));
}

void redis_link_init(struct redis_link *link, struct redis *r, const struct redis_link_ops *ops)
{
    link->redis = r;
    link->ops = ops;
    link->generation = 1;
    (void)uv_timer_init(r->loop, &link->timer);
    link->timer.data = link;
    r->open_handles++;
    set_timer(link, 0, on_retry);
}
