#include "coap/block.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "coap/inbound.h"
#include "coap/link.h"

#define KEY_MAX 512 /* bytes: a path letter, a name and a query fit many times */
#define FIRST_SIZE 2048

static bool is_part_of_key(uint16_t number)
{
    return number == COAP_OPT_URI_PATH || number == COAP_OPT_URI_QUERY || number == COAP_OPT_REQUEST_TAG;
}

/* What tells one body from another. 0 when it is too long. */
static size_t make_key(const struct coap_message *m, uint8_t key[KEY_MAX])
{
    struct coap_option_iter it;
    struct coap_option option;
    struct bytes_writer w;

    bytes_writer_init(&w, key, KEY_MAX);
    bytes_put_u8(&w, m->code);
    coap_options_begin(&it, m);
    while (coap_options_next(&it, &option)) {
        if (!is_part_of_key(option.number))
            continue;
        if (option.value_len > KEY_MAX)
            return 0;
        bytes_put_be16(&w, option.number);
        bytes_put_be16(&w, (uint16_t)option.value_len);
        bytes_put(&w, option.value, option.value_len);
    }
    return w.bad ? 0 : bytes_written(&w);
}

static struct coap_body *find(struct coap_peer *peer, const uint8_t *key, size_t key_len)
{
    for (struct coap_body *body = peer->bodies; body != NULL; body = body->next) {
        if (body->key_len == key_len && memcmp(body->key, key, key_len) == 0)
            return body;
    }
    return NULL;
}

static void unlink_body(struct coap_peer *peer, const struct coap_body *body)
{
    struct coap_body **at = &peer->bodies;

    while (*at != body)
        at = &(*at)->next;
    *at = body->next;
}

/* To the end: the list is in the order of expiry. */
static void link_last(struct coap_peer *peer, struct coap_body *body)
{
    struct coap_body **at = &peer->bodies;

    while (*at != NULL)
        at = &(*at)->next;
    *at = body;
    body->next = NULL;
}

void coap_body_free(struct coap_peer *peer, struct coap_body *body)
{
    if (body == NULL)
        return;
    if (body->inbound != NULL)
        body->inbound->body = NULL;
    unlink_body(peer, body);
    peer->room->metrics->gathered->value -= body->data_size;
    free(body->data);
    free(body);
}

static struct coap_body *start(struct coap_peer *peer, const uint8_t *key, size_t key_len)
{
    unsigned count = 0;

    for (const struct coap_body *other = peer->bodies; other != NULL; other = other->next)
        count++;
    if (count >= COAP_BODIES_MAX) {
        peer->room->metrics->overflow->value++;
        coap_body_free(peer, peer->bodies);
    }
    struct coap_body *body = mem_alloc(sizeof(*body) + key_len);
    memcpy(body->key, key, key_len);
    body->key_len = key_len;
    link_last(peer, body);
    return body;
}

/* Makes room for need bytes. False when all bodies together would be too large. */
static bool grow(struct coap_peer *peer, struct coap_body *body, size_t need)
{
    size_t size = body->data_size > 0 ? body->data_size * 2 : FIRST_SIZE;

    if (need <= body->data_size)
        return true;
    if (size < need)
        size = need;
    if (peer->room->metrics->gathered->value + (size - body->data_size) > COAP_GATHERED_MAX)
        return false;
    peer->room->metrics->gathered->value += size - body->data_size;
    body->data = mem_grow(body->data, size, 1);
    body->data_size = size;
    return true;
}

static void append(struct coap_peer *peer, struct coap_body *body, const struct coap_message *m,
                   uint64_t now_ms)
{
    memcpy(body->data + body->data_len, m->payload, m->payload_len);
    body->data_len += m->payload_len;
    body->expires_ms = now_ms + COAP_DEDUP_MS;
    unlink_body(peer, body);
    link_last(peer, body);
    coap_link_watch_expiry(peer);
}

/* True when the block was taken before, under another message ID. */
static bool is_repeat(const struct coap_body *body, const struct coap_message *m, size_t at)
{
    return at < body->data_len && m->payload_len <= body->data_len - at &&
           memcmp(body->data + at, m->payload, m->payload_len) == 0;
}

static bool announces_too_much(const struct coap_message *m)
{
    struct coap_option option;
    uint32_t size_bytes;

    return coap_option_find(m, COAP_OPT_SIZE1, &option) && coap_option_uint(&option, &size_bytes) &&
           size_bytes > COAP_BODY_MAX;
}

uint8_t coap_body_take(struct coap_peer *peer, const struct coap_message *m, const struct coap_block *block,
                       uint64_t now_ms, struct coap_body **body)
{
    uint8_t key[KEY_MAX];
    size_t key_len = make_key(m, key);
    size_t block_bytes = (size_t)16 << block->szx;
    size_t at = block->num * block_bytes;

    *body = NULL;
    if (key_len == 0 || m->payload_len > block_bytes || (block->more && m->payload_len != block_bytes))
        return COAP_400_BAD_REQUEST;
    struct coap_body *known = find(peer, key, key_len);
    if (at + m->payload_len > COAP_BODY_MAX || announces_too_much(m)) {
        coap_body_free(peer, known);
        return COAP_413_TOO_LARGE;
    }
    if (block->num == 0) {
        coap_body_free(peer, known); /* the peer begins anew (RFC 7959 2.5) */
        if (!block->more)
            return COAP_EMPTY;
        known = start(peer, key, key_len);
    }
    if (known == NULL)
        return COAP_408_INCOMPLETE;
    if (block->more && is_repeat(known, m, at))
        return COAP_231_CONTINUE;
    if (at != known->data_len)
        return COAP_408_INCOMPLETE;
    if (!block->more) {
        *body = known;
        return COAP_EMPTY;
    }
    if (!grow(peer, known, at + m->payload_len)) {
        peer->room->metrics->overflow->value++;
        if (known->data_len == 0)
            coap_body_free(peer, known);
        return COAP_503_UNAVAILABLE;
    }
    append(peer, known, m, now_ms);
    return COAP_231_CONTINUE;
}

void coap_bodies_expire(struct coap_peer *peer, uint64_t now_ms)
{
    while (peer->bodies != NULL && peer->bodies->expires_ms <= now_ms)
        coap_body_free(peer, peer->bodies);
}

uint64_t coap_bodies_next_ms(const struct coap_peer *peer)
{
    return peer->bodies != NULL ? peer->bodies->expires_ms : UINT64_MAX;
}

void coap_bodies_free(struct coap_peer *peer)
{
    while (peer->bodies != NULL)
        coap_body_free(peer, peer->bodies);
}
