/* GET /v1/devices: the fleet as the token's owner may see it, filtered, paged when asked. */
#include "api/handlers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/device_json.h"
#include "api/http_request.h"
#include "api/query.h"
#include "api/respond.h"
#include "base/clock.h"

#define UNPAGED_MAX 10000 /* devices; more take the loop longer than a device should wait */
#define PLATFORM_MAX 65535

/* Each reader returns false when it has answered 400. An absent parameter leaves the filter as it is. */
static bool read_tri(struct http_request *r, const char *name, enum fleet_tri *tri)
{
    const char *text = http_request_query(r, name);

    if (text == NULL)
        return true;
    if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0) {
        *tri = FLEET_YES;
        return true;
    }
    if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0) {
        *tri = FLEET_NO;
        return true;
    }
    respond_bad_field(r, name, "must be true or false.");
    return false;
}

static bool read_time(struct http_request *r, const char *name, uint64_t *wall_ms)
{
    const char *text = http_request_query(r, name);

    if (text == NULL || clock_parse(wall_ms, text))
        return true;
    respond_bad_field(r, name, "must be a time like 2014-07-02T23:15:00.409Z.");
    return false;
}

static bool read_name(struct http_request *r, struct fleet_filter *filter)
{
    filter->name = http_request_query(r, "name");
    if (filter->name == NULL || filter->name[0] != '\0')
        return true;
    respond_bad_field(r, "name", "must not be empty.");
    return false;
}

/* One page that holds the whole list unless a page or its size is asked for (rest-api 2). A list too long to
 * be put together without holding up the devices is refused. */
static bool read_page(struct http_request *r, struct fleet_filter *filter)
{
    int page = 0, per_page = 0;

    if (!query_number(r, "page", 1, QUERY_PAGE_MAX, &page) ||
        !query_number(r, "per_page", 1, QUERY_PER_PAGE_MAX, &per_page))
        return false;
    filter->page = page > 0 ? (uint32_t)page : 1;
    filter->per_page = per_page > 0 ? (uint32_t)per_page : page > 0 ? QUERY_PER_PAGE_DEFAULT : UNPAGED_MAX;
    return true;
}

static void on_devices(void *arg, enum fleet_err err, const struct fleet_device *rows, size_t count,
                       uint64_t total)
{
    struct http_request *r = arg;
    const struct fleet_filter *filter = r->scratch;
    char total_text[24];
    json_t *list;

    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    if (filter->per_page == UNPAGED_MAX && total > UNPAGED_MAX) {
        respond_error(r, 400,
                      "There are more devices than one answer holds: ask for them with page and per_page.");
        return;
    }
    list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, device_json_row(&rows[i]));
    if (total < (uint64_t)filter->page * filter->per_page +
                    FLEET_COUNT_MAX) { /* else it was not counted to the end */
        (void)snprintf(total_text, sizeof(total_text), "%llu", (unsigned long long)total);
        http_request_add_header(r, "X-Total-Count", total_text);
        http_request_add_header(r, "Access-Control-Expose-Headers", "X-Total-Count");
    }
    respond_json(r, 200, list);
}

void devices_list(struct http_request *r)
{
    struct fleet_filter *filter = http_request_scratch(r, sizeof(*filter));

    fleet_filter_init(filter);
    if (!read_tri(r, "requires_deep_update", &filter->requires_deep_update) ||
        !read_tri(r, "connected", &filter->connected) || !read_tri(r, "quarantined", &filter->quarantined) ||
        !query_number(r, "platform_id", 0, PLATFORM_MAX, &filter->platform_id) ||
        !query_number(r, "product_id", 0, PLATFORM_MAX, &filter->product_id) || !read_name(r, filter) ||
        !read_time(r, "last_heard_before", &filter->heard_before_ms) ||
        !read_time(r, "last_heard_after", &filter->heard_after_ms) || !read_page(r, filter))
        return;
    fleet_list_devices(r->api->fleet, &r->actor, filter, on_devices, r);
}
