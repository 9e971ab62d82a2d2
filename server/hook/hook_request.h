/* hook_request.h: the HTTP request that an event becomes for a webhook, and the events its answer becomes.
 *
 * Pure: what it is made of is all given. Ownership: hook_request_deinit releases. */
#ifndef CYAN_HOOK_HOOK_REQUEST_H
#define CYAN_HOOK_HOOK_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

#define HOOK_REQUEST_URL_MAX 8192
#define HOOK_REQUEST_BODY_MAX 65536
#define HOOK_REQUEST_RENDERED_MAX 262144 /* what variables may make of url, headers and body together */
#define HOOK_REQUEST_HEADERS_MAX 40

struct hook_event {           /* all borrowed */
    const char *name, *value; /* value: UTF-8 */
    const char *device_id;    /* 24 hex digits, or `api` for what a person published */
    const char *published_at; /* ISO 8601 */
    const char *delivery;     /* what a receiver tells repetitions by */
    int attempt;
};

struct hook_request {
    const char *method;                      /* static */
    char *url, *body;                        /* ours */
    size_t body_len;                         /* 0 with body NULL: none is sent */
    char *headers[HOOK_REQUEST_HEADERS_MAX]; /* ours: `Name: value` */
    size_t header_count;
    const char *username, *password; /* borrowed from secrets; NULL: none */
    bool checks_certificate;
};
/* spec, secrets: as hook_spec_read made them. now_s: Unix time, signed with the body. NULL, or a static
 * sentence on why there is no such request; deinit in either case. */
must_check const char *hook_request_make(struct hook_request *r, const json_t *spec, const json_t *secrets,
                                         const struct hook_event *event, int64_t now_s);
void hook_request_deinit(struct hook_request *r);

/* The name of the events that tell of an answer, without the number of the part; from malloc. */
char *hook_request_topic(const json_t *spec, const struct hook_event *event, bool is_error);
/* What these events say of an answer's body; from malloc. */
char *hook_request_answer(const json_t *spec, const struct hook_event *event, const char *body);

#endif
