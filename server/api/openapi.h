/* openapi.h: the OpenAPI 3.1 document of this interface: what docs/openapi says of each operation, completed
 * from the route table, so that the two cannot disagree.
 *
 * A piece is a file of docs/openapi: a part of an OpenAPI document. From the table come, for every operation,
 * its parameters in the path, who may ask (`x-access`, `security` with the scope), its name and the answers
 * that all of its kind give. Rows with the same handler share what is written for one of them. */
#ifndef CYAN_API_OPENAPI_H
#define CYAN_API_OPENAPI_H

#include <jansson.h>

#include "base/must.h"

struct openapi_piece {
    const char *name; /* `devices`, of devices.json: also the tag of its operations */
    const char *text;
};
extern const struct openapi_piece openapi_pieces[];
extern const size_t openapi_piece_count;

#define OPENAPI_PATH_SIZE 160

must_check json_t *openapi_document(void); /* the caller's */
must_check char *openapi_text(void);       /* the same as text, from malloc */
/* `/v1/devices/{device}` of `/v1/devices/:device`, `/v1/events/{prefix}` of `/v1/events/`+`*prefix`. */
void openapi_path(char path[OPENAPI_PATH_SIZE], const char *pattern);

#endif
