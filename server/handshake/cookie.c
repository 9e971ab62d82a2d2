#include "handshake/cookie.h"

#include <string.h>

#include "base/bytes.h"

#define MINUTE_MS 60000

enum { BEFORE, NOW, AFTER };

_Static_assert(COOKIE_BYTES == HMAC_BYTES, "the whole HMAC");

void cookie_init(struct cookie_secrets *c, const uint8_t seed[COOKIE_SEED_BYTES])
{
    memset(c, 0, sizeof *c);
    hmac_key_init(&c->seed, seed, COOKIE_SEED_BYTES);
}

static void rotate(struct cookie_secrets *c, uint64_t wall_ms)
{
    uint64_t minute = wall_ms / MINUTE_MS + 1; /* never 0 */
    uint8_t text[8], secret[HMAC_BYTES];
    if (minute == c->minute)
        return;
    c->minute = minute;
    for (int i = BEFORE; i <= AFTER; i++) {
        be64_store(text, minute - 1 + (uint64_t)i);
        hmac_make(&c->seed, text, sizeof text, secret);
        hmac_key_init(&c->minutes[i], secret, sizeof secret);
    }
    bytes_wipe(secret, sizeof secret);
}

static void mac(const struct hmac_key *key, const struct net_path *path, const uint8_t *client_random,
                uint8_t out[COOKIE_BYTES])
{
    uint8_t text[16 + 2 + COOKIE_RANDOM_BYTES];
    memcpy(text, path->peer_ip, 16);
    be16_store(text + 16, path->peer_port);
    memcpy(text + 18, client_random, COOKIE_RANDOM_BYTES);
    hmac_make(key, text, sizeof text, out);
}

void cookie_make(struct cookie_secrets *c, const struct net_path *path, const uint8_t *client_random,
                 uint64_t wall_ms, uint8_t out[COOKIE_BYTES])
{
    rotate(c, wall_ms);
    mac(&c->minutes[NOW], path, client_random, out);
}

bool cookie_check(struct cookie_secrets *c, const struct net_path *path, const uint8_t *client_random,
                  uint64_t wall_ms, const uint8_t *cookie, size_t cookie_len)
{
    static const int order[] = {NOW, BEFORE, AFTER}; /* the likeliest first */
    uint8_t expected[COOKIE_BYTES];
    if (cookie_len != COOKIE_BYTES)
        return false;
    rotate(c, wall_ms);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        mac(&c->minutes[order[i]], path, client_random, expected);
        if (bytes_equal_secret(expected, cookie, COOKIE_BYTES))
            return true;
    }
    return false;
}
