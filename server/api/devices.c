/* GET /v1/devices and GET /v1/products/:product/devices: the fleet as who asks may see it, filtered, in
 * pages, whole, or as CSV. */
#include "api/handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/device_export.h"
#include "api/device_json.h"
#include "api/http_request.h"
#include "api/query.h"
#include "api/respond.h"
#include "base/clock.h"
#include "fleet/device_filter.h"

#define JSON_TYPE "application/json; charset=utf-8"

/* Each reader returns false when it has answered 400. */
static bool read_filter(struct http_request *r, struct fleet_filter *filter)
{
    char why[DEVICE_FILTER_WHY_SIZE];

    fleet_filter_init(filter);
    if (device_filter_read(filter, r->query, why))
        return true;
    respond_error(r, 400, why);
    return false;
}

/* paged: whether it is asked for in pages at all. */
static bool read_page(struct http_request *r, struct fleet_filter *filter, bool *paged)
{
    int page = 0, per_page = 0;

    if (!query_number(r, "page", 1, QUERY_PAGE_MAX, &page) ||
        !query_number(r, "perPage", 1, QUERY_PER_PAGE_MAX, &per_page) ||
        !query_number(r, "per_page", 1, QUERY_PER_PAGE_MAX, &per_page))
        return false;
    filter->cursor = http_request_query(r, "cursor");
    filter->page = page > 0 ? (uint32_t)page : 1;
    filter->per_page = per_page > 0 ? (uint32_t)per_page : QUERY_PER_PAGE_DEFAULT;
    *paged = page > 0 || per_page > 0 || filter->cursor != NULL;
    return true;
}

static const struct {
    const char *name;
    enum fleet_order order;
} orders[] = {{"deviceId", FLEET_BY_ID},
              {"deviceName", FLEET_BY_NAME},
              {"firmwareVersion", FLEET_BY_VERSION},
              {"lastConnection", FLEET_BY_HANDSHAKE},
              {"lastHeard", FLEET_BY_HEARD}};

static bool read_order(struct http_request *r, struct fleet_filter *filter)
{
    const char *attribute = http_request_query(r, "sortAttr"), *direction = http_request_query(r, "sortDir");
    size_t count = sizeof(orders) / sizeof(orders[0]), i = 0;

    if (direction != NULL && strcmp(direction, "asc") != 0 && strcmp(direction, "desc") != 0) {
        respond_bad_field(r, "sortDir", "must be asc or desc.");
        return false;
    }
    filter->ascending = direction != NULL && direction[0] == 'a';
    if (attribute == NULL)
        return true;
    while (i < count && strcmp(attribute, orders[i].name) != 0)
        i++;
    if (i == count) {
        respond_bad_field(r, "sortAttr",
                          "must be deviceId, deviceName, firmwareVersion, lastConnection or lastHeard.");
        return false;
    }
    filter->order = orders[i].order;
    return true;
}

/* --- a page --- */

static json_t *rows_of(const struct fleet_page *page)
{
    json_t *list = json_array();

    for (size_t i = 0; i < page->count; i++)
        (void)json_array_append_new(list, device_json_row(&page->rows[i]));
    return list;
}

/* What the whole took, and what a bare array has no room for. */
static void add_headers(struct http_request *r, const struct fleet_page *page)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)page->total);
    http_request_add_header(r, "X-Total-Count", text);
    if (page->counted_ms > 0) {
        clock_format(text, page->counted_ms);
        http_request_add_header(r, "X-Total-Count-At", text);
    }
    if (page->next != NULL)
        http_request_add_header(r, "X-Next-Cursor", page->next);
    http_request_add_header(r, "Access-Control-Expose-Headers",
                            "X-Total-Count, X-Total-Count-At, X-Next-Cursor, Server-Timing");
}

static void answer_page(struct http_request *r, const struct fleet_page *page, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT), took[48];

    must(text != NULL);
    json_decref(body);
    add_headers(r, page);
    (void)snprintf(took, sizeof(took), "list;dur=%.3f", (double)(uv_hrtime() - r->started_ns) / 1e6);
    http_request_add_header(r, "Server-Timing", took);
    http_request_answer(r, 200, JSON_TYPE, text, strlen(text));
}

static void respond_list_err(struct http_request *r, enum fleet_err err)
{
    if (err == FLEET_INVALID)
        respond_bad_field(r, "cursor", "must be that of a page of the same list.");
    else
        respond_device_err(r, err, NULL);
}

static void on_devices(void *arg, enum fleet_err err, const struct fleet_page *page)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    if (err != FLEET_OK)
        respond_list_err(r, err);
    else
        answer_page(r, page, rows_of(page));
}

void devices_list(struct http_request *r)
{
    struct fleet_filter filter;
    bool paged, as_csv = http_request_accepts(r, "text/csv");

    if (!read_filter(r, &filter) || !read_page(r, &filter, &paged))
        return;
    if (device_filter_is_prefix(&filter)) { /* such names lie side by side */
        filter.order = FLEET_BY_NAME;
        filter.ascending = true;
    }
    if (as_csv || !paged)
        device_export_answer(r, &filter, as_csv);
    else
        fleet_list_devices(r->api->fleet, &r->actor, &filter, on_devices, r);
}

/* --- of a product --- */

struct shown { /* in the request's scratch memory */
    uint32_t page, per_page;
};

static void on_product_devices(void *arg, enum fleet_err err, const struct fleet_page *page)
{
    struct http_request *r = arg;
    char counted[CLOCK_TEXT_SIZE];

    if (!http_request_continue(r))
        return;
    if (err != FLEET_OK) {
        respond_list_err(r, err);
        return;
    }
    const struct shown *shown = r->scratch;
    json_t *meta = query_meta(shown->page, shown->per_page, page->total);
    if (page->counted_ms > 0) {
        clock_format(counted, page->counted_ms);
        (void)json_object_set_new(meta, "counted_at", json_string(counted));
    }
    if (page->next != NULL)
        (void)json_object_set_new(meta, "next_cursor", json_string(page->next));
    answer_page(r, page, json_pack("{s:o,s:[],s:o}", "devices", rows_of(page), "customers", "meta", meta));
}

void devices_of_product_list(struct http_request *r)
{
    struct fleet_filter filter;
    bool paged;

    if (!read_filter(r, &filter) || !read_page(r, &filter, &paged) || !read_order(r, &filter))
        return;
    must(r->product_id > 0); /* the gate was passed */
    device_filter_of_product(&filter, r->product_id);
    if (http_request_accepts(r, "text/csv")) {
        device_export_answer(r, &filter, true);
        return;
    }
    struct shown *shown = http_request_scratch(r, sizeof(*shown));
    *shown = (struct shown){.page = filter.page, .per_page = filter.per_page};
    fleet_list_devices(r->api->fleet, &r->actor, &filter, on_product_devices, r);
}
