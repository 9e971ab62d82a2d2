/* selector.h: which devices: the options of a command as the selector of the REST interface. */
#ifndef CYAN_CLI_SELECTOR_H
#define CYAN_CLI_SELECTOR_H

#include "cli.h"

/* NULL: it has been said what is wrong, and *code is the exit code. Names of devices are looked up. The
 * caller owns it. */
must_check json_t *selector_read(const struct cli *cli, enum cli_exit *code);
/* The JSON of a file, `-`: stdin; NULL: it has been said. */
must_check json_t *selector_load_json(const char *file);
/* For people: `platform Argon; name gar* or name kit*`; the caller frees. */
char *selector_describe(const json_t *selector) __attribute__((malloc));

#endif
