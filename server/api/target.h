/* target.h: the path of a request, split on `/` first and percent-decoded after (rest-api 0.1), so that %2F
 * is data.
 *
 * Ownership: target_parse copies; target_deinit releases. */
#ifndef CYAN_API_TARGET_H
#define CYAN_API_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/must.h"

#define TARGET_SEGMENTS_MAX                                                                                  \
    40 /* six, and a prefix of event names, which may be as many as it has characters / 2 */

struct target {
    char *text; /* ours: the decoded segments */
    const char *segments[TARGET_SEGMENTS_MAX];
    size_t count;
    bool has_trailing_slash; /* after the last segment */
};

enum target_err {
    TARGET_OK = 0,
    TARGET_BAD_ESCAPE, /* %zz, %00, or not UTF-8 */
    TARGET_NOWHERE,    /* well-formed, but no route can match: too deep, an empty segment, no leading slash */
};
/* path: without the query. One trailing slash is accepted. On failure nothing is left to release. */
must_check enum target_err target_parse(struct target *t, const char *path);
void target_deinit(struct target *t);

/* Decodes %HH in place; false when malformed or when it would make a NUL. */
must_check bool target_unescape(char *text);
must_check bool target_is_utf8(const char *text);

#endif
