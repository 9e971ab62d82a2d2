#include "api/device_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/csv.h"
#include "api/device_csv.h"
#include "api/device_json.h"
#include "api/http_request.h"
#include "api/http_stream.h"
#include "api/respond.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"

#define JSON_TYPE "application/json; charset=utf-8"

struct export
{
    struct http_request *r;       /* until the stream is there */
    struct device_export *source; /* ours */
    struct http_stream *stream;   /* NULL until the first slice has come */
    bool as_csv, has_rows;
};

static void export_free(void *ctx)
{
    struct export *e = ctx;

    fleet_export_free(e->source);
    free(e);
}

/* --- pieces --- */

static void print_json(struct export *e, FILE *out, const struct fleet_device *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *row = device_json_row(&rows[i]);
        (void)fputs(e->has_rows ? ",\n" : "[", out);
        must(json_dumpf(row, out, JSON_COMPACT) == 0);
        json_decref(row);
        e->has_rows = true;
    }
}

static void print_csv(struct export *e, FILE *out, const struct fleet_device *rows, size_t count)
{
    if (e->stream == NULL)
        device_csv_head(out);
    for (size_t i = 0; i < count; i++)
        device_csv_row(out, &rows[i]);
}

static char *print(struct export *e, const struct fleet_device *rows, size_t count, bool last,
                   size_t *text_len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, text_len);

    must(out != NULL);
    if (e->as_csv)
        print_csv(e, out, rows, count);
    else
        print_json(e, out, rows, count);
    if (last && !e->as_csv)
        (void)fputs(e->has_rows ? "]" : "[]", out);
    must(fclose(out) == 0);
    return text;
}

/* --- slices --- */

static void on_pull(void *ctx);

static void on_slice(void *arg, enum fleet_err err, const struct fleet_device *rows, size_t count, bool last)
{
    struct export *e = arg;
    size_t text_len;

    if (err != FLEET_OK) { /* half of it is sent: only its end can tell */
        log_warn("http.cut why=store_away");
        http_stream_cut(e->stream);
        return;
    }
    char *text = print(e, rows, count, last, &text_len);
    http_stream_push(e->stream, text, text_len);
    if (last)
        http_stream_end(e->stream);
}

static void on_pull(void *ctx)
{
    struct export *e = ctx;

    fleet_export_next(e->source, on_slice, e);
}

static void add_total(struct http_request *r, int64_t total)
{
    char text[24];

    if (total < 0)
        return;
    (void)snprintf(text, sizeof(text), "%lld", (long long)total);
    http_request_add_header(r, "X-Total-Count", text);
    http_request_add_header(r, "Access-Control-Expose-Headers", "X-Total-Count");
}

/* Whatever goes wrong can still be told. */
static void on_first(void *arg, enum fleet_err err, const struct fleet_device *rows, size_t count, bool last)
{
    struct export *e = arg;
    struct http_request *r = e->r;
    struct http_stream_feed feed = {.pull = on_pull, .closed = export_free, .ctx = e};
    const char *type = e->as_csv ? CSV_TYPE : JSON_TYPE;
    size_t text_len;

    if (!http_request_continue(r)) {
        export_free(e);
        return;
    }
    if (err != FLEET_OK) {
        export_free(e);
        respond_device_err(r, err, NULL);
        return;
    }
    char *text = print(e, rows, count, last, &text_len);
    add_total(r, fleet_export_total(e->source));
    if (e->as_csv)
        http_request_add_header(r, "Content-Disposition", "attachment; filename=\"devices.csv\"");
    if (last) {
        export_free(e);
        http_request_answer(r, 200, type, text, text_len);
    } else {
        e->stream = http_stream_start(r, type, &feed, text, text_len);
    }
}

void device_export_answer(struct http_request *r, const struct fleet_filter *filter, bool as_csv)
{
    struct export *e = mem_alloc(sizeof(*e));

    e->r = r;
    e->as_csv = as_csv;
    e->source = fleet_export_devices(r->api->fleet, &r->actor, filter);
    fleet_export_next(e->source, on_first, e);
}
