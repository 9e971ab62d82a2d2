/* ask.h: questions to a device whose answer is awaited. Private to device/.
 *
 *   WAITING --its turn--> ASKED --response, time-out, end of the session--> (told, gone)
 *      \--time-out----------------------------------------------------------/
 *   KNOWN --next turn of the loop------------------------------------------/
 *
 * Calls and reads wait for their turn, all else is asked at once. KNOWN: the answer was there too early, in
 * the call that asked. Ownership: a question belongs to its device until its answer has been told. */
#ifndef CYAN_DEVICE_ASK_H
#define CYAN_DEVICE_ASK_H

#include "device/link.h"

enum ask_state { ASK_WAITING, ASK_ASKED, ASK_KNOWN };

/* Hands the answer to whoever asked. */
typedef void ask_tell_fn(struct device_question *ask, const struct device_answer *answer);

struct device_question { /* first in what a question has to remember */
    struct device_question *prev, *next;
    struct device *device;
    struct deadline due; /* WAITING: the end of its time; KNOWN: at once */
    ask_tell_fn *tell;
    void *arg;
    uint8_t state; /* enum ask_state */
    uint8_t known; /* enum device_ask, of KNOWN */
    bool by_turns, sent;
};

/* size: of the whole. ASKED. */
void *ask_new(struct device *device, size_t size, ask_tell_fn *tell, void *arg);
/* Tells the answer and frees ask. device is still there when its session is, else after link_release. */
void ask_finish(struct device_question *ask, struct device_answer answer);
/* The same from the loop, for what is known at once. */
void ask_finish_later(struct device_question *ask, enum device_ask known);
/* Why a device that is not NAMED cannot be asked. */
enum device_ask ask_gone(const struct device *device);
/* What an outcome without response comes to. */
enum device_ask ask_unanswered(const struct device *device, enum coap_outcome outcome);
/* The next that waits for its turn is asked, if it is its turn. In call.c. */
void ask_next_turn(struct device *device);

/* The session is over and its messages with it: what could not even be sent is answered too. */
void asks_end(struct device *device);

#endif
