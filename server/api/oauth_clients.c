/* /v1/clients, /v1/products/:product/clients: clients that get tokens with a secret of theirs. */
#include "api/handlers.h"

#include <string.h>

#include "api/respond.h"
#include "api/scope_list.h"
#include "fleet/oauth_client.h"

#define NAME_MAX_BYTES 64
#define URI_MAX_BYTES 1024

static void respond_err(struct http_request *r, enum fleet_err err)
{
    if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, "Client not found");
    else if (err == FLEET_CONFLICT)
        respond_error(r, 409, "There are 100 clients already: delete one that is not used any more.");
    else
        respond_device_err(r, err, NULL);
}

static json_t *client_json(const char *json)
{
    json_t *client = json_loads(json, JSON_DECODE_ANY, NULL);

    must(client != NULL);
    return client;
}

static void on_list(void *arg, enum fleet_err err, const char *json)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_err(r, err);
    else
        respond_json(r, 200, json_pack("{sbso}", "ok", 1, "clients", client_json(json)));
}

void oauth_clients_list(struct http_request *r)
{
    fleet_list_clients(r->api->fleet, &r->actor, r->product_id, on_list, r);
}

static void on_created(void *arg, enum fleet_err err, const char *json, const char *secret)
{
    struct http_request *r = arg;
    json_t *client;

    if (err != FLEET_OK) {
        respond_err(r, err);
        return;
    }
    client = client_json(json);
    (void)json_object_set_new(client, "secret", json_string(secret));
    respond_json(r, 201, json_pack("{sbso}", "ok", 1, "client", client));
}

void oauth_clients_create(struct http_request *r)
{
    struct oauth_client_wish wish = {.type = "installed"};
    char *scopes = http_request_scratch(r, FLEET_SCOPES_SIZE);
    enum field kind;

    if (body_get_string(&r->body, "name", &wish.name) != FIELD_OK || wish.name[0] == '\0' ||
        strlen(wish.name) > NAME_MAX_BYTES) {
        respond_bad_field(r, "name", "must be 1 to 64 bytes of text.");
        return;
    }
    kind = body_get_string(&r->body, "type", &wish.type);
    if (kind == FIELD_WRONG || (strcmp(wish.type, "installed") != 0 && strcmp(wish.type, "web") != 0)) {
        respond_bad_field(r, "type", "must be installed or web.");
        return;
    }
    if (body_get_string(&r->body, "redirect_uri", &wish.redirect_uri) == FIELD_WRONG ||
        (wish.redirect_uri != NULL && strlen(wish.redirect_uri) > URI_MAX_BYTES)) {
        respond_bad_field(r, "redirect_uri", "must be text of at most 1024 bytes.");
        return;
    }
    kind = scope_list_read(r, "scope", scopes);
    if (kind == FIELD_WRONG)
        return;
    wish.scopes = kind == FIELD_OK ? scopes : NULL;
    fleet_create_client(r->api->fleet, &r->actor, r->product_id, &wish, on_created, r);
}

static void on_gone(void *arg, enum fleet_err err)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_err(r, err);
    else
        respond_ok(r);
}

void oauth_clients_delete(struct http_request *r)
{
    fleet_delete_client(r->api->fleet, &r->actor, r->product_id, http_request_param(r, "client"), on_gone, r);
}
