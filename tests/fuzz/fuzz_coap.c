/* fuzz_coap.c: one CoAP peer under a sequence of datagrams and passing time.
 *
 * Input: byte 0 = dialect (odd: Device OS); then records, each a control byte: 0-239 = a datagram of that
 * many bytes follows; 240-247 = let 1, 10, ... 10^7 ms pass; 248 = answer the oldest open request at length,
 * 249 = with an empty code, 250 = forget it, 251 = ask for something, 252 = ping, 253 = cancel, 254 = switch
 * the dialect, 255 = a datagram of 1024 + n bytes follows, n being the next byte (for full blocks). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "coap/peer.h"

struct owner {
    struct coap_peer peer;
    struct deadlines deadlines;
    struct coap_metrics metrics;
    struct coap_inbound *open[COAP_INBOUND_MAX];
    unsigned open_count;
    uint64_t now_ms;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

static void on_send(struct coap_peer *peer, const uint8_t *data, size_t data_len)
{
    struct coap_message m;
    enum coap_decode decoded = coap_message_decode(&m, data, data_len);

    must(decoded == COAP_DECODED && data_len <= COAP_MESSAGE_MAX);
    must(peer->dialect != COAP_DEVICE_OS || m.type != COAP_RST);
}

static void on_request(struct coap_peer *peer, struct coap_inbound *in, const struct coap_message *m,
                       const char *path, const uint8_t *body, size_t body_len)
{
    struct owner *o = (struct owner *)((char *)peer - offsetof(struct owner, peer));
    volatile size_t touched = strlen(path) + m->options_len;

    for (size_t i = 0; i < body_len; i++)
        touched += body[i];
    (void)touched;
    must(o->open_count < COAP_INBOUND_MAX);
    o->open[o->open_count++] = in;
}

static void on_dropped(struct coap_peer *peer, struct coap_inbound *in)
{
    (void)peer;
    (void)in;
}

static void on_done(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                    const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    volatile size_t touched = 0;

    (void)arg;
    (void)rtt_ms;
    must(outcome == COAP_RESPONDED || response == NULL);
    for (size_t i = 0; i < body_len; i++)
        touched += body[i];
    (void)touched;
}

static const struct coap_peer_ops ops = {
    .send = on_send, .request = on_request, .inbound_dropped = on_dropped};

static void pass(struct owner *o, uint64_t ms)
{
    o->now_ms += ms;
    for (int i = 0; i < 16 && deadlines_run(&o->deadlines, o->now_ms) > 0; i++)
        ;
}

static void settle(struct owner *o, uint8_t how)
{
    static const uint8_t body[5000];

    if (o->open_count == 0)
        return;
    struct coap_inbound *in = o->open[0];
    o->open_count--;
    memmove(o->open, o->open + 1, o->open_count * sizeof(o->open[0]));
    if (how == 248)
        coap_answer(&o->peer, in, COAP_205_CONTENT, 40, body, sizeof(body), o->now_ms);
    else if (how == 249)
        coap_answer(&o->peer, in, COAP_EMPTY, UINT16_MAX, NULL, 0, o->now_ms);
    else
        coap_forget(&o->peer, in);
}

static void ask(struct owner *o)
{
    struct coap_request r = {.method = COAP_GET,
                             .path = {"d"},
                             .query = (const uint8_t *)"\x02",
                             .query_len = 1,
                             .content_format = UINT16_MAX,
                             .max_age_s = UINT32_MAX,
                             .timeout_ms = 100000};

    if (!coap_request(&o->peer, &r, on_done, o, o->now_ms))
        pass(o, 1);
}

static void act(struct owner *o, uint8_t control)
{
    uint64_t ms = 1;

    switch (control) {
    case 248:
    case 249:
    case 250:
        settle(o, control);
        return;
    case 251:
        ask(o);
        return;
    case 252:
        coap_ping(&o->peer, 5000, on_done, NULL, o->now_ms);
        return;
    case 253:
        coap_cancel(&o->peer, o);
        return;
    case 254:
        o->peer.dialect = o->peer.dialect == COAP_DEVICE_OS ? COAP_RFC7252 : COAP_DEVICE_OS;
        return;
    default:
        for (; control > 240; control--)
            ms *= 10;
        pass(o, ms);
        return;
    }
}

/* Bytes of the datagram that a control byte announces, taken from its own heap block. */
static void receive(struct owner *o, const uint8_t *data, size_t data_len)
{
    uint8_t *copy = malloc(data_len > 0 ? data_len : 1);

    must(copy != NULL);
    memcpy(copy, data, data_len);
    coap_peer_receive(&o->peer, copy, data_len, o->now_ms);
    free(copy);
}

static void run(struct owner *o, const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        uint8_t control = *at++;
        size_t len = control;
        if (control == 255 && at < end)
            len = 1024u + *at++;
        else if (control >= 240) {
            act(o, control);
            continue;
        }
        if (len > (size_t)(end - at))
            len = (size_t)(end - at);
        receive(o, at, len);
        at += len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    if (data_len == 0)
        return 0;
    struct metrics *registry = metrics_new();
    struct owner o = {.now_ms = 1000};
    deadlines_init(&o.deadlines);
    coap_metrics_init(&o.metrics, registry);
    struct coap_room room = {&ops, &o.deadlines, &o.metrics};
    coap_peer_init(&o.peer, &room, data[0] & 1 ? COAP_DEVICE_OS : COAP_RFC7252, 0x1000, 0x10);
    run(&o, data + 1, data + data_len);
    coap_peer_deinit(&o.peer);
    must(deadlines_next(&o.deadlines, 0) == UINT64_MAX);
    deadlines_deinit(&o.deadlines);
    metrics_free(registry);
    return 0;
}
