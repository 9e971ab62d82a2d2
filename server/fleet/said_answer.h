/* said_answer.h: from the answer of Postgres to the verdict for a device. Private to the said_*.c files. */
#ifndef CYAN_FLEET_SAID_ANSWER_H
#define CYAN_FLEET_SAID_ANSWER_H

#include "fleet/room.h"

struct said_answer {
    device_done_fn *done;
    void *arg;
    const char *what; /* static text */
    struct device_id id;
    struct fleet *f; /* borrowed; NULL unless held */
};
struct said_answer *said_answer_new(const struct device_facts *facts, const char *what, device_done_fn *done,
                                    void *arg);
/* Counts it as held (fleet_is_idle) until it is given. Returns answer. */
struct said_answer *said_answer_hold(struct fleet *f, struct said_answer *answer);
/* pg_done_fn of a statement that returns one text: `stored` or `t`, `full`, else why it was rejected. Frees
 * its arg. */
void said_answer_give(void *arg, enum pg_err err, const struct pg_result *result);

#endif
