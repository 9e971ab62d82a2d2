#include "api/authenticate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/product_gate.h"
#include "api/respond.h"
#include "fleet/scope.h"
#include "fleet/sign_in.h"
#include "fleet/token.h"

/* What follows a Bearer scheme; NULL when it is another scheme or nothing follows. */
static const char *bearer(const char *authorization)
{
    if (authorization == NULL || strncasecmp(authorization, "Bearer", 6) != 0)
        return NULL;
    authorization += 6;
    if (*authorization != ' ' && *authorization != '\t')
        return NULL;
    authorization += strspn(authorization, " \t");
    return *authorization != '\0' ? authorization : NULL;
}

static enum token_found take(char token[HTTP_REQUEST_TOKEN_MAX + 1], const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;

    if (len == 0)
        return TOKEN_NONE;
    if (len > HTTP_REQUEST_TOKEN_MAX)
        return TOKEN_TOO_LONG;
    memcpy(token, text, len + 1);
    return TOKEN_FOUND;
}

enum token_found authenticate_extract(char token[HTTP_REQUEST_TOKEN_MAX + 1], const char *authorization,
                                      json_t *query, json_t *body)
{
    enum token_found found;

    token[0] = '\0';
    found = take(token, bearer(authorization));
    if (found == TOKEN_NONE)
        found = take(token, json_string_value(json_object_get(query, "access_token")));
    if (found == TOKEN_NONE)
        found = take(token, json_string_value(json_object_get(body, "access_token")));
    (void)json_object_del(query, "access_token");
    (void)json_object_del(body, "access_token");
    return found;
}

static bool may(enum fleet_role role, enum route_access access)
{
    switch (access) {
    case ROUTE_PUBLIC:
    case ROUTE_OWNER:
        return true;
    case ROUTE_OPERATOR:
        return role == FLEET_OPERATOR || role == FLEET_ADMIN;
    case ROUTE_ADMIN:
        break;
    }
    return role == FLEET_ADMIN;
}

/* What every token may: tell who it is, and end itself. */
static bool is_about_itself(const struct route *route)
{
    static const char *const scopes[] = {"user:get", "tokens.current:get", "tokens.current:revoke"};

    for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
        if (strcmp(route->scope, scopes[i]) == 0)
            return true;
    }
    return false;
}

bool authenticate_is_confined_elsewhere(const struct http_request *r)
{
    return r->actor.confined_to != 0 && r->product_id != r->actor.confined_to && r->route->scope != NULL &&
           !is_about_itself(r->route);
}

static bool has_scope(const struct http_request *r)
{
    return !r->actor.has_scopes || is_about_itself(r->route) ||
           scope_covers(r->actor.scopes, r->route->scope);
}

static void respond_missing_scope(struct http_request *r)
{
    char text[128];

    (void)snprintf(text, sizeof(text), "The token lacks the scope %s.", r->route->scope);
    respond_forbidden(r, text);
}

/* r->actor is proved. */
static void pass(struct http_request *r)
{
    uint64_t wait_ms;

    if (r->actor.token_id != 0 && !limits_take_token(r->api->limits, r->actor.token_id, &wait_ms))
        respond_too_many(r, wait_ms);
    else if (!may(r->actor.role, r->route->access))
        respond_forbidden(r, r->route->access == ROUTE_ADMIN ? "This needs the role admin."
                                                             : "This needs the role operator.");
    else if (!has_scope(r))
        respond_missing_scope(r);
    else
        product_gate_pass(r);
}

static void on_actor(void *arg, enum fleet_err err, const struct fleet_actor *actor)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    if (actor != NULL)
        r->actor = *actor; /* also of a dead token: the audit trail tells whose it was */
    if (err == FLEET_NOT_FOUND)
        respond_bad_token(r);
    else if (err != FLEET_OK)
        respond_device_err(r, err == FLEET_AWAY ? FLEET_AWAY : FLEET_FAULT, NULL);
    else
        pass(r);
}

/* --- a name and a password instead of a token --- */

static void on_signed_in(void *arg, enum sign_in result, const struct fleet_actor *actor, uint64_t wait_ms)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    if (result != SIGN_IN_OK) {
        respond_sign_in(r, result, wait_ms);
        return;
    }
    r->actor = *actor;
    pass(r);
}

/* Where tokens are managed (rest-api 1). False: no such credentials, or not here. */
static bool sign_in(struct http_request *r)
{
    char *name, *password;

    if (strncmp(r->route->scope, "tokens:", 7) != 0 || !http_request_basic(r, &name, &password))
        return false;
    if (http_request_take_login(r))
        fleet_sign_in(r->api->fleet, name, password, r->client.network_text, on_signed_in, r);
    http_request_basic_free(name, password);
    return true;
}

void authenticate_and_handle(struct http_request *r, enum token_found found)
{
    if (r->route->access == ROUTE_PUBLIC)
        http_request_allowed(r);
    else if (found == TOKEN_TOO_LONG)
        respond_bad_token(r);
    else if (found == TOKEN_FOUND)
        fleet_check_token(r->api->fleet, r->token, on_actor, r);
    else if (!sign_in(r))
        respond_no_token(r);
}
