/* completion.h: scripts that let a shell complete the commands and options of the table. */
#ifndef CYAN_CLI_COMPLETION_H
#define CYAN_CLI_COMPLETION_H

#include <stdbool.h>
#include <stdio.h>

#include "base/must.h"

/* shell: bash, zsh or fish; false for others. */
must_check bool completion_print(const char *shell, FILE *out);

#endif
