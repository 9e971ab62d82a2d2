/* upload.h: a file of firmware to the server, checked before it is sent: that it is a file, and of a size
 * that one can have. *made: the server did not have it before. */
#ifndef CYAN_CLI_UPLOAD_H
#define CYAN_CLI_UPLOAD_H

#include "cli.h"

/* The same with values beside it: fields, an object of texts, numbers and booleans; NULL: none. */
must_check enum cli_exit upload_form(const struct cli *cli, const char *method, const char *path,
                                     const char *file, const json_t *fields, json_t **json, bool *made);
must_check enum cli_exit upload_file(const struct cli *cli, const char *method, const char *path,
                                     const char *file, json_t **json, bool *made);

#endif
