/* group_names.h: names of groups as clients list them: an array, in a form `groups[]`, or text with commas.
 */
#ifndef CYAN_API_GROUP_NAMES_H
#define CYAN_API_GROUP_NAMES_H

#include "api/http_request.h"

/* A new array of names, each fit for a group; empty when said is NULL or null. NULL: answered 400, which
 * names the field. */
json_t *group_names_read(struct http_request *r, const json_t *said, const char *field);

#endif
