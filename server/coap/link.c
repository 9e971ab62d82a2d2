#include "coap/link.h"

#include "coap/block.h"
#include "coap/dedup.h"

#define LIMIT_MIN 64 /* bytes: COAP_LINK_OVERHEAD and the smallest blocks; a Hello may claim less */

void coap_link_send(struct coap_peer *peer, const uint8_t *data, size_t data_len)
{
    peer->room->metrics->sent->value++;
    peer->room->ops->send(peer, data, data_len);
}

void coap_link_send_empty(struct coap_peer *peer, enum coap_type type, uint16_t mid)
{
    struct coap_builder b;
    uint8_t out[4];

    coap_build(&b, out, sizeof(out), type, COAP_EMPTY, mid, NULL, 0);
    coap_link_send(peer, out, coap_build_finish(&b));
}

bool coap_link_is_device_os(const struct coap_peer *peer)
{
    return peer->dialect == COAP_DEVICE_OS;
}

size_t coap_link_limit(const struct coap_peer *peer)
{
    if (peer->max_message_bytes > COAP_MESSAGE_MAX)
        return COAP_MESSAGE_MAX;
    return peer->max_message_bytes < LIMIT_MIN ? LIMIT_MIN : peer->max_message_bytes;
}

uint16_t coap_link_next_mid(struct coap_peer *peer)
{
    return peer->next_mid++;
}

static void on_expiry(struct deadline *d, uint64_t now_ms)
{
    struct coap_peer *peer = (struct coap_peer *)((char *)d - offsetof(struct coap_peer, expiry));

    coap_dedup_expire(peer, now_ms);
    coap_bodies_expire(peer, now_ms);
    coap_link_watch_expiry(peer);
}

void coap_link_watch_expiry(struct coap_peer *peer)
{
    if (deadline_is_set(&peer->expiry)) /* what was added now expires after what is watched */
        return;
    uint64_t dedup_ms = coap_dedup_next_ms(peer);
    uint64_t bodies_ms = coap_bodies_next_ms(peer);
    uint64_t at_ms = dedup_ms < bodies_ms ? dedup_ms : bodies_ms;
    if (at_ms != UINT64_MAX)
        deadline_set(peer->room->deadlines, &peer->expiry, at_ms, on_expiry);
}
