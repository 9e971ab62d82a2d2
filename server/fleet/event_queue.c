#include "fleet/event_queue.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/room.h"
#include "fleet/sql_array.h"
#include "fleet/utf8.h"

#define LINGER_MS 2 /* what comes within so long travels together */
#define VALUE_MAX 128

static const struct pg_statement store_events = {
    .name = "store_events",
    .sql = "SELECT place FROM store_events($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::bytea[], "
           "$6::integer[],"
           " $7::bigint[], $8::boolean[], $9::bigint[], $10::text[], $11::boolean[])",
    .params = 11,
};

struct queued_event {
    struct queued_event *prev, *next;
    device_done_fn *done;
    void *arg;
    uint64_t arrived_ms, received_wall_ms;
    struct device_id id;
    enum device_event_kind kind;
    bool quarantined, is_public, claimed;
    uint8_t key[16];
    uint16_t content_format;
    uint32_t ttl_s;
    size_t data_len;
    char name[DEVICE_EVENT_NAME_MAX + 1];
    uint8_t data[];
};

struct event_queue {
    struct fleet *f;
    struct queued_event *waiting, *batch; /* ours */
    size_t waiting_count, batch_count;
    size_t batch_limit; /* halved by a refusal, doubled by a success */
    struct deadline linger, hold;
    struct metric *stored, *busy, *rejected, *batches;
};

static void send_batch(struct event_queue *q);

/* As the function store_events calls them. */
static const char *kind_name(enum device_event_kind kind)
{
    switch (kind) {
    case DEVICE_EVENT_USER:
        return "user";
    case DEVICE_EVENT_CLAIM_CODE:
        return "claim_code";
    case DEVICE_EVENT_SAFE_MODE:
        return "safe_mode";
    case DEVICE_EVENT_LAST_RESET:
        return "last_reset";
    case DEVICE_EVENT_UPDATES_ENABLED:
        return "updates_enabled";
    case DEVICE_EVENT_UPDATES_FORCED:
        return "updates_forced";
    case DEVICE_EVENT_MAX_BINARY:
        return "max_binary";
    case DEVICE_EVENT_CHUNK_BYTES:
        return "chunk_bytes";
    case DEVICE_EVENT_CC3000_PATCH:
        return "cc3000_patch";
    case DEVICE_EVENT_IDENTITY:
        return "identity";
    case DEVICE_EVENT_KEY_ERROR:
        return "key_error";
    case DEVICE_EVENT_SYSTEM_OTHER:
        break;
    }
    return "system";
}

struct event_queue *event_queue_new(struct fleet *f, struct metrics *metrics)
{
    struct event_queue *q = mem_alloc(sizeof *q);
    const char *help = "events of devices by what became of them";
    q->f = f;
    q->batch_limit = EVENT_BATCH_MAX;
    q->stored = metrics_add(metrics, METRIC_COUNTER, "cyan_events_total", "result=\"stored\"", help);
    q->busy = metrics_add(metrics, METRIC_COUNTER, "cyan_events_total", "result=\"busy\"", help);
    q->rejected = metrics_add(metrics, METRIC_COUNTER, "cyan_events_total", "result=\"rejected\"", help);
    q->batches = metrics_add(metrics, METRIC_COUNTER, "cyan_event_batches_total", NULL,
                             "statements that carried events");
    return q;
}

static void free_list(struct queued_event *list)
{
    struct queued_event *e, *next;
    DL_FOREACH_SAFE (list, e, next)
        free(e);
}

void event_queue_free(struct event_queue *q)
{
    deadline_cancel(q->f->deadlines, &q->linger);
    deadline_cancel(q->f->deadlines, &q->hold);
    free_list(q->waiting);
    free_list(q->batch);
    free(q);
}

static void relay(struct event_queue *q, const struct queued_event *e)
{
    struct device_event event = {.kind = e->kind,
                                 .name = e->name,
                                 .data = e->data,
                                 .data_len = e->data_len,
                                 .content_format = e->content_format,
                                 .ttl_s = e->ttl_s,
                                 .is_public = e->is_public};
    relay_push(q->f->relay, &(struct relay_source){.device = &e->id}, &event);
}

/* Frees e, calls out last. */
static void finish(struct event_queue *q, struct queued_event *e, enum device_verdict verdict)
{
    device_done_fn *done = e->done;
    void *arg = e->arg;
    struct fleet *f = q->f;
    bool claimed = e->claimed && verdict == DEVICE_STORED;
    struct device_id id = e->id;
    struct metric *counter = verdict == DEVICE_STORED ? q->stored
                             : verdict == DEVICE_BUSY ? q->busy
                                                      : q->rejected;
    counter->value++;
    if (verdict == DEVICE_STORED && e->kind == DEVICE_EVENT_USER && !e->quarantined)
        relay(q, e);
    free(e);
    done(arg, verdict);
    if (claimed) /* device-protocol 4.10: tells the device to forget its code; the data does not matter, but
                    must be there */
        f->below.publish(f->devices, &id, "spark/device/claim/code", "claimed");
}

/* --- waiting --- */

static void on_linger(struct deadline *linger, uint64_t now_ms)
{
    (void)now_ms;
    send_batch((struct event_queue *)((char *)linger - offsetof(struct event_queue, linger)));
}

static void watch_oldest(struct event_queue *q);

static void on_hold(struct deadline *hold, uint64_t now_ms)
{
    struct event_queue *q = (struct event_queue *)((char *)hold - offsetof(struct event_queue, hold));
    struct queued_event *late = NULL;
    while (q->waiting && q->waiting->arrived_ms + q->f->settings.hold_ms <= now_ms) {
        struct queued_event *e = q->waiting;
        DL_DELETE(q->waiting, e);
        q->waiting_count--;
        DL_APPEND(late, e);
    }
    watch_oldest(q);
    while (late) {
        struct queued_event *e = late;
        DL_DELETE(late, e);
        finish(q, e, DEVICE_BUSY);
    }
}

static void watch_oldest(struct event_queue *q)
{
    if (q->waiting)
        deadline_set(q->f->deadlines, &q->hold, q->waiting->arrived_ms + q->f->settings.hold_ms, on_hold);
    else
        deadline_cancel(q->f->deadlines, &q->hold);
}

void event_queue_stop(struct event_queue *q)
{
    deadline_cancel(q->f->deadlines, &q->linger);
    deadline_cancel(q->f->deadlines, &q->hold);
    while (q->waiting) {
        struct queued_event *e = q->waiting;
        DL_DELETE(q->waiting, e);
        q->waiting_count--;
        finish(q, e, DEVICE_BUSY);
    }
}

bool event_queue_is_empty(const struct event_queue *q)
{
    return !q->waiting && !q->batch;
}

struct turned_away {
    device_done_fn *done;
    void *arg;
};

static void turn_away(void *ctx)
{
    struct turned_away t = *(struct turned_away *)ctx;
    free(ctx);
    t.done(t.arg, DEVICE_BUSY);
}

void event_queue_push(void *ctx, const struct device_facts *facts, const struct device_event *event,
                      device_done_fn *done, void *arg)
{
    struct fleet *f = ctx;
    struct event_queue *q = f->events;
    if (q->waiting_count >= EVENT_QUEUE_MAX || f->stopped) {
        struct turned_away *t = mem_alloc(sizeof *t);
        *t = (struct turned_away){.done = done, .arg = arg};
        q->busy->value++;
        later_push(&f->later, turn_away, t);
        return;
    }
    struct queued_event *e = mem_alloc(sizeof *e + event->data_len);
    e->done = done;
    e->arg = arg;
    e->arrived_ms = clock_ms();
    e->received_wall_ms = event->received_wall_ms;
    e->id = facts->id;
    e->kind = event->kind;
    e->quarantined = facts->quarantined;
    e->is_public = event->is_public;
    memcpy(e->key, event->key, sizeof e->key);
    e->content_format = event->content_format;
    e->ttl_s = event->ttl_s;
    e->data_len = event->data_len;
    utf8_clean(e->name, sizeof e->name, event->name, strlen(event->name));
    if (event->data_len)
        memcpy(e->data, event->data, event->data_len);
    DL_APPEND(q->waiting, e);
    if (q->waiting_count++ == 0)
        watch_oldest(q);
    if (!q->batch && !deadline_is_set(&q->linger))
        deadline_set(f->deadlines, &q->linger, e->arrived_ms + LINGER_MS, on_linger);
}

/* --- in flight --- */

static void put_back(struct event_queue *q)
{
    DL_CONCAT(q->batch, q->waiting);
    q->waiting = q->batch;
    q->waiting_count += q->batch_count;
    q->batch = NULL;
    q->batch_count = 0;
    watch_oldest(q);
}

static void mark_claimed(struct event_queue *q, const struct pg_result *result)
{
    for (int row = 0; row < pg_rows(result); row++) {
        int64_t place = 0, wanted = pg_int(result, row, 0);
        struct queued_event *e;
        DL_FOREACH (q->batch, e)
            if (++place == wanted)
                e->claimed = true;
    }
}

static void on_stored(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct event_queue *q = arg;
    if (err == PG_REFUSED)
        log_error("fleet.events_refused count=%zu sqlstate=%s", q->batch_count, pg_sqlstate(result));
    if (err == PG_REFUSED && q->batch_count > 1) {
        q->batch_limit = q->batch_count / 2;
        put_back(q);
        send_batch(q);
        return;
    }
    if (err == PG_OK)
        mark_claimed(q, result);
    if (q->batch_limit < EVENT_BATCH_MAX)
        q->batch_limit *= 2;
    enum device_verdict verdict = err == PG_OK        ? DEVICE_STORED
                                  : err == PG_REFUSED ? DEVICE_REJECTED
                                                      : DEVICE_BUSY;
    struct queued_event *ended = q->batch;
    q->batch = NULL;
    q->batch_count = 0;
    send_batch(q); /* before calling out: the next one is on its way meanwhile */
    while (ended) {
        struct queued_event *e = ended;
        DL_DELETE(ended, e);
        finish(q, e, verdict);
    }
}

static void add_row(struct sql_array *columns, const struct queued_event *e)
{
    char value[VALUE_MAX + 1];
    size_t value_len = e->data_len < VALUE_MAX ? e->data_len : VALUE_MAX;
    sql_array_bytes(&columns[0], e->key, sizeof e->key);
    sql_array_bytes(&columns[1], e->id.bytes, sizeof e->id.bytes);
    sql_array_text(&columns[2], kind_name(e->kind));
    sql_array_text(&columns[3], e->name);
    sql_array_bytes(&columns[4], e->data, e->data_len);
    sql_array_int(&columns[5], e->content_format);
    sql_array_int(&columns[6], e->ttl_s);
    sql_array_bool(&columns[7], e->is_public);
    sql_array_int(&columns[8], (int64_t)e->received_wall_ms);
    if (e->kind == DEVICE_EVENT_USER || e->kind == DEVICE_EVENT_CLAIM_CODE)
        sql_array_null(&columns[9]);
    else
        sql_array_text(&columns[9], utf8_clean(value, sizeof value, e->data, value_len));
    sql_array_bool(&columns[10], e->quarantined);
}

static void take_batch(struct event_queue *q)
{
    while (q->waiting && q->batch_count < q->batch_limit) {
        struct queued_event *e = q->waiting;
        DL_DELETE(q->waiting, e);
        q->waiting_count--;
        DL_APPEND(q->batch, e);
        q->batch_count++;
    }
    watch_oldest(q);
}

static void send_batch(struct event_queue *q)
{
    struct sql_array columns[11];
    struct pg_param params[11];
    deadline_cancel(q->f->deadlines, &q->linger);
    if (q->batch || !q->waiting)
        return;
    take_batch(q);
    for (size_t i = 0; i < 11; i++)
        sql_array_init(&columns[i]);
    const struct queued_event *e;
    DL_FOREACH (q->batch, e)
        add_row(columns, e);
    for (size_t i = 0; i < 11; i++)
        params[i] = pg_text(sql_array_end(&columns[i]));
    uint64_t waited_ms = clock_ms() - q->batch->arrived_ms, hold_ms = q->f->settings.hold_ms;
    uint32_t left_ms = waited_ms < hold_ms ? (uint32_t)(hold_ms - waited_ms) : 1;
    pg_exec(q->f->pg, &store_events, params, left_ms, PG_RETRY, on_stored, q);
    q->batches->value++;
    for (size_t i = 0; i < 11; i++)
        sql_array_deinit(&columns[i]);
}
