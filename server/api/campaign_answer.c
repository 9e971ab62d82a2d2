#include "api/campaign_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_request.h"
#include "api/respond.h"
#include "base/mem.h"

#define PER_PAGE_DEFAULT 25
#define PER_PAGE_MAX 1000
#define PAGE_MAX 1000000

bool campaign_answer_read_number(struct http_request *r, const char *name, int64_t max, int64_t *number)
{
    const char *text = http_request_query(r, name);
    char what[64];

    if (text == NULL)
        return true;
    if (*text != '\0' && strlen(text) <= 18 && strspn(text, "0123456789") == strlen(text) &&
        strtoll(text, NULL, 10) <= max) {
        *number = strtoll(text, NULL, 10);
        return true;
    }
    (void)snprintf(what, sizeof(what), "must be a number up to %lld.", (long long)max);
    respond_bad_field(r, name, what);
    return false;
}

bool campaign_answer_read_page(struct http_request *r, struct campaign_filter *filter)
{
    int64_t page_number = 1, size = PER_PAGE_DEFAULT;

    if (!campaign_answer_read_number(r, "page", PAGE_MAX, &page_number) ||
        !campaign_answer_read_number(r, "per_page", PER_PAGE_MAX, &size))
        return false;
    if (page_number == 0 || size == 0) {
        respond_error(r, 400, "page and per_page begin at 1.");
        return false;
    }
    filter->page = (uint32_t)page_number;
    filter->per_page = (uint32_t)size;
    return true;
}

void campaign_answer_err(struct http_request *r, enum fleet_err err)
{
    if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, "There is no such campaign.");
    else
        respond_device_err(r, err, NULL);
}

void campaign_answer_text(void *arg, enum fleet_err err, const char *text)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        campaign_answer_err(r, err);
    else
        respond_json_text(r, 200, text);
}

/* --- outcomes --- */

/* What stands in the way, by the codes of migrations/0014. %s: the detail. */
static const struct {
    const char *code;
    unsigned status;
    const char *words;
} refusals[] = {
    {"stale", 409, "The campaign has changed: rev is not the current one."},
    {"state", 409, "A campaign that is %s does not take this."},
    {"stage", 404, "There is no such stage."},
    {"stage state", 409, "A stage that is %s does not take this."},
    {"own", 403, "A campaign is approved by somebody else than its author."},
    {"hash", 409, "This is not the plan that was meant: it was planned anew."},
    {"drift", 409, "The fleet has changed since the planning (%s devices): plan and approve it again."},
    {"rules", 409, "Rules have changed since the planning: plan and approve it again."},
    {"withdrawn", 409, "%s"},
    {"window", 409, "It is outside its window, which opens at %s."},
    {"wider", 400,
     "A stage is widened by percent or max_devices: to more than it has, and no more than the next one, "
     "which has not begun."},
    {"release", 400, "release must be the id or the name of a published release."},
    {"time zone", 400, "limits.window.tz %s is not a time zone."},
    {"name", 409, "Another campaign has this name."},
    {"key", 422, "This Idempotency-Key was used with another body."},
};

static void respond_refusal(struct http_request *r, const struct campaign_outcome *outcome)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (strcmp(refusals[i].code, outcome->code) != 0)
            continue;
        const char *place = strstr(refusals[i].words, "%s");
        char *text = place != NULL ? mem_printf("%.*s%s%s", (int)(place - refusals[i].words),
                                                refusals[i].words, outcome->detail, place + 2)
                                   : mem_string(refusals[i].words);
        json_t *body = json_pack("{sbssss}", "ok", 0, "error", text, "code", outcome->code);
        if (refusals[i].status == 409 && outcome->id > 0)
            (void)json_object_set_new(body, "rev", json_integer(outcome->rev));
        free(text);
        respond_json(r, refusals[i].status, body);
        return;
    }
    if (strcmp(outcome->code, "not found") == 0)
        campaign_answer_err(r, FLEET_NOT_FOUND);
    else
        respond_fault(r);
}

static void on_read(void *arg, enum fleet_err err, const char *text)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        campaign_answer_err(r, err);
    else
        respond_json_text(r, r->status, text);
}

void campaign_answer_outcome(struct http_request *r, enum fleet_err err,
                             const struct campaign_outcome *outcome, unsigned status)
{
    char id[24];

    if (!http_request_continue(r))
        return;
    if (err == FLEET_INVALID) {
        respond_error(r, 400, outcome->detail);
    } else if (err != FLEET_OK) {
        campaign_answer_err(r, err);
    } else if (strcmp(outcome->code, "ok") != 0) {
        respond_refusal(r, outcome);
    } else {
        r->status = status; /* of the answer to come */
        (void)snprintf(id, sizeof(id), "%lld", (long long)outcome->id);
        campaign_read(r->api->campaigns, id, on_read, r);
    }
}
