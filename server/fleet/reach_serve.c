/* reach_serve.c: questions of other nodes to devices of this one. */
#include <stdlib.h>

#include <utlist.h>

#include "base/mem.h"
#include "fleet/reach_inner.h"

struct served {
    struct served *prev, *next;
    struct reach *reach;
    struct reach_here here;
    uint64_t number;
    uint32_t from;
};

/* One that cannot be sent is lost: whoever asked has a deadline of his own. */
static void reply(struct reach *reach, uint32_t to, uint64_t number, const struct device_answer *answer)
{
    char *text = reach_message_answer(number, answer);

    (void)nodes_send(reach->nodes, to, NODES_ANSWER, text, strlen(text));
    free(text);
}

static void on_served(void *arg, const struct device_answer *answer)
{
    struct served *s = arg;

    DL_DELETE(s->reach->served, s);
    s->reach->served_count--;
    if (!s->reach->stopped)
        reply(s->reach, s->from, s->number, answer);
    free(s);
}

static void serve(struct reach *reach, uint32_t from, const struct reach_asked *asked, struct device *device)
{
    struct served *s = mem_alloc(sizeof(*s));

    s->reach = reach;
    s->number = asked->number;
    s->from = from;
    DL_APPEND(reach->served, s);
    reach->served_count++;
    reach->served_total->value++;
    reach_here_ask(&s->here, device, &asked->question, asked->question.timeout_ms, on_served, s);
}

void reach_serve_ask(void *ctx, uint32_t from, const uint8_t *data, size_t data_len)
{
    struct reach *reach = ctx;
    struct reach_asked asked;

    if (reach->stopped)
        return;
    if (!reach_message_read_ask(&asked, data, data_len)) {
        reach->malformed->value++;
        return;
    }
    struct device *device = devices_find(reach->devices, &asked.id);
    if (device == NULL)
        reply(reach, from, asked.number, &(struct device_answer){.ask = DEVICE_NOT_CONNECTED});
    else if (reach->served_count >= REACH_SERVED_MAX)
        reply(reach, from, asked.number, &(struct device_answer){.ask = DEVICE_ASK_BUSY});
    else
        serve(reach, from, &asked, device);
    reach_asked_deinit(&asked);
}

void reach_serve_free(struct reach *reach)
{
    struct served *s, *next;

    DL_FOREACH_SAFE (reach->served, s, next) {
        free(s);
    }
}
