#include "api/limits.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/bucket.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/table.h"

#define KEY_BYTES 16
#define BURST_S 10
#define MINUTE_S 60

/* A rate a second whose unit is `cost`: a login costs as many as a minute has seconds, so that whole numbers
 * do. */
struct kind {
    struct table table;
    struct entry *oldest; /* ours, in the order they were last seen */
    uint32_t rate, cost, burst;
    struct metric *refused;
};
struct entry {
    struct entry *prev, *next;
    uint8_t key[KEY_BYTES];
    uint32_t hash;
    struct bucket bucket;
};
struct limits {
    struct kind addresses, tokens, logins;
};

static void forget(struct kind *k, struct entry *e)
{
    table_remove(&k->table, e->hash, e);
    DL_DELETE(k->oldest, e);
    free(e);
}

static void forget_all(struct kind *k)
{
    while (k->oldest != NULL)
        forget(k, k->oldest);
}

static void kind_set(struct kind *k, uint32_t rate, uint32_t cost, uint32_t burst)
{
    if (rate != k->rate)
        forget_all(k);
    k->rate = rate;
    k->cost = cost;
    k->burst = burst;
}

void limits_reload(struct limits *l, const struct limits_settings *s)
{
    kind_set(&l->addresses, s->per_address, 1, s->per_address * BURST_S);
    kind_set(&l->tokens, s->per_token, 1, s->per_token * BURST_S);
    kind_set(&l->logins, s->logins, MINUTE_S, s->logins * MINUTE_S);
}

struct limits *limits_new(struct metrics *metrics, const struct limits_settings *settings)
{
    static const char name[] = "cyan_http_limited_total", help[] = "Requests refused for coming too often.";
    struct limits *l = mem_alloc(sizeof(*l));

    l->addresses.refused = metrics_add(metrics, METRIC_COUNTER, name, "by=\"address\"", help);
    l->tokens.refused = metrics_add(metrics, METRIC_COUNTER, name, "by=\"token\"", help);
    l->logins.refused = metrics_add(metrics, METRIC_COUNTER, name, "by=\"logins\"", help);
    limits_reload(l, settings);
    return l;
}

void limits_free(struct limits *l)
{
    struct kind *kinds[] = {&l->addresses, &l->tokens, &l->logins};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        forget_all(kinds[i]);
        table_deinit(&kinds[i]->table);
    }
    free(l);
}

static bool is_key(const void *entry, const void *key)
{
    return memcmp(((const struct entry *)entry)->key, key, KEY_BYTES) == 0;
}

static struct entry *find(struct kind *k, const uint8_t key[KEY_BYTES], uint64_t now_ms)
{
    uint32_t hash = table_hash(key, KEY_BYTES);
    struct entry *e = table_find(&k->table, hash, is_key, key);

    if (e != NULL) {
        DL_DELETE(k->oldest, e);
    } else {
        if (k->table.count >= LIMITS_MAX)
            forget(k, k->oldest);
        e = mem_alloc(sizeof(*e));
        memcpy(e->key, key, KEY_BYTES);
        e->hash = hash;
        bucket_init(&e->bucket, k->burst, k->rate, now_ms);
        table_add(&k->table, hash, e);
    }
    DL_APPEND(k->oldest, e);
    return e;
}

static bool take(struct kind *k, const uint8_t key[KEY_BYTES], uint64_t *wait_ms)
{
    uint64_t now_ms = clock_ms();
    struct entry *e;

    if (k->rate == 0)
        return true;
    e = find(k, key, now_ms);
    if (bucket_take_many(&e->bucket, k->cost, now_ms))
        return true;
    *wait_ms = bucket_wait_ms(&e->bucket, k->cost, now_ms);
    k->refused->value++;
    return false;
}

bool limits_take_address(struct limits *l, const uint8_t network[16], uint64_t *wait_ms)
{
    return take(&l->addresses, network, wait_ms);
}

bool limits_take_login(struct limits *l, const uint8_t network[16], uint64_t *wait_ms)
{
    return take(&l->logins, network, wait_ms);
}

bool limits_take_token(struct limits *l, int64_t token_id, uint64_t *wait_ms)
{
    uint8_t key[KEY_BYTES] = {0};

    memcpy(key, &token_id, sizeof(token_id));
    return take(&l->tokens, key, wait_ms);
}
