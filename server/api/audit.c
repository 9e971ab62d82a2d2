/* /v1/audit: who changed what, and who was refused. */
#include "api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "api/http_request.h"
#include "api/query.h"
#include "api/respond.h"
#include "fleet/audit.h"

#define PER_PAGE_DEFAULT 100

static void on_read(void *arg, enum fleet_err err, const char *json)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_device_err(r, err, NULL);
    else
        respond_json_text(r, 200, json);
}

void audit_read(struct http_request *r)
{
    struct audit_filter filter = {.actor = http_request_query(r, "actor"),
                                  .target = http_request_query(r, "target"),
                                  .action = http_request_query(r, "action")};
    const char *before = http_request_query(r, "before");
    int per_page = PER_PAGE_DEFAULT;

    if (!query_number(r, "per_page", 1, AUDIT_PER_PAGE_MAX, &per_page))
        return;
    if (before != NULL) {
        if (*before == '\0' || strlen(before) > 18 || strspn(before, "0123456789") != strlen(before)) {
            respond_bad_field(r, "before", "must be the id that `next` told.");
            return;
        }
        filter.below = strtoll(before, NULL, 10);
    }
    filter.at_most = (uint32_t)per_page;
    fleet_read_audit(r->api->fleet, &filter, on_read, r);
}
