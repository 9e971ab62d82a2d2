/* interrupt.h: Ctrl-C as a question that is asked where it can be answered: transfers end, files that were
 * begun are removed, a campaign that is watched is said to go on. */
#ifndef CYAN_CLI_INTERRUPT_H
#define CYAN_CLI_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

void interrupt_init(void); /* SIGINT and SIGTERM are noted from now on; a second one ends the process */
bool interrupt_seen(void);
/* Waits; false when it was interrupted. */
bool interrupt_sleep(uint64_t ms);

#endif
