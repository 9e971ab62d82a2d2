/* The devices of a campaign, what happens to them, and all of them in a file. */
#include "api/handlers.h"

#include <stdio.h>
#include <string.h>

#include "api/campaign_answer.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "base/mem.h"
#include "campaign/campaigns.h"

#define WAIT_MAX_S 25 /* below what proxies and clients wait for */
#define LINES_TYPE "application/x-ndjson; charset=utf-8"
#define CSV_TYPE "text/csv; charset=utf-8"
#define CSV_HEAD "id,name,stage,state,reason,sentence,attempts,started_at,ended_at\n"

void campaign_devices_list(struct http_request *r)
{
    struct campaign_filter filter = {.state = http_request_query(r, "state"),
                                     .reason = http_request_query(r, "reason")};

    if (campaign_answer_read_page(r, &filter))
        campaign_list_devices(r->api->campaigns, http_request_param(r, "campaign"), &filter,
                              campaign_answer_text, r);
}

/* --- events: lines of JSON; ?after=ID&wait_s=N waits for the next --- */

static void on_events(void *arg, enum fleet_err err, const char *text)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        campaign_answer_err(r, err);
    else
        respond_text(r, LINES_TYPE, mem_string(text), strlen(text));
}

void campaign_events_read(struct http_request *r)
{
    int64_t past = 0, wait_s = 0;

    if (campaign_answer_read_number(r, "after", INT64_MAX, &past) &&
        campaign_answer_read_number(r, "wait_s", WAIT_MAX_S, &wait_s))
        campaign_read_events(r->api->campaigns, http_request_param(r, "campaign"), past,
                             (uint32_t)wait_s * 1000, on_events, r);
}

/* --- export: a slice at a time; X-Next-After is where the next begins --- */

/* In the request's scratch memory. */
struct export
{
    bool as_csv, has_head;
};

static void on_slice(void *arg, enum fleet_err err, const char *lines, int64_t last)
{
    struct http_request *r = arg;
    const struct export *e = r->scratch;
    char next[24];

    if (err != FLEET_OK) {
        campaign_answer_err(r, err);
        return;
    }
    if (last > 0) {
        (void)snprintf(next, sizeof(next), "%lld", (long long)last);
        http_request_add_header(r, "X-Next-After", next);
    }
    char *text = mem_printf("%s%s", e->has_head ? CSV_HEAD : "", lines);
    respond_text(r, e->as_csv ? CSV_TYPE : LINES_TYPE, text, strlen(text));
}

void campaign_export_read(struct http_request *r)
{
    struct export *e = http_request_scratch(r, sizeof(*e));
    int64_t past = 0;

    e->as_csv = http_request_accepts(r, "text/csv");
    if (!campaign_answer_read_number(r, "after", INT64_MAX, &past))
        return;
    e->has_head = e->as_csv && past == 0;
    campaign_export(r->api->campaigns, http_request_param(r, "campaign"), past, e->as_csv, on_slice, r);
}
