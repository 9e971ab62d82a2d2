#include "handshake/handshake_queue.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"

void handshake_queue_init(struct handshake_queue *q, struct metrics *m)
{
    *q = (struct handshake_queue){0};
    q->length = metrics_add(m, METRIC_GAUGE, "cyan_handshake_queue", NULL,
                            "Datagrams of handshakes waiting until connected devices are served");
    q->wait_ms = metrics_add(m, METRIC_GAUGE, "cyan_handshake_queue_wait_ms", NULL,
                             "How long the oldest of them has waited");
    q->full = metrics_add(m, METRIC_COUNTER, "cyan_handshake_queue_dropped_total", "reason=\"full\"",
                          "Datagrams of handshakes dropped before they were dealt with");
    q->repeated = metrics_add(m, METRIC_COUNTER, "cyan_handshake_queue_dropped_total", "reason=\"repeated\"",
                              "Datagrams of handshakes dropped before they were dealt with");
}

static struct handshake_datagram *datagram_new(struct handshake_queue *q, const struct net_path *path,
                                               const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    struct handshake_datagram *e = mem_alloc(sizeof *e + data_len);
    e->path = *path;
    e->at_ms = now_ms;
    e->data_len = data_len;
    memcpy(e->data, data, data_len);
    q->bytes += sizeof *e + data_len;
    q->length->value++;
    return e;
}

/* It leaves the queue, for good or to be dealt with. */
static void release(struct handshake_queue *q, const struct handshake_datagram *e)
{
    q->bytes -= sizeof *e + e->data_len;
    q->length->value--;
}

static bool has_room(struct handshake_queue *q, size_t data_len)
{
    if (q->bytes + sizeof(struct handshake_datagram) + data_len <= HANDSHAKE_QUEUE_BYTES)
        return true;
    q->full->value++;
    return false;
}

struct handshake_datagram *handshake_queue_find_hello(const struct handshake_queue *q,
                                                      const struct net_path *path)
{
    struct handshake_datagram *e;
    HASH_FIND(by_peer, q->by_peer, path->peer_ip, NET_PEER_BYTES, e);
    return e;
}

bool handshake_queue_push_hello(struct handshake_queue *q, const struct net_path *path,
                                const uint8_t client_random[32], const uint8_t *data, size_t data_len,
                                uint64_t now_ms)
{
    if (!has_room(q, data_len))
        return false;
    struct handshake_datagram *e = datagram_new(q, path, data, data_len, now_ms);
    memcpy(e->client_random, client_random, sizeof e->client_random);
    DL_APPEND(q->hellos, e);
    HASH_ADD_KEYPTR(by_peer, q->by_peer, e->path.peer_ip, NET_PEER_BYTES, e);
    return true;
}

static void take_hello(struct handshake_queue *q, struct handshake_datagram *e)
{
    HASH_DELETE(by_peer, q->by_peer, e);
    DL_DELETE(q->hellos, e);
    release(q, e);
}

void handshake_queue_drop_hello(struct handshake_queue *q, struct handshake_datagram *hello)
{
    take_hello(q, hello);
    free(hello);
}

static void set_ready(struct handshake_queue *q, struct handshake *h, bool ready)
{
    if (ready == h->is_ready)
        return;
    h->is_ready = ready;
    if (ready)
        DL_APPEND2(q->ready, h, ready_prev, ready_next);
    else
        DL_DELETE2(q->ready, h, ready_prev, ready_next);
}

void handshake_queue_push(struct handshake_queue *q, struct handshake *h, const struct net_path *path,
                          const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    if (h->waiting_count == HANDSHAKE_QUEUE_FLIGHT) {
        q->repeated->value++;
        return;
    }
    if (!has_room(q, data_len))
        return;
    struct handshake_datagram *e = datagram_new(q, path, data, data_len, now_ms);
    DL_APPEND(h->waiting, e);
    h->waiting_count++;
    handshake_queue_wake(q, h);
}

void handshake_queue_wake(struct handshake_queue *q, struct handshake *h)
{
    set_ready(q, h, h->waiting && h->state != HANDSHAKE_WAIT_PSK);
}

static struct handshake_datagram *take_waiting(struct handshake_queue *q, struct handshake *h)
{
    struct handshake_datagram *e = h->waiting;
    DL_DELETE(h->waiting, e);
    h->waiting_count--;
    release(q, e);
    return e;
}

void handshake_queue_forget(struct handshake_queue *q, struct handshake *h)
{
    set_ready(q, h, false);
    while (h->waiting)
        free(take_waiting(q, h));
}

struct handshake_datagram *handshake_queue_pop(struct handshake_queue *q, struct handshake **h)
{
    while (q->ready && q->ready->state == HANDSHAKE_WAIT_PSK) /* since it was put there */
        set_ready(q, q->ready, false);
    bool beginner = q->hellos && (!q->ready || ++q->turn % HANDSHAKE_QUEUE_EVERY == 0);
    struct handshake_datagram *e = q->hellos;
    *h = beginner ? NULL : q->ready;
    if (beginner)
        take_hello(q, e);
    else if (q->ready)
        e = take_waiting(q, q->ready);
    if (*h) /* behind the others, if it has more */
        set_ready(q, *h, false);
    if (*h)
        handshake_queue_wake(q, *h);
    return e;
}

bool handshake_queue_is_empty(const struct handshake_queue *q)
{
    return !q->ready && !q->hellos;
}

void handshake_queue_observe(struct handshake_queue *q, uint64_t now_ms)
{
    uint64_t oldest_ms = now_ms;
    if (q->hellos)
        oldest_ms = q->hellos->at_ms;
    if (q->ready && q->ready->waiting->at_ms < oldest_ms)
        oldest_ms = q->ready->waiting->at_ms;
    q->wait_ms->value = now_ms - oldest_ms;
}

void handshake_queue_deinit(struct handshake_queue *q)
{
    while (q->hellos)
        handshake_queue_drop_hello(q, q->hellos);
}
