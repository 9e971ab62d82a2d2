/* listener.h: opens the listening TCP socket of the REST interface.
 *
 * Ownership: the caller closes the descriptor. */
#ifndef CYAN_API_LISTENER_H
#define CYAN_API_LISTENER_H

#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

/* bind: one IPv4 or IPv6 address; `::` takes both families. port 0: any free one; *chosen tells which.
 * Non-blocking and close-on-exec. Returns the descriptor, or -1 with a one-line reason in why. */
must_check int listener_open(const char *bind, uint16_t port, uint16_t *chosen, char *why, size_t why_size);

#endif
