/* help.h: --help, of the whole, of a group of commands, and of one. */
#ifndef CYAN_CLI_HELP_H
#define CYAN_CLI_HELP_H

#include <stdio.h>

#include "call.h"

void help_print(const struct call *call, FILE *out);

#endif
