/* /v1/rules: transition rules: listed, made, changed, tried on the fleet without a change. */
#include "api/handlers.h"

#include <string.h>

#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/rules.h"

#define NO_RULE "There is no rule with this code."

static void on_rules(void *arg, enum fleet_err err, const json_t *rules)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_device_err(r, err, NULL);
    else
        respond_json(r, 200, json_pack("{s:O}", "rules", (json_t *)rules));
}

void rules_list(struct http_request *r)
{
    fleet_list_rules(r->api->fleet, on_rules, r);
}

/* A stale change is told what the rule is now, so that it can be made again. */
static void respond_rule(struct http_request *r, unsigned status, enum fleet_err err, const json_t *rule,
                         const char *why)
{
    if (err == FLEET_OK)
        respond_json(r, status, json_pack("{s:O}", "rule", (json_t *)rule));
    else if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, NO_RULE);
    else if (err == FLEET_CONFLICT && rule != NULL)
        respond_json(r, 409,
                     json_pack("{s:b,s:s,s:O,s:O}", "ok", 0, "error", why, "rev",
                               json_object_get(rule, "rev"), "rule", (json_t *)rule));
    else
        respond_device_err(r, err, why);
}

static void on_created(void *arg, enum fleet_err err, const json_t *rule, const char *why)
{
    respond_rule(arg, 201, err, rule, why);
}

static void on_changed(void *arg, enum fleet_err err, const json_t *rule, const char *why)
{
    respond_rule(arg, 200, err, rule, why);
}

/* False when that was answered. */
static bool check_fields(struct http_request *r)
{
    const char *flaw = r->body.is_form ? "A rule is sent as JSON." : fleet_rule_flaw(r->body.fields);

    if (flaw != NULL)
        respond_error(r, 400, flaw);
    return flaw == NULL;
}

void rules_create(struct http_request *r)
{
    if (!check_fields(r))
        return;
    fleet_create_rule(r->api->fleet, &r->actor, r->body.fields, on_created, r);
}

void rules_change(struct http_request *r)
{
    const char *code = http_request_param(r, "code"),
               *other = json_string_value(json_object_get(r->body.fields, "code"));
    const json_t *rev = json_object_get(r->body.fields, "rev");

    if (!check_fields(r))
        return;
    if (!json_is_integer(rev) || json_integer_value(rev) < 0 || json_integer_value(rev) > INT32_MAX) {
        respond_bad_field(r, "rev", "must be the number the rule had when it was read.");
        return;
    }
    if (other != NULL && strcmp(other, code) != 0) {
        respond_bad_field(r, "code", "cannot be changed: make another rule and disable this one.");
        return;
    }
    fleet_change_rule(r->api->fleet, &r->actor, code, r->body.fields, on_changed, r);
}

static void on_tested(void *arg, enum fleet_err err, json_t *result, const char *why)
{
    struct http_request *r = arg;

    if (err == FLEET_OK)
        respond_json(r, 200, json_incref(result));
    else if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, NO_RULE);
    else
        respond_device_err(r, err, why);
}

void rules_test(struct http_request *r)
{
    if (!check_fields(r))
        return;
    fleet_test_rule(r->api->fleet, http_request_param(r, "code"), r->body.fields, on_tested, r);
}
