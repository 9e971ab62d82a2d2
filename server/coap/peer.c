#include "coap/peer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "coap/block.h"
#include "coap/dedup.h"
#include "coap/inbound.h"
#include "coap/link.h"
#include "coap/outbound.h"

#define PATH_SIZE 512 /* bytes; the longest event name takes 66 */
#define OPT_PROXY_URI 35
#define OPT_PROXY_SCHEME 39

void coap_metrics_init(struct coap_metrics *cm, struct metrics *m)
{
    cm->received = metrics_add(m, METRIC_COUNTER, "cyan_coap_received_total", NULL, "CoAP messages received");
    cm->sent = metrics_add(m, METRIC_COUNTER, "cyan_coap_sent_total", NULL, "CoAP messages sent");
    cm->duplicates = metrics_add(m, METRIC_COUNTER, "cyan_coap_duplicates_total", NULL,
                                 "CoAP messages received again and not acted on again");
    cm->retransmits =
        metrics_add(m, METRIC_COUNTER, "cyan_coap_retransmits_total", NULL, "CoAP messages sent again");
    cm->timeouts = metrics_add(m, METRIC_COUNTER, "cyan_coap_timeouts_total", NULL,
                               "CoAP messages and requests of ours that were not answered in time");
    cm->malformed =
        metrics_add(m, METRIC_COUNTER, "cyan_coap_malformed_total", NULL, "CoAP message format errors");
    cm->resets_received =
        metrics_add(m, METRIC_COUNTER, "cyan_coap_resets_received_total", NULL, "CoAP RST received");
    cm->overflow = metrics_add(m, METRIC_COUNTER, "cyan_coap_overflow_total", NULL,
                               "CoAP requests and bodies dropped because their peer, or all peers together, "
                               "have too many open");
    cm->gathered = metrics_add(m, METRIC_GAUGE, "cyan_coap_gathered_bytes", NULL,
                               "Memory of request bodies that are not whole yet");
}

void coap_peer_init(struct coap_peer *peer, const struct coap_room *room, enum coap_dialect dialect,
                    uint16_t first_mid, uint8_t first_token)
{
    *peer = (struct coap_peer){
        .room = room,
        .next_mid = first_mid,
        .max_message_bytes = COAP_MESSAGE_MAX,
        .next_token = first_token,
        .dialect = dialect == COAP_DEVICE_OS,
    };
}

void coap_peer_deinit(struct coap_peer *peer)
{
    coap_outbounds_drop(peer);
    coap_inbounds_drop(peer);
    coap_bodies_free(peer);
    coap_dedup_free(peer);
    deadline_cancel(peer->room->deadlines, &peer->expiry);
}

/* A message that cannot be understood (RFC 7252 4.2). Device OS takes RST for the end of its session
 * (device-protocol 3.4): it gets an error instead. */
static void reject(struct coap_peer *peer, const struct coap_message *m)
{
    struct coap_builder b;
    uint8_t out[4 + COAP_TOKEN_MAX];

    peer->room->metrics->malformed->value++;
    if (m->type != COAP_CON)
        return;
    if (!coap_link_is_device_os(peer)) {
        coap_link_send_empty(peer, COAP_RST, m->mid);
        return;
    }
    coap_build(&b, out, sizeof(out), COAP_ACK, COAP_400_BAD_REQUEST, m->mid, m->token, m->token_len);
    coap_link_send(peer, out, coap_build_finish(&b));
}

/* True when m was seen before: it has been dealt with (RFC 7252 4.5). */
static bool replay(struct coap_peer *peer, const struct coap_message *m, uint64_t now_ms)
{
    const struct coap_inbound *in = coap_inbound_find(peer, m->mid);
    const uint8_t *answer;
    size_t answer_len;

    if (in != NULL) {
        peer->room->metrics->duplicates->value++;
        if (in->acknowledged)
            coap_link_send_empty(peer, COAP_ACK, m->mid);
        return true;
    }
    if (!coap_dedup_find(peer, m->mid, now_ms, &answer, &answer_len))
        return false;
    peer->room->metrics->duplicates->value++;
    if (answer_len > 0 && m->type == COAP_CON)
        coap_link_send(peer, answer, answer_len);
    return true;
}

/* What has to be known of a request before it is handed on. */
struct request {
    struct coap_block block1, block2;
    bool has_block1, has_block2;
    char path[PATH_SIZE];
};

static bool read_block(const struct coap_message *m, uint16_t number, struct coap_block *block,
                       bool *has_block)
{
    struct coap_option option;

    *has_block = coap_option_find(m, number, &option);
    return !*has_block || coap_block_decode(&option, block);
}

/* The code to refuse m with, COAP_EMPTY when it is fit to be handed on. */
static uint8_t read_request(const struct coap_peer *peer, const struct coap_message *m, struct request *r)
{
    uint16_t number;

    /* Device OS numbers its own options without regard to critical or elective (device-protocol 3.7). */
    if (!coap_link_is_device_os(peer) && coap_has_unknown_critical(m, &number)) {
        if (number == OPT_PROXY_URI || number == OPT_PROXY_SCHEME)
            return COAP_CODE(5, 5); /* Proxying Not Supported, RFC 7252 5.10.2 */
        return COAP_402_BAD_OPTION;
    }
    if (!read_block(m, COAP_OPT_BLOCK1, &r->block1, &r->has_block1) ||
        !read_block(m, COAP_OPT_BLOCK2, &r->block2, &r->has_block2))
        return COAP_400_BAD_REQUEST;
    if (!coap_options_join(m, COAP_OPT_URI_PATH, '/', r->path, sizeof(r->path)))
        return COAP_404_NOT_FOUND;
    return COAP_EMPTY;
}

/* Hands m to the owner, body being what came before its payload, if anything did. */
static void hand_on(struct coap_peer *peer, const struct coap_message *m, const struct request *r,
                    struct coap_body *body, uint64_t now_ms)
{
    struct coap_inbound *in = coap_inbound_open(peer, m, r->has_block1 ? &r->block1 : NULL,
                                                r->has_block2 ? &r->block2 : NULL, now_ms);
    if (in == NULL) { /* not acknowledged: the peer sends it again */
        peer->room->metrics->overflow->value++;
        return;
    }
    if (body == NULL) {
        peer->room->ops->request(peer, in, m, r->path, m->payload, m->payload_len);
        return;
    }
    if (body->inbound != NULL)
        body->inbound->body = NULL;
    body->inbound = in;
    in->body = body;

    size_t whole_len = body->data_len + m->payload_len;
    uint8_t *whole = mem_array(whole_len, 1);
    memcpy(whole, body->data, body->data_len);
    if (m->payload_len > 0)
        memcpy(whole + body->data_len, m->payload, m->payload_len);
    peer->room->ops->request(peer, in, m, r->path, whole, whole_len);
    free(whole); /* ours alone; the peer may be gone */
}

/* Takes a block into the body it belongs to. True when that is whole and m can be handed on, with *body what
 * came before. */
static bool gather(struct coap_peer *peer, const struct coap_message *m, const struct request *r,
                   struct coap_body **body, uint64_t now_ms)
{
    uint8_t code = COAP_EMPTY;

    if (r->block1.more && peer->room->ops->admits != NULL)
        code = peer->room->ops->admits(peer, m, r->path);
    if (code == COAP_EMPTY)
        code = coap_body_take(peer, m, &r->block1, now_ms, body);
    if (code == COAP_EMPTY)
        return true;
    if (code != COAP_503_UNAVAILABLE || !coap_link_is_device_os(peer))
        coap_inbound_reply(peer, m, code, &r->block1, now_ms);
    return false;
}

static void on_request(struct coap_peer *peer, const struct coap_message *m, uint64_t now_ms)
{
    struct request r;
    struct coap_body *body = NULL;
    uint8_t refusal = read_request(peer, m, &r);

    if (refusal != COAP_EMPTY) {
        if (m->type == COAP_CON || refusal != COAP_402_BAD_OPTION) /* a NON is dropped: RFC 7252 5.4.1 */
            coap_inbound_reply(peer, m, refusal, NULL, now_ms);
        return;
    }
    if (!r.has_block1 || gather(peer, m, &r, &body, now_ms))
        hand_on(peer, m, &r, body, now_ms);
}

static void on_separate_response(struct coap_peer *peer, const struct coap_message *m, uint64_t now_ms)
{
    struct coap_builder b;
    uint8_t ack[4];

    if (m->type == COAP_CON) {
        bool expected = coap_outbound_expects(peer, m);
        if (!expected && !coap_link_is_device_os(peer)) {
            coap_link_send_empty(peer, COAP_RST, m->mid); /* RFC 7252 4.2 */
            return;
        }
        coap_build(&b, ack, sizeof(ack), COAP_ACK, COAP_EMPTY, m->mid, NULL, 0);
        size_t ack_len = coap_build_finish(&b);
        coap_link_send(peer, ack, ack_len);
        if (expected)
            coap_dedup_put(peer, m->mid, ack, ack_len, now_ms);
    }
    coap_outbound_response(peer, m, now_ms);
}

/* CON and NON. */
static void on_message(struct coap_peer *peer, const struct coap_message *m, uint64_t now_ms)
{
    if (m->code == COAP_EMPTY) {
        if (m->type == COAP_CON) /* a ping (RFC 7252 4.3; device-protocol 4.14) */
            coap_link_send_empty(peer, coap_link_is_device_os(peer) ? COAP_ACK : COAP_RST, m->mid);
        return;
    }
    if (replay(peer, m, now_ms))
        return;
    if (m->code >> 5 == 0)
        on_request(peer, m, now_ms);
    else
        on_separate_response(peer, m, now_ms);
}

static void on_ack(struct coap_peer *peer, const struct coap_message *m, uint64_t now_ms)
{
    if (m->code == COAP_EMPTY)
        coap_outbound_acknowledged(peer, m, now_ms);
    else if (m->code >> 5 != 0) /* one that carries a request is ignored (RFC 7252 4.2) */
        coap_outbound_response(peer, m, now_ms);
}

/* RFC 7252 3 calls a payload marker without payload an error; old Device OS ends empty events with one
 * (device-protocol 4.7). */
static bool is_lone_marker_error(const struct coap_peer *peer, const struct coap_message *m)
{
    return m->payload != NULL && m->payload_len == 0 && !coap_link_is_device_os(peer);
}

void coap_peer_receive(struct coap_peer *peer, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    struct coap_message m;
    enum coap_decode decoded = coap_message_decode(&m, data, data_len);

    peer->room->metrics->received->value++;
    if (decoded == COAP_DECODE_SHORT) {
        peer->room->metrics->malformed->value++;
        return;
    }
    if (decoded == COAP_DECODE_BAD || is_lone_marker_error(peer, &m)) {
        reject(peer, &m);
        return;
    }
    switch (m.type) {
    case COAP_CON:
    case COAP_NON:
        on_message(peer, &m, now_ms);
        return;
    case COAP_ACK:
        on_ack(peer, &m, now_ms);
        return;
    case COAP_RST:
        peer->room->metrics->resets_received->value++;
        if (m.code == COAP_EMPTY) /* anything else is no RST (RFC 7252 4.2) */
            coap_outbound_reset(peer, &m, now_ms);
        return;
    }
}
