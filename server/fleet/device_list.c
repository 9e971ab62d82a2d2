/* device_list.c: a page of a list of devices.
 *
 *   ASKED --begins where its walk is, or the list is short--> READING --> answered
 *         --jump into a list that is known to be long---------^   \--is longer than can be counted-->
 * MEASURING
 *                                                             ^-------------------------------------------/
 *
 * What fits is counted with the rows, in the same statement, up to COUNT_MAX devices. A longer list is
 * measured (device_places.h): once while who asks waits, later behind his back when it has become old. */
#include "fleet/device_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/device_row.h"

#define COUNT_MAX 5000
#define MEASURING_MAX 16 /* lists at a time */
#define CURSOR_SIZE (2 * (DEVICE_ID_BYTES + PLACES_KEY_SIZE) + 1)

struct wait {
    struct wait *prev, *next; /* while its list is being measured */
    struct device_lists *lists;
    fleet_devices_fn *done;
    void *arg;
    struct device_filter_params filter;
    enum fleet_order order;
    bool ascending, behind, exact; /* behind: begins at `place`; exact: counted with the rows */
    uint32_t page, per_page;
    struct place place;
    struct measured measured;
    char *list, *walk; /* ours */
    uint64_t first;    /* of the page, when it is jumped to */
};

struct measuring { /* a list on its way */
    struct measuring *prev, *next;
    struct device_lists *lists;
    char *list; /* ours */
    uint64_t begun_ms;
    struct wait *waits; /* ours */
};

struct device_lists {
    struct fleet *f; /* borrowed: owner of this */
    struct device_places *places;
    struct measuring *measuring;
    size_t measuring_count;
    bool said_refused; /* since none was being measured */
    struct metric *walked, *jumped, *measured, *refused;
};

struct device_lists *device_lists_new(struct fleet *f, struct metrics *metrics)
{
    struct device_lists *lists = mem_alloc(sizeof *lists);
    const char *name = "cyan_device_pages_total",
               *help = "pages of lists of devices, by how their beginning was found";
    lists->f = f;
    lists->places = device_places_new();
    lists->walked = metrics_add(metrics, METRIC_COUNTER, name, "begin=\"behind the last one\"", help);
    lists->jumped = metrics_add(metrics, METRIC_COUNTER, name, "begin=\"by number\"", help);
    lists->measured = metrics_add(metrics, METRIC_COUNTER, "cyan_device_lists_measured_total", NULL,
                                  "times a long list of devices was measured");
    lists->refused = metrics_add(metrics, METRIC_COUNTER, "cyan_device_lists_refused_total", NULL,
                                 "pages refused because too many long lists were being measured");
    return lists;
}

void device_lists_free(struct device_lists *lists)
{
    must(!lists->measuring); /* Postgres is closed: each has been called back */
    device_places_free(lists->places);
    free(lists);
}

/* --- answering --- */

static void answer(struct wait *w, enum fleet_err err, const struct fleet_page *page)
{
    fleet_devices_fn *done = w->done;
    void *arg = w->arg;
    free(w->list);
    free(w->walk);
    free(w);
    done(arg, err, page);
}

static void answer_empty(struct wait *w)
{
    struct fleet_page page = {.total = w->measured.total, .counted_ms = w->measured.at_wall_ms};
    answer(w, FLEET_OK, &page);
}

static void on_empty(void *ctx)
{
    answer_empty(ctx);
}

static void on_away(void *ctx)
{
    answer(ctx, FLEET_AWAY, NULL);
}

static void on_invalid(void *ctx)
{
    answer(ctx, FLEET_INVALID, NULL);
}

/* --- cursors: id and key in hex --- */

static void cursor_format(char out[CURSOR_SIZE], const struct place *place)
{
    hex_encode(out, place->id.bytes, DEVICE_ID_BYTES);
    hex_encode(out + 2 * DEVICE_ID_BYTES, place->key, strlen(place->key));
}

static bool cursor_parse(struct place *place, const char *text)
{
    size_t text_len = strlen(text), key_len = text_len / 2 - DEVICE_ID_BYTES;
    if (text_len % 2 || text_len < 2 * DEVICE_ID_BYTES || key_len >= PLACES_KEY_SIZE)
        return false;
    memset(place->key, 0, sizeof place->key);
    if (!hex_decode(place->id.bytes, DEVICE_ID_BYTES, text, 2 * DEVICE_ID_BYTES) ||
        !hex_decode(place->key, key_len, text + 2 * DEVICE_ID_BYTES, 2 * key_len))
        return false;
    for (size_t i = 0; i < key_len; i++)
        if (place->key[i] < ' ' || place->key[i] > '~')
            return false;
    return true;
}

/* --- measuring --- */

static void go_on(struct wait *w);

static bool place_read(struct place *place, const struct pg_result *result, int row, int key_column)
{
    size_t id_len;
    const char *key = pg_value(result, row, key_column);
    if (strlen(key) >= sizeof place->key)
        return false;
    (void)snprintf(place->key, sizeof place->key, "%s", key);
    return pg_bytea(result, row, key_column + 1, &place->id, sizeof place->id, &id_len) &&
           id_len == sizeof place->id;
}

static void keep_measured(struct measuring *m, const struct pg_result *result)
{
    int rows = pg_rows(result);
    uint64_t now_ms = clock_ms(), total = rows ? (uint64_t)pg_int(result, 0, 3) : 0;
    struct place *places = mem_array((size_t)rows + 1, sizeof *places);
    size_t count = 0;
    for (int i = 0; i < rows; i++)
        must(place_read(&places[count++], result, i, 1));
    device_places_measured(m->lists->places, m->list, total, places, count, PLACES_STRIDE,
                           now_ms - m->begun_ms, now_ms, clock_wall_ms());
    m->lists->measured->value++;
    free(places);
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macro */
static void on_measured(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct measuring *m = arg;
    struct wait *waits = m->waits, *w, *next;
    enum fleet_err ferr = fleet_err_of(err, result, "device_measure");
    DL_DELETE(m->lists->measuring, m);
    if (--m->lists->measuring_count == 0)
        m->lists->said_refused = false;
    if (ferr == FLEET_OK)
        keep_measured(m, result);
    free(m->list);
    free(m);
    DL_FOREACH_SAFE (waits, w, next) {
        if (ferr == FLEET_OK)
            go_on(w);
        else
            answer(w, ferr, NULL);
    }
}

static struct measuring *measuring_of(struct device_lists *lists, const char *list)
{
    struct measuring *m;
    DL_FOREACH (lists->measuring, m) {
        if (!strcmp(m->list, list))
            return m;
    }
    return NULL;
}

/* Unless that is under way. NULL: there are too many others. */
static struct measuring *measure(struct wait *w)
{
    struct device_lists *lists = w->lists;
    struct measuring *m = measuring_of(lists, w->list);
    struct fleet_number stride;
    struct pg_param params[DEVICE_LIST_MEASURE_PARAMS];
    if (m || lists->measuring_count >= MEASURING_MAX)
        return m;
    m = mem_alloc(sizeof *m);
    m->lists = lists;
    m->list = mem_string(w->list);
    m->begun_ms = clock_ms();
    DL_APPEND(lists->measuring, m);
    lists->measuring_count++;
    memcpy(params, w->filter.params, sizeof w->filter.params);
    params[DEVICE_FILTER_PARAMS] = fleet_int(&stride, PLACES_STRIDE);
    params[DEVICE_FILTER_PARAMS + 1] = pg_text(NULL);
    pg_exec(lists->f->bulk, device_list_measure(w->order, w->ascending), params,
            fleet_bulk_patience_ms(lists->f), PG_RETRY, on_measured, m);
    return m;
}

static void wait_for_measure(struct wait *w)
{
    struct measuring *m = measure(w);
    if (m) {
        DL_APPEND(m->waits, w);
        return;
    }
    w->lists->refused->value++;
    if (!w->lists->said_refused)
        log_warn("device_list.refused why=\"%d long lists are being measured\"", MEASURING_MAX);
    w->lists->said_refused = true;
    later_push(&w->lists->f->later, on_away, w);
}

/* --- reading --- */

static void note(struct wait *w, const struct place *last)
{
    device_places_note(w->lists->places, w->walk, w->page + 1, last, clock_ms());
}

static void read_rows(struct wait *w, const struct pg_result *result)
{
    size_t count = pg_is_null(result, 0, 1) ? 0 : (size_t)pg_rows(result);
    struct fleet_device *rows = mem_array(count + 1, sizeof *rows);
    char(*releases)[16] = mem_array(count + 1, sizeof *releases);
    char next[CURSOR_SIZE];
    struct fleet_page page = {.rows = rows,
                              .count = count,
                              .total = w->exact ? (uint64_t)pg_int(result, 0, 0) : w->measured.total,
                              .counted_ms = w->exact ? 0 : w->measured.at_wall_ms};
    for (size_t i = 0; i < count; i++) {
        device_row_read(&rows[i], result, (int)i, 2, releases[i]);
        device_row_read_product(&rows[i], result, (int)i, 2 + DEVICE_COLUMN_COUNT);
    }
    struct place last;
    if (count > 0) {
        must(place_read(&last, result, (int)count - 1, 1));
        note(w, &last);
        cursor_format(next, &last);
        page.next = count == w->per_page ? next : NULL;
    }
    answer(w, FLEET_OK, &page);
    free(rows);
    free(releases);
}

static void on_page(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct wait *w = arg;
    /* data exception: a cursor whose key is of another list */
    if (err == PG_REFUSED && w->behind && !strncmp(pg_sqlstate(result), "22", 2)) {
        answer(w, FLEET_INVALID, NULL);
        return;
    }
    enum fleet_err ferr = fleet_err_of(err, result, "device_list");
    if (ferr)
        answer(w, ferr, NULL);
    else if (!w->exact || pg_int(result, 0, 0) <= COUNT_MAX)
        read_rows(w, result);
    else
        wait_for_measure(w);
}

/* Parts of texts are looked for row by row, which others should not have to wait for. */
static struct pg *connections_for(const struct wait *w)
{
    const struct pg_param *params = w->filter.params;
    bool is_sought = params[11].value || params[12].value || params[13].value;
    return is_sought ? w->lists->f->bulk : w->lists->f->pg;
}

static void read_page(struct wait *w, const struct place *place, uint64_t pass_over, uint32_t count_max)
{
    struct fleet_number n[3];
    struct pg_param params[DEVICE_LIST_PARAMS], *own = params + DEVICE_FILTER_PARAMS;
    memcpy(params, w->filter.params, sizeof w->filter.params);
    own[0] = pg_text(place ? place->key : NULL);
    own[1] = place ? fleet_id(&place->id) : pg_text(NULL);
    bool beyond = w->exact && pass_over > COUNT_MAX; /* it is empty, or the list will be measured */
    own[2] = fleet_int(&n[0], beyond ? 0 : w->per_page);
    own[3] = fleet_int(&n[1], (int64_t)pass_over);
    own[4] = fleet_int(&n[2], count_max);
    pg_exec(connections_for(w), device_list_page(w->order, w->ascending), params,
            fleet_patience_ms(w->lists->f), PG_RETRY, on_page, w);
}

/* What is known of the list says how its page is read. */
static void go_on(struct wait *w)
{
    uint64_t left = w->first;
    const struct place *place = w->behind ? &w->place : NULL;
    w->exact = !device_places_look(w->lists->places, w->list, &w->measured, clock_ms()) ||
               w->measured.total <= COUNT_MAX;
    if (w->exact) {
        read_page(w, place, w->behind ? 0 : left, COUNT_MAX + 1);
        return;
    }
    if (w->measured.is_too_old) {
        wait_for_measure(w);
        return;
    }
    if (!w->measured.is_fresh)
        (void)measure(w);
    if (w->behind) {
        read_page(w, place, 0, 0);
        return;
    }
    place = device_places_jump(w->lists->places, w->list, w->first, &left);
    if (w->first >= w->measured.total)
        later_push(&w->lists->f->later, on_empty, w);
    else
        read_page(w, place, left, 0);
}

/* Where the page begins, when that is known. False: the cursor is none. */
static bool find_beginning(struct wait *w, const struct fleet_filter *filter)
{
    if (filter->cursor) {
        w->behind = true;
        return cursor_parse(&w->place, filter->cursor);
    }
    w->first = (uint64_t)(filter->page - 1) * filter->per_page;
    const struct place *place =
        filter->page > 1
            ? device_places_walked(w->lists->places, w->walk, filter->page, FLEET_WALK_MS, clock_ms())
            : NULL;
    if (place) {
        w->behind = true;
        w->place = *place;
    }
    return true;
}

void fleet_list_devices(struct fleet *f, const struct fleet_actor *actor, const struct fleet_filter *filter,
                        fleet_devices_fn *done, void *arg)
{
    struct wait *w = mem_alloc(sizeof *w);
    must(filter->page >= 1 && filter->per_page >= 1 && filter->per_page <= FLEET_PAGE_MAX);
    *w = (struct wait){.lists = f->lists,
                       .done = done,
                       .arg = arg,
                       .order = filter->order,
                       .ascending = filter->ascending,
                       .page = filter->page,
                       .per_page = filter->per_page};
    if (!device_filter_fill(&w->filter, actor, filter)) {
        later_push(&f->later, on_empty, w);
        return;
    }
    w->list = device_list_text(&w->filter, w->order, w->ascending);
    w->walk =
        mem_printf("%" PRId64 " %" PRId64 " %u %s", actor->user_id, actor->token_id, w->per_page, w->list);
    if (!find_beginning(w, filter)) {
        later_push(&f->later, on_invalid, w);
        return;
    }
    (w->behind ? f->lists->walked : f->lists->jumped)->value++;
    go_on(w);
}
