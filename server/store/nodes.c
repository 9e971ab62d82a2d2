/* nodes.c: the life of struct nodes, and what its files have in common. */
#include "store/nodes_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"

const char *nodes_key(const struct nodes *n, char out[NODES_KEY_SIZE], const char *format, ...)
{
    va_list args;
    int prefix_len = snprintf(out, NODES_KEY_SIZE, "%s", n->prefix);
    va_start(args, format);
    (void)vsnprintf(out + prefix_len, NODES_KEY_SIZE - (size_t)prefix_len, format, args);
    va_end(args);
    return out;
}

/* --- commands --- */

static void on_reply(void *arg, const struct redis_reply *reply)
{
    struct nodes_request *q = arg;
    if (q->n) {
        q->done(q, reply);
        if (q->n) /* the callback may have freed it */
            DL_DELETE(q->n->requests, q);
    }
    free(q);
}

bool nodes_run(struct nodes *n, const struct redis_script *script, const struct redis_arg *args,
               size_t key_count, size_t count,
               void (*done)(struct nodes_request *q, const struct redis_reply *reply))
{
    struct nodes_request *q = mem_alloc(sizeof *q);
    q->n = n;
    q->done = done;
    q->sent_ms = clock_ms();
    if (!n->redis || !redis_run(n->redis, script, args, key_count, count, on_reply, q)) {
        free(q);
        return false;
    }
    DL_APPEND(n->requests, q);
    return true;
}

/* --- what it says about itself --- */

uint32_t nodes_id(const struct nodes *n)
{
    return n->id;
}

uint64_t nodes_incarnation(const struct nodes *n)
{
    return n->incarnation;
}

const char *nodes_prefix(const struct nodes *n)
{
    return n->prefix;
}

bool nodes_is_in(const struct nodes *n)
{
    return n->state == NODES_IN && !n->lapsed && clock_ms() < n->valid_until_ms;
}

bool nodes_is_alive(const struct nodes *n, uint32_t id)
{
    return id == n->id || (id < NODES_MAX && n->alive[id]);
}

/* --- life --- */

static void make_nonce(char out[NODES_NONCE_SIZE])
{
    uint8_t random[NODES_NONCE_SIZE / 2];
    must(getrandom(random, sizeof random, 0) == (ssize_t)sizeof random);
    hex_encode(out, random, sizeof random);
}

struct nodes *nodes_new(struct redis *redis, struct deadlines *deadlines, struct metrics *metrics,
                        const struct nodes_settings *settings, const struct nodes_ops *ops)
{
    must(settings->id < NODES_MAX && settings->lease_ms > 0 && strlen(settings->prefix) <= NODES_PREFIX_MAX);
    struct nodes *n = mem_alloc(sizeof *n);
    n->redis = redis;
    n->deadlines = deadlines;
    n->ops = *ops;
    n->id = settings->id;
    n->lease_ms = settings->lease_ms;
    (void)snprintf(n->prefix, sizeof n->prefix, "%s", settings->prefix);
    make_nonce(n->nonce);
    nodes_process_self(&n->self);
    n->in_gauge =
        metrics_add(metrics, METRIC_GAUGE, "cyan_node_in", NULL, "1 while this node's lease is its own");
    n->alive_gauge = metrics_add(metrics, METRIC_GAUGE, "cyan_nodes_alive", NULL,
                                 "nodes with a lease, this one included, as last seen");
    n->lapses = metrics_add(metrics, METRIC_COUNTER, "cyan_node_lapses_total", NULL,
                            "times this node could not renew its lease in time");
    n->sent = metrics_add(metrics, METRIC_COUNTER, "cyan_node_messages_total", "direction=\"sent\"",
                          "messages between nodes");
    n->received = metrics_add(metrics, METRIC_COUNTER, "cyan_node_messages_total", "direction=\"received\"",
                              "messages between nodes");
    nodes_message_start(n);
    nodes_lease_start(n);
    return n;
}

void nodes_free(struct nodes *n)
{
    struct nodes_request *q;
    if (!n)
        return;
    if (n->redis)
        redis_off(n->redis, n);
    nodes_lease_stop(n);
    nodes_list_stop(n);
    DL_FOREACH (n->requests, q)
        q->n = NULL;
    free(n->replaces);
    free(n);
}
