/* nodes_message.c: messages between nodes, on the channels of Redis: topic, sender as 32 bits, content. */
#include "store/nodes_inner.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"

#define HEAD_BYTES 5

static void receive(struct nodes *n, const uint8_t *message, size_t message_len, bool is_broadcast)
{
    struct bytes_reader r;
    bytes_reader_init(&r, message, message_len);
    uint8_t topic = bytes_get_u8(&r);
    uint32_t from = bytes_get_be32(&r);
    size_t data_len = bytes_left(&r);
    if (r.bad || from >= NODES_MAX || data_len > NODES_MESSAGE_MAX) {
        log_debug("node.message_refused id=%u bytes=%zu", n->id, message_len);
        return;
    }
    if (is_broadcast && from == n->id)
        return;
    n->received->value++;
    const struct nodes_receiver *receiver = &n->receivers[topic];
    if (receiver->fn)
        receiver->fn(receiver->ctx, from, bytes_get(&r, data_len), data_len);
}

static void on_direct(void *arg, const uint8_t *message, size_t message_len)
{
    receive(arg, message, message_len, false);
}

static void on_broadcast(void *arg, const uint8_t *message, size_t message_len)
{
    receive(arg, message, message_len, true);
}

void nodes_message_start(struct nodes *n)
{
    char channel[NODES_KEY_SIZE];
    redis_subscribe(n->redis, nodes_key(n, channel, "to:%u", n->id), on_direct, n);
    redis_subscribe(n->redis, nodes_key(n, channel, "all"), on_broadcast, n);
}

void nodes_on(struct nodes *n, enum nodes_topic topic, nodes_receive_fn *fn, void *ctx)
{
    must((unsigned)topic < sizeof n->receivers / sizeof *n->receivers);
    n->receivers[topic] = (struct nodes_receiver){.fn = fn, .ctx = ctx};
}

static bool publish(struct nodes *n, const char *channel, enum nodes_topic topic, const void *data,
                    size_t data_len)
{
    struct bytes_writer w;
    if (!n->redis || data_len > NODES_MESSAGE_MAX)
        return false;
    uint8_t *message = mem_alloc(HEAD_BYTES + data_len);
    bytes_writer_init(&w, message, HEAD_BYTES + data_len);
    bytes_put_u8(&w, (uint8_t)topic);
    bytes_put_be32(&w, n->id);
    bytes_put(&w, data, data_len);
    must(!w.bad);
    const struct redis_arg args[] = {
        redis_arg_text("PUBLISH"), redis_arg_text(channel), {.data = message, .data_len = bytes_written(&w)}};
    bool sent = redis_command(n->redis, args, 3, NULL, NULL);
    free(message);
    n->sent->value += sent;
    return sent;
}

bool nodes_send(struct nodes *n, uint32_t to, enum nodes_topic topic, const void *data, size_t data_len)
{
    char channel[NODES_KEY_SIZE];
    return publish(n, nodes_key(n, channel, "to:%u", to), topic, data, data_len);
}

bool nodes_send_all(struct nodes *n, enum nodes_topic topic, const void *data, size_t data_len)
{
    char channel[NODES_KEY_SIZE];
    return publish(n, nodes_key(n, channel, "all"), topic, data, data_len);
}
