/* /v1/products/:product/team: people and API users that work on a product. */
#include "api/handlers.h"

#include <string.h>
#include <strings.h>

#include "api/respond.h"
#include "api/scope_list.h"
#include "fleet/team.h"

#define NAME_MAX_BYTES 64

static void respond_team_err(struct http_request *r, enum fleet_err err, const char *why)
{
    if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, why != NULL && why[0] != '\0' ? why : "There is no such user.");
    else if (err == FLEET_FORBIDDEN)
        respond_forbidden(r, why);
    else
        respond_device_err(r, err, why);
}

static void on_list(void *arg, enum fleet_err err, const char *json)
{
    struct http_request *r = arg;
    json_t *team;

    if (err != FLEET_OK) {
        respond_team_err(r, err, NULL);
        return;
    }
    team = json_loads(json, JSON_DECODE_ANY, NULL);
    must(team != NULL);
    respond_json(r, 200, json_pack("{sbso}", "ok", 1, "team", team));
}

void team_list(struct http_request *r)
{
    fleet_list_team(r->api->fleet, r->product_id, on_list, r);
}

static void on_changed(void *arg, enum fleet_err err, const char *why)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_team_err(r, err, why);
    else
        respond_ok(r);
}

/* Ours, and the names that dashboards use. */
static bool role_parse(bool *manages, const char *text)
{
    static const char *const managing[] = {"manage", "Developer", "Administrator"};
    static const char *const viewing[] = {"view", "View-only", "Support"};

    for (size_t i = 0; i < 3; i++) {
        if (strcasecmp(text, managing[i]) == 0 || strcasecmp(text, viewing[i]) == 0) {
            *manages = strcasecmp(text, managing[i]) == 0;
            return true;
        }
    }
    return false;
}

static void add_member(struct http_request *r, const char *username)
{
    const char *role = NULL;
    bool manages = true;
    enum field kind = body_get_string(&r->body, "role", &role);

    if (kind == FIELD_WRONG || (kind == FIELD_OK && !role_parse(&manages, role))) {
        respond_bad_field(r, "role", "must be manage or view.");
        return;
    }
    fleet_add_member(r->api->fleet, &r->actor, r->product_id, username, manages, on_changed, r);
}

static void on_api_user(void *arg, enum fleet_err err, const struct api_user *user, const char *why)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_team_err(r, err, why);
    else
        respond_json(r, 201,
                     json_pack("{sbs{sssbs[{ss}]}}", "ok", 1, "created", "username", user->username,
                               "is_programmatic", 1, "tokens", "token", user->token));
}

static void add_api_user(struct http_request *r, const char *friendly_name)
{
    char scopes[FLEET_SCOPES_SIZE];
    enum field kind;

    if (friendly_name[0] == '\0' || strlen(friendly_name) > NAME_MAX_BYTES) {
        respond_bad_field(r, "friendly_name", "must be 1 to 64 bytes of text.");
        return;
    }
    kind = scope_list_read(r, "scopes", scopes);
    if (kind == FIELD_WRONG)
        return;
    if (kind == FIELD_ABSENT)
        respond_bad_field(r, "scopes", "must name at least one scope.");
    else
        fleet_add_api_user(r->api->fleet, &r->actor, r->product_id, friendly_name, scopes, on_api_user, r);
}

void team_add(struct http_request *r)
{
    const char *text = NULL;

    if (body_get_string(&r->body, "friendly_name", &text) == FIELD_OK)
        add_api_user(r, text);
    else if (body_get_string(&r->body, "username", &text) == FIELD_OK)
        add_member(r, text);
    else
        respond_error(r, 400, "username, or friendly_name and scopes, are needed.");
}

void team_remove(struct http_request *r)
{
    fleet_remove_member(r->api->fleet, &r->actor, r->product_id, http_request_param(r, "username"),
                        on_changed, r);
}
