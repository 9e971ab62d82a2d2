/* route.h: the one table of what this server answers: method, path, who may ask, handler. */
#ifndef CYAN_API_ROUTE_H
#define CYAN_API_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "api/target.h"
#include "base/must.h"
#include "fleet/fleet.h"

struct http_request;
/* Answers with respond_*, at once or from the callback of exactly one query it started. */
typedef void route_handler(struct http_request *r);

enum route_access { ROUTE_PUBLIC, ROUTE_OWNER, ROUTE_OPERATOR, ROUTE_ADMIN }; /* at least this role */

struct route {
    const char *method;
    /* `/v1/devices/:device`: a part with a colon matches any one segment; a last part `*rest` one or more. */
    const char *pattern;
    enum route_access access;
    const char *scope; /* `devices:list`: what a token with scopes must have; NULL on public routes */
    route_handler *handle;
};

enum route_match {
    ROUTE_FOUND,
    ROUTE_UNKNOWN_PATH,
    ROUTE_WRONG_METHOD, /* allow names the right ones */
    ROUTE_OPTIONS,      /* OPTIONS of any path */
};
#define ROUTE_ALLOW_SIZE 64

/* HEAD is GET. Where several patterns fit, the first row of the table counts. */
must_check enum route_match route_find(const struct route **route, const char *method,
                                       const struct target *target, char allow[ROUTE_ALLOW_SIZE]);
/* The largest file that it takes in a part of a multipart body; 0: it takes none. */
size_t route_file_max_bytes(const struct route *route);
/* False: files are sent there, but its answer needs nothing of them. */
bool route_reads_file(const struct route *route);
/* The segment that stands for the part `:name`; NULL when the pattern has none. */
const char *route_param(const struct route *route, const struct target *target, const char *name);
const char *route_access_name(enum route_access access); /* `owner` */
/* What the last part `*rest` stands for, joined with `/`, with the trailing one if there was one; the caller
 * frees. NULL when the pattern has none. */
char *route_rest(const struct route *route, const struct target *target);
/* Every row, in order; NULL beyond the last. */
const struct route *route_at(size_t index);

#endif
