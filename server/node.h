/* node.h: one serving cyand: every room made in order, tied together, and taken down in the opposite order.
 *
 *   STARTING --ready--> SERVING --SIGTERM or SIGINT--> DRAINING --answers out, presence written--> CLOSING
 * --> (returns)
 */
#ifndef CYAN_NODE_H
#define CYAN_NODE_H

#include "config.h"

/* Serves until told to stop; the exit code. config is borrowed, and changed by SIGHUP. */
int node_run(struct config *config);

#endif
