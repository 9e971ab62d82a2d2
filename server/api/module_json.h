/* module_json.h: module binaries and releases of them as clients read and write them. */
#ifndef CYAN_API_MODULE_JSON_H
#define CYAN_API_MODULE_JSON_H

#include <jansson.h>
#include <stdint.h>

#include "api/http_request.h"

#define MODULE_JSON_REASON_MAX 500 /* bytes */

/* Sets platform_id, platform, function (its letter) and index. */
void module_json_head(json_t *object, uint16_t platform_id, uint8_t function, uint8_t index);
/* From the registry's [{"func", "index", "version"}] to clients' [{"f", "n", "v"}]. */
json_t *module_json_list(const char *text);
/* The array of text; an empty one when it is none. */
json_t *module_json_array(const char *text);
/* `reason` of the body, which has to be there. False: answered 400. */
must_check bool module_json_reason(struct http_request *r, const char **reason);

#endif
