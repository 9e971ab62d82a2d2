#include "coap/outbound.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "coap/gather.h"
#include "coap/link.h"

/* RFC 7252 4.8; the longer time for Device OS is its own (device-protocol 3.4, 3.6). */
#define ACK_TIMEOUT_MS 2000
#define ACK_TIMEOUT_DEVICE_OS_MS 4000
#define MAX_RETRANSMIT 4
#define MAX_RETRANSMIT_DEVICE_OS 3

enum outbound_kind { KIND_REQUEST, KIND_PING, KIND_RESPONSE };
enum outbound_state { WAITING, SENT, ACKNOWLEDGED, LOST };

struct coap_outbound {
    struct coap_outbound *next;
    struct coap_peer *peer; /* borrowed: owner of this */
    struct deadline deadline;
    coap_done_fn *done; /* NULL for KIND_RESPONSE and when detached */
    void *arg;
    uint64_t give_up_ms; /* end of the whole wait */
    uint64_t first_sent_ms;
    uint64_t resend_ms;
    uint32_t backoff_ms;
    uint32_t rtt_ms;
    struct coap_gather gather;
    uint16_t mid;
    uint8_t kind, state, transmissions;
    bool ack_is_enough, has_rtt;
    bool is_detached; /* its owner has been told that it timed out: any reaction of the peer ends it */
    uint8_t token;
    size_t message_len;
    uint8_t message[]; /* as first sent */
};

static const bool may_enter[4][4] = {
    [WAITING] = {[SENT] = true},
    [SENT] = {[SENT] = true, [ACKNOWLEDGED] = true, [LOST] = true},
    [ACKNOWLEDGED] = {[SENT] = true},
};

static void on_deadline(struct deadline *d, uint64_t now_ms);

static void enter(struct coap_outbound *o, enum outbound_state state)
{
    must(may_enter[o->state][state]);
    o->state = (uint8_t)state;
}

/* SENT needs the earlier of resend and the whole wait; the others the whole wait alone. */
static void watch(struct coap_outbound *o)
{
    uint64_t at_ms = o->give_up_ms;

    if (o->state == SENT && o->resend_ms < at_ms)
        at_ms = o->resend_ms;
    if (at_ms == UINT64_MAX)
        deadline_cancel(o->peer->room->deadlines, &o->deadline);
    else
        deadline_set(o->peer->room->deadlines, &o->deadline, at_ms, on_deadline);
}

/* Spreads 1 to 1.5 times, so that a fleet does not send in step (RFC 7252 4.8: ACK_RANDOM_FACTOR). Not a
 * secret. */
static uint32_t jitter(const struct coap_outbound *o, uint32_t timeout_ms, uint64_t now_ms)
{
    uint64_t x = (uint64_t)(uintptr_t)o->peer ^ now_ms << 16 ^ o->mid;

    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u; /* splitmix64 */
    x ^= x >> 29;
    return timeout_ms + (uint32_t)((x >> 11) % (timeout_ms / 2 + 1));
}

/* The request again, asking for the next block: same token and options, no payload (RFC 7959 2.4). */
static size_t encode_next_block(const struct coap_outbound *o, uint8_t out[COAP_MESSAGE_MAX])
{
    struct coap_builder b;
    struct coap_message first;
    struct coap_option_iter it;
    struct coap_option option;
    struct coap_block next = coap_gather_next(&o->gather);

    enum coap_decode decoded = coap_message_decode(&first, o->message, o->message_len);
    must(decoded == COAP_DECODED);
    coap_build(&b, out, COAP_MESSAGE_MAX, COAP_CON, first.code, o->mid, first.token, first.token_len);
    coap_options_begin(&it, &first);
    while (coap_options_next(&it, &option))
        coap_build_option(&b, option.number, option.value, option.value_len);
    coap_build_option_uint(&b, COAP_OPT_BLOCK2, coap_block_encode(&next));
    return coap_build_finish(&b);
}

static void transmit(struct coap_outbound *o)
{
    uint8_t out[COAP_MESSAGE_MAX];
    size_t out_len = o->message_len;

    if (o->gather.data_len > 0)
        out_len = encode_next_block(o, out);
    else
        memcpy(out, o->message, out_len);
    must(out_len >= 4);
    be16_store(out + 2, o->mid);
    o->transmissions++;
    coap_link_send(o->peer, out, out_len);
}

static void send_first(struct coap_outbound *o, uint64_t now_ms)
{
    uint32_t timeout_ms = coap_link_is_device_os(o->peer) ? ACK_TIMEOUT_DEVICE_OS_MS : ACK_TIMEOUT_MS;

    enter(o, SENT);
    o->transmissions = 0;
    o->backoff_ms = jitter(o, timeout_ms, now_ms);
    o->resend_ms = now_ms + o->backoff_ms;
    watch(o);
    transmit(o);
}

static unsigned transmissions_max(const struct coap_peer *peer)
{
    return 1 + (coap_link_is_device_os(peer) ? MAX_RETRANSMIT_DEVICE_OS : MAX_RETRANSMIT);
}

static void send_again(struct coap_outbound *o, uint64_t now_ms)
{
    o->peer->room->metrics->retransmits->value++;
    o->backoff_ms *= 2;
    o->resend_ms = now_ms + o->backoff_ms;
    watch(o);
    transmit(o);
}

static unsigned count_sent(const struct coap_peer *peer)
{
    unsigned count = 0;

    for (const struct coap_outbound *o = peer->outbound; o != NULL; o = o->next)
        count += o->state == SENT && !o->is_detached;
    return count;
}

/* Sends what waits, oldest first, while slots are free. */
static void start_waiting(struct coap_peer *peer, uint64_t now_ms)
{
    unsigned sent = count_sent(peer);

    for (struct coap_outbound *o = peer->outbound; o != NULL; o = o->next) {
        if (sent >= COAP_OUTBOUND_MAX)
            return;
        if (o->state != WAITING)
            continue;
        o->first_sent_ms = now_ms;
        send_first(o, now_ms);
        sent++;
    }
}

static void unlink_outbound(struct coap_outbound *o)
{
    struct coap_outbound **at = &o->peer->outbound;

    deadline_cancel(o->peer->room->deadlines, &o->deadline);
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
}

static void release(struct coap_outbound *o)
{
    coap_gather_free(&o->gather);
    free(o);
}

/* Ends o. The owner's callback comes last but for memory that is no longer the peer's. */
static void finish(struct coap_outbound *o, enum coap_outcome outcome, const struct coap_message *response,
                   const uint8_t *body, size_t body_len, uint64_t now_ms)
{
    unlink_outbound(o);
    start_waiting(o->peer, now_ms);
    if (o->done != NULL)
        o->done(o->arg, outcome, response, body, body_len, o->rtt_ms);
    release(o);
}

/* Never acknowledged. done comes with the next deadline, so that each owner's callback is the last of its
 * kind here. */
static void lose(struct coap_outbound *o, uint64_t now_ms)
{
    struct coap_peer *peer = o->peer;

    enter(o, LOST);
    o->give_up_ms = now_ms;
    watch(o);
    if (peer->room->ops->unreachable != NULL)
        peer->room->ops->unreachable(peer);
}

static bool has_detached(const struct coap_peer *peer)
{
    for (const struct coap_outbound *o = peer->outbound; o != NULL; o = o->next) {
        if (o->is_detached)
            return true;
    }
    return false;
}

/* The owner waits no longer, the retransmissions go on. */
static void detach(struct coap_outbound *o, uint64_t now_ms)
{
    coap_done_fn *done = o->done;

    o->peer->room->metrics->timeouts->value++;
    o->done = NULL;
    o->is_detached = true;
    o->give_up_ms = UINT64_MAX;
    watch(o);
    start_waiting(o->peer, now_ms);
    done(o->arg, COAP_TIMED_OUT, NULL, NULL, 0, o->rtt_ms);
}

static void on_deadline(struct deadline *d, uint64_t now_ms)
{
    struct coap_outbound *o = (struct coap_outbound *)((char *)d - offsetof(struct coap_outbound, deadline));

    if (now_ms >= o->give_up_ms && o->state == SENT && o->done != NULL && !has_detached(o->peer)) {
        detach(o, now_ms);
        return;
    }
    if (now_ms >= o->give_up_ms) {
        if (!o->is_detached)
            o->peer->room->metrics->timeouts->value++;
        finish(o, COAP_TIMED_OUT, NULL, NULL, 0, now_ms);
        return;
    }
    if (o->state == WAITING) { /* woken by coap_cancel */
        watch(o);
        start_waiting(o->peer, now_ms);
        return;
    }
    if (o->state != SENT)
        watch(o);
    else if (o->transmissions < transmissions_max(o->peer))
        send_again(o, now_ms);
    else
        lose(o, now_ms);
}

static struct coap_outbound *add(struct coap_peer *peer, enum outbound_kind kind, uint16_t mid,
                                 const uint8_t *message, size_t message_len, uint64_t give_up_ms)
{
    struct coap_outbound *o = mem_alloc(sizeof(*o) + message_len);

    o->peer = peer;
    o->kind = (uint8_t)kind;
    o->mid = mid;
    o->give_up_ms = give_up_ms;
    o->message_len = message_len;
    memcpy(o->message, message, message_len);
    struct coap_outbound **at = &peer->outbound;
    while (*at != NULL)
        at = &(*at)->next;
    *at = o;
    watch(o);
    return o;
}

static bool is_token_used(const struct coap_peer *peer, uint8_t token)
{
    for (const struct coap_outbound *o = peer->outbound; o != NULL; o = o->next) {
        if (o->kind == KIND_REQUEST && o->token == token)
            return true;
    }
    return false;
}

static uint8_t take_token(struct coap_peer *peer)
{
    while (is_token_used(peer, peer->next_token)) /* ends: COAP_QUEUE_MAX is below 256 */
        peer->next_token++;
    return peer->next_token++;
}

static bool is_queue_full(const struct coap_peer *peer)
{
    unsigned count = 0;

    for (const struct coap_outbound *o = peer->outbound; o != NULL; o = o->next)
        count++;
    return count >= COAP_QUEUE_MAX;
}

/* Options in ascending order, path and query as Device OS looks for them (device-protocol Appendix A). */
static size_t encode_request(const struct coap_peer *peer, const struct coap_request *r, enum coap_type type,
                             uint16_t mid, const uint8_t *token, uint8_t out[COAP_MESSAGE_MAX])
{
    struct coap_builder b;

    coap_build(&b, out, coap_link_limit(peer), type, r->method, mid, token, token != NULL ? 1 : 0);
    for (size_t i = 0; i < sizeof(r->path) / sizeof(r->path[0]) && r->path[i] != NULL; i++) {
        must(r->path[i][0] != '\0');
        coap_build_option(&b, COAP_OPT_URI_PATH, r->path[i], strlen(r->path[i]));
    }
    if (r->content_format != UINT16_MAX)
        coap_build_option_uint(&b, COAP_OPT_CONTENT_FORMAT, r->content_format);
    if (r->max_age_s != UINT32_MAX)
        coap_build_option_uint(&b, COAP_OPT_MAX_AGE, r->max_age_s);
    if (r->query != NULL)
        coap_build_option(&b, COAP_OPT_URI_QUERY, r->query, r->query_len);
    for (size_t i = 0; i < r->option_count; i++)
        coap_build_option(&b, r->options[i].number, r->options[i].value, r->options[i].value_len);
    coap_build_payload(&b, r->payload, r->payload_len);
    return coap_build_finish(&b);
}

bool coap_request(struct coap_peer *peer, const struct coap_request *r, coap_done_fn *done, void *arg,
                  uint64_t now_ms)
{
    uint8_t out[COAP_MESSAGE_MAX];

    must(done != NULL);
    if (is_queue_full(peer))
        return false;
    uint8_t token = take_token(peer);
    uint16_t mid = coap_link_next_mid(peer);
    size_t out_len = encode_request(peer, r, COAP_CON, mid, &token, out);
    if (out_len == 0)
        return false;
    struct coap_outbound *o = add(peer, KIND_REQUEST, mid, out, out_len, now_ms + r->timeout_ms);
    o->token = token;
    o->done = done;
    o->arg = arg;
    o->ack_is_enough = r->ack_is_enough;
    start_waiting(peer, now_ms);
    return true;
}

bool coap_send_non(struct coap_peer *peer, const struct coap_request *r, bool with_token, uint16_t *mid)
{
    uint8_t out[COAP_MESSAGE_MAX], token = with_token ? take_token(peer) : 0;

    *mid = coap_link_next_mid(peer);
    size_t out_len = encode_request(peer, r, COAP_NON, *mid, with_token ? &token : NULL, out);
    if (out_len == 0)
        return false;
    coap_link_send(peer, out, out_len);
    return true;
}

void coap_ping(struct coap_peer *peer, uint32_t timeout_ms, coap_done_fn *done, void *arg, uint64_t now_ms)
{
    struct coap_builder b;
    uint8_t out[4];
    uint16_t mid = coap_link_next_mid(peer);

    must(done != NULL);
    coap_build(&b, out, sizeof(out), COAP_CON, COAP_EMPTY, mid, NULL, 0);
    struct coap_outbound *o = add(peer, KIND_PING, mid, out, coap_build_finish(&b), now_ms + timeout_ms);
    o->done = done;
    o->arg = arg;
    start_waiting(peer, now_ms);
}

bool coap_outbound_has_room(const struct coap_peer *peer)
{
    return !is_queue_full(peer);
}

void coap_outbound_respond(struct coap_peer *peer, uint16_t mid, const uint8_t *message, size_t message_len,
                           uint64_t now_ms)
{
    add(peer, KIND_RESPONSE, mid, message, message_len, UINT64_MAX);
    start_waiting(peer, now_ms);
}

void coap_cancel(struct coap_peer *peer, void *arg)
{
    struct coap_outbound **at = &peer->outbound;

    while (*at != NULL) {
        struct coap_outbound *o = *at;
        if (o->kind == KIND_RESPONSE || o->arg != arg) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        deadline_cancel(peer->room->deadlines, &o->deadline);
        release(o);
    }
    if (count_sent(peer) >= COAP_OUTBOUND_MAX)
        return;
    for (struct coap_outbound *o = peer->outbound; o != NULL; o = o->next) {
        if (o->state == WAITING) /* the freed slots are filled from the loop: there is no time here */
            deadline_set(peer->room->deadlines, &o->deadline, 0, on_deadline);
    }
}

static void note_rtt(struct coap_outbound *o, uint64_t now_ms)
{
    if (o->has_rtt)
        return;
    o->has_rtt = true;
    o->rtt_ms = (uint32_t)(now_ms - o->first_sent_ms);
}

static struct coap_outbound *find_sent(const struct coap_peer *peer, uint16_t mid)
{
    for (struct coap_outbound *o = peer->outbound; o != NULL; o = o->next) {
        if (o->mid == mid && o->state == SENT)
            return o;
    }
    return NULL;
}

void coap_outbound_acknowledged(struct coap_peer *peer, const struct coap_message *ack, uint64_t now_ms)
{
    struct coap_outbound *o = find_sent(peer, ack->mid);

    if (o == NULL)
        return;
    note_rtt(o, now_ms);
    if (o->kind == KIND_REQUEST && o->ack_is_enough) {
        finish(o, COAP_RESPONDED, ack, NULL, 0, now_ms);
    } else if (o->kind != KIND_REQUEST || o->is_detached) {
        finish(o, COAP_RESPONDED, NULL, NULL, 0, now_ms);
    } else {
        enter(o, ACKNOWLEDGED);
        watch(o);
        start_waiting(peer, now_ms);
    }
}

static void on_stray(struct coap_peer *peer, const struct coap_message *m)
{
    if (peer->room->ops->stray != NULL)
        peer->room->ops->stray(peer, m);
}

void coap_outbound_reset(struct coap_peer *peer, const struct coap_message *reset, uint64_t now_ms)
{
    struct coap_outbound *o = find_sent(peer, reset->mid);

    if (o == NULL) {
        on_stray(peer, reset);
        return;
    }
    note_rtt(o, now_ms);
    finish(o, o->kind == KIND_PING ? COAP_RESPONDED : COAP_RESET, NULL, NULL, 0, now_ms); /* RFC 7252 4.3 */
}

/* By token; a piggybacked one by message ID too (RFC 7252 5.3.2). Device OS departs twice: some of its
 * acknowledgements carry an ID of its own (device-trace 3.2), and it rejects an over-long argument without
 * token (device-protocol 4.5). */
static bool is_response_to(const struct coap_outbound *o, const struct coap_message *response)
{
    bool device_os = coap_link_is_device_os(o->peer);
    bool same_token = response->token_len == sizeof(o->token) && response->token[0] == o->token;

    if (o->kind != KIND_REQUEST || (o->state != SENT && o->state != ACKNOWLEDGED))
        return false;
    if (response->type != COAP_ACK)
        return same_token;
    if (same_token)
        return device_os || response->mid == o->mid;
    return device_os && response->token_len == 0 && response->mid == o->mid && o->state == SENT;
}

static struct coap_outbound *find_request(const struct coap_peer *peer, const struct coap_message *response)
{
    for (struct coap_outbound *o = peer->outbound; o != NULL; o = o->next) {
        if (is_response_to(o, response))
            return o;
    }
    return NULL;
}

bool coap_outbound_expects(const struct coap_peer *peer, const struct coap_message *response)
{
    return find_request(peer, response) != NULL;
}

/* A body that cannot be put together ends as a response of our own making. */
static void finish_broken(struct coap_outbound *o, const struct coap_message *response, uint8_t code,
                          uint64_t now_ms)
{
    struct coap_message broken = *response;

    broken.code = code;
    finish(o, COAP_RESPONDED, &broken, NULL, 0, now_ms);
}

static void ask_next_block(struct coap_outbound *o, const struct coap_message *response, uint64_t now_ms)
{
    uint8_t out[COAP_MESSAGE_MAX];

    if (o->gather.data_len > 0 &&
        encode_next_block(o, out) == 0) { /* no room for Block2 beside a long Uri-Query */
        finish_broken(o, response, COAP_413_TOO_LARGE, now_ms);
        return;
    }
    o->mid = coap_link_next_mid(o->peer);
    send_first(o, now_ms);
}

static void take_block(struct coap_outbound *o, const struct coap_message *response,
                       const struct coap_block *block, uint64_t now_ms)
{
    switch (coap_gather_take(&o->gather, response, block)) {
    case COAP_GATHER_MORE:
        ask_next_block(o, response, now_ms);
        return;
    case COAP_GATHER_WHOLE:
        finish(o, COAP_RESPONDED, response, o->gather.data, o->gather.data_len, now_ms);
        return;
    case COAP_GATHER_REPEATED:
        return;
    case COAP_GATHER_BROKEN:
        finish_broken(o, response, COAP_408_INCOMPLETE, now_ms);
        return;
    case COAP_GATHER_TOO_LARGE:
        finish_broken(o, response, COAP_413_TOO_LARGE, now_ms);
        return;
    }
}

void coap_outbound_response(struct coap_peer *peer, const struct coap_message *response, uint64_t now_ms)
{
    struct coap_outbound *o = find_request(peer, response);
    struct coap_option option;
    struct coap_block block;

    if (o == NULL) {
        if (response->type == COAP_NON)
            on_stray(peer, response);
        return;
    }
    note_rtt(o, now_ms);
    bool in_blocks = response->code >> 5 == 2 && coap_option_find(response, COAP_OPT_BLOCK2, &option);
    if (o->ack_is_enough || o->is_detached || !in_blocks)
        finish(o, COAP_RESPONDED, response, response->payload, response->payload_len, now_ms);
    else if (coap_block_decode(&option, &block))
        take_block(o, response, &block, now_ms);
    else
        finish_broken(o, response, COAP_408_INCOMPLETE, now_ms);
}

void coap_outbounds_drop(struct coap_peer *peer)
{
    while (peer->outbound != NULL) {
        struct coap_outbound *o = peer->outbound;
        peer->outbound = o->next;
        deadline_cancel(peer->room->deadlines, &o->deadline);
        if (o->done != NULL)
            o->done(o->arg, COAP_PEER_GONE, NULL, NULL, 0, o->rtt_ms);
        release(o);
    }
}
