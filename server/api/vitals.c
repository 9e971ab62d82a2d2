/* /v1/diagnostics/:device: what the device said of its health; and the question for it, whose answer is
 * stored when it comes. */
#include "api/handlers.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/device_json.h"
#include "api/reached.h"
#include "api/respond.h"
#include "base/clock.h"
#include "base/mem.h"
#include "fleet/device_vitals.h"
#include "fleet/vitals_tree.h"

#define CSV_TYPE "text/csv; charset=utf-8"
#define NO_VITALS "This device has not told its vitals yet."

/* --- the question --- */

static void on_described(void *arg, const struct device_answer *answer)
{
    (void)arg; /* whoever asked has been answered long since */
    (void)answer;
}

static void on_known(void *arg, enum fleet_err err, const struct fleet_device *device)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    if (!device->connected) {
        respond_error(r, 408, "Timed out.");
        return;
    }
    reach_ask(fleet_reach(r->api->fleet), &device->id,
              &(struct reach_question){
                  .kind = REACH_DESCRIBE, .timeout_ms = REACHED_TIMEOUT_MS, .part = DESCRIBE_METRICS},
              on_described, NULL);
    respond_json(r, 202, json_pack("{sb}", "ok", 1));
}

void vitals_update(struct http_request *r)
{
    fleet_get_device(r->api->fleet, &r->actor, http_request_device(r), on_known, r);
}

/* --- what was said --- */

static json_t *row_json(const struct device_id *id, const struct fleet_vitals *row)
{
    char text[DEVICE_ID_TEXT_SIZE];

    device_id_format(text, id);
    return json_pack("{sosssO}", "updated_at", device_json_time(row->at_ms), "deviceID", text, "payload",
                     row->payload);
}

static void on_last(void *arg, enum fleet_err err, const struct device_id *id,
                    const struct fleet_vitals *rows, size_t count)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_device_err(r, err, NULL);
    else if (count == 0)
        respond_error(r, 404, NO_VITALS);
    else
        respond_json_digits(r, 200, json_pack("{so}", "diagnostics", row_json(id, &rows[0])), 15);
}

static void ask(struct http_request *r, const struct fleet_vitals_query *query, fleet_vitals_fn *done)
{
    fleet_get_vitals(r->api->fleet, &r->actor, query, done, r);
}

void vitals_last(struct http_request *r)
{
    ask(r, &(struct fleet_vitals_query){.which = http_request_device(r), .only_last = true}, on_last);
}

/* --- as a table: a column for each place there is --- */

/* Text without quotes, commas and line ends: all of it is ours but the words of errors, which are numbers. */
static void print_cell(FILE *out, const json_t *value)
{
    const json_t *code = json_object_get(value, "err");

    if (json_is_string(value))
        (void)fputs(json_string_value(value), out);
    else if (json_is_integer(value))
        (void)fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        (void)fprintf(out, "%.15g", json_real_value(value));
    else if (code != NULL)
        (void)fprintf(out, "err:%" JSON_INTEGER_FORMAT, json_integer_value(code));
}

static void print_row(FILE *out, const struct fleet_vitals *row)
{
    char at[CLOCK_TEXT_SIZE];
    const char *place, *units;
    unsigned id;

    clock_format(at, row->at_ms);
    (void)fputs(at, out);
    for (size_t i = 0; (place = vitals_tree_place(i, &id, &units)) != NULL; i++) {
        (void)fputc(',', out);
        print_cell(out, vitals_tree_find(row->payload, place));
    }
    (void)fputs("\r\n", out);
}

static void respond_csv(struct http_request *r, const struct fleet_vitals *rows, size_t count)
{
    char *text = NULL;
    const char *place, *units;
    size_t text_len = 0;
    unsigned id;
    FILE *out = open_memstream(&text, &text_len);

    must(out != NULL);
    (void)fputs("updated_at", out);
    for (size_t i = 0; (place = vitals_tree_place(i, &id, &units)) != NULL; i++)
        (void)fprintf(out, ",%s", place);
    (void)fputs("\r\n", out);
    for (size_t i = 0; i < count; i++)
        print_row(out, &rows[i]);
    must(fclose(out) == 0);
    respond_text(r, CSV_TYPE, text, text_len);
}

static bool wants_csv(const struct http_request *r)
{
    const char *accept = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Accept");

    return accept != NULL && strstr(accept, "text/csv") != NULL;
}

static void on_history(void *arg, enum fleet_err err, const struct device_id *id,
                       const struct fleet_vitals *rows, size_t count)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    if (wants_csv(r)) {
        respond_csv(r, rows, count);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, row_json(id, &rows[i]));
    respond_json_digits(r, 200, json_pack("{so}", "diagnostics", list), 15);
}

/* Its shape is the contract's (rest-api 4). False when it was answered. */
static bool read_date(struct http_request *r, const char *name, uint64_t *wall_ms)
{
    const char *text = http_request_query(r, name);

    if (text == NULL || *text == '\0')
        return true;
    if (clock_parse(wall_ms, text) && *wall_ms > 0)
        return true;
    respond_json(r, 400,
                 json_pack("{sbssso}", "ok", 0, "error", "bad_request", "description",
                           json_sprintf("%s must be a time such as 2026-11-26T16:00:00Z.", name)));
    return false;
}

void vitals_history(struct http_request *r)
{
    struct fleet_vitals_query query = {.which = http_request_device(r)};

    if (!read_date(r, "start_date", &query.from_ms) || !read_date(r, "end_date", &query.to_ms))
        return;
    if (query.to_ms != 0 && query.from_ms > query.to_ms)
        respond_json(r, 400,
                     json_pack("{sbssss}", "ok", 0, "error", "bad_request", "description",
                               "start_date must not be later than end_date."));
    else
        ask(r, &query, on_history);
}

/* --- about it --- */

static void on_metadata(void *arg, enum fleet_err err, const struct device_id *id,
                        const struct fleet_vitals *rows, size_t count)
{
    struct http_request *r = arg;
    char text[DEVICE_ID_TEXT_SIZE];
    const char *place, *units;
    unsigned number;

    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; (place = vitals_tree_place(i, &number, &units)) != NULL; i++) {
        json_t *field = json_pack("{ss}", "path", place);
        if (number != 0)
            (void)json_object_set_new(field, "id", json_integer((json_int_t)number));
        if (units != NULL)
            (void)json_object_set_new(field, "units", json_string(units));
        (void)json_object_set_new(
            field, "told", json_boolean(count > 0 && vitals_tree_find(rows[0].payload, place) != NULL));
        (void)json_array_append_new(list, field);
    }
    device_id_format(text, id);
    respond_json(r, 200, json_pack("{s{ssso}}", "diagnostics_metadata", "deviceID", text, "fields", list));
}

void vitals_metadata(struct http_request *r)
{
    ask(r, &(struct fleet_vitals_query){.which = http_request_device(r), .only_last = true}, on_metadata);
}

static json_t *status_of(const struct fleet_vitals *newest)
{
    const json_t *status = vitals_tree_find(newest->payload, "service.device.status");

    return status != NULL ? json_deep_copy(status) : json_null();
}

static void on_summary(void *arg, enum fleet_err err, const struct device_id *id,
                       const struct fleet_vitals *rows, size_t count)
{
    struct http_request *r = arg;
    char text[DEVICE_ID_TEXT_SIZE];

    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    if (count == 0) {
        respond_error(r, 404, NO_VITALS);
        return;
    }
    device_id_format(text, id);
    respond_json(r, 200,
                 json_pack("{s{sssIsososo}}", "diagnostics_summary", "deviceID", text, "count",
                           (json_int_t)count, "first_at", device_json_time(rows[0].at_ms), "updated_at",
                           device_json_time(rows[count - 1].at_ms), "status", status_of(&rows[count - 1])));
}

void vitals_summary(struct http_request *r)
{
    ask(r, &(struct fleet_vitals_query){.which = http_request_device(r)}, on_summary);
}
