#include "device/update_window.h"

#include <string.h>

#include "base/bytes.h"

#define NONE UPDATE_WINDOW_MAX
#define UNIT 256 /* of may_be_out */
#define FIRST_RTO_MS 3000
#define ACK_HELD_BACK_MS 250              /* by the device, and a little more */
#define AFTER_TIMEOUT UPDATE_WINDOW_LEAST /* may be OUT: they too ask what has arrived */
#define QUEUED_MS 200                     /* beyond twice the best round trip: it waits at the device */
#define REORDERED_MS 20                   /* and a quarter of a round trip: behind one sent after it */
#define PACE_GAIN_PERCENT 125             /* so that the window is what bounds, not the pace */

enum slot_state { UNUSED, OUT, LOST, HAD };

static uint16_t slot_of(uint32_t chunk)
{
    return (uint16_t)(chunk % UPDATE_WINDOW_MAX);
}

static void append(struct update_window *w, struct update_list *list, uint16_t at)
{
    struct update_slot *slot = &w->slots[at];

    slot->prev = list->last;
    slot->next = NONE;
    if (list->last == NONE)
        list->first = at;
    else
        w->slots[list->last].next = at;
    list->last = at;
}

static void take_out(struct update_window *w, struct update_list *list, uint16_t at)
{
    const struct update_slot *slot = &w->slots[at];

    if (slot->prev == NONE)
        list->first = slot->next;
    else
        w->slots[slot->prev].next = slot->next;
    if (slot->next == NONE)
        list->last = slot->prev;
    else
        w->slots[slot->next].prev = slot->prev;
}

void update_window_init(struct update_window *w, uint32_t count, uint32_t room, uint32_t first_rtt_ms)
{
    must(room > 0);
    memset(w, 0, sizeof(*w));
    w->count = count;
    w->room = room < UPDATE_WINDOW_MAX ? room : UPDATE_WINDOW_MAX;
    w->order = 1;
    w->later_acked = UPDATE_LATER_ACKED;
    w->may_be_out = UPDATE_WINDOW_FIRST * UNIT;
    w->slow_start_to = UPDATE_WINDOW_MAX * UNIT;
    w->out = w->lost = (struct update_list){NONE, NONE};
    if (first_rtt_ms > 0) { /* it includes what the device did meanwhile: no measure of the best */
        w->rtt_us = first_rtt_ms * 1000;
        w->rtt_spread_us = w->rtt_us / 2;
    }
}

uint32_t update_window_next(const struct update_window *w)
{
    if ((w->out_count + 1) * UNIT > w->may_be_out)
        return 0;
    if (w->lost.first !=
        NONE) { /* chunks of its slot differ by UPDATE_WINDOW_MAX: one alone is in the window */
        uint32_t ahead = (w->lost.first - slot_of(w->acked + 1)) & (UPDATE_WINDOW_MAX - 1);
        return w->acked + 1 + ahead;
    }
    if (w->sent < w->count && w->sent < w->acked + w->room)
        return w->sent + 1;
    return 0;
}

static uint64_t gap_us(const struct update_window *w)
{
    uint64_t gap = (uint64_t)w->rtt_us * UNIT / w->may_be_out;

    return gap * 100 / PACE_GAIN_PERCENT;
}

uint64_t update_window_pace_ms(const struct update_window *w, uint64_t now_ms)
{
    uint64_t burst_us = gap_us(w) * (UPDATE_BURST - 1);

    if (w->pace_us <= now_ms * 1000 + burst_us)
        return 0;
    return (w->pace_us - burst_us + 999) / 1000;
}

bool update_window_sent(struct update_window *w, uint32_t chunk, uint64_t now_ms)
{
    uint16_t at = slot_of(chunk);
    struct update_slot *slot = &w->slots[at];
    bool again = chunk <= w->sent;

    must(chunk > w->acked && chunk <= w->acked + UPDATE_WINDOW_MAX && chunk <= w->sent + 1);
    if (again) {
        must(slot->state == LOST);
        take_out(w, &w->lost, at);
    } else {
        w->sent = chunk;
    }
    slot->state = OUT;
    slot->sent_again = again;
    slot->order = w->order++;
    slot->sent_ms = (uint32_t)now_ms;
    append(w, &w->out, at);
    if (w->out_count++ == 0)
        w->timer_ms = now_ms;
    if (w->pace_us < now_ms * 1000)
        w->pace_us = now_ms * 1000;
    w->pace_us += gap_us(w);
    return again;
}

static void lose(struct update_window *w, uint16_t at)
{
    take_out(w, &w->out, at);
    w->slots[at].state = LOST;
    append(w, &w->lost, at);
    w->out_count--;
}

/* What one acknowledgement told. */
struct news {
    uint32_t count;
    uint32_t order; /* of the newest sending among them */
    uint32_t sent_ms;
    bool is_measure; /* that one was sent once only: else it is not known which sending arrived */
    bool is_late;    /* of one that was taken for lost, the first sending arrived after all */
    uint32_t now_ms; /* lower half */
};

static uint32_t elapsed_us(const struct update_slot *slot, uint32_t now_ms)
{
    return (now_ms - slot->sent_ms) * 1000 + 500; /* half of what the clock tells apart */
}

/* Acknowledged sooner than a round trip allows. */
static bool is_of_first_sending(const struct update_window *w, const struct update_slot *slot,
                                uint32_t now_ms)
{
    return slot->state == OUT && slot->sent_again && elapsed_us(slot, now_ms) < w->rtt_best_us / 4 * 3;
}

static void take_had(struct update_window *w, uint32_t chunk, struct news *news)
{
    uint16_t at = slot_of(chunk);
    struct update_slot *slot = &w->slots[at];

    if (slot->state == HAD)
        return;
    must(slot->state == OUT || slot->state == LOST);
    bool of_first = is_of_first_sending(w, slot, news->now_ms);
    news->is_late = news->is_late || of_first || (slot->state == LOST && w->timeouts == 0 && !w->is_probed);
    take_out(w, slot->state == OUT ? &w->out : &w->lost, at);
    w->out_count -= slot->state == OUT;
    slot->state = HAD;
    news->count++;
    if (slot->order >= news->order && !of_first) { /* of_first: its newest sending is on its way still */
        news->order = slot->order;
        news->sent_ms = slot->sent_ms;
        news->is_measure = !slot->sent_again;
    }
}

/* Chunks overtake each other on this way: more patience from here on, and the loss was none. */
static void forgive(struct update_window *w)
{
    if (w->later_acked < UPDATE_LATER_MOST)
        w->later_acked *= 2;
    if (w->may_be_out < w->before_loss)
        w->may_be_out = w->before_loss;
}

static void measure(struct update_window *w, uint32_t rtt_us)
{
    w->rtt_last_us = rtt_us;
    if (w->rtt_best_us == 0) { /* the first of its kind */
        w->rtt_us = rtt_us;
        w->rtt_spread_us = rtt_us / 2;
        w->rtt_best_us = rtt_us;
        return;
    }
    uint32_t off_us = rtt_us > w->rtt_us ? rtt_us - w->rtt_us : w->rtt_us - rtt_us;
    w->rtt_spread_us += off_us / 4 - w->rtt_spread_us / 4; /* RFC 6298 2.3 */
    w->rtt_us += rtt_us / 8 - w->rtt_us / 8;
    if (rtt_us < w->rtt_best_us)
        w->rtt_best_us = rtt_us;
}

static bool is_queueing(const struct update_window *w)
{
    return w->rtt_last_us > 2 * (uint64_t)w->rtt_best_us + QUEUED_MS * 1000;
}

static void grow(struct update_window *w, uint32_t count)
{
    uint32_t most = w->room * UNIT;

    if (w->acked_order < w->calm_order || is_queueing(w))
        return;
    if (w->may_be_out < w->slow_start_to)
        w->may_be_out += count * UNIT;
    else
        w->may_be_out += count * UNIT * UNIT / w->may_be_out;
    if (w->may_be_out > most && most >= UPDATE_WINDOW_LEAST * UNIT)
        w->may_be_out = most;
}

/* Once for all that was on its way when the loss was seen. */
static void shrink(struct update_window *w, uint32_t lost_order)
{
    if (lost_order < w->calm_order)
        return;
    w->calm_order = w->order;
    w->before_loss = w->may_be_out;
    w->may_be_out = w->may_be_out * 7 / 10;
    if (w->may_be_out < UPDATE_WINDOW_LEAST * UNIT)
        w->may_be_out = UPDATE_WINDOW_LEAST * UNIT;
    w->slow_start_to = w->may_be_out;
}

static uint32_t reordered_ms(const struct update_window *w)
{
    return w->rtt_us / 1000 * 5 / 4 + REORDERED_MS;
}

static void lose_overtaken(struct update_window *w, uint64_t now_ms)
{
    while (w->out.first != NONE) {
        const struct update_slot *slot = &w->slots[w->out.first];
        uint32_t order = slot->order;
        if (order >= w->acked_order)
            return;
        if (w->acked_order - order < w->later_acked && (uint32_t)now_ms - slot->sent_ms < reordered_ms(w))
            return;
        lose(w, w->out.first);
        shrink(w, order);
    }
}

static bool take_bits(struct update_window *w, const uint8_t *bits, size_t bits_len, struct news *news)
{
    for (size_t i = 0; i < bits_len; i++) {
        for (unsigned left = bits[i]; left != 0; left &= left - 1) {
            uint64_t chunk = w->acked + 1 + 8 * (uint64_t)i + (unsigned)__builtin_ctz(left);
            if (chunk > w->sent)
                return false;
            take_had(w, (uint32_t)chunk, news);
        }
    }
    return true;
}

enum update_ack update_window_acked(struct update_window *w, uint32_t acked, const uint8_t *bits,
                                    size_t bits_len, uint64_t now_ms)
{
    struct news news = {.now_ms = (uint32_t)now_ms};

    if (acked > w->sent)
        return UPDATE_ACK_NONSENSE;
    if (acked < w->acked) /* overtaken by a newer one */
        return UPDATE_ACK_NO_NEWS;
    for (; w->acked < acked; w->acked++) {
        take_had(w, w->acked + 1, &news);
        w->slots[slot_of(w->acked + 1)].state = UNUSED;
    }
    bool makes_sense = take_bits(w, bits, bits_len, &news);
    while (w->acked < w->sent && w->slots[slot_of(w->acked + 1)].state == HAD) /* it never says so: bit 0 */
        w->slots[slot_of(++w->acked)].state = UNUSED;
    if (news.is_late)
        forgive(w);
    if (news.count > 0) {
        w->timer_ms = now_ms;
        w->timeouts = 0;
        w->is_probed = false;
        if (news.order > w->acked_order)
            w->acked_order = news.order;
        if (news.is_measure)
            measure(w, (news.now_ms - news.sent_ms) * 1000 + 500);
    }
    lose_overtaken(w, now_ms);
    grow(w, news.count);
    if (!makes_sense)
        return UPDATE_ACK_NONSENSE;
    return news.count > 0 ? UPDATE_ACK_NEWS : UPDATE_ACK_NO_NEWS;
}

static uint64_t rto_ms(const struct update_window *w)
{
    uint64_t rto = FIRST_RTO_MS;

    if (w->rtt_us > 0) {
        uint64_t spread_us = (uint64_t)w->rtt_us + 4 * (uint64_t)w->rtt_spread_us;
        rto = (spread_us > 2 * (uint64_t)w->rtt_us ? spread_us : 2 * (uint64_t)w->rtt_us) / 1000;
    }
    if (rto < UPDATE_RTO_MIN_MS)
        rto = UPDATE_RTO_MIN_MS;
    rto <<= w->timeouts < 5 ? w->timeouts : 5;
    return rto < UPDATE_RTO_MAX_MS ? rto : UPDATE_RTO_MAX_MS;
}

/* The time whose lower half this is, at most some days from timer_ms. */
static uint64_t whole_ms(const struct update_window *w, uint32_t lower_ms)
{
    int32_t later_ms = (int32_t)(lower_ms - (uint32_t)w->timer_ms);

    return (uint64_t)((int64_t)w->timer_ms + later_ms);
}

/* When to ask, by sending one chunk again, what has arrived: also acknowledgements are lost. */
static uint64_t probe_ms(const struct update_window *w)
{
    return w->rtt_us == 0 ? UINT64_MAX : w->timer_ms + 2 * (uint64_t)w->rtt_us / 1000 + ACK_HELD_BACK_MS;
}

uint64_t update_window_late_ms(const struct update_window *w)
{
    if (w->out.first == NONE)
        return UINT64_MAX;
    const struct update_slot *slot = &w->slots[w->out.first];
    uint64_t rto = w->timer_ms + rto_ms(w);
    if (slot->order >= w->acked_order)
        return w->is_probed || probe_ms(w) > rto ? rto : probe_ms(w);
    uint64_t overtaken = whole_ms(w, slot->sent_ms) + reordered_ms(w);
    return overtaken < rto ? overtaken : rto;
}

void update_window_late(struct update_window *w, uint64_t now_ms)
{
    lose_overtaken(w, now_ms);
    if (w->out.first == NONE)
        return;
    if (now_ms < w->timer_ms + rto_ms(w)) {
        if (!w->is_probed && w->slots[w->out.first].order >= w->acked_order && now_ms >= probe_ms(w)) {
            w->is_probed = true;
            lose(w, w->out.first);
        }
        return;
    }
    uint32_t half = w->may_be_out / 2;
    if (w->timeouts++ == 0)
        w->slow_start_to = half > UPDATE_WINDOW_LEAST * UNIT ? half : UPDATE_WINDOW_LEAST * UNIT;
    while (w->out.first != NONE)
        lose(w, w->out.first);
    w->before_loss = 0;
    w->may_be_out = AFTER_TIMEOUT * UNIT;
    w->calm_order = w->order;
    w->timer_ms = now_ms;
    w->pace_us = 0;
}
