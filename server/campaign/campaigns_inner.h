/* campaigns_inner.h: struct campaigns as its files share it. Private to campaign*.c. */
#ifndef CYAN_CAMPAIGN_CAMPAIGNS_INNER_H
#define CYAN_CAMPAIGN_CAMPAIGNS_INNER_H

#include "base/bytes.h"
#include "base/deadline.h"
#include "base/metrics.h"
#include "campaign/campaigns.h"
#include "store/pg.h"

#define CAMPAIGN_PATIENCE_MS 5000
#define CAMPAIGN_BULK_MS 30000 /* until which planning, ticks and exports wait for Postgres */

struct campaign_tick;
struct campaign_wait;
struct campaigns {
    struct pg *pg;                /* borrowed: people's questions */
    struct pg *bulk;              /* ours: planning, ticks, exports; NULL once closed */
    struct metrics *bulk_metrics; /* ours, shown to nobody */
    struct fleet *fleet;          /* borrowed, as deadlines */
    struct deadlines *deadlines;
    struct campaigns_settings settings;
    struct campaign_tick *tick;  /* ours */
    struct campaign_wait *waits; /* ours: who waits for events */
    size_t wait_count;
    char who[24]; /* `node/N` */
    bool stopped;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* Numbers as parameters, in the caller's buffer. */
struct campaign_number {
    char text[DECIMAL_TEXT_SIZE];
};
struct pg_param campaign_int(struct campaign_number *n, int64_t value);
/* A refusal is logged here. */
enum fleet_err campaign_err_of(enum pg_err err, const struct pg_result *result, const char *what);
/* Columns code, id, rev, detail of the first row; borrowed. */
struct campaign_outcome campaign_outcome_read(const struct pg_result *result);

struct campaign_tick *campaign_tick_new(struct campaigns *c, struct metrics *metrics);
void campaign_tick_start(struct campaign_tick *t);
void campaign_tick_stop(struct campaign_tick *t);
void campaign_tick_free(struct campaign_tick *t);

/* Ends all waits for events with none. */
void campaign_events_stop(struct campaigns *c);

/* Classes as campaign_put_classes takes them; the caller's to decref. classes: of planner_classes. */
struct planner_answer;
json_t *campaign_classes_json(const struct planner_answer *classes, size_t count);

#endif
