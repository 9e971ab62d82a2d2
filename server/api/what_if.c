/* POST /v1/what_if {release, rules, selector}: what a campaign to a release would do, under other rules too.
 * Nothing is written. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/planner.h"
#include "fleet/rules.h"

#define RULES_MAX 64

static void on_classes(void *arg, enum fleet_err err, const struct planner_answer *classes, size_t count,
                       uint64_t total, const char *why)
{
    struct http_request *r = arg;

    if (err == FLEET_OK)
        respond_json(r, 200, json_pack("{s:o}", "what_if", planner_summary_json(classes, count, total)));
    else if (err == FLEET_NOT_FOUND && why[0] != '\0')
        respond_error(r, 404, why);
    else
        respond_device_err(r, err, why);
}

/* id or name, as a text that outlives the request. False when that was answered. */
static bool read_release(struct http_request *r, char number[24], const char **release)
{
    const json_t *value = json_object_get(r->body.fields, "release");

    *release = json_string_value(value);
    if (json_is_integer(value) && json_integer_value(value) > 0) {
        (void)snprintf(number, 24, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        *release = number;
    }
    if (*release != NULL && (*release)[0] != '\0')
        return true;
    respond_bad_field(r, "release", "must name a release, or be its id.");
    return false;
}

static bool check_rules(struct http_request *r, const json_t *rules)
{
    json_t *rule;
    size_t i;

    if (rules == NULL)
        return true;
    if (!json_is_array(rules) || json_array_size(rules) > RULES_MAX) {
        respond_bad_field(r, "rules", "must be a list of at most 64 rules.");
        return false;
    }
    json_array_foreach ((json_t *)rules, i, rule) {
        const char *flaw =
            json_is_object(rule) ? fleet_rule_flaw(rule) : "Each of `rules` must be an object.";
        if (flaw == NULL && !json_is_string(json_object_get(rule, "code")))
            flaw = "Each of `rules` must have a code: of the rule it changes, or a new one.";
        if (flaw != NULL) {
            respond_error(r, 400, flaw);
            return false;
        }
    }
    return true;
}

static bool check_keys(struct http_request *r)
{
    const char *key;
    json_t *value;

    json_object_foreach (r->body.fields, key, value)
        if (strcmp(key, "release") != 0 && strcmp(key, "rules") != 0 && strcmp(key, "selector") != 0) {
            respond_error(r, 400, "A question has release, selector and rules, and nothing else.");
            return false;
        }
    return true;
}

void what_if_ask(struct http_request *r)
{
    const json_t *rules = json_object_get(r->body.fields, "rules");
    char number[24], why[SELECTOR_WHY_SIZE];
    const char *release;
    struct selector selector;

    if (!check_keys(r) || !read_release(r, number, &release) || !check_rules(r, rules))
        return;
    if (!selector_parse(&selector, json_object_get(r->body.fields, "selector"), why)) {
        respond_error(r, 400, why);
        return;
    }
    planner_classes(r->api->fleet, &selector, release, rules, on_classes, r);
    selector_deinit(&selector);
}
