/* redis.c: the client: its life, and who is told when Redis comes and goes. */
#include "store/redis_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define ERROR_LINES_BURST 10
#define ERROR_LINES_PER_S 1

/* --- coming and going --- */

static void add_listener(struct redis_listener *listeners, void (*fn)(void *arg), void *arg, bool due)
{
    size_t i = 0;
    while (i < REDIS_LISTENERS_MAX && listeners[i].fn)
        i++;
    must(i < REDIS_LISTENERS_MAX);
    listeners[i] = (struct redis_listener){.fn = fn, .arg = arg, .due = due};
}

void redis_on_up(struct redis *r, void (*fn)(void *arg), void *arg)
{
    add_listener(r->on_up, fn, arg, r->up);
    redis_wake(r);
}

void redis_on_down(struct redis *r, void (*fn)(void *arg), void *arg)
{
    add_listener(r->on_down, fn, arg, false);
}

void redis_on_close(struct redis *r, void (*fn)(void *arg), void *arg)
{
    add_listener(r->on_close, fn, arg, false);
}

static void remove_listeners(struct redis_listener *listeners, const void *arg)
{
    for (size_t i = 0; i < REDIS_LISTENERS_MAX; i++)
        if (listeners[i].arg == arg)
            listeners[i] = (struct redis_listener){0};
}

void redis_off(struct redis *r, const void *arg)
{
    struct redis_subscription *s;
    remove_listeners(r->on_up, arg);
    remove_listeners(r->on_down, arg);
    remove_listeners(r->on_close, arg);
    for (s = r->subscriptions; s; s = s->next)
        if (s->arg == arg)
            s->fn = NULL;
}

static void call_due(struct redis *r, struct redis_listener *listeners)
{
    for (size_t i = 0; i < REDIS_LISTENERS_MAX && !r->closing; i++) {
        struct redis_listener *l = &listeners[i];
        if (!l->due || !l->fn)
            continue;
        l->due = false;
        l->fn(l->arg);
    }
}

static void set_due(struct redis_listener *listeners, bool due)
{
    for (size_t i = 0; i < REDIS_LISTENERS_MAX; i++)
        listeners[i].due = due && listeners[i].fn;
}

void redis_on_link_up(struct redis *r)
{
    if (r->commands.state != REDIS_LINK_UP || r->subscriber.state != REDIS_LINK_UP)
        return;
    r->up = true;
    r->said_down = false;
    r->up_gauge->value = 1;
    if (r->was_up)
        r->reconnects->value++;
    r->was_up = true;
    log_info("redis.up");
    set_due(r->on_up, true);
    redis_wake(r);
}

void redis_on_link_lost(struct redis *r, struct redis_link *link, const char *why)
{
    char quoted[256];
    bool was_up = r->up;
    r->up = false;
    r->up_gauge->value = 0;
    if (was_up || !r->said_down)
        log_warn("redis.down why=%s", log_quote(quoted, sizeof quoted, why, strlen(why)));
    r->said_down = true;
    set_due(r->on_up, false);
    set_due(r->on_down, was_up);
    if (link == &r->commands)
        redis_end_commands(r);
    call_due(r, r->on_down);
}

static void on_idle(uv_idle_t *idle)
{
    struct redis *r = idle->data;
    (void)uv_idle_stop(idle); /* whoever queues more starts it again */
    call_due(r, r->on_up);
    if (!r->closing)
        redis_link_flush(&r->commands);
    if (!r->closing)
        redis_link_flush(&r->subscriber);
}

void redis_wake(struct redis *r)
{
    if (!r->closing)
        (void)uv_idle_start(&r->idle, on_idle);
}

bool redis_is_up(const struct redis *r)
{
    return r->up;
}

/* --- the client's life --- */

#define HOST_MAX 64

/* False with the reason in why. The address itself is not shown: it may be an URL with a password. */
static bool parse_address(struct sockaddr_storage *peer, const char *address, char *why, size_t why_size)
{
    char host[HOST_MAX];
    const char *colon = strrchr(address, ':');
    char *end = NULL;
    *peer = (struct sockaddr_storage){.ss_family = AF_UNIX};
    if (address[0] == '/') {
        if (strlen(address) < sizeof(((struct sockaddr_un *)0)->sun_path))
            return true;
        (void)snprintf(why, why_size, "store.redis: the path of a unix socket is too long");
        return false;
    }
    unsigned long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 0;
    if (port > 0 && port <= 65535 && *end == '\0') {
        bool is_v6 = address[0] == '[' && colon[-1] == ']';
        size_t host_len = (size_t)(colon - address) - (is_v6 ? 2 : 0);
        (void)snprintf(host, sizeof host, "%.*s", (int)(host_len < HOST_MAX ? host_len : 0),
                       address + (is_v6 ? 1 : 0));
        if (is_v6 ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)peer) == 0
                  : uv_ip4_addr(host, (int)port, (struct sockaddr_in *)peer) == 0)
            return true;
    }
    (void)snprintf(why, why_size,
                   "store.redis is neither HOST:PORT with a numeric HOST nor the absolute path of a socket");
    return false;
}

static void add_metrics(struct redis *r, struct metrics *metrics)
{
    r->up_gauge = metrics_add(metrics, METRIC_GAUGE, "cyan_redis_up", NULL, "1 when Redis can be used");
    r->sent =
        metrics_add(metrics, METRIC_COUNTER, "cyan_redis_commands_total", NULL, "commands sent to Redis");
    r->errors =
        metrics_add(metrics, METRIC_COUNTER, "cyan_redis_errors_total", NULL, "errors Redis answered with");
    r->reconnects = metrics_add(metrics, METRIC_COUNTER, "cyan_redis_reconnects_total", NULL,
                                "times Redis was back after it had been lost");
    r->in_flight_gauge = metrics_add(metrics, METRIC_GAUGE, "cyan_redis_in_flight", NULL,
                                     "commands that Redis has not answered yet");
}

struct redis *redis_new(uv_loop_t *loop, const struct redis_settings *settings, struct metrics *metrics,
                        char *why, size_t why_size)
{
    struct sockaddr_storage peer;
    if (!parse_address(&peer, settings->address, why, why_size))
        return NULL;
    struct redis *r = mem_alloc(sizeof *r);
    r->loop = loop;
    r->peer = peer;
    r->address = mem_string(settings->address);
    r->user = mem_string(settings->user);
    r->password = mem_string(settings->password);
    r->database = settings->database;
    r->watchdog_ms = REDIS_WATCHDOG_MS;
    r->in_flight = mem_array(REDIS_IN_FLIGHT_MAX, sizeof *r->in_flight);
    bucket_init(&r->error_lines, ERROR_LINES_BURST, ERROR_LINES_PER_S, clock_ms());
    add_metrics(r, metrics);
    (void)uv_idle_init(loop, &r->idle);
    r->idle.data = r;
    r->open_handles = 1;
    redis_link_init(&r->commands, r, &redis_commands_ops);
    redis_link_init(&r->subscriber, r, &redis_subscriber_ops);
    return r;
}

static void free_all(struct redis *r)
{
    redis_commands_free(r);
    redis_subscriber_free(r);
    bytes_wipe(r->password, strlen(r->password));
    free(r->commands.out.data);
    free(r->subscriber.out.data);
    free(r->address);
    free(r->user);
    free(r->password);
    free(r);
}

void redis_on_handle_closed(struct redis *r)
{
    if (--r->open_handles > 0 || !r->closing)
        return;
    void (*closed)(void *arg) = r->closed;
    void *arg = r->closed_arg;
    free_all(r);
    if (closed)
        closed(arg);
}

static void on_idle_closed(uv_handle_t *handle)
{
    redis_on_handle_closed(handle->data);
}

void redis_close(struct redis *r, void (*closed)(void *arg), void *arg)
{
    must(!r->closing);
    r->closing = true;
    r->up = false;
    r->up_gauge->value = 0;
    r->closed = closed;
    r->closed_arg = arg;
    redis_link_close(&r->commands);
    redis_link_close(&r->subscriber);
    uv_close((uv_handle_t *)&r->idle, on_idle_closed);
    redis_end_commands(r);
    for (size_t l = 0; l < REDIS_LISTENERS_MAX; l++)
        if (r->on_close[l].fn)
            r->on_close[l].fn(r->on_close[l].arg);
}
