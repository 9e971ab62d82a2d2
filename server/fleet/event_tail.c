#include "fleet/event_tail.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/room.h"

#define LOOK_TIMEOUT_MS 5000
#define AGAIN_MS 500      /* after a look that failed */
#define INTEREST_MS 10000 /* others count on it for 30 s */
#define REST_MAX_MS 1000

static const struct pg_statement events_since = {
    .name = "events_since",
    .sql = "SELECT id, tx, device, owner, person, product, version, quarantined, name, data, content_format, "
           "ttl_s, is_public, at_ms"
           " FROM events_since($1::text, $2::text, $3::text, $4::bigint, $5::integer)",
    .params = 5,
};
static const struct pg_statement follow_events = {
    .name = "follow_events",
    .sql = "SELECT follow_events($1::integer)",
    .params = 1,
};
enum { ID, TX, DEVICE, OWNER, PERSON, PRODUCT, VERSION, QUARANTINED, NAME, DATA, FORMAT, TTL, PUBLIC, AT };

enum state {
    RESTING,
    PLANNED, /* the next look is due at a time */
    LOOKING,
    PASSING_ON, /* the follower is busy with what came */
};

struct event_tail {
    struct fleet *f;
    const struct event_follower *follower; /* borrowed, NULL: none */
    enum state state;
    char *seen;       /* ours: the snapshot up to which all is passed on */
    char *upto;       /* ours, of a look whose answer has several parts: its snapshot, else NULL */
    char last_tx[24]; /* of the part before */
    int64_t last_id;
    uint64_t looked_ms, interest_ms;
    struct deadline due;
    struct pg_query *look;
    uint8_t *data; /* ours: the data of one event */
    size_t data_size;
    struct metric *events, *looks, *failures;
};

struct event_tail *event_tail_new(struct fleet *f, struct metrics *metrics)
{
    struct event_tail *t = mem_alloc(sizeof *t);
    t->f = f;
    t->events = metrics_add(metrics, METRIC_COUNTER, "cyan_event_tail_events_total", NULL,
                            "Events that this node has read for those who read streams here.");
    t->looks = metrics_add(metrics, METRIC_COUNTER, "cyan_event_tail_looks_total", NULL,
                           "How often this node has looked for events to stream.");
    t->failures =
        metrics_add(metrics, METRIC_COUNTER, "cyan_event_tail_failures_total", NULL,
                    "Looks for events to stream that Postgres did not answer; they are made again.");
    return t;
}

static void forget(struct event_tail *t)
{
    free(t->seen);
    free(t->upto);
    t->seen = t->upto = NULL;
    t->state = RESTING;
}

void event_tail_stop(struct event_tail *t)
{
    deadline_cancel(t->f->deadlines, &t->due);
    pg_cancel(&t->look);
    forget(t);
}

void event_tail_free(struct event_tail *t)
{
    deadline_cancel(t->f->deadlines, &t->due);
    forget(t);
    free(t->data);
    free(t);
}

void event_tail_set_follower(struct event_tail *t, const struct event_follower *follower)
{
    t->follower = follower;
    if (!follower)
        event_tail_stop(t);
}

static void on_due(struct deadline *due, uint64_t now_ms);

static void plan(struct event_tail *t, uint64_t at_ms)
{
    t->state = PLANNED;
    deadline_set(t->f->deadlines, &t->due, at_ms, on_due);
}

void event_tail_begin(struct event_tail *t, const char *snapshot)
{
    if (t->state != RESTING || t->f->stopped || !t->follower)
        return;
    t->seen = mem_string(snapshot);
    t->interest_ms = clock_ms();
    plan(t, clock_ms() + EVENT_TAIL_MS);
}

/* --- an answer --- */

static void read_data(struct event_tail *t, struct told_event *event, const struct pg_result *result, int row)
{
    size_t size = strlen(pg_value(result, row, DATA)) / 2 + 1;
    if (size > t->data_size) {
        free(t->data);
        t->data = mem_alloc(size);
        t->data_size = size;
    }
    event->data = t->data;
    must(pg_bytea(result, row, DATA, t->data, t->data_size, &event->data_len));
}

/* False: nobody is to hear of it. */
static bool read_event(struct event_tail *t, struct told_event *event, const struct pg_result *result,
                       int row)
{
    size_t id_len = 0;
    if (pg_bool(result, row, QUARANTINED) || pg_is_null(result, row, DATA)) /* a secret that is not kept */
        return false;
    *event = (struct told_event){
        .has_device = !pg_is_null(result, row, DEVICE),
        .owner_id = pg_int(result, row, OWNER),
        .person_id = pg_int(result, row, PERSON),
        .product_id = (int32_t)pg_int(result, row, PRODUCT),
        .version = (int32_t)pg_int(result, row, VERSION),
        .name = pg_value(result, row, NAME),
        .content_format = (uint16_t)pg_int(result, row, FORMAT),
        .ttl_s = (uint32_t)pg_int(result, row, TTL),
        .is_public = pg_bool(result, row, PUBLIC),
        .at_wall_ms = (uint64_t)pg_int(result, row, AT),
    };
    if (event->has_device)
        must(pg_bytea(result, row, DEVICE, &event->device, sizeof event->device, &id_len) &&
             id_len == sizeof event->device);
    read_data(t, event, result, row);
    return true;
}

/* False: the follower has enough. */
static bool tell_row(struct event_tail *t, const struct pg_result *result, int row)
{
    struct told_event event;
    if (!read_event(t, &event, result, row))
        return true;
    t->events->value++;
    return t->follower->event(t->follower->ctx, &event);
}

/* The first row says the snapshot. */
static void pass_on(struct event_tail *t, const struct pg_result *result)
{
    int rows = pg_rows(result), row = 1;
    const char *bound = pg_value(result, 0, NAME);
    while (row < rows && tell_row(t, result, row++))
        ;
    if (row < rows || rows - 1 == EVENT_TAIL_ROWS) {
        if (!t->upto)
            t->upto = mem_string(bound);
        snprintf(t->last_tx, sizeof t->last_tx, "%s", pg_value(result, row - 1, TX));
        t->last_id = pg_int(result, row - 1, ID);
        return;
    }
    free(t->seen);
    t->seen = t->upto ? t->upto : mem_string(bound);
    t->upto = NULL;
}

static void on_looked(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct event_tail *t = arg;
    t->look = NULL;
    if (fleet_err_of(err, result, "events_since") != FLEET_OK) {
        t->failures->value++;
        plan(t, clock_ms() + AGAIN_MS);
        return;
    }
    t->state = PASSING_ON;
    pass_on(t, result);
    if (pg_rows(result) > 1)
        t->follower->round(t->follower->ctx);
    else
        event_tail_passed_on(t);
}

void event_tail_passed_on(struct event_tail *t)
{
    uint64_t now_ms = clock_ms(), took_ms = now_ms - t->looked_ms;
    uint64_t rest_ms = took_ms < REST_MAX_MS ? took_ms : REST_MAX_MS;
    if (t->state != PASSING_ON) /* it was stopped meanwhile */
        return;
    if (t->upto) /* more of the same look waits already */
        plan(t, now_ms);
    else
        plan(t, took_ms < EVENT_TAIL_MS ? t->looked_ms + EVENT_TAIL_MS : now_ms + rest_ms);
}

/* --- looking --- */

static void on_interest(void *arg, enum pg_err err, const struct pg_result *result)
{
    (void)arg;
    (void)fleet_err_of(err, result, "follow_events"); /* said again before others count without it */
}

static void say_interest(struct event_tail *t, uint64_t now_ms)
{
    struct fleet_number node;
    if (now_ms - t->interest_ms < INTEREST_MS)
        return;
    t->interest_ms = now_ms;
    pg_exec(t->f->pg, &follow_events, (struct pg_param[]){fleet_int(&node, t->f->settings.node_id)},
            LOOK_TIMEOUT_MS, PG_RETRY, on_interest, t);
}

static void look(struct event_tail *t)
{
    struct fleet_number id, most;
    struct pg_param params[] = {
        pg_text(t->seen),
        pg_text(t->upto),
        pg_text(t->upto ? t->last_tx : "0"),
        fleet_int(&id, t->upto ? t->last_id : 0),
        fleet_int(&most, EVENT_TAIL_ROWS),
    };
    t->state = LOOKING;
    t->looked_ms = clock_ms();
    t->looks->value++;
    t->look = pg_exec(t->f->pg, &events_since, params, LOOK_TIMEOUT_MS, PG_RETRY, on_looked, t);
}

static void on_due(struct deadline *due, uint64_t now_ms)
{
    struct event_tail *t = (struct event_tail *)((char *)due - offsetof(struct event_tail, due));
    if (t->f->stopped || !t->follower->is_wanted(t->follower->ctx)) {
        forget(t);
        return;
    }
    say_interest(t, now_ms);
    look(t);
}
