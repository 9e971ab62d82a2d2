/* password_queue.h: passwords made and verified on threads of libuv's pool, a few at a time.
 *
 *   WAITING --a place is free--> WORKING --> answered       \--password_queue_stop--> answered PASSWORD_AWAY
 *
 * Each takes tens of milliseconds of a core and megabytes: two at a time leave the other threads to firmware,
 * and more than PASSWORD_QUEUE_MAX that wait are refused. Ownership: made and freed by fleet.c; texts are
 * copied, and wiped afterwards. done comes from the loop, exactly once. Loop thread only. */
#ifndef CYAN_FLEET_PASSWORD_QUEUE_H
#define CYAN_FLEET_PASSWORD_QUEUE_H

#include <uv.h>

#include "base/metrics.h"
#include "fleet/password.h"

#define PASSWORD_QUEUE_MAX 64
#define PASSWORD_QUEUE_THREADS 2

enum password_answer {
    PASSWORD_RIGHT, /* or: made */
    PASSWORD_WRONG,
    PASSWORD_FAULT, /* it could not be hashed; logged */
    PASSWORD_AWAY,  /* the server stops */
};
/* phc: of PASSWORD_RIGHT, what to keep: the new hash; "" when the one verified against is to stay. */
typedef void password_fn(void *arg, enum password_answer answer, const char *phc);

struct password_queue;
struct password_queue *password_queue_new(uv_loop_t *loop, struct metrics *metrics);
void password_queue_stop(struct password_queue *q);
/* After the stop. Work still on a thread is let go of: its loop must run until it ends. */
void password_queue_free(struct password_queue *q);
/* Each false: too many wait already; done does not come. */
must_check bool password_queue_hash(struct password_queue *q, const char *password,
                                    const struct password_cost *cost, password_fn *done, void *arg);
/* phc NULL: nobody has such a password, and it takes as long to say so. A right one whose cost is not this
 * one is hashed anew at once. */
must_check bool password_queue_verify(struct password_queue *q, const char *phc, const char *password,
                                      const struct password_cost *cost, password_fn *done, void *arg);

#endif
