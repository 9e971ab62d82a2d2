/* what_if.h: the sum of a plan for many devices, as what-if and campaigns have it. */
#ifndef CYAN_CLI_WHAT_IF_H
#define CYAN_CLI_WHAT_IF_H

#include "cli.h"

/* The classes of devices and what becomes of each. */
void what_if_print_classes(const struct cli *cli, const json_t *classes);
/* How many are blocked, by reason. */
void what_if_print_blocked(const struct cli *cli, const json_t *blocked);

#endif
