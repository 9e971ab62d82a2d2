/* /v1/campaigns: which there are, one of them, how far it is, and a new one. */
#include "api/handlers.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "api/campaign_answer.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "base/mem.h"
#include "campaign/campaigns.h"
#include "campaign/stage.h"
#include "fleet/selector.h"

#define NAME_MAX_BYTES 64
#define KEY_MAX_BYTES 255

/* --- reading --- */

void campaigns_list(struct http_request *r)
{
    struct campaign_filter filter = {.state = http_request_query(r, "state")};

    if (campaign_answer_read_page(r, &filter))
        campaign_list(r->api->campaigns, &filter, campaign_answer_text, r);
}

void campaigns_read(struct http_request *r)
{
    campaign_read(r->api->campaigns, http_request_param(r, "campaign"), campaign_answer_text, r);
}

void campaigns_progress(struct http_request *r)
{
    campaign_read_progress(r->api->campaigns, http_request_param(r, "campaign"), campaign_answer_text, r);
}

/* --- a new one --- */

static const char *const modes[] = {"soft", "forced", "consent", NULL};

/* What a wish is read into; ours until it is sent. */
struct wish {
    struct campaign_wish wish;
    char *release, *request;
    struct selector selector;
    json_t *stages, *limits;
};

static void wish_deinit(struct wish *w)
{
    free(w->release);
    free(w->request);
    selector_deinit(&w->selector);
    json_decref(w->stages);
    json_decref(w->limits);
}

static bool read_name(struct http_request *r, struct wish *w)
{
    const json_t *name = json_object_get(r->body.fields, "name");

    w->wish.name = json_string_value(name);
    if (w->wish.name != NULL && w->wish.name[0] != '\0' && json_string_length(name) <= NAME_MAX_BYTES &&
        strlen(w->wish.name) == json_string_length(name))
        return true;
    respond_bad_field(r, "name", "must be 1 to 64 bytes of text.");
    return false;
}

static bool read_release(struct http_request *r, struct wish *w)
{
    const json_t *release = json_object_get(r->body.fields, "release");

    if (json_is_string(release) && json_string_length(release) > 0 &&
        strlen(json_string_value(release)) == json_string_length(release))
        w->release = mem_string(json_string_value(release));
    else if (json_is_integer(release) && json_integer_value(release) > 0)
        w->release = mem_printf("%lld", (long long)json_integer_value(release));
    w->wish.release = w->release;
    if (w->release != NULL)
        return true;
    respond_bad_field(r, "release", "must be the id or the name of a published release.");
    return false;
}

static bool read_mode(struct http_request *r, struct wish *w)
{
    const json_t *mode = json_object_get(r->body.fields, "mode");
    const json_t *dynamic = json_object_get(r->body.fields, "dynamic");
    const char *const *known = modes;

    w->wish.mode = mode == NULL || json_is_null(mode) ? modes[0] : json_string_value(mode);
    while (w->wish.mode != NULL && *known != NULL && strcmp(*known, w->wish.mode) != 0)
        known++;
    if (w->wish.mode == NULL || *known == NULL) {
        respond_bad_field(r, "mode", "must be soft, forced or consent.");
        return false;
    }
    w->wish.dynamic = json_is_true(dynamic);
    if (dynamic == NULL || json_is_null(dynamic) || json_is_boolean(dynamic))
        return true;
    respond_bad_field(r, "dynamic", "must be true or false.");
    return false;
}

static bool read_selector(struct http_request *r, struct wish *w)
{
    char why[SELECTOR_WHY_SIZE];

    if (!selector_parse(&w->selector, json_object_get(r->body.fields, "selector"), why)) {
        w->selector.text = NULL;
        respond_error(r, 400, why);
        return false;
    }
    w->wish.selector = w->selector.text;
    return true;
}

static bool read_stages(struct http_request *r, struct wish *w)
{
    char why[STAGE_WHY_SIZE];

    w->stages = stages_check(json_object_get(r->body.fields, "stages"), why);
    if (w->stages != NULL)
        w->limits = limits_check(json_object_get(r->body.fields, "limits"), why);
    w->wish.stages = w->stages;
    w->wish.limits = w->limits;
    if (w->limits != NULL)
        return true;
    respond_error(r, 400, why);
    return false;
}

/* NULL in *key: there is none. */
static bool read_key(struct http_request *r, const char **key)
{
    *key = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Idempotency-Key");
    if (*key == NULL)
        return true;
    size_t key_len = strlen(*key);
    for (size_t i = 0; i < key_len; i++) {
        if ((*key)[i] < ' ' || (*key)[i] > '~')
            key_len = 0;
    }
    if (key_len > 0 && key_len <= KEY_MAX_BYTES)
        return true;
    respond_error(r, 400, "The Idempotency-Key must be 1 to 255 printable ASCII characters.");
    return false;
}

static void on_created(void *arg, enum fleet_err err, const struct campaign_outcome *outcome)
{
    campaign_answer_outcome(arg, err, outcome, 201);
}

void campaigns_create(struct http_request *r)
{
    struct wish w = {.wish = {.actor = &r->actor}};

    if (read_key(r, &w.wish.key) && read_name(r, &w) && read_release(r, &w) && read_mode(r, &w) &&
        read_selector(r, &w) && read_stages(r, &w)) {
        w.request = json_dumps(r->body.fields, JSON_COMPACT | JSON_SORT_KEYS);
        w.wish.request = w.request;
        campaign_create(r->api->campaigns, &w.wish, on_created, r);
    }
    wish_deinit(&w);
}
