/* /v1/integrations and, as older clients call them, /v1/webhooks; of a product too. */
#include "hook/hooks.h"

#include <string.h>

#include "api/handlers.h"
#include "api/http_request.h"
#include "api/respond.h"

#define NO_WEBHOOK "Webhook not found."

/* The older path, whose clients want {"ok":true} where the newer is content with 204 (rest-api tier 2). */
static bool is_old(const struct http_request *r)
{
    return strstr(r->route->pattern, "/webhooks") != NULL;
}

/* False when it was answered: a product that nobody has looked at. */
static bool read_place(struct http_request *r, struct hook_place *place)
{
    bool is_of_product = strstr(r->route->pattern, ":product") != NULL;

    *place = (struct hook_place){
        .actor = &r->actor, .product = r->product_id, .which = http_request_param(r, "integration")};
    if (!is_of_product || r->product_id > 0)
        return true;
    respond_error(r, 404, "Product not found");
    return false;
}

/* True: err is FLEET_OK. */
static bool respond_unless_ok(struct http_request *r, enum fleet_err err, const char *why)
{
    if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, NO_WEBHOOK);
    else if (err != FLEET_OK)
        respond_device_err(r, err, why);
    return err == FLEET_OK;
}

static void on_list(void *arg, enum fleet_err err, const char *json, const char *why)
{
    if (respond_unless_ok(arg, err, why))
        respond_json_text(arg, 200, json);
}

void webhooks_list(struct http_request *r)
{
    struct hook_place place;

    if (read_place(r, &place))
        hooks_list(r->api->hooks, &place, on_list, r);
}

static void on_read(void *arg, enum fleet_err err, const char *json, const char *why)
{
    struct http_request *r = arg;

    if (!http_request_continue(r) || !respond_unless_ok(r, err, why))
        return;
    json_t *webhook = json_loads(json, 0, NULL);
    must(webhook != NULL);
    respond_json(r, 200, json_pack("{so}", is_old(r) ? "webhook" : "integration", webhook));
}

void webhook_read(struct http_request *r)
{
    struct hook_place place;

    if (read_place(r, &place))
        hooks_get(r->api->hooks, &place, on_read, r);
}

static void on_created(void *arg, enum fleet_err err, const char *json, const char *why)
{
    if (err == FLEET_OK)
        respond_json_text(arg, 201, json);
    else
        respond_device_err(arg, err, why);
}

void webhook_create(struct http_request *r)
{
    struct hook_place place;

    if (!read_place(r, &place))
        return;
    const char *flaw = hooks_create(r->api->hooks, &place, r->body.fields, on_created, r);
    if (flaw != NULL)
        respond_error(r, 400, flaw);
}

static void on_deleted(void *arg, enum fleet_err err, const char *json, const char *why)
{
    struct http_request *r = arg;

    (void)json;
    if (!http_request_continue(r) || !respond_unless_ok(r, err, why))
        return;
    if (is_old(r))
        respond_ok(r);
    else
        respond_no_content(r);
}

void webhook_delete(struct http_request *r)
{
    struct hook_place place;

    if (read_place(r, &place))
        hooks_delete(r->api->hooks, &place, on_deleted, r);
}

static void on_done(void *arg, enum fleet_err err, const char *json, const char *why)
{
    (void)json;
    if (respond_unless_ok(arg, err, why))
        respond_ok(arg);
}

static void set_enabled(struct http_request *r, bool enabled)
{
    struct hook_place place;

    if (read_place(r, &place))
        hooks_set_enabled(r->api->hooks, &place, enabled, on_done, r);
}

void webhook_enable(struct http_request *r)
{
    set_enabled(r, true);
}

void webhook_disable(struct http_request *r)
{
    set_enabled(r, false);
}

/* Of what a webhook is, only whether it is disabled can be changed. */
void webhook_update(struct http_request *r)
{
    bool disabled = false;

    if (body_get_bool(&r->body, "disabled", &disabled) == FIELD_OK)
        set_enabled(r, !disabled);
    else
        respond_error(
            r, 400, "Only disabled can be changed. To change more, delete the webhook and make another one.");
}

void webhook_test(struct http_request *r)
{
    struct hook_place place;

    if (read_place(r, &place))
        hooks_test(r->api->hooks, &place, on_done, r);
}
