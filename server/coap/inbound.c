#include "coap/inbound.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "coap/block.h"
#include "coap/dedup.h"
#include "coap/link.h"
#include "coap/outbound.h"

#define RFC_PAYLOAD_MAX 1024 /* bytes; RFC 7252 4.6 */
#define SZX_MAX 6

/* What one answer carries; of the body, the part that is due. */
struct answer {
    uint8_t code;
    uint16_t content_format; /* UINT16_MAX: none */
    const uint8_t *data;
    size_t data_len;
    struct coap_block block2;
    bool has_block2;
};

static void on_separate(struct deadline *d, uint64_t now_ms)
{
    struct coap_inbound *in = (struct coap_inbound *)((char *)d - offsetof(struct coap_inbound, separate));

    (void)now_ms;
    if (coap_link_is_device_os(in->peer)) /* it said so since: for it the acknowledgement is the answer */
        return;
    in->acknowledged = true;
    coap_link_send_empty(in->peer, COAP_ACK, in->mid);
}

struct coap_inbound *coap_inbound_open(struct coap_peer *peer, const struct coap_message *m,
                                       const struct coap_block *block1, const struct coap_block *block2,
                                       uint64_t now_ms)
{
    if (peer->inbound_count == COAP_INBOUND_MAX)
        return NULL;
    struct coap_inbound *in = mem_alloc(sizeof(*in));
    in->peer = peer;
    in->mid = m->mid;
    in->token_len = m->token_len;
    memcpy(in->token, m->token, sizeof(in->token));
    in->confirmable = m->type == COAP_CON;
    in->is_forgettable = m->code == COAP_GET && !coap_link_is_device_os(peer);
    in->has_block1 = block1 != NULL;
    if (block1 != NULL)
        in->block1 = *block1;
    in->has_block2 = block2 != NULL;
    if (block2 != NULL)
        in->block2 = *block2;
    struct coap_inbound **at = &peer->inbound;
    while (*at != NULL)
        at = &(*at)->next;
    *at = in;
    peer->inbound_count++;
    if (in->confirmable && !coap_link_is_device_os(peer))
        deadline_set(peer->room->deadlines, &in->separate, now_ms + COAP_SEPARATE_AFTER_MS, on_separate);
    return in;
}

struct coap_inbound *coap_inbound_find(const struct coap_peer *peer, uint16_t mid)
{
    for (struct coap_inbound *in = peer->inbound; in != NULL; in = in->next) {
        if (in->mid == mid)
            return in;
    }
    return NULL;
}

static void unlink_inbound(struct coap_inbound *in)
{
    struct coap_peer *peer = in->peer;
    struct coap_inbound **at = &peer->inbound;

    deadline_cancel(peer->room->deadlines, &in->separate);
    if (in->body != NULL)
        in->body->inbound = NULL;
    while (*at != in)
        at = &(*at)->next;
    *at = in->next;
    peer->inbound_count--;
}

void coap_inbounds_drop(struct coap_peer *peer)
{
    while (peer->inbound != NULL) {
        struct coap_inbound *in = peer->inbound;
        peer->inbound = in->next;
        peer->inbound_count--;
        deadline_cancel(peer->room->deadlines, &in->separate);
        if (in->body != NULL)
            in->body->inbound = NULL;
        if (peer->room->ops->inbound_dropped != NULL)
            peer->room->ops->inbound_dropped(peer, in);
        free(in);
    }
}

/* Cuts the asked-for block out of answer->data, the whole body (RFC 7959 2.4). False when it begins beyond
 * the end. */
static bool cut(const struct coap_inbound *in, struct answer *answer)
{
    size_t body_len = answer->data_len;
    size_t room = coap_link_limit(in->peer) - COAP_LINK_OVERHEAD;
    if (!coap_link_is_device_os(in->peer) && room > RFC_PAYLOAD_MAX)
        room = RFC_PAYLOAD_MAX;
    if (body_len <= room && (!in->has_block2 || (body_len == 0 && in->block2.num == 0)))
        return true;

    uint8_t szx = in->has_block2 ? in->block2.szx : SZX_MAX;
    size_t at = in->has_block2 ? (size_t)in->block2.num << (szx + 4) : 0;
    if (at > 0 && at >= body_len)
        return false;
    while ((size_t)16 << szx > room)
        szx--;
    size_t block_bytes = (size_t)16 << szx;
    answer->has_block2 = true;
    answer->block2.num = (uint32_t)(at / block_bytes);
    answer->block2.szx = szx;
    answer->block2.more = body_len - at > block_bytes;
    if (body_len > 0)
        answer->data += at;
    answer->data_len = answer->block2.more ? block_bytes : body_len - at;
    return true;
}

static void shorten(const struct coap_inbound *in, struct answer *answer)
{
    size_t room = coap_link_limit(in->peer) - COAP_LINK_OVERHEAD;

    if (answer->data_len > room)
        answer->data_len = room;
}

static size_t encode(const struct coap_inbound *in, const struct answer *answer, enum coap_type type,
                     uint16_t mid, uint8_t out[COAP_MESSAGE_MAX])
{
    struct coap_builder b;

    coap_build(&b, out, COAP_MESSAGE_MAX, type, answer->code, mid, in->token, in->token_len);
    if (answer->content_format != UINT16_MAX)
        coap_build_option_uint(&b, COAP_OPT_CONTENT_FORMAT, answer->content_format);
    if (answer->has_block2)
        coap_build_option_uint(&b, COAP_OPT_BLOCK2, coap_block_encode(&answer->block2));
    if (in->has_block1 && !coap_link_is_device_os(in->peer))
        coap_build_option_uint(&b, COAP_OPT_BLOCK1, coap_block_encode(&in->block1));
    coap_build_payload(&b, answer->data, answer->data_len);
    size_t out_len = coap_build_finish(&b);
    must(out_len > 0);
    return out_len;
}

/* For its duplicates. Reading twice does no harm and costs less than 4 minutes of memory (RFC 7252 4.5). */
static void remember(const struct coap_inbound *in, const uint8_t *out, size_t out_len, uint64_t now_ms)
{
    if (!in->is_forgettable)
        coap_dedup_put(in->peer, in->mid, out, out_len, now_ms);
}

/* A plain acknowledgement, for peers that take it as the whole answer. */
static void acknowledge(const struct coap_inbound *in, uint64_t now_ms)
{
    struct coap_builder b;
    uint8_t out[4];

    coap_build(&b, out, sizeof(out), COAP_ACK, COAP_EMPTY, in->mid, NULL, 0);
    size_t out_len = coap_build_finish(&b);
    if (in->confirmable && !in->acknowledged)
        coap_link_send(in->peer, out, out_len);
    remember(in, out, in->confirmable ? out_len : 0, now_ms);
}

static void respond(const struct coap_inbound *in, const struct answer *answer, uint64_t now_ms)
{
    struct coap_peer *peer = in->peer;
    uint8_t out[COAP_MESSAGE_MAX];

    if (in->confirmable && !in->acknowledged) {
        size_t out_len = encode(in, answer, COAP_ACK, in->mid, out);
        coap_link_send(peer, out, out_len);
        remember(in, out, out_len, now_ms);
        return;
    }
    acknowledge(in, now_ms);
    bool reliable = in->confirmable && coap_outbound_has_room(peer);
    uint16_t mid = coap_link_next_mid(peer);
    size_t out_len = encode(in, answer, reliable ? COAP_CON : COAP_NON, mid, out);
    if (reliable)
        coap_outbound_respond(peer, mid, out, out_len, now_ms);
    else
        coap_link_send(peer, out, out_len);
}

void coap_answer(struct coap_peer *peer, struct coap_inbound *in, uint8_t code, uint16_t content_format,
                 const void *body, size_t body_len, uint64_t now_ms)
{
    struct answer answer = {
        .code = code, .content_format = content_format, .data = body, .data_len = body_len};

    must(in->peer == peer);
    must(code == COAP_EMPTY || code >> 5 >= 2);
    unlink_inbound(in);
    coap_body_free(peer, in->body);
    if (code == COAP_EMPTY && !coap_link_is_device_os(peer))
        answer.code = COAP_204_CHANGED;
    if (answer.code == COAP_EMPTY) {
        acknowledge(in, now_ms);
        free(in);
        return;
    }
    if (answer.code >> 5 > 2)
        shorten(in, &answer);
    else if (!cut(in, &answer))
        answer = (struct answer){.code = COAP_400_BAD_REQUEST, .content_format = UINT16_MAX};
    respond(in, &answer, now_ms);
    free(in);
}

void coap_forget(struct coap_peer *peer, struct coap_inbound *in)
{
    must(in->peer == peer);
    unlink_inbound(in);
    free(in);
}

void coap_inbound_reply(struct coap_peer *peer, const struct coap_message *m, uint8_t code,
                        const struct coap_block *block1, uint64_t now_ms)
{
    struct coap_builder b;
    uint8_t out[32];
    bool confirmable = m->type == COAP_CON;

    coap_build(&b, out, sizeof(out), confirmable ? COAP_ACK : COAP_NON, code,
               confirmable ? m->mid : coap_link_next_mid(peer), m->token, m->token_len);
    if (block1 != NULL && !coap_link_is_device_os(peer))
        coap_build_option_uint(&b, COAP_OPT_BLOCK1, coap_block_encode(block1));
    if (code == COAP_413_TOO_LARGE)
        coap_build_option_uint(&b, COAP_OPT_SIZE1, COAP_BODY_MAX); /* RFC 7959 2.9.3 */
    size_t out_len = coap_build_finish(&b);
    must(out_len > 0);
    coap_link_send(peer, out, out_len);
    coap_dedup_put(peer, m->mid, out, confirmable ? out_len : 0, now_ms);
}
