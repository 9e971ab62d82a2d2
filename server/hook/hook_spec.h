/* hook_spec.h: a webhook as people write it, checked and parted into what may be shown again and what not.
 *
 * Pure, but for libcurl's reading of URLs, which is the one that will be used to send. Ownership: after
 * hook_spec_read said NULL, hook_spec_deinit releases. */
#ifndef CYAN_HOOK_HOOK_SPEC_H
#define CYAN_HOOK_HOOK_SPEC_H

#include <jansson.h>
#include <stdbool.h>

#include "base/must.h"

#define HOOK_SPEC_EVENT_MAX 64
#define HOOK_SPEC_URL_MAX 2048
#define HOOK_SPEC_HIDDEN "********" /* what is shown in place of a secret */

struct hook_spec {
    const char *event;  /* borrowed from fields: what names of events begin with */
    const char *device; /* borrowed; NULL: all devices */
    char *host;         /* ours: and its port, lower case */
    json_t *shown;      /* ours */
    json_t *secrets;    /* ours: {"secret": .., "auth": {..}, "headers": {..}} */
};
/* fields: the object that was sent. allow_private: whether an address of a closed network may be named.
 * NULL, or a static sentence on what is wrong; nothing is left to release then. */
must_check const char *hook_spec_read(struct hook_spec *spec, const json_t *fields, bool allow_private);
void hook_spec_deinit(struct hook_spec *spec);
/* Of secrets: what requests are signed with. */
const char *hook_spec_secret(const json_t *secrets);

#endif
