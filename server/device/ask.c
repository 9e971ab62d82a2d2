#include "device/ask.h"

#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"

struct ping_question {
    struct device_question ask; /* first */
    device_ping_fn *done;
};

struct describe_question {
    struct device_question ask; /* first */
    device_describe_fn *done;
};

void *ask_new(struct device *device, size_t size, ask_tell_fn *tell, void *arg)
{
    struct device_question *ask = mem_alloc(size);

    ask->device = device;
    ask->tell = tell;
    ask->arg = arg;
    ask->state = ASK_ASKED;
    DL_APPEND(device->asks, ask);
    device->pending++;
    return ask;
}

void ask_finish(struct device_question *ask, struct device_answer answer)
{
    struct device *device = ask->device;
    bool was_turn = ask->by_turns;

    DL_DELETE(device->asks, ask);
    deadline_cancel(device->all->deadlines, &ask->due);
    answer.sent = ask->sent;
    ask->tell(ask, &answer);
    free(ask);
    device->pending--;
    if (was_turn)
        ask_next_turn(device);
}

static void on_known(struct deadline *d, uint64_t now_ms)
{
    struct device_question *ask =
        (struct device_question *)((char *)d - offsetof(struct device_question, due));
    struct device *device = ask->device;

    (void)now_ms;
    ask_finish(ask, (struct device_answer){.ask = (enum device_ask)ask->known});
    link_release(device);
}

void ask_finish_later(struct device_question *ask, enum device_ask known)
{
    ask->state = ASK_KNOWN;
    ask->known = (uint8_t)known;
    deadline_set(ask->device->all->deadlines, &ask->due, clock_ms(), on_known);
}

enum device_ask ask_gone(const struct device *device)
{
    bool moved = device->state == LINK_ENDING && device->end_why == SESSION_END_MOVED;

    return moved ? DEVICE_MOVED : DEVICE_NOT_CONNECTED;
}

enum device_ask ask_unanswered(const struct device *device, enum coap_outcome outcome)
{
    return outcome == COAP_PEER_GONE ? ask_gone(device) : DEVICE_NO_ANSWER;
}

static void tell_ping(struct device_question *ask, const struct device_answer *answer)
{
    ((struct ping_question *)ask)->done(ask->arg, answer->ask, answer->rtt_ms);
}

static void on_pong(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                    const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    struct device_question *ask = arg;
    bool answered = outcome == COAP_RESPONDED || outcome == COAP_RESET;

    (void)response;
    (void)body;
    (void)body_len;
    ask_finish(
        ask, (struct device_answer){.ask = answered ? DEVICE_ANSWERED : ask_unanswered(ask->device, outcome),
                                    .rtt_ms = rtt_ms});
}

void device_ping(struct device *device, uint32_t timeout_ms, device_ping_fn *done, void *arg)
{
    struct ping_question *ping = ask_new(device, sizeof(*ping), tell_ping, arg);

    ping->done = done;
    if (device->update != NULL)
        ask_finish_later(&ping->ask, DEVICE_ASK_BUSY);
    else if (link_is_named(device))
        coap_ping(&device->peer, timeout_ms, on_pong, ping, clock_ms());
    else
        ask_finish_later(&ping->ask, ask_gone(device));
}

static void tell_describe(struct device_question *ask, const struct device_answer *answer)
{
    ((struct describe_question *)ask)->done(ask->arg, answer->ask);
}

static void on_pulled_stored(void *arg, enum device_verdict verdict)
{
    struct device_question *ask = arg;
    struct device *device = ask->device;

    ask_finish(ask,
               (struct device_answer){.ask = verdict == DEVICE_STORED ? DEVICE_ANSWERED : DEVICE_NO_ANSWER});
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

    if (outcome != COAP_RESPONDED || response->code != COAP_205_CONTENT) {
        ask_finish(ask, (struct device_answer){.ask = ask_unanswered(device, outcome)});
        return;
    }
    if (!describe_parse(&d, content_format_of(response), body, body_len, &why)) {
        link_refused(device, REFUSED_DESCRIBE_MALFORMED, why);
        ask_finish(ask, (struct device_answer){.ask = DEVICE_NO_ANSWER});
        return;
    }
    device->all->describes->value++;
    link_fill_facts(device, &facts);
    facts.rtt_ms = rtt_ms > 0 ? rtt_ms : 1; /* measured, if too short for the clock */
    device->all->ops.describe(device->all->ops.ctx, &facts, &d, on_pulled_stored, ask);
    describe_free(&d);
}

void device_pull_describe(struct device *device, enum describe_part part, uint32_t timeout_ms,
                          device_describe_fn *done, void *arg)
{
    struct describe_question *pull = ask_new(device, sizeof(*pull), tell_describe, arg);
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
    pull->done = done;
    if (!link_is_named(device))
        ask_finish_later(&pull->ask, ask_gone(device));
    else if (device->update != NULL)
        ask_finish_later(&pull->ask, DEVICE_ASK_BUSY);
    else if (!coap_request(&device->peer, &request, on_described, pull, clock_ms()))
        ask_finish_later(&pull->ask, DEVICE_NO_ANSWER);
}

void asks_end(struct device *device)
{
    struct device_question *ask, *next;

    DL_FOREACH_SAFE (device->asks, ask, next) {
        if (ask->state == ASK_KNOWN)
            ask_finish(ask, (struct device_answer){.ask = (enum device_ask)ask->known});
        else if (ask->state == ASK_WAITING)
            ask_finish(ask, (struct device_answer){.ask = ask_gone(device)});
    }
}
