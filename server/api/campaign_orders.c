/* POST /v1/campaigns/:campaign/...: what operators order: each with the rev they saw, and a reason if they
 * like. */
#include "api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "api/campaign_answer.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "base/device_id.h"
#include "campaign/campaigns.h"

#define REASON_MAX_BYTES 500
#define REASONS_MAX 32

/* False: answered with 400. The order borrows from the request. */
static bool read_order(struct http_request *r, struct campaign_order *order)
{
    enum field reason;

    *order = (struct campaign_order){.actor = &r->actor, .which = http_request_param(r, "campaign")};
    if (body_get_int(&r->body, "rev", &order->rev) != FIELD_OK || order->rev < 0 || order->rev > INT32_MAX) {
        respond_bad_field(r, "rev", "must be the rev of the campaign as you saw it.");
        return false;
    }
    reason = body_get_string(&r->body, "reason", &order->reason);
    if (reason == FIELD_WRONG || (order->reason != NULL && strlen(order->reason) > REASON_MAX_BYTES)) {
        respond_bad_field(r, "reason", "must be text of at most 500 bytes.");
        return false;
    }
    return true;
}

static void on_ordered(void *arg, enum fleet_err err, const struct campaign_outcome *outcome)
{
    campaign_answer_outcome(arg, err, outcome, 200);
}

/* --- words --- */

static void order_word(struct http_request *r, const char *word)
{
    struct campaign_order order;
    const char *hash = NULL;

    if (!read_order(r, &order))
        return;
    if (body_get_string(&r->body, "plan_hash", &hash) == FIELD_WRONG ||
        (hash != NULL && (strlen(hash) != 64 || strspn(hash, "0123456789abcdefABCDEF") != 64))) {
        respond_bad_field(r, "plan_hash", "must be 64 hex digits.");
        return;
    }
    campaign_act(r->api->campaigns, &order, word, hash, on_ordered, r);
}

void campaign_submit(struct http_request *r)
{
    order_word(r, "submit");
}

void campaign_approve(struct http_request *r)
{
    order_word(r, "approve");
}

void campaign_start(struct http_request *r)
{
    order_word(r, "start");
}

void campaign_pause(struct http_request *r)
{
    order_word(r, "pause");
}

void campaign_resume(struct http_request *r)
{
    order_word(r, "resume");
}

void campaign_abort(struct http_request *r)
{
    order_word(r, "abort");
}

void campaign_archive(struct http_request *r)
{
    order_word(r, "archive");
}

void campaign_plan_order(struct http_request *r)
{
    struct campaign_order order;

    if (read_order(r, &order))
        campaign_plan(r->api->campaigns, &order, on_ordered, r);
}

/* --- stages --- */

/* Which one; -1: no number of a stage. */
static int stage_of(const struct http_request *r)
{
    const char *text = http_request_param(r, "stage");

    if (*text == '\0' || strlen(text) > 3 || strspn(text, "0123456789") != strlen(text))
        return -1;
    return atoi(text); /* NOLINT(cert-err34-c): three digits */
}

static void order_stage(struct http_request *r, const char *word, double percent, int64_t max_devices)
{
    struct campaign_stage_order order = {
        .stage = stage_of(r), .word = word, .percent = percent, .max_devices = max_devices};

    if (order.stage < 0)
        respond_error(r, 404, "There is no such stage.");
    else if (read_order(r, &order.order))
        campaign_act_on_stage(r->api->campaigns, &order, on_ordered, r);
}

void campaign_stage_resume(struct http_request *r)
{
    order_stage(r, "resume", 0, 0);
}

void campaign_stage_skip(struct http_request *r)
{
    order_stage(r, "skip", 0, 0);
}

void campaign_stage_widen(struct http_request *r)
{
    const json_t *percent = json_object_get(r->body.fields, "percent");
    const json_t *devices = json_object_get(r->body.fields, "max_devices");
    double share = json_number_value(percent);
    json_int_t most = json_integer_value(devices);

    if (percent != NULL && !(json_is_number(percent) && share > 0 && share <= 100))
        respond_bad_field(r, "percent", "must be a number above 0, up to 100.");
    else if (devices != NULL && !(json_is_integer(devices) && most > 0 && most <= INT32_MAX))
        respond_bad_field(r, "max_devices", "must be a number of devices.");
    else
        order_stage(r, "widen", share, most);
}

/* --- devices --- */

/* A list of 1 to max words, each of which suits; false: answered with 400. */
static bool read_list(struct http_request *r, const char *name, size_t max, bool (*suits)(const char *text),
                      const char *what, const json_t **list)
{
    size_t i;
    json_t *one;

    *list = json_object_get(r->body.fields, name);
    bool fine = json_array_size(*list) >= 1 && json_array_size(*list) <= max;
    json_array_foreach (*list, i, one)
        fine = fine && json_is_string(one) && suits(json_string_value(one));
    if (!fine)
        respond_bad_field(r, name, what);
    return fine;
}

static bool is_reason(const char *text)
{
    return *text != '\0' && strlen(text) <= 32 && strspn(text, "abcdefghijklmnopqrstuvwxyz_") == strlen(text);
}

static bool is_device(const char *text)
{
    struct device_id id;

    return device_id_parse(&id, text, strlen(text));
}

void campaign_retry_order(struct http_request *r)
{
    struct campaign_order order;
    const json_t *reasons;

    if (read_order(r, &order) &&
        read_list(r, "reasons", REASONS_MAX, is_reason,
                  "must be a list of reasons, or of failed, lost, blocked.", &reasons))
        campaign_retry(r->api->campaigns, &order, reasons, on_ordered, r);
}

void campaign_exclude_order(struct http_request *r)
{
    struct campaign_order order;
    const json_t *devices;

    if (read_order(r, &order) && read_list(r, "devices", BODY_MAX_BYTES, is_device,
                                           "must be a list of device ids of 24 hex digits.", &devices))
        campaign_exclude(r->api->campaigns, &order, devices, on_ordered, r);
}
