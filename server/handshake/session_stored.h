/* session_stored.h: what Redis holds of a session, in front of its image (session_store.h). Pure functions.
 */
#ifndef CYAN_HANDSHAKE_SESSION_STORED_H
#define CYAN_HANDSHAKE_SESSION_STORED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

struct session_stored {
    uint32_t node; /* who holds it, or held it last */
    uint64_t incarnation, epoch, send_from;
    bool let_go;
    const uint8_t *image; /* borrowed from the text */
    size_t image_len;
};
/* text: NUL-terminated. False: nothing a node wrote. */
must_check bool session_stored_read(const char *text, size_t text_len, struct session_stored *out);

#endif
