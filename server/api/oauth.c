/* /oauth/token: a token for a name and password, for a client with its secret, or for a refresh token (RFC
 * 6749, as rest-api 1 wants it). */
#include "api/handlers.h"

#include <string.h>

#include "api/http_request.h"
#include "api/refused.h"
#include "api/respond.h"
#include "base/clock.h"
#include "fleet/grant.h"
#include "fleet/scope.h"
#include "fleet/sign_in.h"

#define UNKNOWN_CLIENT "Client credentials are invalid"

/* Texts are the body's, or ours when the header of Basic brought them. */
struct asked {
    struct grant_wish wish;
    const char *client_id, *client_secret; /* NULL: not told */
    bool is_client;                        /* it asks for itself */
};

static void respond_oauth(struct http_request *r, const char *error, const char *description)
{
    respond_json(r, 400, json_pack("{sbssss}", "ok", 0, "error", error, "error_description", description));
}

static void on_granted(void *arg, enum fleet_err err, const struct granted *granted)
{
    struct http_request *r = arg;
    const struct asked *asked = r->scratch;

    if (!http_request_continue(r))
        return;
    if (err == FLEET_AWAY)
        respond_away(r);
    else if (err == FLEET_NOT_FOUND && asked->is_client)
        respond_oauth(r, "invalid_client", UNKNOWN_CLIENT);
    else if (err == FLEET_NOT_FOUND)
        respond_oauth(r, "invalid_grant", "The refresh token is invalid");
    else if (err != FLEET_OK)
        respond_fault(r);
    else
        respond_json(r, 200,
                     json_pack("{sssssIss}", "access_token", granted->access_token, "token_type", "bearer",
                               "expires_in", (json_int_t)asked->wish.expires_s, "refresh_token",
                               granted->refresh_token));
}

static void on_signed_in(void *arg, enum sign_in result, const struct fleet_actor *actor, uint64_t wait_ms)
{
    struct http_request *r = arg;
    const struct asked *asked;

    if (!http_request_continue(r))
        return;
    asked = r->scratch;
    if (result != SIGN_IN_OK)
        respond_sign_in(r, result, wait_ms);
    else
        fleet_grant_token(r->api->fleet, actor, &asked->wish, on_granted, r);
}

static const char *text_of(const struct http_request *r, const char *name)
{
    const char *text = NULL;

    return body_get_string(&r->body, name, &text) == FIELD_OK ? text : NULL;
}

/* False: it is answered. */
static bool read_expiry(struct http_request *r, uint64_t *expires_s)
{
    int64_t seconds = 0;
    uint64_t at_ms = 0, now_ms = clock_wall_ms();
    const char *at = text_of(r, "expires_at");
    enum field kind = body_get_int(&r->body, "expires_in", &seconds);

    *expires_s = r->api->token_expires_s;
    if (kind == FIELD_WRONG ||
        (kind == FIELD_OK && (seconds < 0 || (uint64_t)seconds > GRANT_EXPIRES_S_MAX))) {
        respond_oauth(r, "invalid_request",
                      "expires_in must be a number of seconds, at most a hundred years; 0 means never.");
        return false;
    }
    if (kind == FIELD_OK)
        *expires_s = (uint64_t)seconds;
    if (at == NULL || kind == FIELD_OK)
        return true;
    if (!clock_parse(&at_ms, at) || at_ms < now_ms + 1000 || (at_ms - now_ms) / 1000 > GRANT_EXPIRES_S_MAX) {
        respond_oauth(r, "invalid_request", "expires_at must be a time to come, as in 2030-01-31T12:00:00Z.");
        return false;
    }
    *expires_s = (at_ms - now_ms) / 1000;
    return true;
}

static bool are_scopes(const char *list)
{
    char scope[FLEET_SCOPES_SIZE];
    size_t len;

    if (strlen(list) >= FLEET_SCOPES_SIZE)
        return false;
    for (; *(list += strspn(list, " ")) != '\0'; list += len) {
        len = strcspn(list, " ");
        memcpy(scope, list, len);
        scope[len] = '\0';
        if (!scope_is_valid(scope))
            return false;
    }
    return true;
}

static char *keep(struct http_request *r, const char *name, const char *text)
{
    json_t *value = json_string(text); /* NULL when it is no UTF-8: then it is nobody's */

    (void)json_object_set_new(r->body.fields, name, value != NULL ? value : json_string(""));
    return (char *)json_string_value(json_object_get(r->body.fields, name));
}

/* Basic credentials are the client's, and win over those of the body. False: it is answered. */
static bool read_asked(struct http_request *r, struct asked *asked)
{
    char *name, *password;

    if (http_request_basic(r, &name, &password)) {
        asked->client_id = keep(r, "client_id", name);
        asked->client_secret = keep(r, "client_secret", password);
        http_request_basic_free(name, password);
    } else {
        asked->client_id = text_of(r, "client_id");
        asked->client_secret = text_of(r, "client_secret");
    }
    asked->wish.client = asked->client_id;
    asked->wish.scopes = text_of(r, "scope");
    if (asked->wish.scopes != NULL && asked->wish.scopes[strspn(asked->wish.scopes, " ")] == '\0')
        asked->wish.scopes = NULL;
    if (asked->client_id != NULL && strlen(asked->client_id) > GRANT_CLIENT_MAX) {
        respond_oauth(r, "invalid_client", "client_id has at most 64 bytes");
        return false;
    }
    if (asked->wish.scopes != NULL && !are_scopes(asked->wish.scopes)) {
        respond_oauth(r, "invalid_scope",
                      "scope must be a list of scopes, as in `devices:list devices:get`.");
        return false;
    }
    return read_expiry(r, &asked->wish.expires_s);
}

/* Any client may bring a person (rest-api 1). */
static void grant_by_password(struct http_request *r)
{
    const char *username = text_of(r, "username"), *password = text_of(r, "password");

    if (username == NULL || password == NULL)
        respond_oauth(r, "invalid_request", "username and password are needed.");
    else
        fleet_sign_in(r->api->fleet, username, password, r->client.network_text, on_signed_in, r);
}

static void grant_by_refresh(struct http_request *r, struct asked *asked)
{
    const char *token = text_of(r, "refresh_token");

    if (token == NULL || *token == '\0' || strlen(token) > HTTP_REQUEST_TOKEN_MAX)
        respond_oauth(r, "invalid_request", "refresh_token is needed.");
    else
        fleet_refresh_token(r->api->fleet, token, asked->client_secret, &asked->wish, on_granted, r);
}

static void grant_by_client(struct http_request *r, struct asked *asked)
{
    asked->is_client = true;
    if (asked->client_id == NULL || asked->client_secret == NULL)
        respond_oauth(r, "invalid_client", UNKNOWN_CLIENT);
    else
        fleet_grant_client_token(r->api->fleet, asked->client_id, asked->client_secret, &asked->wish,
                                 on_granted, r);
}

void oauth_token(struct http_request *r)
{
    const char *type = text_of(r, "grant_type");
    struct asked *asked = http_request_scratch(r, sizeof(*asked));

    if (!http_request_take_login(r) || !read_asked(r, asked))
        return;
    if (type == NULL)
        respond_oauth(r, "invalid_request", "grant_type is needed.");
    else if (strcmp(type, "password") == 0)
        grant_by_password(r);
    else if (strcmp(type, "refresh_token") == 0)
        grant_by_refresh(r, asked);
    else if (strcmp(type, "client_credentials") == 0)
        grant_by_client(r, asked);
    else
        respond_oauth(r, "unsupported_grant_type",
                      "grant_type must be password, client_credentials or refresh_token.");
}
