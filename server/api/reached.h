/* reached.h: what requests that ask the device itself have in common: what they remember of it while it is
 * asked, and the words for what went wrong (rest-api 0.4). */
#ifndef CYAN_API_REACHED_H
#define CYAN_API_REACHED_H

#include "api/http_request.h"
#include "fleet/device_query.h"
#include "fleet/reach.h"

#define REACHED_TIMEOUT_MS 30000
#define REACHED_NAME_MAX 64 /* of devices, functions and variables */

/* In the request's scratch memory. */
struct reached {
    struct device_id id;
    char id_text[DEVICE_ID_TEXT_SIZE];
    char name[REACHED_NAME_MAX + 1], last_app[REACHED_NAME_MAX + 1]; /* "" = none */
    uint64_t last_heard_ms, last_handshake_ms;
    int product_id; /* -1 = unknown */
};
void reached_fill(struct reached *reached, const struct fleet_device *device);
json_t *reached_text(const char *text); /* null for "" */
/* Segments that stand for something else (rest-api 2). */
bool reached_is_reserved(const char *name);
/* ?format=raw, or a field of the body. */
bool reached_wants_raw(struct http_request *r);

/* Puts the question; afterwards done, with r as arg. */
void reached_ask(struct http_request *r, const struct device_id *id, const struct reach_question *question,
                 reach_done_fn *done);
/* For any answer but DEVICE_ANSWERED. */
void reached_respond_failure(struct http_request *r, const struct device_answer *answer);
/* A device that is in quarantine is asked nothing; false when that was answered. */
must_check bool reached_may_ask(struct http_request *r, const struct fleet_device *device);

#endif
