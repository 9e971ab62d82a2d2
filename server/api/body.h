/* body.h: the body of a request as one JSON object, whatever it came as: JSON, a form or multipart.
 *
 * Form values are strings; `name[]` gathers an array. The getters read a form's strings as rest-api 0.1 says
 * (`true`/`1`, `false`/`0`/empty, decimal numbers, `null`). Ownership: body_parse_* fills a caller's struct,
 * body_deinit releases; strings handed out live as long as the body. */
#ifndef CYAN_API_BODY_H
#define CYAN_API_BODY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

struct MHD_Connection;

#define BODY_MAX_BYTES 65536
#define BODY_FIELDS_MAX 256
#define BODY_MULTIPART_TYPE "multipart/form-data"
#define BODY_BAD_FORM "The Content-Type of the form is malformed (is the boundary missing?)."

struct body {
    json_t *fields; /* ours: an object, never NULL after a parse that succeeded */
    bool is_form;
};

/* Each returns NULL, or a sentence on what is wrong, for a 400; nothing is left to release then. */
must_check const char *body_parse_json(struct body *b, const char *data, size_t data_len);
/* The Content-Type, with the boundary, is the connection's. */
must_check const char *body_parse_form(struct body *b, struct MHD_Connection *connection, const char *data,
                                       size_t data_len);
/* Chooses by Content-Type; content_type NULL, or of another kind: JSON when it looks like an object. */
must_check const char *body_parse(struct body *b, struct MHD_Connection *connection, const char *content_type,
                                  const char *data, size_t data_len);
void body_deinit(struct body *b);
/* content_type, which may be NULL, names this type, whatever parameters follow. */
bool body_is_type(const char *content_type, const char *type);

enum field {
    FIELD_ABSENT,
    FIELD_NULL,
    FIELD_OK,
    FIELD_WRONG, /* there, but not of this type */
};
enum field body_get_string(const struct body *b, const char *name, const char **value);
enum field body_get_bool(const struct body *b, const char *name, bool *value);
enum field body_get_int(const struct body *b, const char *name, int64_t *value);

#endif
