/* call.c: functions, variables and the signal of a device (device-protocol 4.5, 4.6, 4.13). */
#include <string.h>

#include <utlist.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "device/ask.h"

/* What a function takes as its argument; a device calls it all the same with what is over cut off
 * (device-protocol 4.5). */
#define ARGUMENT_MAX 1024
#define ARGUMENT_MAX_GEN_2 864
#define ARGUMENT_MAX_BEFORE_3_0 622
#define SYSTEM_VERSION_3_0 3000
#define MESSAGE_BYTES_GEN_2 960 /* what these state in their Hello (device-protocol 2.9) */
#define OVERHEAD_BYTES 13       /* header, token, path letter, and the headers of name and argument */

struct call_question {
    struct device_question ask; /* first */
    device_answer_fn *done;
    uint8_t method;     /* POST: a function, GET: a variable */
    size_t argument_at; /* in text */
    char text[];        /* name, then argument, both NUL-terminated */
};

static void tell(struct device_question *ask, const struct device_answer *answer)
{
    ((struct call_question *)ask)->done(ask->arg, answer);
}

static struct call_question *call_new(struct device *device, const char *name, const char *argument,
                                      device_answer_fn *done, void *arg)
{
    size_t name_size = strlen(name) + 1, argument_size = strlen(argument) + 1;
    struct call_question *call = ask_new(device, sizeof(*call) + name_size + argument_size, tell, arg);

    call->done = done;
    call->argument_at = name_size;
    memcpy(call->text, name, name_size);
    memcpy(call->text + name_size, argument, argument_size);
    return call;
}

static bool read_result(const struct call_question *call, struct device_answer *answer, const uint8_t *body,
                        size_t body_len)
{
    if (call->method == COAP_GET) {
        if (body_len > DEVICE_VARIABLE_MAX)
            return false;
        answer->data = body;
        answer->data_len = body_len;
        return true;
    }
    if (body_len != sizeof(uint32_t))
        return false;
    answer->result = (int32_t)be32_load(body);
    return true;
}

static void on_response(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                        const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    struct call_question *call = arg;
    struct device_answer answer = {.ask = DEVICE_SAID_ERROR, .code = COAP_500_INTERNAL};

    (void)rtt_ms;
    if (outcome == COAP_TIMED_OUT || outcome == COAP_PEER_GONE)
        answer.ask = ask_unanswered(call->ask.device, outcome);
    else if (outcome == COAP_RESPONDED && response->code >> 5 != 2)
        answer.code = response->code;
    else if (outcome == COAP_RESPONDED && read_result(call, &answer, body, body_len))
        answer.ask = DEVICE_ANSWERED;
    ask_finish(&call->ask, answer);
}

static void ask_device(struct call_question *call, uint64_t now_ms)
{
    struct device *device = call->ask.device;
    bool is_function = call->method == COAP_POST;
    const char *argument = call->text + call->argument_at;
    struct coap_request request = {
        .method = call->method,
        .path = {is_function ? "f" : "v", call->text},
        .query = is_function ? (const uint8_t *)argument : NULL, /* there even when it is empty */
        .query_len = strlen(argument),
        .content_format = UINT16_MAX,
        .max_age_s = UINT32_MAX,
        .timeout_ms = (uint32_t)(call->ask.due.at_ms - now_ms),
    };

    deadline_cancel(device->all->deadlines, &call->ask.due);
    call->ask.state = ASK_ASKED;
    call->ask.sent = coap_request(&device->peer, &request, on_response, call, now_ms);
    if (!call->ask.sent)
        ask_finish_later(&call->ask, DEVICE_ASK_BUSY);
}

/* What is due already ends by its deadline. */
void ask_next_turn(struct device *device)
{
    uint64_t now_ms = clock_ms();
    struct device_question *ask, *first = NULL;

    if (!link_is_named(device) || device->update != NULL)
        return;
    DL_FOREACH (device->asks, ask) {
        if (!ask->by_turns)
            continue;
        if (ask->state == ASK_ASKED)
            return;
        if (first == NULL && ask->state == ASK_WAITING && ask->due.at_ms > now_ms)
            first = ask;
    }
    if (first != NULL)
        ask_device((struct call_question *)first, now_ms);
}

static void on_turn_late(struct deadline *d, uint64_t now_ms)
{
    struct device_question *ask =
        (struct device_question *)((char *)d - offsetof(struct device_question, due));

    (void)now_ms;
    ask_finish(ask, (struct device_answer){.ask = DEVICE_NO_ANSWER});
}

static size_t count_waiting(const struct device *device)
{
    const struct device_question *ask;
    size_t count = 0;

    DL_FOREACH (device->asks, ask)
        count += ask->by_turns && ask->state == ASK_WAITING;
    return count;
}

static size_t argument_max(const struct device *device)
{
    if (device->system_version < SYSTEM_VERSION_3_0)
        return ARGUMENT_MAX_BEFORE_3_0;
    return device->peer.max_message_bytes <= MESSAGE_BYTES_GEN_2 ? ARGUMENT_MAX_GEN_2 : ARGUMENT_MAX;
}

static bool fits(const struct device *device, size_t name_len, size_t argument_len)
{
    return argument_len <= argument_max(device) &&
           OVERHEAD_BYTES + name_len + argument_len <= device->peer.max_message_bytes;
}

static void begin(struct call_question *call, uint8_t method, uint32_t timeout_ms)
{
    struct device *device = call->ask.device;
    size_t name_len = strlen(call->text);

    call->method = method;
    if (!link_is_named(device) || device->quarantined)
        ask_finish_later(&call->ask, ask_gone(device));
    else if (name_len == 0 || name_len > DESCRIBE_NAME_MAX ||
             !fits(device, name_len, strlen(call->text + call->argument_at)))
        ask_finish_later(&call->ask, DEVICE_ASK_TOO_LONG);
    else if (device->update != NULL || count_waiting(device) >= DEVICE_TURNS_MAX)
        ask_finish_later(&call->ask, DEVICE_ASK_BUSY);
    else {
        call->ask.by_turns = true;
        call->ask.state = ASK_WAITING;
        deadline_set(device->all->deadlines, &call->ask.due, clock_ms() + timeout_ms, on_turn_late);
        ask_next_turn(device);
    }
}

void device_call(struct device *device, const char *function, const char *argument, uint32_t timeout_ms,
                 device_answer_fn *done, void *arg)
{
    begin(call_new(device, function, argument, done, arg), COAP_POST, timeout_ms);
}

void device_read_variable(struct device *device, const char *variable, uint32_t timeout_ms,
                          device_answer_fn *done, void *arg)
{
    begin(call_new(device, variable, "", done, arg), COAP_GET, timeout_ms);
}

void device_signal(struct device *device, bool on, uint32_t timeout_ms, device_answer_fn *done, void *arg)
{
    struct call_question *call = call_new(device, "", "", done, arg);
    uint8_t query = on;
    struct coap_request request = {
        .method = COAP_PUT,
        .path = {"s"},
        .query = &query,
        .query_len = sizeof(query),
        .content_format = UINT16_MAX,
        .max_age_s = UINT32_MAX,
        .timeout_ms = timeout_ms,
    };

    call->method = COAP_GET; /* whatever comes with the answer is fine */
    if (!link_is_named(device) || device->quarantined)
        ask_finish_later(&call->ask, ask_gone(device));
    else if (device->update == NULL && coap_request(&device->peer, &request, on_response, call, clock_ms()))
        call->ask.sent = true;
    else
        ask_finish_later(&call->ask, DEVICE_ASK_BUSY);
}
