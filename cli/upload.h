/* upload.h: a file of firmware to the server, checked before it is sent: that it is a file, and of a size
 * that one can have. *made: the server did not have it before. */
#ifndef CYAN_CLI_UPLOAD_H
#define CYAN_CLI_UPLOAD_H

#include "cli.h"

must_check enum cli_exit upload_file(const struct cli *cli, const char *method, const char *path,
                                     const char *file, json_t **json, bool *made);

#endif
