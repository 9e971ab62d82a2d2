/* respond.h: answers as rest-api 0.2 and 0.4 want them: always JSON, never an empty 200, errors of one shape.
 *
 * Each function answers the request; afterwards the request may be gone. */
#ifndef CYAN_API_RESPOND_H
#define CYAN_API_RESPOND_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "fleet/sign_in.h"

struct http_request;

void respond_json(struct http_request *r, unsigned status, json_t *body /* taken over */);
/* Real numbers in body with so many digits, instead of the 17 that any of them may need. */
void respond_json_digits(struct http_request *r, unsigned status, json_t *body, size_t digits);
/* The same, of text that is JSON already. */
void respond_json_text(struct http_request *r, unsigned status, const char *json);
void respond_ok(struct http_request *r); /* 200 {"ok":true} */
void respond_text(struct http_request *r, const char *content_type, char *text /* from malloc, taken over */,
                  size_t text_len);
void respond_no_content(struct http_request *r); /* 204 */
void respond_error(struct http_request *r, unsigned status, const char *error);
/* `NAME` + what, as in: `per_page` must be ... */
void respond_bad_field(struct http_request *r, const char *field, const char *what);
/* 400 when a form brought more files than one; then true. */
bool respond_extra_files(struct http_request *r);
/* An error of the fleet about a device. why: NULL or "" for the usual words. */
void respond_device_err(struct http_request *r, enum fleet_err err, const char *why);
void respond_away(struct http_request *r);  /* 503, Retry-After: 1 */
void respond_fault(struct http_request *r); /* 500 */
void respond_no_token(struct http_request *r);
void respond_bad_token(struct http_request *r);
/* 429 with Retry-After, of which UINT64_MAX is an hour. */
void respond_too_many(struct http_request *r, uint64_t wait_ms);
/* What is wrong with a sign-in; not for SIGN_IN_OK. */
void respond_sign_in(struct http_request *r, enum sign_in result, uint64_t wait_ms);
void respond_forbidden(struct http_request *r, const char *info); /* info NULL: nothing to add */

#endif
