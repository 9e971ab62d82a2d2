/* session_file.h: sessions that outlive a clean stop of a node without Redis.
 *
 * The file is written when the node has stopped talking, and is gone before the next start says its first
 * word: its sequence numbers hold for one start alone. Both calls block; the loop does not run then. */
#ifndef CYAN_HANDSHAKE_SESSION_FILE_H
#define CYAN_HANDSHAKE_SESSION_FILE_H

#include "handshake/dtls.h"

/* Every session its owner wants kept, oldest first, sealed (session_image.h), mode 0600. Returns how many, or
 * -1 with a one-line reason in why and no file. */
must_check long session_file_write(struct dtls *d, const struct server_key *key, const char *path, char *why,
                                   size_t why_size);
/* Takes the file away and its sessions in; one that is damaged or of another server key is taken away all the
 * same. Returns how many sessions, 0 when there is no file, or -1 with a one-line reason in why. */
must_check long session_file_take(struct dtls *d, const struct server_key *key, const char *path, char *why,
                                  size_t why_size);

#endif
