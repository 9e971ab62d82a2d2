#include "swarm_phase.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_cpu.h"
#include "swarm_run.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define PACE_MS 2

void swarm_phase_init(struct swarm_phase *p, struct swarm_fleet *fleet)
{
    memset(p, 0, sizeof(*p));
    p->fleet = fleet;
    p->resident_bytes = swarm_resident_own_bytes();
}

static void forget(struct swarm_phase *p)
{
    struct deadlines *all = &p->fleet->world->loop.deadlines;

    deadline_cancel(all, &p->pace);
    deadline_cancel(all, &p->end);
    free(p->plan.numbers);
    p->plan.numbers = NULL;
    p->running = false;
}

void swarm_phase_deinit(struct swarm_phase *p)
{
    if (!p->fleet)
        return;
    forget(p);
    free(p->settled_ms.values);
    p->settled_ms.values = NULL;
}

static uint32_t random_below(uint32_t bound)
{
    uint64_t random;

    swarm_random(&random, sizeof(random));
    return (uint32_t)(random % bound); /* the bias is beneath notice */
}

uint32_t *swarm_phase_pick(const struct swarm_fleet *f, uint32_t *count,
                           bool (*may)(const struct swarm_fleet *f, uint32_t i))
{
    uint32_t *numbers = mem_array(f->count, sizeof(*numbers)), found = 0;

    for (uint32_t i = 0; i < f->count; i++)
        if (may(f, i))
            numbers[found++] = i;
    if (*count > found)
        *count = found;
    for (uint32_t i = 0; i < *count; i++) { /* the first part of a shuffle */
        uint32_t other = i + random_below(found - i), number = numbers[i];

        numbers[i] = numbers[other];
        numbers[other] = number;
    }
    return mem_grow(numbers, *count > 0 ? *count : 1, sizeof(*numbers));
}

static json_t *line_of(struct swarm_phase *p)
{
    struct swarm_stats *stats = &p->fleet->world->stats;
    json_t *line = json_object();
    uint64_t resident_bytes = swarm_resident_own_bytes() - p->resident_bytes;
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"devices", p->plan.count},
                  {"online", p->settled},
                  {"unanswered", p->plan.count - p->settled},
                  {"handshakes", stats->handshakes_ok},
                  {"resumes", stats->resumes},
                  {"pings", stats->pings},
                  {"answered", stats->pongs},
                  {"con_timeouts", stats->con_timeouts},
                  {"server_requests", stats->server_requests},
                  {"challenges", stats->challenges},
                  {"bytes_per_device", resident_bytes / p->fleet->count}};

    json_object_set_new(line, "event", json_string(p->plan.name));
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        json_object_set_new(line, counts[i].name, json_integer((json_int_t)counts[i].value));
    json_object_set_new(line, "seconds", json_real((double)(clock_ms() - p->start_ms) / 1000.0));
    if (stats->first_pong_ms)
        json_object_set_new(line, "first_answer_ms",
                            json_integer((json_int_t)(stats->first_pong_ms - p->start_ms)));
    json_object_set_new(line, "latency_ms", swarm_samples_json(&stats->online_ms));
    json_object_set_new(line, "done_after_ms", swarm_samples_json(&p->settled_ms));
    swarm_run_truths(p->fleet->world, line);
    json_object_set_new(line, "handshakes_failed", swarm_reasons_json(&stats->handshakes_failed));
    json_object_set_new(line, "sessions_lost", swarm_reasons_json(&stats->sessions_lost));
    json_object_set_new(line, "refusals", swarm_reasons_json(&stats->refusals));
    json_object_set_new(line, "protocol_errors", swarm_reasons_json(&stats->protocol_errors));
    return line;
}

/* Last statement of its caller: the owner may start the next. */
static void finish(struct swarm_phase *p)
{
    json_t *line;

    for (uint32_t i = 0; i < p->started; i++)
        swarm_fleet_rest(p->fleet, p->plan.numbers[i]);
    (void)malloc_trim(0); /* of devices that are at rest now: what is left is what they need */
    line = line_of(p);
    forget(p);
    p->done(p->owner, line);
}

static void on_end(struct deadline *deadline, uint64_t now_ms)
{
    (void)now_ms;
    finish((struct swarm_phase *)(void *)((char *)deadline - offsetof(struct swarm_phase, end)));
}

/* How many may have started by now. */
static uint32_t due(const struct swarm_phase *p, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms - p->start_ms;

    if (passed_ms >= p->plan.over_ms)
        return p->plan.count;
    return (uint32_t)(p->plan.count * passed_ms / p->plan.over_ms);
}

static void on_pace(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_phase *p =
        (struct swarm_phase *)(void *)((char *)deadline - offsetof(struct swarm_phase, pace));
    uint32_t most = due(p, now_ms);

    while (p->started < most && p->fleet->awake_count < p->plan.in_flight)
        swarm_fleet_wake(p->fleet, p->plan.numbers[p->started++]);
    if (p->started < p->plan.count)
        deadline_set(&p->fleet->world->loop.deadlines, &p->pace, now_ms + PACE_MS, on_pace);
}

void swarm_phase_start(struct swarm_phase *p, const struct swarm_phase_plan *plan)
{
    struct deadlines *all = &p->fleet->world->loop.deadlines;

    must(!p->running);
    p->plan = *plan;
    p->running = true;
    p->started = p->settled = 0;
    p->settled_ms.count = 0;
    p->start_ms = clock_ms();
    swarm_stats_clear(&p->fleet->world->stats);
    deadline_set(all, &p->pace, p->start_ms, on_pace);
    deadline_set(all, &p->end, p->start_ms + plan->within_ms, on_end);
    if (plan->count == 0)
        deadline_set(all, &p->end, p->start_ms, on_end);
}

void swarm_phase_rested(struct swarm_phase *p, uint32_t i)
{
    (void)i;
    if (!p->running)
        return;
    p->settled++;
    swarm_samples_add(&p->settled_ms, clock_ms() - p->start_ms);
    if (p->settled == p->plan.count)
        deadline_set(&p->fleet->world->loop.deadlines, &p->end, clock_ms(), on_end);
    else if (p->started < p->plan.count)
        on_pace(&p->pace, clock_ms());
}
