/* /v1/users, /v1/user and /v1/orgs: accounts: making one, who am I, another password. */
#include "api/handlers.h"

#include <stdio.h>
#include <string.h>

#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/account.h"
#include "fleet/scope.h"
#include "fleet/sign_in.h"
#include "fleet/token.h"

/* Clients of 2015 read `errors`. */
static void respond_errors(struct http_request *r, const char *why)
{
    respond_json(r, 400, json_pack("{sbs[s]ss}", "ok", 0, "errors", why, "error", why));
}

static void respond_account(struct http_request *r, enum account_err err, const char *why)
{
    switch (err) {
    case ACCOUNT_OK:
        respond_ok(r);
        return;
    case ACCOUNT_INVALID:
    case ACCOUNT_TAKEN:
        respond_errors(r, why);
        return;
    case ACCOUNT_BUSY:
        respond_sign_in(r, SIGN_IN_BUSY, 0);
        return;
    case ACCOUNT_AWAY:
        respond_away(r);
        return;
    case ACCOUNT_FAULT:
        break;
    }
    respond_fault(r);
}

static void on_account(void *arg, enum account_err err, const char *why)
{
    struct http_request *r = arg;

    if (http_request_continue(r))
        respond_account(r, err, why);
}

/* --- a new account --- */

/* creator: an admin, or NULL: whoever signs up. */
static void create(struct http_request *r, const struct fleet_actor *creator)
{
    enum fleet_role role = FLEET_OWNER;
    const char *name = NULL, *password = NULL, *role_name = NULL;

    if (creator == NULL && !r->api->signup_open) {
        respond_error(r, 403, "Accounts are made by the admins of this server: ask one of them.");
        return;
    }
    if (body_get_string(&r->body, "username", &name) != FIELD_OK ||
        body_get_string(&r->body, "password", &password) != FIELD_OK) {
        respond_errors(r, "username and password are needed.");
        return;
    }
    if (body_get_string(&r->body, "role", &role_name) == FIELD_OK) {
        if (!fleet_role_parse(&role, role_name)) {
            respond_errors(r, "role must be owner, operator or admin.");
            return;
        }
        if (creator == NULL && role != FLEET_OWNER) {
            respond_error(r, 403, "Only admins give roles.");
            return;
        }
    }
    fleet_create_account(r->api->fleet, creator, name, password, role, on_account, r);
}

static void on_creator(void *arg, enum fleet_err err, const struct fleet_actor *actor)
{
    struct http_request *r = arg;
    bool may;

    if (!http_request_continue(r))
        return;
    if (err == FLEET_AWAY) {
        respond_away(r);
        return;
    }
    may = err == FLEET_OK && actor->role == FLEET_ADMIN && actor->confined_to == 0 &&
          (!actor->has_scopes || scope_covers(actor->scopes, "users:create"));
    if (actor != NULL)
        r->actor = *actor; /* for the audit trail */
    create(r, may ? &r->actor : NULL);
}

void users_create(struct http_request *r)
{
    if (!http_request_take_login(r))
        return;
    if (r->token[0] != '\0')
        fleet_check_token(r->api->fleet, r->token, on_creator, r);
    else
        create(r, NULL);
}

/* --- one's own --- */

void user_read(struct http_request *r)
{
    respond_json(r, 200,
                 json_pack("{sss[]s{}s{sb}ss}", "username", r->actor.user_name, "subscription_ids",
                           "account_info", "mfa", "enabled", 0, "role", fleet_role_name(r->actor.role)));
}

void user_identify(struct http_request *r)
{
    char id[24];

    (void)snprintf(id, sizeof(id), "%lld", (long long)r->actor.user_id);
    respond_json(r, 200, json_pack("{ssss}", "id", id, "email", r->actor.user_name));
}

static void on_proved(void *arg, enum sign_in result, const struct fleet_actor *actor, uint64_t wait_ms)
{
    struct http_request *r = arg;
    const char *password = NULL;

    if (!http_request_continue(r))
        return;
    if (result == SIGN_IN_WRONG || (result == SIGN_IN_OK && actor->user_id != r->actor.user_id))
        respond_errors(r, "current_password is not right.");
    else if (result != SIGN_IN_OK)
        respond_sign_in(r, result, wait_ms);
    else if (body_get_string(&r->body, "password", &password) == FIELD_OK)
        fleet_change_password(r->api->fleet, &r->actor, password, on_account, r);
}

void user_change(struct http_request *r)
{
    const char *current = NULL, *password = NULL;

    if (body_get_string(&r->body, "password", &password) != FIELD_OK) {
        respond_error(r, 400, "Nothing to do?");
        return;
    }
    if (body_get_string(&r->body, "current_password", &current) != FIELD_OK) {
        respond_errors(r, "current_password is needed.");
        return;
    }
    if (http_request_take_login(r))
        fleet_sign_in(r->api->fleet, r->actor.user_name, current, r->client.network_text, on_proved, r);
}

void orgs_list(struct http_request *r)
{
    respond_json(r, 200, json_pack("{s[]}", "organizations"));
}
