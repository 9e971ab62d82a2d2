/* The proof of address: a cookie is good for its peer and ClientHello and for a minute or two, and nothing
 * else is. */
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "handshake/cookie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

#define MINUTE_MS 60000u

struct asker {
    struct net_path path;
    uint8_t random[COOKIE_RANDOM_BYTES];
};

static bool is_good(struct cookie_secrets *c, const struct asker *a, uint64_t wall_ms, const uint8_t *cookie,
                    size_t cookie_len)
{
    return cookie_check(c, &a->path, a->random, wall_ms, cookie, cookie_len);
}

/* A cookie that was not made can only be good if it is the one that would have been. */
static void hostile(struct cookie_secrets *c, const struct asker *a, uint64_t wall_ms, const uint8_t *cookie,
                    size_t cookie_len)
{
    uint8_t made[COOKIE_BYTES];
    bool is_made = false;
    if (!is_good(c, a, wall_ms, cookie, cookie_len))
        return;
    must(cookie_len == COOKIE_BYTES);
    for (int i = -1; i <= 1; i++) {
        cookie_make(c, &a->path, a->random, wall_ms + (uint64_t)(i * (int64_t)MINUTE_MS), made);
        is_made |= memcmp(made, cookie, sizeof made) == 0;
    }
    must(is_made);
}

static void round_trip(struct cookie_secrets *c, const struct asker *a, uint64_t wall_ms, size_t damage)
{
    struct asker other = *a;
    uint8_t cookie[COOKIE_BYTES + 1] = {0};
    cookie_make(c, &a->path, a->random, wall_ms, cookie);
    must(is_good(c, a, wall_ms, cookie, COOKIE_BYTES));
    must(is_good(c, a, wall_ms + MINUTE_MS, cookie, COOKIE_BYTES));
    must(!is_good(c, a, wall_ms + 3 * MINUTE_MS, cookie, COOKIE_BYTES));
    must(!is_good(c, a, wall_ms, cookie, COOKIE_BYTES - 1));
    must(!is_good(c, a, wall_ms, cookie, COOKIE_BYTES + 1));
    other.path.peer_ip[damage % sizeof other.path.peer_ip] ^= 1;
    must(!is_good(c, &other, wall_ms, cookie, COOKIE_BYTES));
    other = *a;
    other.path.peer_port ^= (uint16_t)(1u << damage % 16);
    must(!is_good(c, &other, wall_ms, cookie, COOKIE_BYTES));
    other = *a;
    other.random[damage % sizeof other.random] ^= 1;
    must(!is_good(c, &other, wall_ms, cookie, COOKIE_BYTES));
    cookie[damage % COOKIE_BYTES] ^= 1;
    must(!is_good(c, a, wall_ms, cookie, COOKIE_BYTES));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    struct cookie_secrets c;
    struct asker a = {0};
    struct bytes_reader r;
    bytes_reader_init(&r, data, data_len);
    const uint8_t *seed = bytes_get(&r, COOKIE_SEED_BYTES), *ip = bytes_get(&r, sizeof a.path.peer_ip),
                  *random = bytes_get(&r, sizeof a.random);
    a.path.peer_port = bytes_get_be16(&r);
    uint64_t wall_ms = bytes_get_be48(&r) + MINUTE_MS;
    size_t damage = bytes_get_u8(&r), len = bytes_left(&r);
    const uint8_t *cookie = bytes_get(&r, len);
    if (r.bad)
        return 0;
    memcpy(a.path.peer_ip, ip, sizeof a.path.peer_ip);
    memcpy(a.random, random, sizeof a.random);
    cookie_init(&c, seed);
    hostile(&c, &a, wall_ms, cookie, len);
    round_trip(&c, &a, wall_ms, damage);
    return 0;
}
