#include "swarm_replay.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_coap.h"
#include <stdlib.h>
#include <string.h>

#define LISTEN_MS 5000
#define EPOCH_1 (1ULL << 48)

struct past_datagram {
    uint8_t *bytes; /* ours; NULL = none yet */
    uint64_t seq;
    uint16_t len, mid;
    bool confirmable;
};
struct swarm_past {
    struct deadline listen; /* must stay first; end of listening at the other address */
    struct swarm_replay_env *env;
    struct swarm_port *elsewhere; /* ours: the other address, while listening */
    struct swarm_record record;   /* of the session, as it was; to open what comes */
    struct swarm_audit *audit;    /* borrowed, while listening */
    struct past_datagram ring[SWARM_PAST_MAX];
    uint64_t known; /* records up to this number are no news to the server; 0 = none known */
    uint32_t count; /* kept so far, also those gone again */
};

static uint32_t random_below(uint32_t bound)
{
    uint32_t random;

    swarm_random(&random, sizeof(random));
    return random % bound;
}

void swarm_past_keep(struct swarm_past **past, struct swarm_replay_env *env, const uint8_t *datagram,
                     size_t datagram_len, const uint8_t *plain, size_t plain_len)
{
    struct past_datagram *d;

    if (env->percent <= 0)
        return;
    if (!*past) {
        *past = mem_alloc(sizeof(**past));
        (*past)->env = env;
    }
    d = &(*past)->ring[(*past)->count++ % SWARM_PAST_MAX];
    free(d->bytes);
    d->bytes = mem_copy(datagram, datagram_len);
    d->len = (uint16_t)datagram_len;
    d->seq = be64_load(datagram + 3) & (EPOCH_1 - 1);
    d->confirmable = plain_len >= 4 && plain[0] >> 4 == (4 | SWARM_CON);
    d->mid = d->confirmable ? be16_load(plain + 2) : 0;
}

void swarm_past_acknowledged(struct swarm_past *past, uint16_t mid)
{
    const struct past_datagram *first = NULL;

    if (!past)
        return;
    for (size_t i = 0; i < SWARM_PAST_MAX; i++) {
        const struct past_datagram *d = &past->ring[i];

        if (d->bytes && d->confirmable && d->mid == mid && (!first || d->seq < first->seq))
            first = d;
    }
    if (first && first->seq > past->known)
        past->known = first->seq;
}

static bool is_ping(const uint8_t *plain, size_t plain_len)
{
    return plain_len == 4 && plain[0] == (uint8_t)(0x40 | SWARM_CON << 4) && plain[1] == 0;
}

static void on_elsewhere(void *owner, const uint8_t *datagram, size_t datagram_len)
{
    struct swarm_past *past = owner;
    struct swarm_record_view view;
    uint8_t plain[2048];
    size_t plain_len;

    while (swarm_record_next(&datagram, &datagram_len, &view)) {
        if (view.seq >> 48 != 1 ||
            swarm_record_open(past->env->crypto, &past->record, &view, plain, &plain_len) == SWARM_OPEN_BAD)
            continue;
        if (view.type == SWARM_RECORD_DATA && is_ping(plain, plain_len))
            past->env->counts.challenged++;
        else
            past->env->counts.answered++;
        if (swarm_audit_note(past->audit, view.seq, view.body, view.body_len) == SWARM_AUDIT_REUSED)
            past->env->counts.nonce_reuse++;
    }
}

void swarm_past_quiet(struct swarm_past *past)
{
    if (!past)
        return;
    deadline_cancel(past->env->deadlines, &past->listen);
    swarm_port_close(past->elsewhere);
    past->elsewhere = NULL;
}

static void on_listened(struct deadline *deadline, uint64_t now_ms)
{
    (void)now_ms;
    swarm_past_quiet((struct swarm_past *)(void *)deadline);
}

static bool move_elsewhere(struct swarm_past *past, const struct swarm_record *record,
                           struct swarm_audit *audit)
{
    swarm_past_quiet(past);
    past->elsewhere = swarm_port_open(past->env->net, on_elsewhere, past);
    if (!past->elsewhere)
        return false;
    past->record = *record;
    past->audit = audit;
    deadline_set(past->env->deadlines, &past->listen, clock_ms() + LISTEN_MS, on_listened);
    return true;
}

static bool is_old(const struct swarm_past *past, const struct past_datagram *d)
{
    return d->bytes && past->known > 0 && d->seq <= past->known;
}

void swarm_past_replay(struct swarm_past *past, struct swarm_port *port, const struct swarm_record *record,
                       struct swarm_audit *audit)
{
    const struct past_datagram *d;
    bool from_elsewhere = !port || random_below(2);

    if (!past || past->count == 0)
        return;
    d = &past->ring[random_below(past->count < SWARM_PAST_MAX ? past->count : SWARM_PAST_MAX)];
    if (from_elsewhere && (!is_old(past, d) || !move_elsewhere(past, record, audit)))
        return;
    past->env->counts.sent++;
    swarm_port_send(from_elsewhere ? past->elsewhere : port, d->bytes, d->len);
}

void swarm_past_replay_all(struct swarm_past *past, const struct swarm_record *record,
                           struct swarm_audit *audit)
{
    if (!past || !move_elsewhere(past, record, audit))
        return;
    for (size_t i = 0; i < SWARM_PAST_MAX; i++) {
        if (!is_old(past, &past->ring[i]))
            continue;
        past->env->counts.sent++;
        swarm_port_send(past->elsewhere, past->ring[i].bytes, past->ring[i].len);
    }
}

void swarm_past_free(struct swarm_past *past)
{
    if (!past)
        return;
    swarm_past_quiet(past);
    for (size_t i = 0; i < SWARM_PAST_MAX; i++)
        free(past->ring[i].bytes);
    free(past);
}
