/* update_window.h: which chunk of an update goes next, and when: what the device has, what is on its way,
 * what was lost. Private to device/.
 *
 * Knows nothing of messages and reads no clock: it is told what was sent and what was acknowledged. Chunks
 * are numbered from 1 as on the wire (device-protocol 5.3). All that is acknowledged up to a gap is
 * forgotten; of what lies behind it there are at most UPDATE_WINDOW_MAX, each in a slot:
 *
 *   (unused) --sent--> OUT --acknowledged--> HAD
 *                       | \--later ones were acknowledged, or time-out--> LOST --acknowledged--> HAD
 *                       |<---sent again-----------------------------------/
 *
 * How many may be OUT grows by one with each that is acknowledged, later by one a round trip, and shrinks
 * when one is lost; it does not grow while the round trip takes much longer than its best: a device works off
 * one message in each of its own turns, and what waits before it has no use. How fast they leave is what the
 * window comes to in a round trip. Ownership: embedded in the update. */
#ifndef CYAN_DEVICE_UPDATE_WINDOW_H
#define CYAN_DEVICE_UPDATE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

#define UPDATE_WINDOW_MAX 256   /* chunks: what a device states for the smallest ones (device-protocol 5.3) */
#define UPDATE_WINDOW_FIRST 8   /* may be OUT at first */
#define UPDATE_WINDOW_LEAST 4   /* after losses */
#define UPDATE_LATER_ACKED 3    /* that many sent later and acknowledged: it is lost */
#define UPDATE_LATER_MOST 48    /* the same where chunks overtake each other */
#define UPDATE_BURST 4          /* leave at once; the next ones are spread */
#define UPDATE_RTO_MIN_MS 1000  /* a device may hold back an acknowledgement for 200 ms */
#define UPDATE_RTO_MAX_MS 16000 /* it is left alone after 60 s */

struct update_slot {
    uint32_t order;   /* of its newest sending among all sendings */
    uint32_t sent_ms; /* lower half of the time */
    uint16_t prev, next;
    uint8_t state;
    bool sent_again;
};
struct update_list { /* of slots, by number; UPDATE_WINDOW_MAX: none */
    uint16_t first, last;
};

struct update_window {
    uint32_t count;                     /* chunks in all */
    uint32_t acked;                     /* 1 to acked are acknowledged */
    uint32_t sent;                      /* 1 to sent were sent at least once */
    uint32_t room;                      /* none beyond acked + room is taken by the device */
    uint32_t out_count;                 /* OUT */
    uint32_t order;                     /* of the next sending */
    uint32_t acked_order;               /* the newest sending that was acknowledged */
    uint32_t calm_order;                /* losses of what was sent before it are the same loss */
    uint32_t later_acked;               /* as UPDATE_LATER_ACKED, by what was seen */
    uint32_t before_loss;               /* may_be_out before it shrank */
    uint32_t may_be_out, slow_start_to; /* in 1/256 chunk */
    uint32_t rtt_us, rtt_spread_us, rtt_best_us, rtt_last_us; /* 0: not measured yet */
    bool is_probed;               /* one was sent again to ask, since something was acknowledged */
    uint32_t timeouts;            /* since something was acknowledged */
    uint64_t timer_ms;            /* the time-out is counted from here */
    uint64_t pace_us;             /* when the next may leave, if there were no bursts */
    struct update_list out, lost; /* OUT in order of sending; LOST */
    struct update_slot slots[UPDATE_WINDOW_MAX];
};

/* room: of the device, at least 1. first_rtt_ms: how long it took to answer the request before, 0 unknown. */
void update_window_init(struct update_window *w, uint32_t count, uint32_t room, uint32_t first_rtt_ms);
/* The chunk to send next, 0 when there is none that may be sent, whatever the pace. */
uint32_t update_window_next(const struct update_window *w);
/* When it may leave; 0 = at once. */
uint64_t update_window_pace_ms(const struct update_window *w, uint64_t now_ms);
/* True when it had been sent before. */
bool update_window_sent(struct update_window *w, uint32_t chunk, uint64_t now_ms);

enum update_ack {
    UPDATE_ACK_NEWS,
    UPDATE_ACK_NO_NEWS,  /* says nothing that was not known */
    UPDATE_ACK_NONSENSE, /* of chunks that were never sent */
};
/* acked, and bit k of the words (little-endian, device-protocol 5.3): acked + 1 + k. */
must_check enum update_ack update_window_acked(struct update_window *w, uint32_t acked, const uint8_t *bits,
                                               size_t bits_len, uint64_t now_ms);
/* When to call update_window_late; UINT64_MAX when nothing is on its way. */
uint64_t update_window_late_ms(const struct update_window *w);
/* Takes for lost what has been on its way for too long. */
void update_window_late(struct update_window *w, uint64_t now_ms);

#endif
