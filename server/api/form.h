/* form.h: a form, urlencoded or multipart, read as it comes in: its values as one JSON object, and at most
 * one file.
 *
 * The first part of a multipart with a file name is the file, further ones are counted and not kept; `name[]`
 * gathers an array. Bounded: values together by
 * BODY_MAX_BYTES, the file by what form_new was given, BODY_FIELDS_MAX parts. After the first fault the rest
 * is read past and nothing kept. Ownership: new/free. */
#ifndef CYAN_API_FORM_H
#define CYAN_API_FORM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

struct MHD_Connection;

struct form_file {
    char *field;   /* the name of its part, UTF-8 */
    char *name;    /* the file name as the client told it, UTF-8; may be "" */
    uint8_t *data; /* from malloc */
    size_t data_len;
    size_t more; /* files behind it */
};

struct form;
/* The Content-Type, with the boundary, is the connection's; NULL when that is malformed. file_max_bytes 0: a
 * file is taken for a value, as long as that may be. */
struct form *form_new(struct MHD_Connection *connection, size_t file_max_bytes);
void form_push(struct form *form, const char *data, size_t data_len);
/* Frees form. NULL: fields, and file (zeroed when there was none), are the caller's. Else a sentence on what
 * is wrong, nothing is left to release, and *too_large tells a 413 from a 400. */
must_check const char *form_end(struct form *form, json_t **fields, struct form_file *file, bool *too_large);
void form_free(struct form *form); /* instead of form_end; NULL is fine */
void form_file_deinit(struct form_file *file);

#endif
