#include "swarm_steps.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_run.h"
#include "swarm_scenario.h"
#include "swarm_talk.h"
#include <stdlib.h>
#include <string.h>

#define TICK_MS 5
#define WITHIN_S 120
#define SLEEP_MS (1000ULL * 86400 * 365) /* until it is woken */

/* may: who can be chosen; act: what it does; is_through: whether it has done it. */
struct step_kind {
    const char *name;
    bool (*may)(const struct swarm_device *d);
    void (*act)(struct swarm_device *d);
    bool (*is_through)(const struct swarm_device *d);
};

/* --- who --- */

static bool is_new(const struct swarm_device *d)
{
    return d->state == SWARM_DEVICE_OFFLINE && !deadline_is_set(&d->life);
}

static bool is_any(const struct swarm_device *d)
{
    return !is_new(d);
}

static bool is_online(const struct swarm_device *d)
{
    return d->state == SWARM_DEVICE_ONLINE;
}

static bool is_asleep(const struct swarm_device *d)
{
    return d->state == SWARM_DEVICE_ASLEEP;
}

/* --- what --- */

static void do_start(struct swarm_device *d)
{
    swarm_device_start(d, 0);
}

static void do_sleep(struct swarm_device *d)
{
    (void)!swarm_device_goodbye(d, SLEEP_MS);
}

static void do_wake(struct swarm_device *d)
{
    if (is_asleep(d))
        swarm_device_wake(d);
}

static void do_rebind(struct swarm_device *d)
{
    (void)!swarm_device_rebind(d);
}

static void do_resume(struct swarm_device *d)
{
    (void)!swarm_device_resume(d);
}

static void do_replay(struct swarm_device *d)
{
    swarm_session_replay(&d->session);
}

static void do_ping(struct swarm_device *d)
{
    if (is_online(d) && !d->pinged_ms)
        swarm_talk_ping(d);
}

static void do_event(struct swarm_device *d)
{
    if (is_online(d))
        swarm_talk_tick(d);
}

static void do_nothing(struct swarm_device *d)
{
    (void)d;
}

/* --- until --- */

static bool is_quiet(const struct swarm_device *d)
{
    return is_online(d) && d->exchange.con_count == 0;
}

static bool is_done_at_once(const struct swarm_device *d)
{
    (void)d;
    return true;
}

static const struct step_kind kinds[] = {{"cold_boot", is_any, swarm_device_cold_boot, is_online},
                                         {"event", is_online, do_event, is_quiet},
                                         {"ping", is_online, do_ping, is_quiet},
                                         {"ramp", is_new, do_start, is_online},
                                         {"rebind", is_online, do_rebind, is_done_at_once},
                                         {"replay", is_any, do_replay, is_done_at_once},
                                         {"resume", is_online, do_resume, is_online},
                                         {"sleep", is_online, do_sleep, is_asleep},
                                         {"storm", is_any, swarm_device_reboot, is_online},
                                         {"wait", NULL, do_nothing, is_done_at_once},
                                         {"wake", is_asleep, do_wake, is_online}};

static size_t online_count(const struct swarm_steps *s)
{
    size_t online = 0;

    for (size_t i = 0; i < s->device_count; i++)
        online += is_online(&s->devices[i]);
    return online;
}

static json_t *line_of(struct swarm_steps *s)
{
    json_t *line = swarm_stats_json(&s->world->stats);
    const struct swarm_stats *stats = &s->world->stats;

    json_object_set_new(line, "event", json_string(s->kind->name));
    json_object_set_new(line, "devices", json_integer((json_int_t)s->chosen_count));
    json_object_set_new(line, "through", json_integer((json_int_t)s->through));
    json_object_set_new(line, "unanswered", json_integer((json_int_t)(s->chosen_count - s->through)));
    json_object_set_new(line, "online", json_integer((json_int_t)online_count(s)));
    json_object_set_new(line, "handshakes", json_integer((json_int_t)stats->handshakes_ok));
    json_object_set_new(line, "seconds", json_real((double)(clock_ms() - s->start_ms) / 1000.0));
    if (stats->first_pong_ms)
        json_object_set_new(line, "first_answer_ms",
                            json_integer((json_int_t)(stats->first_pong_ms - s->start_ms)));
    json_object_set_new(line, "done_after_ms", swarm_samples_json(&s->done_ms));
    swarm_run_truths(s->world, line);
    return line;
}

/* Last statement of its caller: the owner may start the next. */
static void finish(struct swarm_steps *s)
{
    json_t *line = line_of(s);

    swarm_stats_add(s->total, &s->world->stats);
    swarm_stats_clear(&s->world->stats);
    s->kind = NULL;
    free(s->chosen);
    s->chosen = NULL;
    s->done(s->owner, line);
}

static size_t due(const struct swarm_steps *s, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms - s->start_ms;

    return passed_ms >= s->over_ms ? s->chosen_count : s->chosen_count * passed_ms / s->over_ms;
}

/* Those that have acted and are not through stand between the through ones and the rest. */
static void look(struct swarm_steps *s, uint64_t now_ms)
{
    for (size_t i = s->through; i < s->acted; i++) {
        struct swarm_device *d = s->chosen[i];

        if (!s->kind->is_through(d))
            continue;
        swarm_samples_add(&s->done_ms, now_ms - s->start_ms);
        s->chosen[i] = s->chosen[s->through];
        s->chosen[s->through++] = d;
    }
}

static bool is_over(const struct swarm_steps *s, uint64_t now_ms)
{
    if (now_ms - s->start_ms >= s->within_ms)
        return true;
    return s->through == s->chosen_count && (!s->online_wanted || online_count(s) >= s->online_wanted);
}

static void on_tick(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_steps *s =
        (struct swarm_steps *)(void *)((char *)deadline - offsetof(struct swarm_steps, tick));
    size_t most = due(s, now_ms);

    while (s->acted < most)
        s->kind->act(s->chosen[s->acted++]);
    look(s, now_ms);
    if (is_over(s, now_ms)) {
        finish(s);
        return;
    }
    deadline_set(&s->world->loop.deadlines, &s->tick, now_ms + TICK_MS, on_tick);
}

/* count of those that may, at random. */
static void choose(struct swarm_steps *s, double count)
{
    size_t found = 0;

    s->chosen = mem_array(s->device_count, sizeof(struct swarm_device *));
    for (size_t i = 0; s->kind->may && i < s->device_count; i++)
        if (s->kind->may(&s->devices[i]))
            s->chosen[found++] = &s->devices[i];
    s->chosen_count = count < (double)found ? (size_t)count : found;
    for (size_t i = 0; i < s->chosen_count; i++) { /* the first part of a shuffle */
        struct swarm_device *d = s->chosen[i];
        size_t left = found - i, other;
        uint64_t random;

        must(left > 0);
        swarm_random(&random, sizeof(random));
        other = i + random % left;
        s->chosen[i] = s->chosen[other];
        s->chosen[other] = d;
    }
}

const char *swarm_steps_start(struct swarm_steps *s, const char *name, json_t *step)
{
    size_t i = 0;

    while (i < sizeof(kinds) / sizeof(kinds[0]) && strcmp(kinds[i].name, name) != 0)
        i++;
    if (i == sizeof(kinds) / sizeof(kinds[0]))
        return "unknown step";
    s->kind = &kinds[i];
    s->start_ms = clock_ms();
    s->over_ms = (uint64_t)(swarm_scenario_number(step, "over_s", 0) * 1000);
    s->within_ms = s->over_ms + (uint64_t)(swarm_scenario_number(step, "within_s", WITHIN_S) * 1000);
    s->online_wanted = (size_t)swarm_scenario_number(step, "online", 0);
    s->acted = s->through = 0;
    s->done_ms.count = 0;
    choose(s, swarm_scenario_number(step, "count", (double)s->device_count));
    swarm_stats_add(s->total, &s->world->stats);
    swarm_stats_clear(&s->world->stats);
    deadline_set(&s->world->loop.deadlines, &s->tick, s->start_ms, on_tick);
    return NULL;
}

void swarm_steps_deinit(struct swarm_steps *s)
{
    if (!s->world)
        return;
    deadline_cancel(&s->world->loop.deadlines, &s->tick);
    free(s->chosen);
    free(s->done_ms.values);
}
