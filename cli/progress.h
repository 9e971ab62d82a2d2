/* progress.h: what a campaign is doing, as a picture that is drawn over itself on a terminal, and as a line a
 * change elsewhere.
 *
 * Ownership: a zeroed one is ready; progress_deinit takes it. */
#ifndef CYAN_CLI_PROGRESS_H
#define CYAN_CLI_PROGRESS_H

#include <jansson.h>

#include "cli.h"

struct progress {
    size_t lines; /* of the picture that stands */
    char *last;   /* ours: the lines that were last written */
};
void progress_show(struct progress *p, const struct cli *cli, const json_t *progress);
/* Leaves the picture standing, so that what is said next comes below it. */
void progress_rest(struct progress *p);
void progress_deinit(struct progress *p);

#endif
