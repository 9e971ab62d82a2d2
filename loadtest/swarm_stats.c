#include "swarm_stats.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_reason(struct swarm_reasons *r, const char *name, uint64_t count)
{
    size_t i = 0;

    while (i < r->count && strcmp(r->items[i].name, name) != 0)
        i++;
    if (i == SWARM_REASONS_MAX)
        i--; /* the last word stands for the rest; not reached with the words there are */
    if (i == r->count) {
        (void)snprintf(r->items[i].name, sizeof(r->items[i].name), "%s", name);
        r->count++;
    }
    r->items[i].count += count;
}

void swarm_reasons_add(struct swarm_reasons *r, const char *name)
{
    add_reason(r, name, 1);
}

void swarm_samples_add(struct swarm_samples *s, uint64_t value)
{
    if (s->count == s->size) {
        if (s->size == SWARM_SAMPLES_MAX)
            return;
        s->size = s->size ? s->size * 2 : 256;
        s->values = mem_grow(s->values, s->size, sizeof(*s->values));
    }
    s->values[s->count++] = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

void swarm_stats_deinit(struct swarm_stats *s)
{
    free(s->ping_rtt_ms.values);
    free(s->event_rtt_ms.values);
    free(s->online_ms.values);
    free(s->transfer_ms.values);
    free(s->goodput.values);
}

void swarm_stats_clear(struct swarm_stats *s)
{
    swarm_stats_deinit(s);
    memset(s, 0, sizeof(*s));
}

static void add_reasons(struct swarm_reasons *total, const struct swarm_reasons *r)
{
    for (size_t i = 0; i < r->count; i++)
        add_reason(total, r->items[i].name, r->items[i].count);
}

static void add_samples(struct swarm_samples *total, const struct swarm_samples *s)
{
    for (size_t i = 0; i < s->count; i++)
        swarm_samples_add(total, s->values[i]);
}

void swarm_stats_add(struct swarm_stats *total, const struct swarm_stats *s)
{
#define XX(name) total->name += s->name;
    SWARM_COUNT_MAP(XX)
#undef XX
    add_reasons(&total->handshakes_failed, &s->handshakes_failed);
    add_reasons(&total->sessions_lost, &s->sessions_lost);
    add_reasons(&total->refusals, &s->refusals);
    add_reasons(&total->protocol_errors, &s->protocol_errors);
    add_samples(&total->ping_rtt_ms, &s->ping_rtt_ms);
    add_samples(&total->event_rtt_ms, &s->event_rtt_ms);
    add_samples(&total->online_ms, &s->online_ms);
    add_samples(&total->transfer_ms, &s->transfer_ms);
    add_samples(&total->goodput, &s->goodput);
}

json_t *swarm_reasons_json(const struct swarm_reasons *r)
{
    json_t *object = json_object();

    for (size_t i = 0; i < r->count; i++)
        json_object_set_new(object, r->items[i].name, json_integer((json_int_t)r->items[i].count));
    return object;
}

static uint64_t reasons_total(const struct swarm_reasons *r)
{
    uint64_t total = 0;

    for (size_t i = 0; i < r->count; i++)
        total += r->items[i].count;
    return total;
}

static int compare(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

json_t *swarm_samples_json(const struct swarm_samples *s)
{
    static const struct {
        const char *name;
        unsigned int percent;
    } wanted[] = {{"p10", 10}, {"p25", 25}, {"p50", 50}, {"p75", 75}, {"p90", 90}, {"p99", 99}, {"max", 100}};
    json_t *object = json_pack("{s:I}", "count", (json_int_t)s->count);

    if (s->count == 0)
        return object;
    qsort(s->values, s->count, sizeof(*s->values), compare);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        json_object_set_new(object, wanted[i].name,
                            json_integer((json_int_t)s->values[(s->count - 1) * wanted[i].percent / 100]));
    return object;
}

json_t *swarm_stats_json(const struct swarm_stats *s)
{
    json_t *root = json_object();

#define XX(name) json_object_set_new(root, #name, json_integer((json_int_t)s->name));
    SWARM_COUNT_MAP(XX)
#undef XX
    json_object_set_new(root, "sessions_lost", json_integer((json_int_t)reasons_total(&s->sessions_lost)));
    json_object_set_new(root, "handshakes_failed", swarm_reasons_json(&s->handshakes_failed));
    json_object_set_new(root, "sessions_lost_by_reason", swarm_reasons_json(&s->sessions_lost));
    json_object_set_new(root, "refusals", swarm_reasons_json(&s->refusals));
    json_object_set_new(root, "protocol_errors", swarm_reasons_json(&s->protocol_errors));
    json_object_set_new(root, "ping_rtt_ms", swarm_samples_json(&s->ping_rtt_ms));
    json_object_set_new(root, "event_ack_ms", swarm_samples_json(&s->event_rtt_ms));
    json_object_set_new(root, "time_to_online_ms", swarm_samples_json(&s->online_ms));
    json_object_set_new(root, "transfer_ms", swarm_samples_json(&s->transfer_ms));
    json_object_set_new(root, "goodput_bytes_per_s", swarm_samples_json(&s->goodput));
    return root;
}
