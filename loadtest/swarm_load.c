#include "swarm_load.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_coap.h"
#include "swarm_messages.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_WAIT_MS 2000
#define RETRY_MS 50

static void on_watchdog(struct deadline *deadline, uint64_t now_ms);

static void watch(struct swarm_load_client *c, uint64_t wait_ms)
{
    deadline_set(&c->load->loop->deadlines, &c->watchdog, clock_ms() + wait_ms, on_watchdog);
}

static void connect_client(struct swarm_load_client *c)
{
    c->state = SWARM_LOAD_CONNECTING;
    c->greeted = false;
    if (!swarm_session_open(&c->session, &c->credentials, clock_ms())) {
        c->load->error_count++;
        watch(c, RETRY_MS);
    }
}

static void put_get(struct swarm_coap_out *out, uint16_t mid, const char *path)
{
    struct swarm_coap_token token = {.bytes = {(uint8_t)mid}, .len = 1};

    swarm_coap_begin(out, SWARM_CON, SWARM_GET, mid, &token);
    while (*path) {
        size_t len;

        path += strspn(path, "/");
        len = strcspn(path, "/");
        if (len > 0)
            swarm_coap_option(out, SWARM_OPT_PATH, path, len);
        path += len;
    }
}

static void request(struct swarm_load_client *c)
{
    struct swarm_load *l = c->load;
    struct swarm_coap_out out;

    c->mid++;
    if (l->exchange == SWARM_LOAD_HELLO && !c->greeted)
        swarm_message_hello(&out, c->mid, c->model);
    else if (l->exchange == SWARM_LOAD_GET)
        put_get(&out, c->mid, l->path);
    else
        swarm_coap_begin(&out, SWARM_CON, 0, c->mid, NULL);
    c->state = SWARM_LOAD_WAITING;
    watch(c, ANSWER_WAIT_MS);
    if (out.bad || !swarm_session_send(&c->session, out.bytes, out.len))
        l->error_count++;
}

/* Sessions take turns, so that all of them are in use while few exchanges are under way: more would only show
 * the size of the server's socket buffer. */
static void request_by_next(struct swarm_load *l)
{
    for (uint32_t tried = 0; tried < l->client_count; tried++) {
        struct swarm_load_client *c = &l->clients[l->turn++ % l->client_count];

        if (c->state == SWARM_LOAD_IDLE) {
            request(c);
            return;
        }
    }
}

static void start_next(struct swarm_load *l)
{
    if (l->started < l->client_count)
        connect_client(&l->clients[l->started++]);
}

/* Last statement of its caller: ready() may end everything. */
static void count_up(struct swarm_load_client *c)
{
    struct swarm_load *l = c->load;

    c->counted = true;
    start_next(l);
    if (++l->up_count == l->client_count)
        l->ready(l->owner);
}

static void again(struct swarm_load_client *c)
{
    swarm_session_close_notify(&c->session);
    connect_client(c);
}

static void on_up(void *owner)
{
    struct swarm_load_client *c = owner;
    struct swarm_load *l = c->load;

    l->handshake_count++;
    c->state = SWARM_LOAD_IDLE;
    deadline_cancel(&l->loop->deadlines, &c->watchdog);
    if (l->exchange != SWARM_LOAD_NONE)
        request(c);
    else if (l->kind == SWARM_LOAD_HANDSHAKES)
        again(c);
    else if (!c->counted)
        count_up(c);
}

static void on_failed(void *owner, enum swarm_dtls_result result, uint8_t alert)
{
    struct swarm_load_client *c = owner;

    c->load->error_count++;
    if (c->load->error_count == 1)
        (void)fprintf(stderr, "bench: first failure: %s %u\n", swarm_dtls_result_name(result), alert);
    watch(c, RETRY_MS);
}

static void on_ended(void *owner, uint8_t alert)
{
    struct swarm_load_client *c = owner;

    (void)alert;
    c->load->error_count++;
    watch(c, RETRY_MS);
}

static void on_watchdog(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_load_client *c = (struct swarm_load_client *)(void *)deadline;

    (void)now_ms;
    if (c->session.state != SWARM_SESSION_UP) {
        connect_client(c);
        return;
    }
    c->load->error_count++;
    request(c);
}

/* A separate response: the server sent an empty acknowledgement before it. */
static void acknowledge(struct swarm_load_client *c, uint16_t mid)
{
    struct swarm_coap_out out;

    swarm_coap_begin(&out, SWARM_ACK, 0, mid, NULL);
    swarm_session_send(&c->session, out.bytes, out.len);
}

static bool is_answer(struct swarm_load_client *c, const struct swarm_coap_in *in)
{
    /* A request, or a ping: the session is asked whether it lives. */
    if (in->type == SWARM_CON)
        acknowledge(c, in->mid);
    if (c->state != SWARM_LOAD_WAITING)
        return false;
    if (c->load->exchange != SWARM_LOAD_GET)
        return in->type >= SWARM_ACK && in->mid == c->mid;
    return in->code >= SWARM_COAP_CODE(2, 0) && in->token.len == 1 && in->token.bytes[0] == (uint8_t)c->mid;
}

static void on_message(void *owner, const uint8_t *data, size_t data_len)
{
    struct swarm_load_client *c = owner;
    struct swarm_load *l = c->load;
    struct swarm_coap_in in;

    if (!swarm_coap_parse(&in, data, data_len) || !is_answer(c, &in))
        return;
    c->state = SWARM_LOAD_IDLE;
    deadline_cancel(&l->loop->deadlines, &c->watchdog);
    if (in.code >= SWARM_COAP_CODE(4, 0))
        l->error_count++;
    else
        l->exchange_count++;
    c->greeted = true;
    if (l->kind == SWARM_LOAD_HANDSHAKES)
        again(c);
    else if (!c->counted)
        count_up(c);
    else if (l->kind == SWARM_LOAD_EXCHANGES && l->up_count == l->client_count)
        request_by_next(l);
}

static const struct swarm_session_ops session_ops = {
    .up = on_up, .failed = on_failed, .ended = on_ended, .message = on_message};

void swarm_load_init(struct swarm_load *l)
{
    l->clients = mem_array(l->client_count, sizeof(*l->clients));
    for (uint32_t i = 0; i < l->client_count; i++) {
        l->clients[i].load = l;
        swarm_session_init(&l->clients[i].session, &l->loop->env, &session_ops, &l->clients[i]);
    }
}

void swarm_load_start(struct swarm_load *l)
{
    uint32_t at_once = l->kind == SWARM_LOAD_HANDSHAKES ? l->client_count : l->in_flight;

    for (uint32_t i = 0; i < at_once; i++)
        start_next(l);
}

void swarm_load_exchange(struct swarm_load *l, uint32_t under_way)
{
    for (uint32_t i = 0; i < l->client_count && i < under_way; i++)
        request_by_next(l);
}

void swarm_load_deinit(struct swarm_load *l)
{
    for (uint32_t i = 0; i < l->client_count; i++) {
        swarm_session_drop(&l->clients[i].session);
        deadline_cancel(&l->loop->deadlines, &l->clients[i].watchdog);
    }
    free(l->clients);
    l->clients = NULL;
}
