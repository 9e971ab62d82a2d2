/* certificate.h: the PEM files of HTTPS.
 *
 * Ownership: certificate_read fills a caller's struct, certificate_deinit wipes and releases. Blocks:
 * start-up only. */
#ifndef CYAN_API_CERTIFICATE_H
#define CYAN_API_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/must.h"

struct certificate {
    char *chain, *key; /* NUL-terminated; both NULL: plain HTTP */
    size_t key_len;
};

/* Paths NULL or "": none. False with a one-line reason in why; nothing is left to release then. */
must_check bool certificate_read(struct certificate *c, const char *chain_path, const char *key_path,
                                 char *why, size_t why_size);
void certificate_deinit(struct certificate *c);

#endif
