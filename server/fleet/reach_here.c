/* reach_here.c: a question to a device of this node. */
#include "fleet/reach_inner.h"

static void on_pong(void *arg, enum device_ask ask, uint32_t rtt_ms)
{
    struct reach_here *here = arg;
    struct device_answer answer = {.ask = ask, .sent = true, .rtt_ms = rtt_ms};

    here->done(here->arg, &answer);
}

static void on_described(void *arg, enum device_ask ask)
{
    struct reach_here *here = arg;
    struct device_answer answer = {.ask = ask, .sent = true};

    here->done(here->arg, &answer);
}

static void on_answer(void *arg, const struct device_answer *answer)
{
    struct reach_here *here = arg;

    here->done(here->arg, answer);
}

void reach_here_ask(struct reach_here *here, struct device *device, const struct reach_question *question,
                    uint32_t timeout_ms, device_answer_fn *done, void *arg)
{
    *here = (struct reach_here){.done = done, .arg = arg};
    switch (question->kind) {
    case REACH_PING:
        device_ping(device, timeout_ms, on_pong, here);
        return;
    case REACH_DESCRIBE:
        device_pull_describe(device, question->part, timeout_ms, on_described, here);
        return;
    case REACH_CALL:
        device_call(device, question->name, question->argument, timeout_ms, on_answer, here);
        return;
    case REACH_READ:
        device_read_variable(device, question->name, timeout_ms, on_answer, here);
        return;
    case REACH_SIGNAL:
        device_signal(device, question->on, timeout_ms, on_answer, here);
        return;
    case REACH_KIND_COUNT:
        break;
    }
    must(false);
}
