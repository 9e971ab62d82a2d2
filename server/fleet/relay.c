#include "fleet/relay.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fleet/relay_message.h"
#include "fleet/room.h"
#include "fleet/sql_array.h"
#include "store/nodes.h"

#define LOOK_UP_TIMEOUT_MS 5000 /* an event that comes later than that is of no use to a device */

static const struct pg_statement find_recipients = {
    .name = "find_recipients",
    .sql =
        "SELECT place, recipient FROM find_recipients($1::bytea[], $2::bigint[], $3::integer[], $4::text[],"
        " $5::integer[], $6::boolean[], $7::integer)",
    .params = 7,
};
enum { DEVICES, USERS, PRODUCTS, NAMES, FORMATS, PUBLICS, COLUMNS };

struct relayed {
    struct relayed *prev, *next;
    struct device_event event; /* its name and data are ours */
    struct device_id from;     /* valid when has_from */
    bool has_from;
    int64_t user_id;
    int32_t product_id; /* 0: none */
    char name[DEVICE_EVENT_NAME_MAX + 1];
    uint8_t data[];
};

struct relay {
    struct fleet *f;
    struct nodes *nodes;             /* borrowed, NULL without Redis */
    struct relayed *waiting, *batch; /* ours */
    size_t waiting_count;
    struct deadline due;
    struct device_id *elsewhere; /* ours: recipients of one event that are not here */
    size_t elsewhere_count;
    struct relay_heard *heard; /* ours: what another node says, read */
    struct metric *delivered, *dropped, *malformed;
};

struct relay *relay_new(struct fleet *f, struct metrics *metrics)
{
    struct relay *r = mem_alloc(sizeof *r);
    r->f = f;
    r->delivered = metrics_add(metrics, METRIC_COUNTER, "cyan_events_relayed_total", NULL,
                               "events sent to devices of this node that subscribed to them");
    r->dropped = metrics_add(metrics, METRIC_COUNTER, "cyan_events_dropped_total", NULL,
                             "events that a subscriber did not get: busy, or too much at once");
    r->malformed = metrics_add(metrics, METRIC_COUNTER, "cyan_node_messages_malformed_total", NULL,
                               "Messages of other nodes that could not be read.");
    return r;
}

static void free_list(struct relayed *list)
{
    struct relayed *e, *next;
    DL_FOREACH_SAFE (list, e, next)
        free(e);
}

void relay_stop(struct relay *r)
{
    deadline_cancel(r->f->deadlines, &r->due);
    r->dropped->value += r->waiting_count;
    free_list(r->waiting);
    r->waiting = NULL;
    r->waiting_count = 0;
}

void relay_free(struct relay *r)
{
    deadline_cancel(r->f->deadlines, &r->due);
    free_list(r->waiting);
    free_list(r->batch);
    free(r->elsewhere);
    free(r->heard);
    free(r);
}

static void count(struct relay *r, enum relay_delivery delivery)
{
    if (delivery == RELAY_DELIVERED)
        r->delivered->value++;
    else if (delivery == RELAY_LOST)
        r->dropped->value++;
}

/* --- recipients --- */

static void tell_others(struct relay *r, const struct device_event *event)
{
    for (size_t at = 0; at < r->elsewhere_count; at += RELAY_MESSAGE_IDS_MAX) {
        size_t left = r->elsewhere_count - at;
        size_t n = left < RELAY_MESSAGE_IDS_MAX ? left : RELAY_MESSAGE_IDS_MAX;
        char *text = relay_message(event, r->elsewhere + at, n);
        if (!nodes_send_all(r->nodes, NODES_EVENT, text, strlen(text)))
            r->dropped->value += n;
        free(text);
    }
    r->elsewhere_count = 0;
}

static void deliver(struct relay *r, const struct device_event *event, const struct device_id *id)
{
    enum relay_delivery delivery = r->f->below.deliver(r->f->devices, id, event);
    count(r, delivery);
    if (delivery != RELAY_NOT_HERE || !r->nodes)
        return;
    r->elsewhere = mem_grow(r->elsewhere, r->elsewhere_count + 1, sizeof *r->elsewhere);
    r->elsewhere[r->elsewhere_count++] = *id;
}

/* Rows come in the order of the batch. */
static void deliver_batch(struct relay *r, const struct pg_result *result)
{
    struct relayed *e;
    int row = 0, rows = pg_rows(result);
    int64_t place = 0;
    DL_FOREACH (r->batch, e) {
        place++;
        for (; row < rows && pg_int(result, row, 0) == place; row++) {
            struct device_id id;
            size_t id_len;
            if (pg_bytea(result, row, 1, &id, sizeof id, &id_len) && id_len == sizeof id)
                deliver(r, &e->event, &id);
        }
        if (r->elsewhere_count)
            tell_others(r, &e->event);
    }
    if (rows == RELAY_RECIPIENTS_MAX)
        r->dropped->value++; /* or more: they are not known */
    free(r->elsewhere);
    r->elsewhere = NULL;
}

static void look_up(struct relay *r);

static void on_found(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct relay *r = arg;
    struct relayed *e;
    size_t batch_count;
    if (fleet_err_of(err, result, "find_recipients") == FLEET_OK) {
        deliver_batch(r, result);
    } else {
        DL_COUNT(r->batch, e, batch_count);
        r->dropped->value += batch_count;
    }
    free_list(r->batch);
    r->batch = NULL;
    look_up(r);
}

static void add_row(struct sql_array *columns, const struct relayed *e)
{
    if (e->has_from) {
        sql_array_bytes(&columns[DEVICES], e->from.bytes, sizeof e->from.bytes);
        sql_array_null(&columns[USERS]);
    } else {
        sql_array_null(&columns[DEVICES]);
        sql_array_int(&columns[USERS], e->user_id);
    }
    if (e->product_id)
        sql_array_int(&columns[PRODUCTS], e->product_id);
    else
        sql_array_null(&columns[PRODUCTS]);
    sql_array_text(&columns[NAMES], e->event.name);
    sql_array_int(&columns[FORMATS], e->event.content_format);
    sql_array_bool(&columns[PUBLICS], e->event.is_public);
}

/* The next batch, when there is none under way. */
static void look_up(struct relay *r)
{
    struct sql_array columns[COLUMNS];
    struct pg_param params[COLUMNS + 1];
    struct fleet_number limit;
    if (r->batch || !r->waiting || r->f->stopped)
        return;
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_init(&columns[i]);
    for (size_t n = 0; r->waiting && n < RELAY_BATCH_MAX; n++) {
        struct relayed *e = r->waiting;
        DL_DELETE(r->waiting, e);
        r->waiting_count--;
        DL_APPEND(r->batch, e);
        add_row(columns, e);
    }
    for (size_t i = 0; i < COLUMNS; i++)
        params[i] = pg_text(sql_array_end(&columns[i]));
    params[COLUMNS] = fleet_int(&limit, RELAY_RECIPIENTS_MAX);
    pg_exec(r->f->pg, &find_recipients, params, LOOK_UP_TIMEOUT_MS, PG_RETRY, on_found, r);
    for (size_t i = 0; i < COLUMNS; i++)
        sql_array_deinit(&columns[i]);
}

static void on_due(struct deadline *due, uint64_t now_ms)
{
    (void)now_ms;
    look_up((struct relay *)((char *)due - offsetof(struct relay, due)));
}

void relay_push(struct relay *r, const struct relay_source *source, const struct device_event *event)
{
    if (r->waiting_count >= RELAY_QUEUE_MAX || r->f->stopped) {
        r->dropped->value++;
        return;
    }
    struct relayed *e = mem_alloc(sizeof *e + event->data_len);
    e->event = *event;
    snprintf(e->name, sizeof e->name, "%s", event->name);
    e->event.name = e->name;
    if (event->data_len)
        memcpy(e->data, event->data, event->data_len);
    e->event.data = e->data;
    e->has_from = source->device != NULL;
    if (source->device)
        e->from = *source->device;
    e->user_id = source->user_id;
    e->product_id = source->product_id;
    DL_APPEND(r->waiting, e);
    r->waiting_count++;
    if (!r->batch && !deadline_is_set(&r->due)) /* what is stored at once is looked up at once */
        deadline_set(r->f->deadlines, &r->due, clock_ms(), on_due);
}

/* --- events of other nodes --- */

static void on_event(void *ctx, uint32_t from, const uint8_t *data, size_t data_len)
{
    struct relay *r = ctx;
    (void)from;
    if (r->f->stopped)
        return;
    if (!r->heard)
        r->heard = mem_alloc(sizeof *r->heard);
    if (!relay_message_read(r->heard, data, data_len)) {
        r->malformed->value++;
        return;
    }
    for (size_t i = 0; i < r->heard->count; i++)
        count(r, r->f->below.deliver(r->f->devices, &r->heard->ids[i], &r->heard->event));
}

void relay_set_nodes(struct relay *r, struct nodes *nodes)
{
    r->nodes = nodes;
    nodes_on(nodes, NODES_EVENT, on_event, r);
}
