#include "api/respond.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_request.h"
#include "api/refused.h"
#include "base/mem.h"
#include "base/must.h"

#define REAL_DIGITS 17
#define JSON_TYPE "application/json; charset=utf-8"
/* Clients look for the first words of this (rest-api 0.4). */
#define UNKNOWN_DEVICE_INFO                                                                                  \
    "I didn't recognize that device name or ID, try opening the list of your devices: GET /v1/devices"

void respond_json_digits(struct http_request *r, unsigned status, json_t *body, size_t digits)
{
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));

    must(text != NULL); /* every string in it was checked to be UTF-8 when it was made */
    json_decref(body);
    http_request_answer(r, status, JSON_TYPE, text, strlen(text));
}

void respond_json(struct http_request *r, unsigned status, json_t *body)
{
    respond_json_digits(r, status, body, REAL_DIGITS);
}

void respond_json_text(struct http_request *r, unsigned status, const char *json)
{
    http_request_answer(r, status, JSON_TYPE, mem_string(json), strlen(json));
}

void respond_ok(struct http_request *r)
{
    respond_json(r, 200, json_pack("{sb}", "ok", 1));
}

void respond_text(struct http_request *r, const char *content_type, char *text, size_t text_len)
{
    http_request_answer(r, 200, content_type, text, text_len);
}

void respond_no_content(struct http_request *r)
{
    http_request_answer(r, 204, NULL, NULL, 0);
}

/* A sentence of another room, which may quote what was refused for not being UTF-8. */
static json_t *sentence(const char *text)
{
    json_t *value = json_string(text);

    return value != NULL ? value : json_string("A value is not acceptable.");
}

void respond_error(struct http_request *r, unsigned status, const char *error)
{
    respond_json(r, status, json_pack("{sbso}", "ok", 0, "error", sentence(error)));
}

void respond_bad_field(struct http_request *r, const char *field, const char *what)
{
    char *text = mem_printf("%s %s", field, what);

    respond_error(r, 400, text);
    free(text);
}

static void respond_unknown_device(struct http_request *r, unsigned status, const char *error)
{
    respond_json(r, status, json_pack("{sbssss}", "ok", 0, "error", error, "info", UNKNOWN_DEVICE_INFO));
}

bool respond_extra_files(struct http_request *r)
{
    const struct form_file *file = http_request_file(r);

    if (file == NULL || file->more == 0)
        return false;
    respond_error(r, 400, "The form has more than one file.");
    return true;
}

void respond_device_err(struct http_request *r, enum fleet_err err, const char *why)
{
    bool has_why = why != NULL && why[0] != '\0';

    switch (err) {
    case FLEET_NOT_FOUND:
        respond_unknown_device(r, 404, "Device not found.");
        return;
    case FLEET_FORBIDDEN:
        respond_unknown_device(r, 403, "Permission Denied");
        return;
    case FLEET_CONFLICT:
        respond_error(r, 409, has_why ? why : "That is in use already.");
        return;
    case FLEET_INVALID:
        respond_error(r, 400, has_why ? why : "A value is not acceptable.");
        return;
    case FLEET_AWAY:
        respond_away(r);
        return;
    case FLEET_OK:
    case FLEET_FAULT:
        break;
    }
    respond_fault(r);
}

void respond_away(struct http_request *r)
{
    http_request_add_header(r, "Retry-After", "1");
    respond_error(r, 503, "The database cannot be reached at the moment. Please try again.");
}

void respond_fault(struct http_request *r)
{
    respond_error(r, 500, "Something went wrong in the server; its log says more.");
}

static void respond_auth(struct http_request *r, unsigned status, const char *error, const char *description)
{
    http_request_add_header(r, "WWW-Authenticate", "Bearer");
    respond_json(r, status, json_pack("{sbssss}", "ok", 0, "error", error, "error_description", description));
}

void respond_no_token(struct http_request *r)
{
    respond_auth(r, 400, "invalid_request", "The access token was not found");
}

void respond_bad_token(struct http_request *r)
{
    respond_auth(r, 401, "invalid_token", "The access token provided is invalid.");
}

static void add_retry_after(struct http_request *r, uint64_t wait_ms)
{
    char seconds[24];
    uint64_t wait_s = wait_ms > 3600000 ? 3600 : (wait_ms + 999) / 1000;

    (void)snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)(wait_s > 0 ? wait_s : 1));
    http_request_add_header(r, "Retry-After", seconds);
}

void respond_too_many(struct http_request *r, uint64_t wait_ms)
{
    add_retry_after(r, wait_ms);
    respond_error(r, 429, "Too many requests");
}

/* The words are OAuth's (RFC 6749 5.2), and no 401: clients forget their token at one (rest-api 0.4). */
void respond_sign_in(struct http_request *r, enum sign_in result, uint64_t wait_ms)
{
    switch (result) {
    case SIGN_IN_WRONG:
        refused_note_wrong_password(r);
        respond_json(r, 400,
                     json_pack("{sbssss}", "ok", 0, "error", "invalid_grant", "error_description",
                               "User credentials are invalid"));
        return;
    case SIGN_IN_LOCKED:
        add_retry_after(r, wait_ms);
        respond_json(r, 429,
                     json_pack("{sbssss}", "ok", 0, "error", "Too many requests", "error_description",
                               "Too many failed logins in a row. Please try again later."));
        return;
    case SIGN_IN_BUSY:
        http_request_add_header(r, "Retry-After", "1");
        respond_error(r, 503, "Too many people log in at the moment. Please try again.");
        return;
    case SIGN_IN_AWAY:
        respond_away(r);
        return;
    case SIGN_IN_OK:
    case SIGN_IN_FAULT:
        break;
    }
    respond_fault(r);
}

void respond_forbidden(struct http_request *r, const char *info)
{
    if (info == NULL)
        respond_error(r, 403, "Permission Denied");
    else
        respond_json(r, 403,
                     json_pack("{sbssso}", "ok", 0, "error", "Permission Denied", "info", sentence(info)));
}
