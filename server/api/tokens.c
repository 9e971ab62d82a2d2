/* /v1/access_tokens: which tokens there are, and the end of them. Tokens are kept hashed, so a list can only
 * show how each begins. */
#include "api/handlers.h"

#include <string.h>

#include "api/device_json.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/token.h"

static void respond_token_err(struct http_request *r, enum fleet_err err)
{
    if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, "token not found"); /* the words are the contract's (rest-api 1) */
    else if (err == FLEET_AWAY)
        respond_away(r);
    else if (err == FLEET_FORBIDDEN)
        respond_forbidden(r, NULL);
    else
        respond_fault(r);
}

/* Of a list that is separated by spaces. */
static json_t *scopes_json(const char *scopes)
{
    json_t *list = json_array();
    size_t len;

    for (; *(scopes += strspn(scopes, " ")) != '\0'; scopes += len) {
        len = strcspn(scopes, " ");
        (void)json_array_append_new(list, json_stringn(scopes, len));
    }
    return list;
}

static json_t *token_json(const struct fleet_token_row *row, const struct fleet_actor *actor)
{
    json_t *object = json_object();

    (void)json_object_set_new(object, "token", json_sprintf("%s...", row->prefix));
    (void)json_object_set_new(object, "expires_at", device_json_time(row->expires_ms));
    (void)json_object_set_new(object, "client", device_json_text(row->client));
    (void)json_object_set_new(object, "username", device_json_text(row->user));
    (void)json_object_set_new(object, "role", json_string(fleet_role_name(row->role)));
    (void)json_object_set_new(object, "created_at", device_json_time(row->created_ms));
    (void)json_object_set_new(object, "last_used_at", device_json_time(row->last_used_ms));
    if (row->scopes != NULL)
        (void)json_object_set_new(object, "scopes", scopes_json(row->scopes));
    (void)json_object_set_new(object, "current", json_boolean(row->id == actor->token_id));
    return object;
}

static void on_list(void *arg, enum fleet_err err, const struct fleet_token_row *rows, size_t count)
{
    struct http_request *r = arg;
    json_t *list;

    if (err != FLEET_OK) {
        respond_token_err(r, err);
        return;
    }
    list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, token_json(&rows[i], &r->actor));
    respond_json(r, 200, list);
}

void tokens_list(struct http_request *r)
{
    fleet_list_tokens(r->api->fleet, &r->actor, on_list, r);
}

static void on_list_for_current(void *arg, enum fleet_err err, const struct fleet_token_row *rows,
                                size_t count)
{
    struct http_request *r = arg;
    const struct fleet_token_row *row = NULL;

    if (err != FLEET_OK) {
        respond_token_err(r, err);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (rows[i].id == r->actor.token_id)
            row = &rows[i];
    }
    if (row == NULL) { /* revoked since it was checked */
        respond_bad_token(r);
        return;
    }
    respond_json(r, 200,
                 json_pack("{sososos[]ssss}", "expires_at", device_json_time(row->expires_ms), "client",
                           device_json_text(row->client), "scopes", scopes_json(r->actor.scopes), "orgs",
                           "username", r->actor.user_name, "role", fleet_role_name(r->actor.role)));
}

void tokens_read_current(struct http_request *r)
{
    fleet_list_tokens(r->api->fleet, &r->actor, on_list_for_current, r);
}

static void on_revoked(void *arg, enum fleet_err err, uint64_t revoked)
{
    struct http_request *r = arg;

    (void)revoked;
    if (err != FLEET_OK)
        respond_token_err(r, err);
    else
        respond_ok(r);
}

/* Of one token: one that was revoked before is not found. */
static void on_one_revoked(void *arg, enum fleet_err err, uint64_t revoked)
{
    on_revoked(arg, err == FLEET_OK && revoked == 0 ? FLEET_NOT_FOUND : err, revoked);
}

void tokens_revoke_current(struct http_request *r)
{
    fleet_revoke_token(r->api->fleet, r->token, on_one_revoked, r);
}

void tokens_revoke_all(struct http_request *r)
{
    fleet_revoke_all_tokens(r->api->fleet, &r->actor, on_revoked, r);
}

void tokens_revoke(struct http_request *r)
{
    const char *token = http_request_param(r, "token");

    if (strlen(token) > HTTP_REQUEST_TOKEN_MAX)
        respond_token_err(r, FLEET_NOT_FOUND);
    else
        fleet_revoke_token(r->api->fleet, token, on_one_revoked, r);
}
