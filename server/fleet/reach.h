/* reach.h: asks a device wherever it is: here, or on the node that holds its session.
 *
 *   question: HERE --answer--> told         LOOKING --held by another node--> THERE --answer--> told
 *             HERE, THERE --gone, moved, the node is dead--> PAUSED --again--> HERE or LOOKING
 *             LOOKING --nobody holds it--> told
 *
 * Whoever asks is told the same as if the device were here, in the same time. One that moves while it is
 * asked is asked again where it is then, until the time is over; but never a function that may have reached
 * it: that one ends as DEVICE_NO_ANSWER, and is not called twice. Without nodes a device is here or not
 * connected.
 *
 * Ownership: borrows deadlines, devices, nodes and store, which outlive it; every session_store_where must
 * have called back before reach_free. Loop thread only. done comes exactly once, from the loop, never from
 * inside reach_ask. */
#ifndef CYAN_FLEET_REACH_H
#define CYAN_FLEET_REACH_H

#include "device/devices.h"

#define REACH_ASKED_MAX 4096  /* questions under way; more are DEVICE_ASK_BUSY */
#define REACH_SERVED_MAX 4096 /* questions of other nodes under way */
#define REACH_TIMEOUT_MAX_MS 300000

struct nodes;
struct session_store;

enum reach_kind { REACH_PING, REACH_DESCRIBE, REACH_CALL, REACH_READ, REACH_SIGNAL, REACH_KIND_COUNT };
struct reach_question {
    enum reach_kind kind;
    uint32_t timeout_ms;     /* 1 to REACH_TIMEOUT_MAX_MS, until the answer is there */
    enum describe_part part; /* DESCRIBE: stored when it is answered */
    const char *name;        /* CALL, READ: UTF-8; copied, as argument */
    const char *argument;    /* CALL: UTF-8 */
    bool on;                 /* SIGNAL */
};
/* answer->ask is never DEVICE_MOVED; data is borrowed during the call. */
typedef device_answer_fn reach_done_fn;

struct reach;
struct reach *reach_new(struct deadlines *deadlines, struct metrics *metrics);
void reach_free(struct reach *reach);
void reach_set_devices(struct reach *reach, struct devices *devices);
/* Once, before the first question, and only when there is a Redis. */
void reach_set_nodes(struct reach *reach, struct nodes *nodes, struct session_store *sessions);
/* Answers every question that is left with DEVICE_NO_ANSWER, from inside; asks and serves no more. */
void reach_stop(struct reach *reach);

void reach_ask(struct reach *reach, const struct device_id *id, const struct reach_question *question,
               reach_done_fn *done, void *arg);
/* Ends the sessions of a device on all other nodes; tried again while Redis is away. */
void reach_revoke(struct reach *reach, const struct device_id *id);

#endif
