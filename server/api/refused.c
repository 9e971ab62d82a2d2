#include "api/refused.h"

#include <stdio.h>
#include <string.h>

#include "fleet/refusals.h"

#define ROUTE_SIZE 96

static void note(const struct http_request *r, unsigned status, const char *why)
{
    char route[ROUTE_SIZE];
    struct refusal refusal = {.address = r->client.text, .route = route, .status = status, .why = why};

    (void)snprintf(route, sizeof(route), "%s %s", r->method, r->route != NULL ? r->route->pattern : "*");
    if (r->actor.user_name[0] != '\0')
        refusal.actor = r->actor.user_name;
    if (r->route != NULL)
        refusal.device = http_request_param(r, "device");
    fleet_refused(r->api->fleet, &refusal);
}

/* The hint says more than the error where there is one. */
static const char *sentence(const json_t *body)
{
    static const char *const keys[] = {"info", "error_description", "error"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *text = json_string_value(json_object_get(body, keys[i]));
        if (text != NULL)
            return text;
    }
    return NULL;
}

void refused_note(const struct http_request *r, const char *text, size_t text_len)
{
    json_t *body;

    if (r->status != 401 && r->status != 403 && r->status != 429)
        return;
    body = text != NULL ? json_loadb(text, text_len, 0, NULL) : NULL;
    note(r, r->status, sentence(body));
    json_decref(body);
}

void refused_note_wrong_password(const struct http_request *r)
{
    note(r, 400, "wrong password");
}
