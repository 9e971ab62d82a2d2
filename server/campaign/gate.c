#include "campaign/gate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define Z 1.645

const char *gate_kind_name(enum gate_kind kind)
{
    static const char *const names[] = {"running", "soaking", "held", "passed", "failed"};
    return names[kind];
}

/* --- Wilson's interval --- */

static double wilson(uint32_t k, uint32_t n, double sign)
{
    double share, z2 = Z * Z, count = n;
    share = k >= n ? 1 : k / count;
    double centre = share + z2 / (2 * count);
    double spread = Z * sqrt(share * (1 - share) / count + z2 / (4 * count * count));
    return (centre + sign * spread) / (1 + z2 / count);
}

double gate_lower(uint32_t k, uint32_t n)
{
    return n == 0 || k == 0 ? 0 : wilson(k, n, -1);
}

double gate_upper(uint32_t k, uint32_t n)
{
    return n == 0 || k >= n ? 1 : wilson(k, n, 1);
}

/* The lower bound grows with k. */
uint32_t gate_abort_at(uint32_t n, double max_failure)
{
    uint32_t few = 0, enough = n;
    while (enough - few > 1) {
        uint32_t middle = few + (enough - few) / 2;
        if (gate_lower(middle, n) > max_failure)
            enough = middle;
        else
            few = middle;
    }
    return enough;
}

/* Without a failure the upper bound is z^2 / (n + z^2). */
uint32_t gate_proof_devices(double max_failure)
{
    return (uint32_t)ceil(Z * Z * (1 - max_failure) / max_failure);
}

/* --- the verdict --- */

__attribute__((format(printf, 3, 4))) static void say(struct gate_verdict *v, enum gate_kind kind,
                                                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    v->kind = kind;
    (void)vsnprintf(v->sentence, sizeof v->sentence, format, args);
    va_end(args);
}

static double percent(double rate)
{
    return rate * 100;
}

static const char *devices(uint32_t count)
{
    return count == 1 ? "device" : "devices";
}

/* The campaign stops, whatever is still to come. */
static bool must_stop(struct gate_verdict *v, const struct gate_rules *r, const struct gate_counts *c)
{
    if (c->lost >= r->max_lost && c->lost > 0)
        say(v, GATE_FAILED, "%u %s never came back; at %u the campaign stops.", c->lost, devices(c->lost),
            r->max_lost);
    else if (v->lower > r->max_failure)
        say(v, GATE_FAILED,
            "%u of %u devices failed and %u were lost: the failure rate is above %.3g %%, which is more than "
            "the "
            "%.3g %% allowed.",
            c->failed, v->n, c->lost, percent(v->lower), percent(r->max_failure));
    else
        return false;
    return true;
}

/* What is under way or still to come of the devices that can be reached. */
static bool is_unfinished(struct gate_verdict *v, const struct gate_rules *r, const struct gate_counts *c,
                          uint32_t reachable, uint32_t resolved)
{
    if (c->open > 0)
        say(v, GATE_RUNNING, "%u %s under way, %u of %u that can be reached done.", c->open, devices(c->open),
            resolved, reachable);
    else if (resolved < reachable && resolved < r->coverage * reachable)
        say(v, GATE_RUNNING, "%u of %u devices that can be reached are done; %.3g %% are asked for.",
            resolved, reachable, percent(r->coverage));
    else
        return false;
    return true;
}

/* Nothing is under way any more: does what was seen suffice? */
static bool is_unproved(struct gate_verdict *v, const struct gate_rules *r, const struct gate_counts *c,
                        uint32_t reachable)
{
    uint32_t asked = r->min_resolved;
    if (r->allow_small_canary && reachable - c->current < asked) /* all there are */
        asked = v->n > 0 ? v->n : 1;
    v->admits = true;
    if (reachable == 0)
        say(v, GATE_HELD, "None of its %u %s can be updated (%u offline, %u blocked): nothing is proved.",
            c->total - c->gone, devices(c->total - c->gone), c->tail, c->blocked);
    else if (v->n < asked && v->n + c->current < reachable + c->tail)
        say(v, GATE_HELD, "%u %s resolved; at least %u are asked for (%u offline, %u blocked).", v->n,
            devices(v->n), asked, c->tail, c->blocked);
    else if (v->n > 0 && v->n < asked)
        say(v, GATE_HELD, "%u %s resolved; at least %u are asked for.", v->n, devices(v->n), asked);
    else
        return false;
    return true;
}

static bool is_unhealthy(struct gate_verdict *v, const struct gate_rules *r, const struct gate_counts *c)
{
    v->admits = false;
    if (v->k > 0 && v->upper > r->max_failure)
        say(v, GATE_HELD,
            "%u of %u devices failed and %u were lost: the failure rate may be as high as %.3g %%, %.3g %% "
            "are "
            "allowed.",
            c->failed, v->n, c->lost, percent(v->upper), percent(r->max_failure));
    else if (v->upper > r->max_failure && v->n > 0 && !r->allow_small_canary)
        say(v, GATE_HELD,
            "%u %s without a failure prove a failure rate below %.3g %%; %u devices prove the %.3g %% "
            "allowed.",
            v->n, devices(v->n), percent(v->upper), gate_proof_devices(r->max_failure),
            percent(r->max_failure));
    else if (c->unhealthy > r->max_failure * (c->ok - c->current))
        say(v, GATE_HELD, "%u of %u updated devices are in safe mode.", c->unhealthy, c->ok - c->current);
    else
        return false;
    return true;
}

static bool is_soaking(struct gate_verdict *v, const struct gate_rules *r, const struct gate_counts *c)
{
    uint64_t soak_ms = r->soak_s * UINT64_C(1000);
    if (c->since_success_ms >= soak_ms) /* also when nothing succeeded: there is nothing to watch */
        return false;
    say(v, GATE_SOAKING, "All is done; watched until %u s after the last success.", r->soak_s);
    return true;
}

static void pass(struct gate_verdict *v, const struct gate_rules *r, const struct gate_counts *c)
{
    if (c->total == c->gone)
        say(v, GATE_PASSED, "There are no devices in it: it proves nothing.");
    else if (v->n == 0)
        say(v, GATE_PASSED, "Its %u %s had the release already: it proves nothing.", c->current,
            devices(c->current));
    else if (v->upper > r->max_failure)
        say(v, GATE_PASSED,
            "No failures, with too few devices to prove much: %u prove a failure rate below %.3g %%, %u "
            "would prove "
            "the %.3g %% allowed.",
            v->n, percent(v->upper), gate_proof_devices(r->max_failure), percent(r->max_failure));
    else
        say(v, GATE_PASSED, "%u of %u devices failed, %u were lost: the failure rate is below %.3g %%.",
            c->failed, v->n, c->lost, percent(v->upper));
}

void gate_judge(struct gate_verdict *verdict, const struct gate_rules *rules,
                const struct gate_counts *counts)
{
    const struct gate_counts *c = counts;
    uint32_t resolved = c->ok + c->failed + c->lost;
    uint32_t aside = c->gone + c->blocked + c->tail;
    uint32_t reachable = c->total > aside ? c->total - aside : 0;
    *verdict = (struct gate_verdict){.n = resolved - c->current, .k = c->failed + 2 * c->lost};
    verdict->lower = gate_lower(verdict->k, verdict->n);
    verdict->upper = gate_upper(verdict->k, verdict->n);
    if (must_stop(verdict, rules, c) || is_unfinished(verdict, rules, c, reachable, resolved))
        return;
    if (c->total > c->gone && is_unproved(verdict, rules, c, reachable))
        return;
    if (is_unhealthy(verdict, rules, c) || is_soaking(verdict, rules, c))
        return;
    pass(verdict, rules, c);
}

void gate_proves(char sentence[GATE_SENTENCE_SIZE], uint32_t devices_count, const struct gate_rules *rules)
{
    uint32_t enough = gate_proof_devices(rules->max_failure);
    double upper = gate_upper(0, devices_count);
    if (devices_count == 0)
        (void)snprintf(sentence, GATE_SENTENCE_SIZE, "There are no devices in it: it proves nothing.");
    else if (upper < rules->max_failure)
        (void)snprintf(
            sentence, GATE_SENTENCE_SIZE,
            "%u %s without a failure prove a failure rate below %.3g %%; the campaign stops at %u failures.",
            devices_count, devices(devices_count), percent(upper),
            gate_abort_at(devices_count, rules->max_failure));
    else
        (void)snprintf(
            sentence, GATE_SENTENCE_SIZE,
            "%u %s cannot prove a failure rate below %.3g %% (%u would): without a failure it is below %.3g "
            "%%.",
            devices_count, devices(devices_count), percent(rules->max_failure), enough, percent(upper));
}
