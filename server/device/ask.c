#include "device/ask.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "device/text.h"

#define PUBLISH_TIMEOUT_MS 120000 /* all retransmissions take 90 s at most (device-protocol 3.4) */

struct device_question {
    struct device_question *prev, *next;
    struct device *device;
    struct deadline later; /* for an answer that is known too early */
    enum device_ask answer;
    enum describe_part part; /* 0 = ping */
    union {
        device_ping_fn *ping;
        device_describe_fn *describe;
    } done;
    void *arg;
};

static struct device_question *ask_new(struct device *device, enum describe_part part, void *arg)
{
    struct device_question *ask = mem_alloc(sizeof(*ask));

    ask->device = device;
    ask->part = part;
    ask->arg = arg;
    ask->answer = DEVICE_NO_ANSWER;
    DL_APPEND(device->asks, ask);
    device->pending++;
    return ask;
}

static void finish(struct device_question *ask, enum device_ask answer, uint32_t rtt_ms)
{
    struct device *device = ask->device;

    DL_DELETE(device->asks, ask);
    if (deadline_is_set(&ask->later))
        deadline_cancel(device->all->deadlines, &ask->later);
    if (ask->part == 0)
        ask->done.ping(ask->arg, answer, rtt_ms);
    else
        ask->done.describe(ask->arg, answer);
    free(ask);
    device->pending--;
}

static void on_later(struct deadline *d, uint64_t now_ms)
{
    struct device_question *ask =
        (struct device_question *)((char *)d - offsetof(struct device_question, later));
    struct device *device = ask->device;

    (void)now_ms;
    finish(ask, ask->answer, 0);
    link_release(device);
}

static void finish_later(struct device_question *ask, enum device_ask answer)
{
    ask->answer = answer;
    deadline_set(ask->device->all->deadlines, &ask->later, clock_ms(), on_later);
}

static enum device_ask answer_of(enum coap_outcome outcome)
{
    switch (outcome) {
    case COAP_RESPONDED:
    case COAP_RESET:
        return DEVICE_ANSWERED;
    case COAP_TIMED_OUT:
        return DEVICE_NO_ANSWER;
    case COAP_PEER_GONE:
        return DEVICE_NOT_CONNECTED;
    }
    return DEVICE_NO_ANSWER;
}

static void on_pong(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                    const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    (void)response;
    (void)body;
    (void)body_len;
    finish(arg, answer_of(outcome), rtt_ms); /* the session is still there: nothing to release */
}

void device_ping(struct device *device, uint32_t timeout_ms, device_ping_fn *done, void *arg)
{
    struct device_question *ask = ask_new(device, 0, arg);

    ask->done.ping = done;
    if (device->state == LINK_NAMED)
        coap_ping(&device->peer, timeout_ms, on_pong, ask, clock_ms());
    else
        finish_later(ask, DEVICE_NOT_CONNECTED);
}

static void on_pulled_stored(void *arg, enum device_verdict verdict)
{
    struct device_question *ask = arg;
    struct device *device = ask->device;

    finish(ask, verdict == DEVICE_STORED ? DEVICE_ANSWERED : DEVICE_NO_ANSWER, 0);
    link_release(device);
}

static uint16_t content_format_of(const struct coap_message *m)
{
    struct coap_option option;
    uint32_t value;

    if (!coap_option_find(m, COAP_OPT_CONTENT_FORMAT, &option) || !coap_option_uint(&option, &value) ||
        value > UINT16_MAX)
        return UINT16_MAX;
    return (uint16_t)value;
}

static void on_described(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                         const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    struct device_question *ask = arg;
    struct device *device = ask->device;
    struct device_facts facts;
    struct describe d;
    const char *why;

    (void)rtt_ms;
    if (outcome != COAP_RESPONDED || response->code != COAP_205_CONTENT) {
        finish(ask, outcome == COAP_PEER_GONE ? DEVICE_NOT_CONNECTED : DEVICE_NO_ANSWER, 0);
        return;
    }
    if (!describe_parse(&d, content_format_of(response), body, body_len, &why)) {
        link_refused(device, REFUSED_DESCRIBE_MALFORMED, why);
        finish(ask, DEVICE_NO_ANSWER, 0);
        return;
    }
    device->all->describes->value++;
    link_fill_facts(device, &facts);
    device->all->ops.describe(device->all->ops.ctx, &facts, &d, on_pulled_stored, ask);
    describe_free(&d);
}

void device_pull_describe(struct device *device, enum describe_part part, uint32_t timeout_ms,
                          device_describe_fn *done, void *arg)
{
    struct device_question *ask = ask_new(device, part, arg);
    uint8_t query = (uint8_t)part;
    struct coap_request request = {
        .method = COAP_GET,
        .path = {"d"},
        .query = &query,
        .query_len = sizeof(query),
        .content_format = UINT16_MAX,
        .max_age_s = UINT32_MAX,
        .timeout_ms = timeout_ms,
    };

    /* One part at a time: two in one request make a Device OS drop its connection (device-protocol 4.4.1). */
    must(part == DESCRIBE_SYSTEM || part == DESCRIBE_APPLICATION || part == DESCRIBE_METRICS);
    ask->done.describe = done;
    if (device->state != LINK_NAMED)
        finish_later(ask, DEVICE_NOT_CONNECTED);
    else if (!coap_request(&device->peer, &request, on_described, ask, clock_ms()))
        finish_later(ask, DEVICE_NO_ANSWER);
}

static void on_published(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                         const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    (void)arg; /* one that is lost counts as unreachable: the peer says so by itself */
    (void)outcome;
    (void)response;
    (void)body;
    (void)body_len;
    (void)rtt_ms;
}

bool device_publish(struct device *device, const char *name, const char *data)
{
    size_t name_len = strlen(name), data_len = strlen(data);
    struct coap_request request = {
        .method = COAP_POST,
        .path = {"E", name},
        .content_format = UINT16_MAX, /* before 6.2 it would cost the payload (device-protocol 4.9) */
        .max_age_s = UINT32_MAX,
        .payload = (const uint8_t *)data,
        .payload_len = data_len,
        .ack_is_enough = true,
        .timeout_ms = PUBLISH_TIMEOUT_MS,
    };

    if (device->state != LINK_NAMED || device->quarantined)
        return false;
    if (name_len == 0 || name_len > DEVICE_EVENT_NAME_MAX || !text_is_clean(name, name_len))
        return false;
    if (data_len == 0 ||
        data_len > DEVICE_EVENT_DATA_MAX) /* empty, it crashes Device OS 6.2 (device-trace 5) */
        return false;
    return coap_request(&device->peer, &request, on_published, device, clock_ms());
}

void asks_end(struct device *device)
{
    struct device_question *ask, *next;

    DL_FOREACH_SAFE (device->asks, ask, next) {
        if (deadline_is_set(&ask->later))
            finish(ask, ask->answer, 0);
    }
}
