/* product_answer.h: what the resources of a product's firmware have in common: the version in the path, and
 * the words for how it went. */
#ifndef CYAN_API_PRODUCT_ANSWER_H
#define CYAN_API_PRODUCT_ANSWER_H

#include "api/http_request.h"

/* `:version` of the path; false: answered with 404. */
must_check bool product_answer_read_version(struct http_request *r, int *version);
/* For anything but FLEET_OK. */
void product_answer_err(struct http_request *r, enum fleet_err err, const char *why);
/* product_firmware_fn with arg the request: 200 with the firmware. */
void product_answer_json(void *arg, enum fleet_err err, const char *json, const char *why);

#endif
