#include "api/authenticate.h"

#include <string.h>
#include <strings.h>

#include "api/product_gate.h"
#include "api/respond.h"
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

static void on_actor(void *arg, enum fleet_err err, const struct fleet_actor *actor)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    if (err == FLEET_NOT_FOUND) {
        respond_bad_token(r);
        return;
    }
    if (err != FLEET_OK) {
        respond_device_err(r, err == FLEET_AWAY ? FLEET_AWAY : FLEET_FAULT, NULL);
        return;
    }
    if (!may(actor->role, r->route->access)) {
        respond_forbidden(r, r->route->access == ROUTE_ADMIN ? "This needs the role admin."
                                                             : "This needs the role operator.");
        return;
    }
    r->actor = *actor;
    product_gate_pass(r);
}

void authenticate_and_handle(struct http_request *r, enum token_found found)
{
    if (r->route->access == ROUTE_PUBLIC)
        http_request_allowed(r);
    else if (found == TOKEN_NONE)
        respond_no_token(r);
    else if (found == TOKEN_TOO_LONG)
        respond_bad_token(r);
    else
        fleet_check_token(r->api->fleet, r->token, on_actor, r);
}
