#include "handshake/cookie.h"

#include <string.h>

#include "base/bytes.h"
#include "base/random.h"
#include "handshake/hmac.h"

#define COOKIE_ROTATE_MS 60000

_Static_assert(COOKIE_BYTES == HMAC_BYTES, "the whole HMAC");

static void new_secret(uint8_t secret[32])
{
    random_bytes(secret, 32);
}

void cookie_init(struct cookie_secrets *c, uint64_t now_ms)
{
    new_secret(c->current);
    new_secret(c->previous);
    c->rotated_ms = now_ms;
}

static void rotate(struct cookie_secrets *c, uint64_t now_ms)
{
    uint64_t age_ms = now_ms - c->rotated_ms;
    if (age_ms < COOKIE_ROTATE_MS)
        return;
    if (age_ms >= 2 * (uint64_t)COOKIE_ROTATE_MS)
        new_secret(c->previous);
    else
        memcpy(c->previous, c->current, sizeof c->previous);
    new_secret(c->current);
    c->rotated_ms = now_ms;
}

static void mac(const uint8_t secret[32], const struct net_path *path, const uint8_t *client_random,
                uint8_t out[COOKIE_BYTES])
{
    uint8_t text[16 + 2 + COOKIE_RANDOM_BYTES];
    memcpy(text, path->peer_ip, 16);
    be16_store(text + 16, path->peer_port);
    memcpy(text + 18, client_random, COOKIE_RANDOM_BYTES);
    struct hmac_key key;
    hmac_key_init(&key, secret, 32);
    hmac_make(&key, text, sizeof text, out);
    bytes_wipe(&key, sizeof key);
}

void cookie_make(struct cookie_secrets *c, const struct net_path *path, const uint8_t *client_random,
                 uint64_t now_ms, uint8_t out[COOKIE_BYTES])
{
    rotate(c, now_ms);
    mac(c->current, path, client_random, out);
}

bool cookie_check(struct cookie_secrets *c, const struct net_path *path, const uint8_t *client_random,
                  uint64_t now_ms, const uint8_t *cookie, size_t cookie_len)
{
    uint8_t expected[COOKIE_BYTES];
    if (cookie_len != COOKIE_BYTES)
        return false;
    rotate(c, now_ms);
    mac(c->current, path, client_random, expected);
    if (bytes_equal_secret(expected, cookie, COOKIE_BYTES))
        return true;
    mac(c->previous, path, client_random, expected);
    return bytes_equal_secret(expected, cookie, COOKIE_BYTES);
}
