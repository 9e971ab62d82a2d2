/* hooks_inner.h: struct hooks and the deliveries under way, as hooks.c, delivery.c and hook_people.c share
 * them. Private to these. */
#ifndef CYAN_HOOK_HOOKS_INNER_H
#define CYAN_HOOK_HOOKS_INNER_H

#include "base/deadline.h"
#include "base/metrics.h"
#include "fleet/sql_array.h"
#include "hook/hooks.h"
#include "hook/retry.h"
#include "hook/web.h"
#include "store/pg.h"

#define HOOKS_STATEMENT_MS 5000
#define HOOKS_RELEASE_MS 1000 /* for which the end of the process waits for Postgres */

/* One attempt.
 *
 *   SENDING --answer--> ENDED --with others, in one statement--> TELLING --written--> (gone) */
enum delivery_state { DELIVERY_SENDING, DELIVERY_ENDED, DELIVERY_TELLING };

struct delivery {
    struct delivery *prev, *next; /* in deliveries */
    struct hooks *h;              /* borrowed */
    enum delivery_state state;
    int64_t id, webhook_id, owner_id;
    uint32_t attempt;
    bool has_device;
    struct device_id device;
    char *host, *name, *value; /* ours; value is UTF-8 */
    uint64_t published_ms;     /* Unix */
    json_t *spec;              /* ours */
    struct web_call *call;     /* while SENDING; NULL: there was nothing to send */
    const char *outcome;       /* static, once ENDED, as webhook_results has them */
    int status;                /* 0: none */
    char *error;               /* ours; NULL: none */
    uint32_t wait_s, hold_s;
};

struct hooks {
    struct pg *pg;                /* borrowed: people's questions */
    struct pg *bulk;              /* ours: deliveries; NULL once closed */
    struct metrics *bulk_metrics; /* ours, shown to nobody */
    struct fleet *fleet;          /* borrowed, as deadlines */
    struct deadlines *deadlines;
    struct web *web; /* ours */
    struct hook_settings settings;
    uint8_t key[SEAL_KEY_BYTES];
    uint32_t node_id;
    struct delivery *deliveries; /* ours */
    size_t delivery_count;
    struct deadline tick, sweep, tell;
    bool has_begun; /* what an earlier process was sending is due again */
    bool claiming, telling, sweeping;
    bool may_be_more;    /* the last claim brought something */
    uint64_t claimed_ms; /* when it was asked for */
    void (*on_closed)(void *arg);
    void *on_closed_arg;
    bool stopped, closed;
    struct metric *under_way, *delivered, *again, *dead, *dropped, *disabled, *answers, *answers_lost;
};

struct hooks_number {
    char text[24];
};
struct pg_param hooks_int(struct hooks_number *n, int64_t value);

/* Asks for what is due, soon. */
void hooks_wake(struct hooks *h);
/* A delivery has come to its end: it is to be told. */
void hooks_ended(struct hooks *h);

/* delivery.c: a row of webhook_claim becomes a request. */
void delivery_begin(struct hooks *h, const struct pg_result *result, int row);
/* Breaks it off; it becomes ENDED as `released`, or stays what it is beyond SENDING. */
void delivery_release(struct delivery *d);
void delivery_free(struct delivery *d);

#endif
